//! Why a job went as it did, out of the events of its blocks.

use super::{contract_of, find_job, job_id, shards::shard_place};
use crate::{
    api::{
        Api, Snapshot,
        explain::Story,
        extract::{PageQuery, Path, Query},
        problem::ApiError,
        routes::Shared,
    },
    storage::EventPlace,
};
use axum::{Json, extract::State};
use std::{collections::BTreeMap, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{JobExplanation, Moment};
use valo_ledger::View;
use valo_protocol::{Height, Timestamp, job::JobId};

/// Events read at a time.
const BATCH: usize = 4096;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// Why a job went as it did: for every shard who was drawn and why, who was passed over and why, what disagreed, who was
/// paid and slashed. `from` is `stage.shard`.
#[utoipa::path(get, path = "/v1/jobs/{job}/explain", tag = "jobs", params(("job" = u64, Path, description = "number of the job"), PageQuery),
    responses((status = 200, body = JobExplanation)))]
async fn explain(
    State(api): Shared,
    Path(job): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<JobExplanation>, ApiError> {
    let job = job_id(&job)?;
    let from = page.from.as_deref().map(shard_place).transpose()?.unwrap_or_default();
    let limit = page.size()?;
    let answer = api.long_read(move |snapshot| {
        let (record, _) = find_job(snapshot, job)?;
        let contract = contract_of(snapshot, job)?;
        let disjoint = View::new(snapshot).params()?.disjoint;
        let mut story = Story::new(job, from, limit);
        read(snapshot, job, record.submitted, &mut story)?;
        Ok(story.tell(&contract, record.phase, disjoint))
    });
    Ok(Json(answer.await?))
}

/// Reads all events of a job into its story.
fn read(snapshot: &dyn Snapshot, job: JobId, submitted: Height, story: &mut Story) -> Result<(), ApiError> {
    let mut from = EventPlace { height: submitted, index: 0 };
    let mut times: BTreeMap<Height, Timestamp> = BTreeMap::new();
    loop {
        let events = snapshot.job_events(job, from, BATCH)?;
        let count = events.len();
        for (place, event) in events {
            let time = match times.get(&place.height) {
                Some(time) => *time,
                None => {
                    // A job's events are in the order of blocks: the time of the last one is all that is needed.
                    times.clear();
                    let header = snapshot.header(place.height)?;
                    let time = header.map(|finalized| finalized.header.time).unwrap_or_default();
                    times.insert(place.height, time);
                    time
                }
            };
            story.take(Moment { height: place.height, time }, &event);
            from = EventPlace { height: place.height, index: place.index.saturating_add(1) };
        }
        if count < BATCH {
            return Ok(());
        }
    }
}
