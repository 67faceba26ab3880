//! Brings a contract onto the chain: its blobs first, then the transaction.

use super::{
    Error,
    dereference::Waits,
    status,
    validate::{Checked, Ready},
};
use crate::{
    Context,
    chain::SignerError,
    conditions::{READY, reason_of},
    names::{FINALIZER, reference},
};
use kube::ResourceExt;
use valo_client::types::Job;
use valo_contract::resolve::{Blob, Contents, FieldError};
use valo_crds::{JobContract, JobReason};
use valo_protocol::{
    Action, Hash,
    job::JobId,
    receipt::{Made, Reason},
};

/// What came of it.
#[derive(Debug)]
pub enum Applied {
    /// It waits.
    Waits(Waits),
    /// It never will come onto the chain.
    Wrong(FieldError),
    /// The chain refused it.
    Refused(Reason),
    /// It has been submitted just now.
    Submitted {
        /// Its number.
        job: JobId,
        /// Hash of the contract.
        contract: Hash,
    },
    /// It was submitted; the job, if it is still known.
    OnChain(Option<Box<Job>>),
}

/// Submits a contract that is to be submitted. Its status is then as it was written meanwhile.
pub async fn apply(context: &Context, job: &mut JobContract, checked: Checked) -> Result<Applied, Error> {
    match checked {
        Checked::Waits(waits) => Ok(Applied::Waits(waits)),
        Checked::Wrong(wrong) => Ok(Applied::Wrong(wrong)),
        Checked::Submitted(found) => {
            if found.as_ref().is_some_and(|found| !found.phase.is_over()) {
                context.cluster.set_finalizer(&*job, FINALIZER, true).await?;
            }
            Ok(Applied::OnChain(found))
        }
        Checked::Ready(ready) => {
            // Before, not after: from here on there may be something to cancel.
            context.cluster.set_finalizer(&*job, FINALIZER, true).await?;
            submit(context, job, *ready).await
        }
    }
}

async fn submit(context: &Context, job: &mut JobContract, ready: Ready) -> Result<Applied, Error> {
    let Ready { chain, key, plan, folder } = ready;
    let Some(mut signer) = context.chains.signer(&chain, &key).await? else {
        return Ok(Applied::Waits(Waits::new(
            JobReason::WalletNotReady,
            "spec.walletRef: its account is not on the chain yet",
        )));
    };
    let contract = match plan.contract(chain.status.time) {
        Ok(contract) => contract,
        Err(wrong) => return Ok(Applied::Wrong(wrong)),
    };
    let balance = signer.account.balance;
    if balance < contract.budget {
        let message =
            format!("spec.budget: the wallet has {balance} VALO, and {} are put into escrow", contract.budget);
        return Ok(Applied::Waits(Waits::new(JobReason::InsufficientFunds, message)));
    }
    // Uploads and finality take their time: until then the object says what is going on. Why the last pass failed stays
    // until one does not.
    let has_failed = job.status.as_ref().is_some_and(|last| reason_of(&last.conditions, READY).is_some());
    if !has_failed {
        let submitting = Waits::new(JobReason::Submitting, "its files are uploaded, and it is submitted");
        status::write(context, job, &Applied::Waits(submitting)).await?;
    }
    for blob in plan.blobs.uploads() {
        let failed = |source| Error::Upload { label: blob.label.clone(), source: Box::new(source) };
        upload(&chain.client, blob).await.map_err(failed)?;
    }
    drop(folder);
    let hash = contract.hash();
    let action = Action::SubmitJob { client_id: client_id(job), contract };
    match signer.perform(context, action).await {
        Ok(Made::Job(id) | Made::ExistingJob(id)) => {
            context.tell(&reference(&*job), "Submitted", "Submit", format!("it is job {id}")).await;
            Ok(Applied::Submitted { job: id, contract: hash })
        }
        Ok(_) => Ok(Applied::OnChain(None)),
        Err(error @ SignerError::Busy { .. }) => {
            Ok(Applied::Waits(Waits::new(JobReason::WalletBusy, error.to_string())))
        }
        Err(SignerError::Refused { reason, .. }) => Ok(Applied::Refused(*reason)),
        Err(error) => Err(error.into()),
    }
}

/// Uploads a blob unless the node has it.
async fn upload(client: &valo_client::Client, blob: &Blob) -> Result<(), valo_client::ClientError> {
    if client.blob_info(blob.hash).await?.is_some() {
        return Ok(());
    }
    match &blob.contents {
        Contents::Bytes(bytes) => client.upload_bytes(bytes.clone()).await.map(drop),
        Contents::File { path, range } => client.upload_range(path, range.clone(), |_| {}).await.map(drop),
    }
}

/// The UID of the object, which is 16 bytes: whoever submits it again gets the same job.
pub fn client_id(job: &JobContract) -> Option<[u8; 16]> {
    let digits: String = job.uid().unwrap_or_default().chars().filter(|digit| *digit != '-').collect();
    let mut id = [0u8; 16];
    hex::decode_to_slice(digits, &mut id).ok().map(|()| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_names_the_submission() {
        let mut job: JobContract = serde_json::from_value(serde_json::json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "JobContract",
            "metadata": {"name": "x", "uid": "00112233-4455-6677-8899-aabbccddeeff"},
            "spec": {"budget": "1", "deadline": "1m", "stages": []},
        }))
        .unwrap();
        assert_eq!(hex::encode(client_id(&job).unwrap()), "00112233445566778899aabbccddeeff");
        job.metadata.uid = None;
        assert_eq!(client_id(&job), None);
    }
}
