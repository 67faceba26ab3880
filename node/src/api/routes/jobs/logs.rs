//! What programs wrote while they ran, from the nodes that ran them.

use super::{find_job, job_id};
use crate::api::{
    Api,
    extract::{Path, parse},
    problem::ApiError,
    routes::Shared,
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::ShardLogs;
use valo_protocol::job::{ShardIndex, ShardKey, StageIndex};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(logs))
}

/// What the program of a shard wrote to its standard output and error, as the nodes that ran it tell it. Not part of
/// the result: nothing proves it, and it is kept for a while only.
#[utoipa::path(get, path = "/v1/jobs/{job}/shards/{stage}/{shard}/logs", tag = "jobs",
    params(("job" = u64, Path, description = "number of the job"), ("stage" = u8, Path, description = "from 0"), ("shard" = u32, Path, description = "from 0")),
    responses((status = 200, body = ShardLogs)))]
async fn logs(
    State(api): Shared,
    Path((job, stage, shard)): Path<(String, String, String)>,
) -> Result<Json<ShardLogs>, ApiError> {
    let job = job_id(&job)?;
    let stage = StageIndex(parse("a stage", &stage)?);
    let shard = ShardIndex(parse("a shard", &shard)?);
    let record = api.read(move |snapshot| Ok(find_job(snapshot, job)?.0)).await?;
    let shards = record.stages.get(usize::from(stage.0)).map_or(0, |progress| progress.shards);
    if shard.0 >= shards {
        return Err(ApiError::not_found(format!("job {job} has no shard {stage}.{shard}")));
    }
    let key = ShardKey { job, stage, shard };
    let logs = api.services.logs.logs(key).await.map_err(ApiError::unavailable)?;
    if logs.is_empty() {
        return Err(ApiError::not_found(format!("no node that ran shard {key} has its logs (any more)")));
    }
    Ok(Json(ShardLogs { shard: key, logs }))
}
