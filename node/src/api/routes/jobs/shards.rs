//! The shards of a job, each with the nodes that were drawn for it.

use super::{contract_of, find_job, job_id};
use crate::api::{
    Api,
    extract::{PageQuery, Path, Query, parse},
    problem::ApiError,
    routes::Shared,
};
use axum::{Json, extract::State};
use std::{collections::BTreeMap, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{Page, Replica, ReplicaState, Shard, ShardState};
use valo_ledger::{View, jobs::ShardVerdict};
use valo_protocol::{
    JobContract, WorkClock,
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex, Verification},
    proof::JobRecord,
    shard::{MemberState, ShardPhase, ShardRecord},
};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(shards))
}

/// Reads `stage.shard`.
pub fn shard_place(text: &str) -> Result<(StageIndex, ShardIndex), ApiError> {
    let malformed =
        || ApiError::malformed(format!("`{text}` is not the place of a shard: it takes `stage.shard`, such as 0.12"));
    let (stage, shard) = text.split_once('.').ok_or_else(malformed)?;
    Ok((StageIndex(parse("a stage", stage)?), ShardIndex(parse("a shard", shard)?)))
}

/// Shards in order of stage and shard. `from` is `stage.shard`. Once a job is closed, who was drawn is told by `explain`.
#[utoipa::path(get, path = "/v1/jobs/{job}/shards", tag = "jobs", params(("job" = u64, Path, description = "number of the job"), PageQuery),
    responses((status = 200, body = Page<Shard>)))]
async fn shards(
    State(api): Shared,
    Path(job): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Shard>>, ApiError> {
    let job = job_id(&job)?;
    let from = page.from.as_deref().map(shard_place).transpose()?.unwrap_or_default();
    let limit = page.size()?;
    let answer = api.read(move |snapshot| {
        let (record, _) = find_job(snapshot, job)?;
        let contract = contract_of(snapshot, job)?;
        let mut keys = keys(job, &contract, from).take(limit.saturating_add(1)).collect::<Vec<_>>();
        let next = if keys.len() > limit { keys.pop() } else { None };
        let view = View::new(snapshot);
        let Some(first) = keys.first().copied() else { return Ok(Page { items: Vec::new(), next: None }) };
        let rows = view.shards(first, limit)?;
        let rows: BTreeMap<ShardKey, ShardRecord> = rows.into_iter().map(|row| (row.key, row)).collect();
        let verdicts = view.shard_verdicts(first, limit)?;
        let verdicts: BTreeMap<(StageIndex, ShardIndex), ShardVerdict> =
            verdicts.into_iter().map(|verdict| ((verdict.result.stage, verdict.result.shard), verdict)).collect();
        let told = Told { job: &record, contract: &contract, clock: view.chain()?.clock };
        let items = keys.into_iter().map(|key| told.shard(key, rows.get(&key), verdicts.get(&(key.stage, key.shard))));
        Ok(Page { items: items.collect(), next: next.map(|key| format!("{}.{}", key.stage, key.shard)) })
    });
    Ok(Json(answer.await?))
}

/// All shards of a contract from a place on, in order.
fn keys(
    job: JobId,
    contract: &JobContract,
    (first_stage, first_shard): (StageIndex, ShardIndex),
) -> impl Iterator<Item = ShardKey> + '_ {
    let stages = (0u8..).map(StageIndex).zip(&contract.stages).skip(usize::from(first_stage.0));
    stages.flat_map(move |(stage, contents)| {
        let from = if stage == first_stage { first_shard.0 } else { 0 };
        (from..contents.shards).map(move |shard| ShardKey { job, stage, shard: ShardIndex(shard) })
    })
}

/// What shards are told from.
struct Told<'a> {
    job: &'a JobRecord,
    contract: &'a JobContract,
    clock: WorkClock,
}

impl Told<'_> {
    fn shard(&self, key: ShardKey, row: Option<&ShardRecord>, verdict: Option<&ShardVerdict>) -> Shard {
        let Verification::Replicated { replicas, quorum } = self.contract.verification;
        let stage_name = self.contract.stage(key.stage).map(|stage| stage.name.to_string()).unwrap_or_default();
        let drawn = row.map(|row| &*row.assignments).unwrap_or_default();
        Shard {
            stage: key.stage,
            stage_name,
            shard: key.shard,
            state: self.state(key, row, verdict),
            attempt: drawn.last().map(|last| last.attempt).unwrap_or(Attempt(0)),
            // More than the contract asks for once a jury was called.
            replicas: u8::try_from(drawn.len()).unwrap_or(u8::MAX).max(replicas),
            quorum: row.map_or(quorum, |row| row.base.quorum),
            assignments: drawn
                .iter()
                .map(|member| Replica {
                    node: member.node,
                    owner: member.owner,
                    attempt: member.attempt,
                    state: replica_state(&member.state),
                    answer: match member.state {
                        MemberState::Revealed { answer } => Some(answer),
                        _ => None,
                    },
                })
                .collect(),
        }
    }

    fn state(&self, key: ShardKey, row: Option<&ShardRecord>, verdict: Option<&ShardVerdict>) -> ShardState {
        if let Some(verdict) = verdict {
            return match verdict.result.answer {
                Some(answer) => ShardState::Accepted { answer },
                None => ShardState::Failed { failure: None },
            };
        }
        match row.map(|row| row.phase) {
            Some(ShardPhase::Accepted { answer, .. }) => ShardState::Accepted { answer },
            Some(ShardPhase::Failed { reason, .. }) => ShardState::Failed { failure: Some(reason) },
            _ if self.job.phase.is_over() => ShardState::Over,
            Some(ShardPhase::Revealing { until }) => {
                ShardState::Revealing { reveal_until: self.clock.block_time(until) }
            }
            Some(ShardPhase::Open) => {
                let live = row.into_iter().flat_map(|row| &row.assignments).filter(|member| member.state.is_live());
                match live.map(|member| member.commit_until).max() {
                    Some(until) => ShardState::Running { commit_until: self.clock.block_time(until) },
                    None => ShardState::Waiting,
                }
            }
            None => {
                let stage = self.job.stages.get(usize::from(key.stage.0));
                let is_drawable = stage.is_some_and(|stage| stage.drawable.is_some());
                if is_drawable { ShardState::Waiting } else { ShardState::Blocked }
            }
        }
    }
}

/// What a node did, as the API names it.
pub fn replica_state(state: &MemberState) -> ReplicaState {
    match state {
        MemberState::Assigned => ReplicaState::Assigned,
        MemberState::Committed { .. } => ReplicaState::Committed,
        MemberState::Revealed { .. } => ReplicaState::Revealed,
        MemberState::Abstained { .. } => ReplicaState::Abstained,
        MemberState::Missed => ReplicaState::Missed,
        MemberState::LetGo => ReplicaState::LetGo,
        MemberState::NotRevealed => ReplicaState::NotRevealed,
    }
}
