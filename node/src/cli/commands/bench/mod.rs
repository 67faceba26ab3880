//! `valo bench`: measures a network of real processes on this machine, and prints one table.
//!
//! In this order: what an idle node takes, how soon a single transfer is final, how many jobs and shards are accepted in
//! a second, how many transfers become final; beside each, who took the processors meanwhile. Each part is bounded in
//! time, and says when it did not come to its end.

mod finality;
mod idle;
mod jobs;
mod proc;
mod transfers;
mod work;

use crate::cli::{
    context::Context,
    devnet::{DevNetwork, Shape},
    human,
    output::{Table, cell},
    progress,
};
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use valo_protocol::SecretKey;
use work::{Before, Work};

/// Accounts that send at the same time when transfers are counted.
const SENDERS: usize = 256;
/// How long the whole of it may take at most.
const LONGEST: Duration = Duration::from_secs(600);

const EXAMPLES: &str = "\
Examples:
  valo bench
  valo bench --seconds 30 --validators 4 --workers 6
  valo bench --only finality -o json

All nodes, and the senders, share this machine: the figures are those of one machine, not of a
network.";

/// `valo bench`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Validators
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Workers
    #[arg(long, default_value_t = 6)]
    workers: usize,
    /// Slots of each worker: the shards that it takes at a time
    #[arg(long, default_value_t = 8)]
    slots: u16,
    /// Seconds for each of the parts
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// CPU and memory of a node when nothing happens
    Idle,
    /// Time until a single transfer is final
    Finality,
    /// Transfers finalized in a second
    Transfers,
    /// Jobs and shards accepted in a second
    Jobs,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    cores: usize,
    validators: usize,
    workers: usize,
    slots: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<idle::Idle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finality: Option<finality::Finality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfers: Option<transfers::Transfers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<jobs::Jobs>,
    /// Who took the processors, by part.
    work: BTreeMap<&'static str, Work>,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let folder = super::dev::temporary()?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        tokio::select! {
            result = self.measure(context, folder.path()) => result,
            _ = terminate.recv() => bail!("stopped before the end"),
            _ = interrupt.recv() => bail!("stopped before the end"),
            () = tokio::time::sleep(LONGEST) => bail!("not done after {}", human::span(LONGEST)),
        }
    }

    async fn measure(&self, context: &Context, folder: &Path) -> anyhow::Result<()> {
        let user = SecretKey::generate()?;
        let senders: Result<Vec<SecretKey>, _> = (0..SENDERS).map(|_| SecretKey::generate()).collect();
        let senders = senders?;
        let keys: Vec<_> = senders.iter().map(SecretKey::public).collect();
        let shape = Shape { validators: self.validators, workers: self.workers, slots: self.slots, ..Shape::default() };
        let spinner = match context.output.draws() {
            true => progress::spinner("starting the nodes".to_owned()),
            false => indicatif::ProgressBar::hidden(),
        };
        let home = folder.join("network");
        let network = DevNetwork::start(&home, Some(shape), user.public(), &keys, context.global.verbose).await?;
        let span = Duration::from_secs(self.seconds);
        let measured = async {
            let mut report = Report {
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                validators: self.validators,
                workers: self.workers,
                slots: self.slots,
                idle: None,
                finality: None,
                transfers: None,
                jobs: None,
                work: BTreeMap::new(),
            };
            if self.wants(Part::Idle) {
                spinner.set_message("idle: what a node takes when nothing happens");
                report.idle = Some(idle::measure(&network, span).await?);
            }
            if self.wants(Part::Finality) {
                spinner.set_message("finality: one transfer after the other");
                let before = Before::now(&network)?;
                report.finality = Some(finality::measure(&network, &user, span).await?);
                report.work.insert("finality", before.until_now(&network)?);
            }
            if self.wants(Part::Jobs) && self.workers > 0 {
                spinner.set_message("jobs: as many as go");
                let before = Before::now(&network)?;
                report.jobs = Some(jobs::measure(&network, &user, span).await?);
                report.work.insert("jobs", before.until_now(&network)?);
            }
            // Last: it leaves nodes with more than they can take at once.
            if self.wants(Part::Transfers) {
                spinner.set_message("transfers: as many as go");
                let before = Before::now(&network)?;
                report.transfers = Some(transfers::measure(&network, &senders, span).await?);
                report.work.insert("transfers", before.until_now(&network)?);
            }
            Ok::<_, anyhow::Error>(report)
        }
        .await;
        spinner.finish_and_clear();
        network.stop().await;
        let report = measured?;
        context.output.show(&report, || report.table())
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

impl Report {
    fn table(&self) -> String {
        let mut table = Table::new(["measured", "value", "how"]);
        let mut row = |what: &str, value: String, how: String| table.row([cell(what), cell(value), cell(how)]);
        if let Some(finality) = &self.finality {
            let how = format!("{} transfers one after the other, idle network", finality.transfers);
            row("finality p50", format!("{} ms", finality.p50), how);
            row("finality p90", format!("{} ms", finality.p90), String::new());
            row("finality p99", format!("{} ms", finality.p99), String::new());
        }
        if let Some(transfers) = &self.transfers {
            let how = format!(
                "{} in {}, {} senders",
                transfers.finalized,
                human::span(Duration::from_millis(transfers.milliseconds)),
                SENDERS
            );
            row("transfers finalized", format!("{}/s", transfers.per_second), how);
        }
        if let Some(jobs) = &self.jobs {
            let took = human::span(Duration::from_millis(jobs.milliseconds));
            let how = format!(
                "{} of {} accepted in {took}, {} shards each, 3 replicas",
                jobs.accepted, jobs.submitted, jobs.shards_each
            );
            row(
                "jobs accepted",
                format!("{}.{:02}/s", jobs.hundredths_per_second / 100, jobs.hundredths_per_second % 100),
                how,
            );
            row("shards accepted", format!("{}/s", jobs.shards_per_second), String::new());
            if let Some(failure) = &jobs.failure {
                row("jobs failed", jobs.failed.to_string(), failure.clone());
            }
            row(
                "one job alone",
                format!("{} ms", jobs.alone),
                format!("{} shards, from submission to verdict", jobs.shards_each),
            );
        }
        if let Some(idle) = &self.idle {
            let percent = |thousandths: u64| format!("{}.{} %", thousandths / 10, thousandths % 10);
            row("idle cpu, validator", percent(idle.validator_cpu), "of one core, mean".to_owned());
            row("idle cpu, worker", percent(idle.worker_cpu), String::new());
            row("memory, validator", human::size(idle.validator_memory), "resident, mean".to_owned());
            row("memory, worker", human::size(idle.worker_memory), String::new());
        }
        let mut work = String::from("where the time goes:\n");
        for (part, taken) in &self.work {
            let _ = writeln!(work, "  {part}: {}.{:02} cores: {}", taken.busy / 100, taken.busy % 100, taken.line());
        }
        format!(
            "{table}\n\n{work}\n{} and {} of {} on one machine of {}",
            human::plural(u64::try_from(self.validators).unwrap_or(0), "validator"),
            human::plural(u64::try_from(self.workers).unwrap_or(0), "worker"),
            human::plural(u64::from(self.slots), "slot"),
            human::plural(u64::try_from(self.cores).unwrap_or(0), "core"),
        )
    }
}
