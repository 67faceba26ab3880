//! Says where the job stands.

use super::{Error, apply::Applied};
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
pub async fn report(context: &Context, job: &mut JobContract, applied: &Applied) -> Result<Option<JobPhase>, Error> {
    let before = job.status.as_ref().and_then(|last| last.phase);
    write(context, job, applied).await?;
    let status = job.status.as_ref();
    let phase = status.and_then(|status| status.phase);
    if phase != before {
        match phase {
            Some(JobPhase::Failed | JobPhase::Rejected) => {
                let note = status.and_then(|status| status.message.clone()).unwrap_or_default();
                context.warn(&reference(&*job), "Failed", "Report", note).await;
            }
            Some(JobPhase::Accepted) => {
                context.tell(&reference(&*job), "Accepted", "Report", "all results are there").await;
            }
            _ => {}
        }
    }
    Ok(phase)
}

/// Writes the status as it is now, and tells once what a contract waits for when that begins.
pub async fn write(context: &Context, job: &mut JobContract, applied: &Applied) -> Result<(), Error> {
    let status = status(job, applied, context.now());
    context.cluster.apply_status(&*job, job.status.as_ref(), &status).await?;
    let before = job.status.replace(status).and_then(|last| last.reason);
    if let Applied::Waits(waits) = applied
        && job.status.as_ref().is_some_and(|status| status.job.is_none())
        && before != Some(waits.reason)
        && !passes(waits.reason)
    {
        let (about, word, note) = (reference(&*job), waits.reason.word(), waits.message.clone());
        match waits.reason {
            // Nobody but a user can mend it.
            JobReason::ModuleNotFound | JobReason::InputNotFound => context.warn(&about, word, "Wait", note).await,
            _ => context.tell(&about, word, "Wait", note).await,
        }
    }
    Ok(())
}

/// Whether what a contract waits for passes by itself within a pass or two: that is no news.
const fn passes(reason: JobReason) -> bool {
    matches!(reason, JobReason::Submitting | JobReason::WalletBusy)
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
            status.reason = Some(waits.reason);
            status.message = Some(waits.message.clone());
            conditions.set(SUBMITTED, false, waits.reason.word(), waits.message.clone());
        }
        Applied::Wrong(wrong) => reject(&mut status, &mut conditions, JobReason::Invalid, wrong.to_string()),
        Applied::Refused(reason) => {
            reject(&mut status, &mut conditions, JobReason::Refused, reason.to_string());
        }
        Applied::Submitted { job, contract } => {
            status.job = Some(job.to_string());
            status.contract = Some(contract.to_string());
            status.phase = Some(JobPhase::Funded);
            (status.reason, status.message) = (Some(JobReason::UnderWay), None);
            conditions.set(SUBMITTED, true, "OnChain", format!("the chain has it as job {job}"));
        }
        Applied::OnChain(None) => {}
        Applied::OnChain(Some(found)) => follow(&mut status, &mut conditions, found, job),
    }
    status.conditions = conditions.into_list();
    status
}

fn reject(status: &mut JobContractStatus, conditions: &mut Conditions, reason: JobReason, message: String) {
    status.phase = Some(JobPhase::Rejected);
    status.reason = Some(reason);
    status.message = Some(message.clone());
    conditions.set(SUBMITTED, false, reason.word(), message.clone());
    conditions.set(FAILED, true, reason.word(), message);
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
    status.reason = Some(match found.phase {
        OnChain::Funded | OnChain::Placing | OnChain::Running => JobReason::UnderWay,
        OnChain::Accepted => JobReason::Disputable,
        OnChain::Final => JobReason::Final,
        OnChain::Failed(JobFailure::Shard { .. }) => JobReason::ShardFailed,
        OnChain::Failed(JobFailure::DeadlinePassed) => JobReason::DeadlinePassed,
        OnChain::Failed(JobFailure::BudgetExhausted) => JobReason::BudgetExhausted,
        OnChain::Failed(JobFailure::Cancelled) => JobReason::Cancelled,
    });
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
    use serde_json::json;
    use valo_contract::resolve::FieldError;

    #[test]
    fn every_phase_of_the_chain_has_a_reason() {
        let job: JobContract = crate::testing::read(valo_resources_tests::yaml(valo_resources_tests::JOB));
        for (phase, reason) in [
            (json!({"phase": "funded"}), JobReason::UnderWay),
            (json!({"phase": "placing"}), JobReason::UnderWay),
            (json!({"phase": "running"}), JobReason::UnderWay),
            (json!({"phase": "accepted"}), JobReason::Disputable),
            (json!({"phase": "final"}), JobReason::Final),
            (json!({"phase": "failed", "reason": "deadlinePassed"}), JobReason::DeadlinePassed),
        ] {
            let found = serde_json::from_value(crate::testing::job(7, phase.clone())).unwrap();
            let told = status(&job, &Applied::OnChain(Some(Box::new(found))), Timestamp::UNIX_EPOCH);
            assert_eq!(told.reason, Some(reason), "{phase}");
        }
        let submitted =
            Applied::Submitted { job: valo_protocol::job::JobId(7), contract: valo_protocol::Hash([0; 32]) };
        assert_eq!(status(&job, &submitted, Timestamp::UNIX_EPOCH).reason, Some(JobReason::UnderWay));
    }

    #[test]
    fn words_are_those_that_programs_read() {
        for reason in JobReason::ALL {
            assert_eq!(json!(reason), json!(reason.word()));
            assert_eq!(JobReason::of(reason.word()), Some(reason));
        }
    }

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
