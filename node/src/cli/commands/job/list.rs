//! `valo job list`: the jobs of the network.

use crate::cli::{
    context::{Context, collect},
    human,
    output::{Table, cell, phase_cell},
};
use clap::Args;
use valo_client::types::{JobFilter, JobSummary, PhaseName};
use valo_protocol::{AccountNumber, Timestamp};

/// `valo job list`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only those of this account
    #[arg(long, value_name = "NUMBER")]
    submitter: Option<AccountNumber>,
    /// Only those of the key in use
    #[arg(long, conflicts_with = "submitter")]
    mine: bool,
    /// Only those in this phase: funded, placing, running, accepted, final or failed
    #[arg(long)]
    phase: Option<PhaseName>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let submitter = match self.mine {
            true => Some(client.account(context.public_key()?).await?.number),
            false => self.submitter,
        };
        let filter = JobFilter { submitter, phase: self.phase, ..JobFilter::default() };
        let jobs = collect(self.limit, None, |page| {
            let (client, filter) = (client.clone(), filter.clone());
            async move { client.jobs(&filter, &page).await }
        })
        .await?;
        let now = client.status().await?.time;
        context.output.show(&jobs, || table(&jobs, now))
    }
}

fn table(jobs: &[JobSummary], now: Timestamp) -> String {
    if jobs.is_empty() {
        return "no jobs; `valo job submit FILE` makes one".to_owned();
    }
    let mut table = Table::new(["job", "name", "phase", "shards", "paid", "submitter", "age"]);
    for job in jobs {
        table.row([
            cell(job.id),
            cell(&job.name),
            phase_cell(&job.phase),
            cell(format_args!("{}/{}", job.accepted, job.shards)),
            cell(format_args!("{} VALO", job.paid)),
            cell(job.submitter),
            cell(human::age(now, job.submitted_at)),
        ]);
    }
    table.to_string()
}
