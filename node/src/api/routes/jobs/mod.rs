//! Jobs: lists, a job, its contract, shards, results, story, logs.

mod contents;
mod explain;
mod logs;
mod shards;

use super::Shared;
use crate::api::{
    Api, Snapshot,
    extract::{Path, Query, page_size, parse},
    limits::MAX_PAGE,
    problem::ApiError,
};
use axum::{Json, extract::State};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{Job, JobPlace, JobStage, JobSummary, Page, PhaseName, ProgramKind};
use valo_ledger::{View, jobs::Location};
use valo_protocol::{
    AccountNumber, JobContract,
    event::JobPhase,
    job::{JobId, Program, StageIndex, Verification},
    proof::{JobRecord, StateTable},
};

/// Jobs that one request looks at: a filter that finds fewer than a page says where to go on.
const EXAMINED: u64 = 10_000;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(jobs))
        .routes(routes!(job))
        .merge(contents::routes())
        .merge(shards::routes())
        .merge(explain::routes())
        .merge(logs::routes())
}

/// Reads the number of a job.
fn job_id(text: &str) -> Result<JobId, ApiError> {
    Ok(JobId(parse("the number of a job", text)?))
}

/// A job's record and where it is.
pub fn find_job(snapshot: &dyn Snapshot, job: JobId) -> Result<(JobRecord, JobPlace), ApiError> {
    let found = View::new(snapshot).job(job)?;
    let (record, location) = found.ok_or_else(|| ApiError::not_found(format!("there is no job {job}")))?;
    Ok((record, place(location)))
}

fn place(location: Location) -> JobPlace {
    match location {
        Location::Open(index) => JobPlace { table: StateTable::Jobs, index },
        Location::Closed(index) => JobPlace { table: StateTable::Results, index },
    }
}

/// The contract of a job that is there.
fn contract_of(snapshot: &dyn Snapshot, job: JobId) -> Result<JobContract, ApiError> {
    let contract = View::new(snapshot).contract(job)?;
    contract.ok_or_else(|| ApiError::not_found(format!("the contract of job {job} is no longer kept here")))
}

/// Which jobs.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct JobsQuery {
    /// Only those of this account (a number).
    submitter: Option<String>,
    /// Only the one that `submitter` submitted by this id of its own (32 hexadecimal characters).
    client_id: Option<String>,
    /// Only those in this phase: funded, placing, running, accepted, final, failed.
    phase: Option<String>,
    /// The number to start at, downwards.
    from: Option<u64>,
    /// The most items; at most 1,000.
    limit: Option<u32>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(JobsQuery), responses((status = 200, body = Page<JobSummary>)))]
async fn jobs(State(api): Shared, Query(query): Query<JobsQuery>) -> Result<Json<Page<JobSummary>>, ApiError> {
    let submitter: Option<AccountNumber> =
        query.submitter.as_deref().map(|text| parse("an account", text)).transpose()?;
    let phase: Option<PhaseName> = query.phase.as_deref().map(|text| parse("a phase", text)).transpose()?;
    let limit = page_size(query.limit, MAX_PAGE)?;
    let submission = query.client_id.as_deref().map(|text| submission(submitter, text)).transpose()?;
    let answer = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let mut items = Vec::new();
        let newest = view.next_job()?.0.saturating_sub(1).min(query.from.unwrap_or(u64::MAX));
        let (newest, oldest) = match submission {
            None => (newest, newest.saturating_sub(EXAMINED)),
            // There is one, or none; it may be far from the newest.
            Some((submitter, id)) => match view.job_by_client_id(submitter, &id)? {
                Some(job) if job.0 <= newest => (job.0, job.0.saturating_sub(1)),
                _ => return Ok(Page { items, next: None }),
            },
        };
        let mut number = newest;
        while number > oldest && items.len() < limit {
            if let Some((record, _)) = view.job(JobId(number))? {
                let wanted = submitter.is_none_or(|submitter| record.submitter == submitter)
                    && phase.is_none_or(|phase| PhaseName::from(&record.phase) == phase);
                if wanted {
                    let contract = view.contract(record.job)?;
                    items.push(summary(&record, contract.as_ref()));
                }
            }
            number -= 1;
        }
        let next = (number > 0 && submission.is_none()).then(|| number.to_string());
        Ok(Page { items, next })
    });
    Ok(Json(answer.await?))
}

/// Reads what names a submission: an id means nothing without its account.
fn submission(submitter: Option<AccountNumber>, text: &str) -> Result<(AccountNumber, [u8; 16]), ApiError> {
    let mut id = [0u8; 16];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| ApiError::malformed(format!("`{text}` is not a client id: it takes 32 hexadecimal characters")))?;
    let submitter = submitter.ok_or_else(|| ApiError::malformed("`clientId` goes with `submitter`"))?;
    Ok((submitter, id))
}

fn summary(record: &JobRecord, contract: Option<&JobContract>) -> JobSummary {
    let sum = |of: fn(&valo_protocol::proof::StageProgress) -> u32| {
        record.stages.iter().fold(0u32, |sum, stage| sum.saturating_add(of(stage)))
    };
    JobSummary {
        id: record.job,
        name: contract.map(|contract| contract.name.to_string()).unwrap_or_default(),
        submitter: record.submitter,
        phase: record.phase,
        phase_since: record.phase_since,
        submitted_at: record.submitted_at,
        deadline: contract.map(|contract| contract.deadline).unwrap_or_default(),
        budget: contract.map(|contract| contract.budget).unwrap_or_default(),
        paid: record.paid,
        shards: sum(|stage| stage.shards),
        accepted: sum(|stage| stage.accepted),
        failed: sum(|stage| stage.failed),
    }
}

/// A job.
#[utoipa::path(get, path = "/v1/jobs/{job}", tag = "jobs", params(("job" = u64, Path, description = "number of the job")),
    responses((status = 200, body = Job)))]
async fn job(State(api): Shared, Path(job): Path<String>) -> Result<Json<Job>, ApiError> {
    let job = job_id(&job)?;
    let answer = api.read(move |snapshot| {
        let (record, place) = find_job(snapshot, job)?;
        let contract = contract_of(snapshot, job)?;
        Ok(view(record, place, &contract))
    });
    Ok(Json(answer.await?))
}

fn view(record: JobRecord, place: JobPlace, contract: &JobContract) -> Job {
    let Verification::Replicated { replicas, quorum } = contract.verification;
    let result_stages = contract.result_stages();
    let stages = (0u8..).map(StageIndex).zip(&contract.stages).zip(&record.stages);
    let stages = stages.map(|((index, stage), progress)| JobStage {
        name: stage.name.to_string(),
        tier: stage.tier.clone(),
        program: match stage.program {
            Program::Wasm { .. } => ProgramKind::Wasm,
            Program::Container { .. } => ProgramKind::Container,
        },
        reads: stage.input.upstream(),
        is_result: result_stages.contains(&index),
        progress: *progress,
    });
    Job {
        id: record.job,
        name: contract.name.to_string(),
        submitter: record.submitter,
        phase: record.phase,
        failure: match record.phase {
            JobPhase::Failed(reason) => Some(reason.to_string()),
            _ => None,
        },
        phase_since: record.phase_since,
        contract: record.contract,
        submitted: record.submitted,
        submitted_at: record.submitted_at,
        deadline: contract.deadline,
        budget: contract.budget,
        tip: contract.tip,
        escrow: record.escrow,
        reserved: record.reserved,
        paid: record.paid,
        replicas,
        quorum,
        stages: stages.collect(),
        results: record.results,
        place,
    }
}
