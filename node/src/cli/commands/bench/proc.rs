//! What `/proc` tells of processes, their threads and the machine (proc(5)).

use anyhow::Context;
use std::{collections::BTreeMap, fs, path::Path};

/// Ticks in a second: fixed at 100 on every Linux of today.
pub const TICKS: u64 = 100;

/// Processor time of a process so far, in ticks.
pub fn of_process(pid: u32) -> anyhow::Result<u64> {
    ticks(&read(pid, "stat")?).with_context(|| format!("cannot read /proc/{pid}/stat"))
}

/// Processor time of the threads of a process that run now, in ticks, by name without its number.
pub fn of_threads(pid: u32) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut threads = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| ended(pid))? {
        let folder = thread?.path();
        // One that ended meanwhile is not among them.
        let (Ok(name), Ok(stat)) = (text(&folder, "comm"), text(&folder, "stat")) else { continue };
        let name = name.trim().trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches(['-', ':']);
        let taken = threads.entry(name.to_owned()).or_insert(0u64);
        *taken = taken.saturating_add(ticks(&stat).unwrap_or(0));
    }
    Ok(threads)
}

/// Processor time that all programs of the machine have taken so far, in ticks.
pub fn of_machine() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let fields: Vec<u64> =
        text.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, [idle, iowait,] irq, softirq: what is stolen by other machines is nobody's work here.
    Ok([0, 1, 2, 5, 6].iter().filter_map(|place| fields.get(*place)).sum())
}

/// Resident bytes of a process: `VmRSS` of `/proc/PID/status`.
pub fn memory(pid: u32) -> anyhow::Result<u64> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kibibytes.map(|number| number.saturating_mul(1024)).with_context(|| format!("cannot read /proc/{pid}/status"))
}

/// Fields 14 and 15 of `stat`.
fn ticks(stat: &str) -> Option<u64> {
    // The name in field 2 may hold anything but ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user.saturating_add(system))
}

fn read(pid: u32, name: &str) -> anyhow::Result<String> {
    text(Path::new(&format!("/proc/{pid}")), name).with_context(|| ended(pid))
}

fn text(folder: &Path, name: &str) -> std::io::Result<String> {
    fs::read_to_string(folder.join(name))
}

fn ended(pid: u32) -> String {
    format!("process {pid} does not run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_after_a_name_that_looks_like_fields() {
        let stat = "7 (a) 1 2) S 1 1 1 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1 0 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap() > 1 << 20);
        assert!(of_machine().unwrap() >= of_process(pid).unwrap());
        assert!(!of_threads(pid).unwrap().is_empty());
        assert!(memory(u32::MAX).unwrap_err().to_string().contains("does not run"));
    }
}
