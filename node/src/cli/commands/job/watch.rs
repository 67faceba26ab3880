//! `valo job watch`: follows a job to its verdict.

use super::{failure, summary::Summary};
use crate::cli::{
    context::Context,
    human,
    output::{Output, phase_word},
    progress,
};
use clap::Args;
use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar};
use std::{
    io::{self, Write as _},
    time::Duration,
};
use valo_client::{
    Client,
    types::{EventFilter, EventRecord, Job},
};
use valo_protocol::{
    event::{Event, JobPhase},
    job::JobId,
};

/// How long the node may be away while a job is followed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events that are read together before the job is asked for again.
const BATCH: usize = 256;

const EXAMPLES: &str = "\
Examples:
  valo job watch 1
  valo job watch 1 -q -o json | jq .phase

Ends with exit code 1 when the job fails. Breaking it off changes nothing: watch again whenever
you like.";

/// `valo job watch`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Number of the job
    job: u64,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        follow(context, &client, JobId(self.job)).await
    }
}

/// Follows a job to its verdict, and shows how it ended. A job that failed is an error.
pub async fn follow(context: &Context, client: &Client, id: JobId) -> anyhow::Result<()> {
    // The stream starts before the job is read, so that nothing falls between the two.
    let mut events = client.events(EventFilter::job(id), None, PATIENCE).ready_chunks(BATCH);
    let mut job = client.job(id).await?;
    let mut view = View::new(context.output, &job);
    view.update(&job);
    while !job.phase.is_over() {
        // Events wake us; the job itself is asked for now and then in case they are late.
        let batch = tokio::time::timeout(Duration::from_secs(2), events.next()).await;
        for record in batch.ok().flatten().into_iter().flatten() {
            view.event(&record?);
        }
        job = client.job(id).await?;
        view.update(&job);
    }
    view.finish();
    Summary::of(client, id).await?.show(context)?;
    failure(id, &job.phase)
}

/// What is seen of a job while it runs.
enum View {
    Nothing,
    Bars { bars: MultiProgress, phase: ProgressBar, stages: Vec<ProgressBar> },
    Lines { phase: Option<JobPhase>, accepted: Vec<u32> },
}

impl View {
    fn new(output: Output, job: &Job) -> Self {
        if output.quiet {
            return Self::Nothing;
        }
        if !output.draws() {
            return Self::Lines { phase: None, accepted: vec![0; job.stages.len()] };
        }
        let width = job.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
        let bars = MultiProgress::new();
        let phase = bars.add(progress::spinner(String::new()));
        let stages = job
            .stages
            .iter()
            .map(|stage| bars.add(progress::steps(u64::from(stage.progress.shards), stage.name.clone(), width)))
            .collect();
        Self::Bars { bars, phase, stages }
    }

    fn update(&mut self, job: &Job) {
        match self {
            Self::Nothing => {}
            Self::Bars { phase, stages, .. } => {
                phase.set_message(format!("job {} ({}) {}", job.id, job.name, phase_word(&job.phase)));
                for (bar, stage) in stages.iter().zip(&job.stages) {
                    bar.set_position(u64::from(stage.progress.accepted.saturating_add(stage.progress.failed)));
                }
            }
            Self::Lines { phase, accepted } => {
                for (before, stage) in accepted.iter_mut().zip(&job.stages) {
                    if *before != stage.progress.accepted {
                        *before = stage.progress.accepted;
                        let shards = human::plural(stage.progress.shards, "shard");
                        say(format_args!("  {}: {before} of {shards} accepted", stage.name));
                    }
                }
                if phase.as_ref() != Some(&job.phase) {
                    say(format_args!("job {} ({}): {}", job.id, job.name, phase_word(&job.phase)));
                    *phase = Some(job.phase);
                }
            }
        }
    }

    /// Says what went otherwise than usual.
    fn event(&self, record: &EventRecord) {
        let Some(line) = unusual(&record.event) else { return };
        match self {
            Self::Nothing => {}
            Self::Bars { bars, .. } => {
                let _ = bars.println(format!("  {line}"));
            }
            Self::Lines { .. } => say(format_args!("  {line}")),
        }
    }

    fn finish(&self) {
        if let Self::Bars { bars, .. } = self {
            let _ = bars.clear();
        }
    }
}

fn unusual(event: &Event) -> Option<String> {
    let shard_name = |shard: &valo_protocol::job::ShardKey| format!("shard {}/{}", shard.stage, shard.shard);
    match event {
        Event::ShardWaiting { shard, needed, available } => Some(format!(
            "{} waits: it takes {needed} free slots of different owners, {available} are free",
            shard_name(shard)
        )),
        Event::Abstained { shard, node, reason, .. } => {
            Some(format!("{}: node {node} abstained: {reason}", shard_name(shard)))
        }
        Event::Missed { shard, node, .. } => Some(format!("{}: node {node} did not answer in time", shard_name(shard))),
        Event::ShardEscalated { shard, replicas, quorum } => {
            Some(format!("{}: no quorum yet; now {quorum} of {replicas}", shard_name(shard)))
        }
        Event::Slashed { shard, node, amount, fault, .. } => {
            Some(format!("{}: node {node} lost {amount} VALO: {fault}", shard_name(shard)))
        }
        Event::ShardFailed { shard, reason } => Some(format!("{} failed: {reason}", shard_name(shard))),
        _ => None,
    }
}

/// A line of progress. Whoever has stopped reading misses it, and the command goes on.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
