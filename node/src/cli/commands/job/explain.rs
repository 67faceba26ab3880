//! `valo job explain`: for every shard, who was drawn and why, what they answered, who was paid and slashed.

use super::summary::explanation;
use crate::cli::{context::Context, human, output::phase_word};
use clap::Args;
use std::fmt::Write;
use valo_client::types::{DrawExplanation, JobExplanation, ShardExplanation};
use valo_protocol::{
    Timestamp,
    job::{JobId, ShardIndex, StageIndex},
};

const EXAMPLES: &str = "\
Examples:
  valo job explain 1
  valo job explain 1 --shard 0/3      shard 3 of the first stage, with its draws
  valo job explain 1 -o json";

/// `valo job explain`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Number of the job
    job: u64,
    /// Only this shard, with who was passed over: stage/shard, such as 0/3
    #[arg(long, value_name = "STAGE/SHARD")]
    shard: Option<String>,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let only = self.shard.as_deref().map(place).transpose()?;
        let client = context.client().await?;
        let (mut job, complete) = explanation(&client, JobId(self.job)).await?;
        if let Some((stage, shard)) = only {
            job.shards.retain(|explained| explained.stage == stage && explained.shard == shard);
            anyhow::ensure!(!job.shards.is_empty(), "job {} has no shard {stage}/{shard}", job.job);
        }
        context.output.show(&job, || {
            let mut text = describe(&job, only.is_some());
            if !complete {
                text.push_str("\nThere are more shards than are shown here.\n");
            }
            text
        })
    }
}

/// Reads stage/shard.
pub fn place(text: &str) -> anyhow::Result<(StageIndex, ShardIndex)> {
    let parsed = text
        .split_once('/')
        .and_then(|(stage, shard)| Some((StageIndex(stage.parse().ok()?), ShardIndex(shard.parse().ok()?))));
    parsed.ok_or_else(|| anyhow::anyhow!("`{text}` is not a shard: it takes stage/shard, both from 0, such as 0/3"))
}

/// Writing into a text cannot fail.
macro_rules! line {
    ($text:expr, $($arguments:tt)*) => {
        let _ = writeln!($text, $($arguments)*);
    };
}

/// The story of a job. In full, with the seeds of the draws and who was passed over.
pub fn describe(job: &JobExplanation, in_full: bool) -> String {
    let start = job.submitted.map_or(Timestamp::default(), |moment| moment.time);
    let after = |time: Timestamp| human::span(time.since(start).into());
    let mut text = String::new();
    line!(text, "job {}: {}", job.job, job.summary);
    line!(text, "agreement: {}", job.worth);
    let phases: Vec<String> =
        job.phases.iter().map(|(moment, phase)| format!("{} at {}", phase_word(phase), after(moment.time))).collect();
    line!(text, "phases: {}", phases.join(", "));
    line!(text, "money: {} VALO paid, {} VALO slashed, {} VALO came back", job.paid, job.slashed, job.refunded);
    for shard in &job.shards {
        line!(text, "");
        describe_shard(&mut text, shard, in_full, &after);
    }
    text
}

fn describe_shard(text: &mut String, shard: &ShardExplanation, in_full: bool, after: &impl Fn(Timestamp) -> String) {
    line!(text, "{} {}/{}: {}", shard.stage_name, shard.stage, shard.shard, shard.summary);
    for wait in &shard.waits {
        line!(
            text,
            "  waited at {}: it takes {} free slots, {} were free",
            after(wait.at.time),
            wait.needed,
            wait.available
        );
    }
    for draw in &shard.draws {
        describe_draw(text, draw, in_full, after);
    }
    for more in &shard.escalations {
        line!(
            text,
            "  no quorum at {}: from then on {} of {} must agree",
            after(more.at.time),
            more.quorum,
            more.replicas
        );
    }
    for answer in &shard.answers {
        line!(text, "  node {} of {}: {}", answer.node, answer.owner, answer.why);
    }
}

fn describe_draw(text: &mut String, draw: &DrawExplanation, in_full: bool, after: &impl Fn(Timestamp) -> String) {
    let drawn: Vec<String> = draw.drawn.iter().map(|drawn| drawn.node.to_string()).collect();
    line!(
        text,
        "  drawn at {} (attempt {}): nodes {}, by the randomness of block {}",
        after(draw.at.time),
        draw.attempt,
        drawn.join(", "),
        draw.seed_height
    );
    if !in_full {
        return;
    }
    line!(text, "    seed {}", draw.seed);
    for drawn in &draw.drawn {
        line!(text, "    node {} drawn: {}", drawn.node, drawn.why);
    }
    for passed in &draw.passed_over {
        line!(text, "    node {} passed over: {}", passed.node, passed.why);
    }
}
