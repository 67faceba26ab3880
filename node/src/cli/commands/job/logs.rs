//! `valo job logs`: what the programs printed. Standard output and error are not part of a result and not on the chain:
//! they stay with the workers that ran the shard, which hand them out as long as they keep them.

use super::summary::explanation;
use crate::cli::{
    context::Context,
    output::{harmless, print},
};
use anyhow::Context as _;
use clap::Args;
use console::style;
use valo_client::types::{ShardLog, ShardLogs};
use valo_protocol::job::{JobId, ShardIndex, ShardKey, StageIndex};

/// Shards whose logs are shown unless one is named.
const MOST: usize = 64;

const EXAMPLES: &str = "\
Examples:
  valo job logs 1
  valo job logs 1 --shard 0/3
  valo job logs 1 -o json

Logs come from the workers and are not verified: replicas may print different things, and a
worker may have none left.";

/// `valo job logs`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Number of the job
    job: u64,
    /// Only this shard: stage/shard, such as 0/3
    #[arg(long, value_name = "STAGE/SHARD")]
    shard: Option<String>,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let job = JobId(self.job);
        let shards: Vec<(StageIndex, ShardIndex)> = match &self.shard {
            Some(text) => vec![super::explain::place(text)?],
            None => {
                let (explained, _) = explanation(&client, job).await?;
                explained.shards.iter().map(|shard| (shard.stage, shard.shard)).collect()
            }
        };
        if shards.len() > MOST {
            context.output.note(format_args!("showing {MOST} of {} shards; name one with --shard", shards.len()));
        }
        let mut logs = Vec::new();
        for (stage, shard) in shards.into_iter().take(MOST) {
            let place = || format!("cannot get the logs of shard {stage}/{shard}");
            logs.push(client.shard_logs(ShardKey { job, stage, shard }).await.with_context(place)?);
        }
        if context.output.format != crate::cli::output::Format::Table {
            return context.output.show(&logs, String::new);
        }
        for shard in &logs {
            show(shard)?;
        }
        Ok(())
    }
}

fn show(shard: &ShardLogs) -> anyhow::Result<()> {
    let place = format!("shard {}/{}", shard.shard.stage, shard.shard.shard);
    if shard.logs.is_empty() {
        return print(style(format!("{place}: no worker has a log of it")).dim());
    }
    for log in &shard.logs {
        show_one(&place, log)?;
    }
    Ok(())
}

fn show_one(place: &str, log: &ShardLog) -> anyhow::Result<()> {
    print(style(format!("{place}, node {}, attempt {}", log.node, log.attempt)).bold())?;
    for (name, text) in [("stdout", &log.stdout), ("stderr", &log.stderr)] {
        for line in text.lines() {
            print(format_args!("  {} {}", style(name).dim(), harmless(line)))?;
        }
    }
    if log.truncated {
        print("  (cut off)")?;
    }
    Ok(())
}
