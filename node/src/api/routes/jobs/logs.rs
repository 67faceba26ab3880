//! What programs wrote while they ran, from the nodes that ran them.

use super::{find_job, job_id};
use crate::{
    api::{
        Api, Snapshot,
        extract::{Path, parse},
        problem::ApiError,
        routes::Shared,
    },
    storage::EventPlace,
};
use axum::{Json, extract::State};
use std::{collections::BTreeSet, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::ShardLogs;
use valo_ledger::{LedgerError, View};
use valo_protocol::{
    Height, PublicKey,
    event::Event,
    job::{ShardIndex, ShardKey, StageIndex},
    registry::NodeId,
};

/// Events read at a time.
const BATCH: usize = 4096;

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
        return Err(ApiError::not_found(format!("job {job} has no shard {stage}/{shard}")));
    }
    let key = ShardKey { job, stage, shard };
    let submitted = record.submitted;
    let nodes = api.long_read(move |snapshot| Ok(keys(snapshot, ran(snapshot, key, submitted)?)?)).await?;
    let logs = api.services.logs.logs(key, &nodes).await;
    if logs.is_empty() {
        return Err(ApiError::not_found(format!("no node that ran shard {key} has its logs (any more)")));
    }
    Ok(Json(ShardLogs { shard: key, logs }))
}

/// The nodes that were drawn for a shard, or gave its accepted answer. The state forgets both when a job fails: then its
/// events say who was drawn, for that is when logs are wanted most.
fn ran(snapshot: &dyn Snapshot, shard: ShardKey, submitted: Height) -> Result<BTreeSet<NodeId>, ApiError> {
    let view = View::new(snapshot);
    let record = view.shard(shard)?.map(|(_, record)| record);
    let mut nodes: BTreeSet<NodeId> =
        record.iter().flat_map(|record| &record.assignments).map(|assignment| assignment.node).collect();
    nodes.extend(view.shard_verdict(shard)?.into_iter().flat_map(|verdict| verdict.holders));
    let mut from = EventPlace { height: submitted, index: 0 };
    while nodes.is_empty() {
        let events = snapshot.job_events(shard.job, from, BATCH)?;
        let Some((last, _)) = events.last() else { break };
        from = EventPlace { height: last.height, index: last.index.saturating_add(1) };
        for (_, event) in events {
            match event {
                Event::ShardDrawn { shard: of, drawn, .. } if of == shard => {
                    nodes.extend(drawn.iter().map(|drawn| drawn.node));
                }
                _ => {}
            }
        }
    }
    Ok(nodes)
}

fn keys(snapshot: &dyn Snapshot, nodes: BTreeSet<NodeId>) -> Result<Vec<(NodeId, PublicKey)>, LedgerError> {
    let view = View::new(snapshot);
    let mut keys = Vec::with_capacity(nodes.len());
    for id in nodes {
        keys.extend(view.node(id)?.map(|node| (id, node.key)));
    }
    Ok(keys)
}
