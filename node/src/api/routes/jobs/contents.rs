//! What a job was asked to do, and what came out: its contract and its results.

use super::{contract_of, find_job, job_id};
use crate::api::{Api, extract::Path, problem::ApiError, routes::Shared};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{JobResults, ShardOutcome};
use valo_ledger::View;
use valo_protocol::{
    JobContract,
    job::{MAX_SHARDS, ShardIndex, ShardKey, StageIndex},
};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(contract)).routes(routes!(results))
}

/// The contract of a job. Its hash is in the job's record.
#[utoipa::path(get, path = "/v1/jobs/{job}/contract", tag = "jobs", params(("job" = u64, Path, description = "number of the job")),
    responses((status = 200, body = JobContract)))]
async fn contract(State(api): Shared, Path(job): Path<String>) -> Result<Json<JobContract>, ApiError> {
    let job = job_id(&job)?;
    let answer = api.read(move |snapshot| {
        find_job(snapshot, job)?;
        contract_of(snapshot, job)
    });
    Ok(Json(answer.await?))
}

/// The verdicts of a job so far, in order of stage and shard. An answer's digest names its output record as a blob.
#[utoipa::path(get, path = "/v1/jobs/{job}/results", tag = "jobs", params(("job" = u64, Path, description = "number of the job")),
    responses((status = 200, body = JobResults)))]
async fn results(State(api): Shared, Path(job): Path<String>) -> Result<Json<JobResults>, ApiError> {
    let job = job_id(&job)?;
    let answer = api.long_read(move |snapshot| {
        let (record, _) = find_job(snapshot, job)?;
        let contract = contract_of(snapshot, job)?;
        let first = ShardKey { job, stage: StageIndex(0), shard: ShardIndex(0) };
        let most = usize::try_from(MAX_SHARDS).unwrap_or(usize::MAX);
        let verdicts = View::new(snapshot).shard_verdicts(first, most)?;
        let shards = verdicts.into_iter().map(|verdict| ShardOutcome {
            stage: verdict.result.stage,
            shard: verdict.result.shard,
            answer: verdict.result.answer,
            nodes: verdict.holders,
        });
        Ok(JobResults {
            job,
            phase: record.phase,
            root: record.results,
            merge: contract.merge,
            result_stages: contract.result_stages(),
            shards: shards.collect(),
        })
    });
    Ok(Json(answer.await?))
}
