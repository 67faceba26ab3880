//! Where the time goes: who took the processors while something was measured.

use super::proc;
use crate::cli::devnet::DevNetwork;
use anyhow::Context;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Threads that take less than this share are not named, in percent.
const LEAST: u64 = 2;

/// Who took the processors.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Hundredths of a core that all programs of the machine took.
    pub busy: u64,
    /// Percent of it by the validators.
    pub validators: u64,
    /// Percent of it by the workers.
    pub workers: u64,
    /// Percent of it by this command, which sends and asks.
    pub bench: u64,
    /// Percent of it by programs that have nothing to do with it: where this is much, the figures are worth little.
    pub others: u64,
    /// Percent of it by threads of the validators, by name.
    pub threads: BTreeMap<String, u64>,
}

/// Readings of a moment, in ticks.
pub struct Before {
    at: Instant,
    reading: Reading,
}

#[derive(Debug, Default)]
struct Reading {
    machine: u64,
    validators: u64,
    workers: u64,
    bench: u64,
    threads: BTreeMap<String, u64>,
}

impl Reading {
    fn of(network: &DevNetwork) -> anyhow::Result<Self> {
        let mut reading =
            Self { machine: proc::of_machine()?, bench: proc::of_process(std::process::id())?, ..Self::default() };
        for node in &network.description.nodes {
            let pid = node.pid.with_context(|| format!("{} does not run", node.name))?;
            let taken = proc::of_process(pid)?;
            if node.role == "validator" {
                reading.validators = reading.validators.saturating_add(taken);
                for (name, taken) in proc::of_threads(pid)? {
                    let sum = reading.threads.entry(name).or_insert(0);
                    *sum = sum.saturating_add(taken);
                }
            } else {
                reading.workers = reading.workers.saturating_add(taken);
            }
        }
        Ok(reading)
    }
}

impl Before {
    /// Reads what was taken until now.
    pub fn now(network: &DevNetwork) -> anyhow::Result<Self> {
        Ok(Self { at: Instant::now(), reading: Reading::of(network)? })
    }

    /// Who took what since.
    pub fn until_now(self, network: &DevNetwork) -> anyhow::Result<Work> {
        Ok(Work::between(&self.reading, &Reading::of(network)?, self.at.elapsed()))
    }
}

impl Work {
    fn between(before: &Reading, after: &Reading, span: Duration) -> Self {
        let machine = after.machine.saturating_sub(before.machine);
        let percent = |before: u64, after: u64| {
            let taken = after.saturating_sub(before).saturating_mul(100);
            taken.checked_div(machine).unwrap_or(0).min(100)
        };
        let validators = percent(before.validators, after.validators);
        let workers = percent(before.workers, after.workers);
        let bench = percent(before.bench, after.bench);
        let threads = after
            .threads
            .iter()
            .map(|(name, after)| (name.clone(), percent(before.threads.get(name).copied().unwrap_or(0), *after)));
        let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            busy: machine.saturating_mul(100 * 1000 / proc::TICKS) / milliseconds,
            validators,
            workers,
            bench,
            others: 100u64.saturating_sub(validators.saturating_add(workers).saturating_add(bench)),
            threads: threads.filter(|(_, percent)| *percent >= LEAST).collect(),
        }
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_by_key(|(_, percent)| std::cmp::Reverse(**percent));
        let threads: Vec<String> = threads.into_iter().map(|(name, percent)| format!("{name} {percent}")).collect();
        let Self { validators, workers, bench, others, .. } = self;
        format!(
            "validators {validators} % ({}), workers {workers} %, this command {bench} %, other programs {others} %",
            threads.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_second() {
        let reading = |machine, validators, workers, bench, chain| Reading {
            machine,
            validators,
            workers,
            bench,
            threads: [("valo-chain".to_owned(), chain), ("idle".to_owned(), 5)].into(),
        };
        let (before, after) = (reading(1000, 100, 50, 10, 40), reading(1200, 200, 90, 30, 80));
        let work = Work::between(&before, &after, Duration::from_secs(1));
        assert_eq!((work.busy, work.validators, work.workers, work.bench, work.others), (200, 50, 20, 10, 20));
        assert_eq!(
            work.line(),
            "validators 50 % (valo-chain 20), workers 20 %, this command 10 %, other programs 20 %"
        );
        let nothing = Work::between(&before, &before, Duration::ZERO);
        assert_eq!((nothing.busy, nothing.validators), (0, 0));
    }
}
