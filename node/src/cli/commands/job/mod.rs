//! `valo job`: submit jobs, follow them, fetch their results.

mod cancel;
mod estimate;
mod explain;
mod list;
mod logs;
mod merge;
mod modules;
mod result;
mod status;
mod submit;
mod summary;
#[cfg(test)]
mod tests;
mod watch;

use crate::cli::context::Context;
use clap::{Args, Subcommand};
use valo_protocol::{event::JobPhase, job::JobId};

const EXAMPLES: &str = "\
Examples:
  valo job submit examples/digits/job.yaml --watch
  valo job list --phase running
  valo job result 1 --out predictions
  valo job explain 1 --shard 0/3

A job is a YAML file: `valo job submit --help` shows one.";

/// `valo job`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Submit a job: upload what it needs, show the price, sign
    Submit(submit::Arguments),
    /// Show what a job would cost, without submitting it
    Estimate(estimate::Arguments),
    /// List jobs, newest first
    #[command(alias = "ls")]
    List(list::Arguments),
    /// Show where a job stands
    #[command(alias = "show")]
    Status(status::Arguments),
    /// Follow a job to its verdict
    Watch(watch::Arguments),
    /// Say for every shard who was drawn and why, what they answered, who was paid
    Explain(explain::Arguments),
    /// Show what the programs of a job printed
    Logs(logs::Arguments),
    /// Download the result of a job, checked and merged
    Result(result::Arguments),
    /// Cancel a job: what is not earned comes back
    Cancel(cancel::Arguments),
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::Submit(arguments) => arguments.run(context).await,
            Command::Estimate(arguments) => arguments.run(context).await,
            Command::List(arguments) => arguments.run(context).await,
            Command::Status(arguments) => arguments.run(context).await,
            Command::Watch(arguments) => arguments.run(context).await,
            Command::Explain(arguments) => arguments.run(context).await,
            Command::Logs(arguments) => arguments.run(context).await,
            Command::Result(arguments) => arguments.run(context).await,
            Command::Cancel(arguments) => arguments.run(context).await,
        }
    }
}

/// A job that failed, as an error.
fn failure(job: JobId, phase: &JobPhase) -> anyhow::Result<()> {
    match phase {
        JobPhase::Failed(reason) => Err(anyhow::anyhow!("job {job} failed: {reason}")),
        _ => Ok(()),
    }
}
