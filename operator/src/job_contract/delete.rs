//! A JobContract goes when its job is over, is cancelled, or is left alone, as `deletionPolicy` says.

use super::{
    Error,
    dereference::{chain_of, key_of, submitted},
};
use crate::{
    Context,
    chain::{ChainError, SignerError, found},
    controller::SOON,
    names::{FINALIZER, namespace_of, reference},
};
use kube::runtime::controller::Action;
use valo_contract::DeletionPolicy;
use valo_crds::{JobContract, Network};
use valo_protocol::{Action as ChainAction, job::JobId};

/// Ends a JobContract, or waits.
pub async fn delete(context: &Context, job: &JobContract) -> Result<Action, Error> {
    let id = submitted(job);
    let is_over = match id {
        Some(id) if job.spec.0.deletion_policy == DeletionPolicy::Cancel => cancel(context, job, id).await?,
        _ => true,
    };
    if !is_over {
        return Ok(Action::requeue(SOON));
    }
    context.cluster.set_finalizer(job, FINALIZER, false).await?;
    Ok(Action::await_change())
}

/// Cancels a job that is not over. Whether nothing is left to cancel.
async fn cancel(context: &Context, job: &JobContract, id: JobId) -> Result<bool, Error> {
    let chain = match chain_of(context, job).await? {
        Ok(chain) => chain,
        // A chain that ends, or has ended, takes its jobs with it.
        Err(_) => return ends(context, job).await,
    };
    let known = found(chain.client.job(id).await).map_err(ChainError::from)?;
    if known.is_none_or(|job| job.phase.is_over()) {
        return Ok(true);
    }
    let Ok(key) = key_of(context, job).await? else { return Ok(true) };
    let Some(mut signer) = context.chains.signer(&chain, &key).await? else { return Ok(true) };
    match signer.perform(context, ChainAction::CancelJob { job: id }).await {
        Ok(_) => {
            let note = format!("job {id} is cancelled; what is left of its budget is back");
            context.tell(&reference(job), "Cancelled", "Delete", note).await;
            Ok(true)
        }
        Err(SignerError::Refused { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether the Network is gone or going.
async fn ends(context: &Context, job: &JobContract) -> Result<bool, Error> {
    let name = job.spec.0.network_ref.as_ref().map(|network| network.name.clone()).unwrap_or_default();
    let network: Option<Network> = context.cluster.get(&namespace_of(job), &name).await?;
    Ok(network.is_none_or(|network| network.metadata.deletion_timestamp.is_some()))
}
