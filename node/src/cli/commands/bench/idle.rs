//! What a node takes when nothing happens, from `/proc`.

use crate::cli::devnet::{DevNetwork, Member};
use anyhow::Context;
use serde::Serialize;
use std::{fs, time::Duration};

/// Ticks of `/proc/PID/stat` in a second: fixed at 100 on every Linux of today.
const TICKS: u64 = 100;
/// Time for connections to come about before it counts.
const SETTLE: Duration = Duration::from_secs(3);

/// Means over the nodes of a role.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    /// In thousandths of a core.
    pub validator_cpu: u64,
    /// In thousandths of a core.
    pub worker_cpu: u64,
    /// Resident bytes.
    pub validator_memory: u64,
    /// Resident bytes.
    pub worker_memory: u64,
}

/// Lets the network alone for a while, and reads what it took.
pub async fn measure(network: &DevNetwork, span: Duration) -> anyhow::Result<Idle> {
    // Nothing else tells when nodes have come to rest.
    tokio::time::sleep(SETTLE).await;
    let nodes = &network.description.nodes;
    let before: anyhow::Result<Vec<u64>> = nodes.iter().map(ticks).collect();
    let before = before?;
    tokio::time::sleep(span).await;
    let mut readings = Vec::new();
    for (node, before) in nodes.iter().zip(before) {
        let taken = ticks(node)?.saturating_sub(before).saturating_mul(1000) / TICKS / span.as_secs().max(1);
        readings.push((node.role == "validator", taken, memory(node)?));
    }
    let mean = |validators: bool, value: fn(&(bool, u64, u64)) -> u64| {
        let values: Vec<u64> = readings.iter().filter(|reading| reading.0 == validators).map(value).collect();
        let count = u64::try_from(values.len()).unwrap_or(1).max(1);
        values.iter().sum::<u64>() / count
    };
    Ok(Idle {
        validator_cpu: mean(true, |reading| reading.1),
        worker_cpu: mean(false, |reading| reading.1),
        validator_memory: mean(true, |reading| reading.2),
        worker_memory: mean(false, |reading| reading.2),
    })
}

/// Processor time so far, in ticks: fields 14 and 15 of `/proc/PID/stat` (proc(5)).
fn ticks(node: &Member) -> anyhow::Result<u64> {
    let text = proc_file(node, "stat")?;
    // The name in field 2 may hold anything but ends with the last parenthesis.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let mut fields = rest.split_whitespace().skip(11);
    let user = fields.next().and_then(|field| field.parse::<u64>().ok());
    let system = fields.next().and_then(|field| field.parse::<u64>().ok());
    user.zip(system).map(|(user, system)| user.saturating_add(system)).context("cannot read /proc/PID/stat")
}

/// Resident bytes: `VmRSS` of `/proc/PID/status`.
fn memory(node: &Member) -> anyhow::Result<u64> {
    let text = proc_file(node, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kibibytes.map(|number| number.saturating_mul(1024)).context("cannot read /proc/PID/status")
}

fn proc_file(node: &Member, name: &str) -> anyhow::Result<String> {
    let pid = node.pid.with_context(|| format!("{} does not run", node.name))?;
    fs::read_to_string(format!("/proc/{pid}/{name}")).with_context(|| format!("{} does not run", node.name))
}
