//! JobContract: the YAML that `valo job submit -f` takes, as an object of the cluster.
//!
//! It is submitted exactly once, whoever restarts when: the UID of the object is the `client_id` of the submission, and
//! the chain answers a second one with the job that the first one made. A contract is signed as it is, so what is
//! wrong with it is final; what it waits for (a ConfigMap, money, the chain) is not.
//!
//! The finalizer is there as long as there may be something to cancel: from just before the submission until the job is
//! over. What is over needs nobody any more, and is not looked at again.

mod apply;
mod blobs;
mod delete;
mod dereference;
mod price;
mod status;
mod validate;

use crate::{
    Context,
    chain::{ChainError, SignerError},
    cluster::ClusterError,
    controller::{AGAIN, Kind, Problem, SOON, Steps},
    keys::KeyError,
    names::FINALIZER,
};
use kube::runtime::controller::Action;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use valo_client::ClientError;
use valo_crds::{JobContract, JobPhase, JobReason};

/// Why a pass over a JobContract fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do something.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain did not do something.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A node did not take a blob.
    #[error("cannot upload {label}")]
    Upload {
        /// What it is.
        label: String,
        /// Why not.
        #[source]
        source: Box<ClientError>,
    },
    /// The Secret of the wallet holds no key.
    #[error("spec.walletRef")]
    Key(#[from] KeyError),
    /// Files could not be laid out for reading.
    #[error("cannot lay out the files of the contract")]
    Files(#[from] std::io::Error),
    /// The task that reads files ended.
    #[error("reading the files of the contract was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl Problem for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "ClusterError",
            Self::Chain(_) | Self::Upload { .. } => "ChainUnreachable",
            Self::Signer(error) => error.reason(),
            Self::Key(_) => "KeyMalformed",
            Self::Files(_) | Self::BrokenOff(_) => "FilesUnreadable",
        }
    }
}

impl Kind for JobContract {
    const CONTROLLER: &'static str = "job-contract";
    type Problem = Error;

    /// The column of the reason says why the pass failed, and a contract that never came further waits.
    fn failed(status: &mut Map<String, Value>, reason: &str, message: &str) {
        let is_submitted = status.contains_key("job");
        if !is_submitted && JobReason::of(reason).is_some() {
            status.insert("phase".to_owned(), json!(JobPhase::Pending));
            status.insert("reason".to_owned(), reason.into());
            status.insert("message".to_owned(), message.into());
        }
    }

    async fn reconcile(job: Arc<Self>, context: Arc<Context>) -> Result<Action, Error> {
        let steps = Steps::of::<Self>(&context);
        if job.metadata.deletion_timestamp.is_some() {
            return steps.run("delete", delete::delete(&context, &job)).await;
        }
        if is_over(&job) {
            steps.run("release", context.cluster.set_finalizer(&*job, FINALIZER, false)).await?;
            return Ok(Action::await_change());
        }
        let found = steps.run("dereference", dereference::dereference(&context, &job)).await?;
        let checked = steps.run("validate", validate::validate(job.clone(), found)).await?;
        let mut job = Self::clone(&job);
        let applied = steps.run("apply", apply::apply(&context, &mut job, checked)).await?;
        let phase = steps.run("status", status::report(&context, &mut job, &applied)).await?;
        Ok(match phase {
            // The next pass takes the finalizer off, on the strength of what is written by then.
            Some(phase) if is_for_good(phase) => Action::requeue(SOON),
            Some(JobPhase::Running | JobPhase::Placing | JobPhase::Funded) => Action::requeue(SOON),
            _ => Action::requeue(AGAIN),
        })
    }
}

/// Whether nothing of a contract will change any more. The spec cannot, so what was refused stays so.
fn is_over(job: &JobContract) -> bool {
    job.status.as_ref().and_then(|status| status.phase).is_some_and(is_for_good)
}

/// Whether a phase is the last one.
const fn is_for_good(phase: JobPhase) -> bool {
    matches!(phase, JobPhase::Final | JobPhase::Failed | JobPhase::Rejected)
}

#[cfg(test)]
mod tests;
