//! `valo job cancel`: ends a job; what is not earned comes back.

use crate::cli::{
    commands::tx,
    context::{Context, FINALITY},
};
use clap::Args;
use valo_protocol::{Action, job::JobId};

/// `valo job cancel`
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
        anyhow::ensure!(
            !job.phase.is_over(),
            "job {} is already over: it is {}",
            job.id,
            crate::cli::output::phase_word(&job.phase)
        );
        context.confirm(&format!("Cancel job {} ({})? Work that is done is paid.", job.id, job.name))?;
        let session = context.session(&client).await?;
        let (receipt, _) = session.perform(Action::CancelJob { job: job.id }, FINALITY).await?;
        context.output.show(&receipt, || tx::receipt_table(&receipt).to_string())
    }
}
