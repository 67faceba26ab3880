//! Rows of jobs and shards, and the root over results.

use super::{bytes, golden};
use serde_json::{Value, json};
use valo_protocol::{
    AccountNumber, Amount, Digest, Hash, Height, Timestamp,
    encoding::Varint,
    event::{JobFailure, JobPhase, ShardFailure},
    files::{RunFailure, RunStatus, Trap},
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    proof::{JobRecord, ShardResult, StageProgress, results_root},
    registry::NodeId,
    shard::{Committee, MemberState, Queued, ShardAssignment, ShardPhase, ShardRecord, ShardRow},
    transaction::{AbstainReason, Answer},
};

const KEY: ShardKey = ShardKey { job: JobId(300), stage: StageIndex(1), shard: ShardIndex(7) };

fn answer(kind: u8) -> Answer {
    Answer { digest: Digest([kind; 32]), status: RunStatus::Exited(0), fuel: Varint(123_456_789) }
}

fn units(units: u64) -> Amount {
    Amount::from_units(units)
}

fn row(
    value: &(impl serde::Serialize + borsh::BorshSerialize + borsh::BorshDeserialize + PartialEq + std::fmt::Debug),
) -> Value {
    json!({ "value": serde_json::to_value(value).unwrap(), "bytes": bytes(value) })
}

fn job(phase: JobPhase, results: Option<Hash>) -> JobRecord {
    JobRecord {
        job: KEY.job,
        submitter: AccountNumber::new(74).unwrap(),
        client_id: Some([9; 16]),
        contract: Hash([1; 32]),
        submitted: Height(1000),
        submitted_at: Timestamp(1_700_000_000_000),
        phase,
        phase_since: Timestamp(1_700_000_001_000),
        escrow: units(5_000_000_000),
        reserved: units(60_000_000),
        paid: units(1_234_567),
        tip: units(1_000),
        stages: vec![
            StageProgress { shards: 8, drawable: Some(Height(1002)), placed: 8, accepted: 7, failed: 1 },
            StageProgress { shards: 8, drawable: None, placed: 0, accepted: 0, failed: 0 },
        ],
        results,
    }
}

#[test]
fn job_records() {
    let failure = ShardFailure::Status(RunStatus::Failed(RunFailure::Trap(Trap::Arithmetic)));
    let phases = [
        JobPhase::Funded,
        JobPhase::Running,
        JobPhase::Final,
        JobPhase::Failed(JobFailure::Shard { shard: KEY, reason: failure }),
        JobPhase::Failed(JobFailure::BudgetExhausted),
    ];
    let results = |phase: JobPhase| phase.is_accepted().then_some(Hash([2; 32]));
    let rows: Vec<Value> = phases.into_iter().map(|phase| row(&job(phase, results(phase)))).collect();
    golden("jobs", &Value::Array(rows));
}

fn shard(phase: ShardPhase, states: &[MemberState]) -> ShardRow {
    let assignment = |(node, state): (u32, &MemberState)| ShardAssignment {
        node: NodeId(node),
        owner: AccountNumber::new(u64::from(node)).unwrap(),
        attempt: Attempt(0),
        juror: node > 2,
        drawn_at: Timestamp(1_700_000_000_500),
        commit_until: Timestamp(1_700_000_010_500),
        locked: units(2_500_000),
        state: *state,
    };
    ShardRow::V1(ShardRecord {
        key: KEY,
        phase,
        attempt: Attempt(1),
        retries: 0,
        base: Committee { replicas: 3, quorum: 2 },
        level: 0,
        queued: (phase == ShardPhase::Open).then_some(Queued { from: Height(1004), waiting: true }),
        exhausted: false,
        metered: true,
        unit_price: units(10_000_000),
        limit_price: units(100_000),
        reserved: units(300_000),
        provisional: None,
        assignments: (0..).zip(states).map(assignment).collect(),
    })
}

#[test]
fn shard_rows() {
    let committed = MemberState::Committed { commitment: Hash([3; 32]), at: Timestamp(1_700_000_001_000) };
    let revealed = MemberState::Revealed { answer: answer(4) };
    let abstained = MemberState::Abstained { reason: AbstainReason::WallLimit };
    let final_at = Timestamp(1_700_000_020_000);
    let reason = ShardFailure::NoQuorum { owners: 13 };
    let rows = [
        shard(ShardPhase::Open, &[MemberState::Assigned, committed, abstained]),
        shard(
            ShardPhase::Revealing { until: Timestamp(1_700_000_003_000) },
            &[committed, revealed, MemberState::LetGo],
        ),
        shard(ShardPhase::Accepted { answer: answer(4), height: Height(1010), final_at }, &[revealed; 4]),
        shard(
            ShardPhase::Failed { reason, height: Height(1010), final_at },
            &[MemberState::Missed, MemberState::NotRevealed],
        ),
    ];
    golden("shards", &Value::Array(rows.iter().map(row).collect()));
}

#[test]
fn results() {
    let results: Vec<ShardResult> = (0..3)
        .map(|shard| ShardResult {
            stage: StageIndex(0),
            shard: ShardIndex(shard),
            answer: (shard != 1).then(|| answer(shard as u8)),
        })
        .collect();
    let rows: Vec<Value> = results.iter().map(row).collect();
    golden("results", &json!({ "results": rows, "root": results_root(&results).to_string() }));
}
