//! What a node takes when nothing happens, from `/proc`.

use super::proc;
use crate::cli::devnet::{DevNetwork, Member};
use anyhow::Context;
use serde::Serialize;
use std::time::Duration;

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
    let before: anyhow::Result<Vec<u64>> = nodes.iter().map(|node| proc::of_process(pid(node)?)).collect();
    let before = before?;
    tokio::time::sleep(span).await;
    let mut readings = Vec::new();
    for (node, before) in nodes.iter().zip(before) {
        let taken = proc::of_process(pid(node)?)?.saturating_sub(before).saturating_mul(1000 / proc::TICKS);
        readings.push((node.role == "validator", taken / span.as_secs().max(1), proc::memory(pid(node)?)?));
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

fn pid(node: &Member) -> anyhow::Result<u32> {
    node.pid.with_context(|| format!("{} does not run", node.name))
}
