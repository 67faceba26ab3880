//! `valo job status`: where a job stands.

use crate::cli::{
    context::Context,
    human,
    output::{Table, cell, phase_cell},
};
use clap::Args;
use valo_client::types::Job;
use valo_protocol::{Timestamp, job::JobId};

/// `valo job status`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Number of the job
    job: u64,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let job = client.job(JobId(self.job)).await?;
        let now = client.status().await?.time;
        context.output.show(&job, || table(&job, now))
    }
}

/// A job, for people.
pub fn table(job: &Job, now: Timestamp) -> String {
    let mut fields = Table::fields();
    fields.field("Job", format_args!("{} ({})", job.id, job.name));
    fields.row([cell("Phase").fg(comfy_table::Color::DarkGrey), phase_cell(&job.phase)]);
    if let Some(failure) = &job.failure {
        fields.field("Reason", failure);
    }
    fields.field("Since", format_args!("{} ago", human::age(now, job.phase_since)));
    fields.field("Submitter", job.submitter);
    fields.field("Submitted", format_args!("{} in block {}", human::moment(job.submitted_at), job.submitted));
    fields.field("Deadline", human::moment(job.deadline));
    fields.field("Budget", format_args!("{} VALO: {} paid, {} in escrow", job.budget, job.paid, job.escrow));
    fields.field("Verification", format_args!("{} of {} workers must agree", job.quorum, job.replicas));
    if let Some(results) = &job.results {
        fields.field("Results root", results);
    }
    let mut stages = Table::new(["stage", "tier", "shards", "placed", "accepted", "failed"]);
    for stage in &job.stages {
        stages.row([
            cell(&stage.name),
            cell(&stage.tier),
            cell(stage.progress.shards),
            cell(stage.progress.placed),
            cell(stage.progress.accepted),
            cell(stage.progress.failed),
        ]);
    }
    format!("{fields}\n\n{stages}")
}
