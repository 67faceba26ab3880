//! A JobContract goes when its job is over, is cancelled, or is left alone, as `deletionPolicy` says. It waits for nothing
//! but a chain that may still answer: whatever else is missing, the job runs on, and an event says why.

use super::{
    Error,
    dereference::{chain_of, key_of, submitted, submitted_by},
    is_over,
};
use crate::{
    Context,
    chain::{ChainError, SignerError, found},
    controller::{AGAIN, causes},
    names::{FINALIZER, namespace_of, reference},
};
use kube::{ResourceExt, runtime::controller::Action};
use valo_contract::DeletionPolicy;
use valo_crds::{JobContract, Network};
use valo_protocol::Action as ChainAction;

/// How the job of a JobContract that is deleted ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// There is nothing to cancel.
    Over,
    /// It was cancelled just now.
    Cancelled(String),
    /// Nobody can cancel it.
    RunsOn(String),
    /// It cannot be told yet.
    Waits(String),
}

/// Ends a JobContract, or waits.
pub async fn delete(context: &Context, job: &JobContract) -> Result<Action, Error> {
    // Without our finalizer nothing was submitted, or it is over.
    if !job.finalizers().iter().any(|name| name == FINALIZER) {
        return Ok(Action::await_change());
    }
    let is_left = is_over(job) || job.spec.0.deletion_policy == DeletionPolicy::Leave;
    let about = reference(job);
    match if is_left { End::Over } else { cancel(context, job).await? } {
        End::Over => {}
        End::Cancelled(note) => context.tell(&about, "Cancelled", "Delete", note).await,
        End::RunsOn(note) => context.warn(&about, "NotCancelled", "Delete", note).await,
        End::Waits(note) => {
            context.tell(&about, "Waiting", "Delete", note).await;
            return Ok(Action::requeue(AGAIN));
        }
    }
    context.cluster.set_finalizer(job, FINALIZER, false).await?;
    Ok(Action::await_change())
}

/// Cancels a job that is not over.
async fn cancel(context: &Context, job: &JobContract) -> Result<End, Error> {
    let chain = match chain_of(context, job).await? {
        Ok(chain) => chain,
        // A chain that ends, or has ended, takes its jobs with it.
        Err(_) if ends(context, job).await? => return Ok(End::Over),
        Err(waits) => {
            let way_out = "set spec.deletionPolicy to leave to let the job run on";
            return Ok(End::Waits(format!("cannot cancel it yet: {}; {way_out}", waits.message)));
        }
    };
    let key = match key_of(context, job).await {
        Ok(key) => key.map_err(|waits| waits.message),
        Err(error @ Error::Key(_)) => Err(causes(&error)),
        Err(error) => return Err(error),
    };
    let id = match (submitted(job), &key) {
        (Some(id), _) => Some(id),
        (None, Ok(key)) => submitted_by(&chain, key, job).await?,
        (None, Err(_)) => None,
    };
    let behind = |what: &str| Ok(End::Waits(format!("no node that is caught up can tell of {what}")));
    let Some(id) = id else {
        return if chain.status.node.ready { Ok(End::Over) } else { behind("this contract") };
    };
    match found(chain.client.job(id).await).map_err(ChainError::from)? {
        Some(known) if known.phase.is_over() => return Ok(End::Over),
        Some(_) => {}
        None if chain.status.node.ready => return Ok(End::Over),
        None => return behind(&format!("job {id}")),
    }
    let runs_on = |why: String| Ok(End::RunsOn(format!("job {id} runs on until its deadline: {why}")));
    let key = match key {
        Ok(key) => key,
        Err(why) => return runs_on(why),
    };
    let Some(mut signer) = context.chains.signer(&chain, &key).await? else {
        return runs_on("the wallet has no account on the chain".to_owned());
    };
    match signer.perform(context, ChainAction::CancelJob { job: id }).await {
        Ok(_) => Ok(End::Cancelled(format!("job {id} is cancelled; what is left of its budget is back"))),
        // It ended meanwhile, or is not this wallet's: the chain says which.
        Err(SignerError::Refused { reason, .. }) => {
            let known = found(chain.client.job(id).await).map_err(ChainError::from)?;
            if known.is_none_or(|known| known.phase.is_over()) { Ok(End::Over) } else { runs_on(reason.to_string()) }
        }
        Err(SignerError::Client { source, .. }) if source.code() == Some("cannotPayFee") => {
            runs_on(format!("the wallet cannot pay for it: {source}"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the Network is gone or going.
async fn ends(context: &Context, job: &JobContract) -> Result<bool, Error> {
    let name = job.spec.0.network_ref.as_ref().map(|network| network.name.clone()).unwrap_or_default();
    let network: Option<Network> = context.cluster.get(&namespace_of(job), &name).await?;
    Ok(network.is_none_or(|network| network.metadata.deletion_timestamp.is_some()))
}
