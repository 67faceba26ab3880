//! Says where the job stands.

use super::{Error, apply::Applied, dereference::Waits};
use crate::{
    Context,
    conditions::{Conditions, READY},
    names::reference,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use valo_client::types::Job;
use valo_contract::quantity::Money;
use valo_crds::{JobContract, JobContractStatus, JobPhase, JobReason, JobResult, StageStatus};
use valo_protocol::event::{JobFailure, JobPhase as OnChain};

/// The condition that the chain has it.
const SUBMITTED: &str = "Submitted";
/// The condition that its result is there for good.
const COMPLETE: &str = "Complete";
/// The condition that it ended without one.
const FAILED: &str = "Failed";

/// Writes the status. The phase.
pub async fn report(context: &Context, job: &JobContract, applied: &Applied) -> Result<Option<JobPhase>, Error> {
    let status = status(job, applied, context.now());
    let phase = status.phase;
    let before = job.status.as_ref().and_then(|last| last.phase);
    context.cluster.apply_status(job, job.status.as_ref(), &status).await?;
    if let Some(waits) = begins_to_need(job, applied) {
        context.warn(&reference(job), waits.reason, "Submit", waits.message.clone()).await;
    }
    if phase != before {
        match phase {
            Some(JobPhase::Failed | JobPhase::Rejected) => {
                let note = status.message.clone().unwrap_or_default();
                context.warn(&reference(job), "Failed", "Report", note).await;
            }
            Some(JobPhase::Accepted) => {
                context.tell(&reference(job), "Accepted", "Report", "all results are there").await;
            }
            _ => {}
        }
    }
    Ok(phase)
}

/// A blob that somebody has to upload, if the last pass did not say so.
fn begins_to_need<'a>(job: &JobContract, applied: &'a Applied) -> Option<&'a Waits> {
    let Applied::Waits(waits @ Waits { reason: "ModuleNotFound" | "InputNotFound", .. }) = applied else { return None };
    let last = job.status.as_ref().and_then(|last| last.message.as_ref());
    (last != Some(&waits.message)).then_some(waits)
}

/// The status of a contract.
pub fn status(job: &JobContract, applied: &Applied, now: Timestamp) -> JobContractStatus {
    let last = job.status.clone().unwrap_or_default();
    let mut conditions = Conditions::from(&last.conditions, job.metadata.generation, now);
    // Only a pass that fails says it of a contract, and this one did not.
    conditions.forget(READY);
    let mut status = JobContractStatus { observed_generation: job.metadata.generation, ..last };
    match applied {
        // What was submitted stays what it was while the chain is silent.
        Applied::Waits(waits) if status.job.is_some() => {
            conditions.set(SUBMITTED, true, "OnChain", format!("the chain has it; now {}", waits.message));
        }
        Applied::Waits(waits) => {
            status.phase = Some(JobPhase::Pending);
            status.reason = match waits.reason {
                "MissingInput" | "ModuleNotFound" | "InputNotFound" => Some(JobReason::MissingInput),
                "InsufficientFunds" => Some(JobReason::InsufficientFunds),
                _ => None,
            };
            status.message = Some(waits.message.clone());
            conditions.set(SUBMITTED, false, waits.reason, waits.message.clone());
        }
        Applied::Wrong(wrong) => reject(&mut status, &mut conditions, JobReason::Invalid, "Invalid", wrong.to_string()),
        Applied::Refused(reason) => {
            reject(&mut status, &mut conditions, JobReason::Refused, "Refused", reason.to_string());
        }
        Applied::Submitted { job, contract } => {
            status.job = Some(job.to_string());
            status.contract = Some(contract.to_string());
            status.phase = Some(JobPhase::Funded);
            (status.reason, status.message) = (None, None);
            conditions.set(SUBMITTED, true, "OnChain", format!("the chain has it as job {job}"));
        }
        Applied::OnChain(None) => {}
        Applied::OnChain(Some(found)) => follow(&mut status, &mut conditions, found, job),
    }
    status.conditions = conditions.into_list();
    status
}

fn reject(status: &mut JobContractStatus, conditions: &mut Conditions, reason: JobReason, word: &str, message: String) {
    status.phase = Some(JobPhase::Rejected);
    status.reason = Some(reason);
    status.message = Some(message.clone());
    conditions.set(SUBMITTED, false, word, message.clone());
    conditions.set(FAILED, true, word, message);
}

/// What the chain says of the job.
fn follow(status: &mut JobContractStatus, conditions: &mut Conditions, found: &Job, job: &JobContract) {
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    status.phase = Some(match found.phase {
        OnChain::Funded => JobPhase::Funded,
        OnChain::Placing => JobPhase::Placing,
        OnChain::Running => JobPhase::Running,
        OnChain::Accepted => JobPhase::Accepted,
        OnChain::Final => JobPhase::Final,
        OnChain::Failed(_) => JobPhase::Failed,
    });
    status.reason = match found.phase {
        OnChain::Failed(failure) => Some(match failure {
            JobFailure::Shard { .. } => JobReason::ShardFailed,
            JobFailure::DeadlinePassed => JobReason::DeadlinePassed,
            JobFailure::BudgetExhausted => JobReason::BudgetExhausted,
            JobFailure::Cancelled => JobReason::Cancelled,
        }),
        _ => None,
    };
    status.message = found.failure.clone();
    status.job = Some(found.id.to_string());
    status.contract = Some(found.contract.to_string());
    status.submitted_at = moment(found.submitted_at.0);
    status.deadline = moment(found.deadline.0);
    status.paid = Some(Money(found.paid));
    status.escrow = Some(Money(found.escrow));
    let of_stage = |stage: &valo_client::types::JobStage| StageStatus {
        name: stage.name.clone(),
        shards: count(stage.progress.shards),
        running: count(
            stage.progress.placed.saturating_sub(stage.progress.accepted).saturating_sub(stage.progress.failed),
        ),
        accepted: count(stage.progress.accepted),
        failed: count(stage.progress.failed),
    };
    status.stages = found.stages.iter().map(of_stage).collect();
    status.shards = Some(status.stages.iter().fold(0, |sum, stage| sum.saturating_add(stage.shards)));
    status.accepted = Some(status.stages.iter().fold(0, |sum, stage| sum.saturating_add(stage.accepted)));
    let is_final = found.phase == OnChain::Final;
    status.result = found.results.filter(|_| found.phase.is_accepted()).map(|root| JobResult {
        root: root.to_string(),
        is_final,
        kept_until: moment(found.phase_since.0.saturating_add(job.spec.0.result.retention.0)),
        command: format!("valo job result {}", found.id),
    });
    conditions.set(SUBMITTED, true, "OnChain", format!("the chain has it as job {}", found.id));
    match found.phase {
        OnChain::Final => conditions.set(COMPLETE, true, "Final", "all results are there for good"),
        OnChain::Accepted => {
            conditions.set(COMPLETE, false, "Disputable", "all results are there; they can be disputed")
        }
        OnChain::Failed(_) => {
            let why = found.failure.clone().unwrap_or_default();
            conditions.set(COMPLETE, false, "Failed", why.clone());
            conditions.set(FAILED, true, "Failed", why);
        }
        _ => conditions.set(COMPLETE, false, "UnderWay", "shards are being worked on"),
    }
}

fn moment(milliseconds: u64) -> Option<Time> {
    let moment = Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()?;
    // In whole seconds, as Kubernetes writes moments: what is read back must be what was written.
    Timestamp::from_second(moment.as_second()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_contract::resolve::FieldError;

    #[test]
    fn what_a_failed_pass_said_is_over_with_the_next_good_one() {
        let mut job: JobContract = crate::testing::read(valo_resources_tests::yaml(valo_resources_tests::JOB));
        let mut conditions = Conditions::from(&[], None, Timestamp::UNIX_EPOCH);
        conditions.set(READY, false, "ClusterError", "cannot read Wallet alice");
        job.status = Some(JobContractStatus { conditions: conditions.into_list(), ..JobContractStatus::default() });
        let wrong = Applied::Wrong(FieldError::new("spec.budget", "it is too small"));
        let told = status(&job, &wrong, Timestamp::UNIX_EPOCH);
        let types: Vec<&str> = told.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, [FAILED, SUBMITTED]);
        assert_eq!(told.message.as_deref(), Some("spec.budget: it is too small"));
    }
}
