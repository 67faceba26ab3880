//! Jobs, their shards and results.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use valo_protocol::{
    AccountNumber, Amount, Hash, Height, Timestamp,
    event::{JobPhase, ShardFailure},
    job::{Attempt, JobId, Merge, ShardIndex, ShardKey, StageIndex},
    proof::{StageProgress, StateTable},
    registry::{NodeId, TierName},
    transaction::Answer,
};

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its number.
    pub id: JobId,
    /// Its name, for people.
    pub name: String,
    /// Who pays it.
    pub submitter: AccountNumber,
    /// Where it stands, and why if it failed.
    #[serde(flatten)]
    pub phase: JobPhase,
    /// Block time since which it stands there.
    pub phase_since: Timestamp,
    /// Block time of its submission.
    pub submitted_at: Timestamp,
    /// Block time by which it must be accepted.
    pub deadline: Timestamp,
    /// The most it may cost.
    pub budget: Amount,
    /// What workers have been paid.
    pub paid: Amount,
    /// Shards over all stages.
    pub shards: u32,
    /// Of those, accepted.
    pub accepted: u32,
    /// Of those, failed for good.
    pub failed: u32,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its name, for people.
    pub name: String,
    /// Who pays it.
    pub submitter: AccountNumber,
    /// Where it stands, and why if it failed.
    #[serde(flatten)]
    pub phase: JobPhase,
    /// The reason of a failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Block time since which it stands there.
    pub phase_since: Timestamp,
    /// Hash of its contract.
    pub contract: Hash,
    /// Height at which it was submitted.
    pub submitted: Height,
    /// Block time of its submission.
    pub submitted_at: Timestamp,
    /// Block time by which it must be accepted.
    pub deadline: Timestamp,
    /// The most it may cost.
    pub budget: Amount,
    /// Shared by the workers of accepted shards, part of the budget.
    pub tip: Amount,
    /// What is left of the budget in escrow.
    pub escrow: Amount,
    /// Of that, set aside for shards under way and for the tip.
    pub reserved: Amount,
    /// What workers have been paid.
    pub paid: Amount,
    /// Nodes that run each shard at first.
    pub replicas: u8,
    /// Equal answers that accept a shard.
    pub quorum: u8,
    /// Its stages, in order.
    pub stages: Vec<JobStage>,
    /// From acceptance on: Merkle root over the results of all shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Hash>,
    /// Where its record lies in the state, for proofs.
    pub place: JobPlace,
}

/// The row of a job in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobPlace {
    /// `jobs` while it is open, `results` once it is closed.
    pub table: StateTable,
    /// The row.
    pub index: u64,
}

/// A stage of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStage {
    /// Its name.
    pub name: String,
    /// Where it runs.
    #[schema(value_type = String)]
    pub tier: TierName,
    /// What it runs.
    pub program: ProgramKind,
    /// The earlier stage it reads from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<StageIndex>,
    /// Whether its outputs are the job's result.
    pub is_result: bool,
    /// How far it is.
    #[serde(flatten)]
    pub progress: StageProgress,
}

/// What a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProgramKind {
    /// A WASI command.
    Wasm,
    /// A container image.
    Container,
}

/// The phases of a job by name, to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PhaseName {
    /// Its budget is in escrow.
    Funded,
    /// Waits for its first draws.
    Placing,
    /// Shards are being worked on.
    Running,
    /// All results are there; they can still be disputed.
    Accepted,
    /// All results are there for good.
    Final,
    /// It ended without a result.
    Failed,
}

impl PhaseName {
    /// All phases, in order of a job's life.
    pub const ALL: [Self; 6] = [Self::Funded, Self::Placing, Self::Running, Self::Accepted, Self::Final, Self::Failed];
}

impl From<&JobPhase> for PhaseName {
    fn from(phase: &JobPhase) -> Self {
        match phase {
            JobPhase::Funded => Self::Funded,
            JobPhase::Placing => Self::Placing,
            JobPhase::Running => Self::Running,
            JobPhase::Accepted => Self::Accepted,
            JobPhase::Final => Self::Final,
            JobPhase::Failed(_) => Self::Failed,
        }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Funded => "funded",
            Self::Placing => "placing",
            Self::Running => "running",
            Self::Accepted => "accepted",
            Self::Final => "final",
            Self::Failed => "failed",
        })
    }
}

/// No phase of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no phase `{0}`; there are funded, placing, running, accepted, final and failed")]
pub struct UnknownPhase(pub String);

impl FromStr for PhaseName {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|phase| phase.to_string() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// Which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFilter {
    /// Only those of this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<AccountNumber>,
    /// Only the one that this account submitted by this id of its own (32 hexadecimal characters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Only those in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
}

/// A shard of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Its stage.
    pub stage: StageIndex,
    /// Name of its stage.
    pub stage_name: String,
    /// Its place in the stage.
    pub shard: ShardIndex,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ShardState,
    /// How often it has been drawn anew.
    pub attempt: Attempt,
    /// Replicas asked for by now: more than the contract's once answers differed.
    pub replicas: u8,
    /// Equal answers that accept it by now.
    pub quorum: u8,
    /// Who was drawn for it, in order of drawing.
    pub assignments: Vec<Replica>,
}

/// Where a shard stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum ShardState {
    /// What it reads is not there yet.
    Blocked,
    /// It waits for a draw, or for free slots.
    Waiting,
    /// Its workers run it.
    #[serde(rename_all = "camelCase")]
    Running {
        /// Last moment for commits, block time.
        commit_until: Timestamp,
    },
    /// Commits are closed; its workers reveal.
    #[serde(rename_all = "camelCase")]
    Revealing {
        /// Last moment for reveals, block time.
        reveal_until: Timestamp,
    },
    /// It has a verdict.
    Accepted {
        /// The accepted answer.
        answer: Answer,
    },
    /// It failed.
    Failed {
        /// Why, if the job goes on without it.
        failure: Option<ShardFailure>,
    },
    /// Its job ended before it had a verdict.
    Over,
}

/// A node's part in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// The node.
    pub node: NodeId,
    /// Its owner.
    pub owner: AccountNumber,
    /// The attempt it was drawn for.
    pub attempt: Attempt,
    /// Where it stands.
    pub state: ReplicaState,
    /// What it revealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// Where a node stands with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReplicaState {
    /// Drawn; it has not committed.
    Assigned,
    /// It committed.
    Committed,
    /// It revealed.
    Revealed,
    /// It said that it cannot.
    Abstained,
    /// It let the time for commits pass.
    Missed,
    /// It was let go without penalty.
    LetGo,
    /// It committed and did not reveal in time.
    NotRevealed,
}

/// The results of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobResults {
    /// The job.
    pub job: JobId,
    /// Where it stands. Results are provisional while it is `accepted`.
    #[serde(flatten)]
    pub phase: JobPhase,
    /// Merkle root over all results, as the job's record holds it; absent until it is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Hash>,
    /// How outputs of the result are put together.
    pub merge: Merge,
    /// Names of the stages whose outputs are the result.
    pub result_stages: Vec<StageIndex>,
    /// The verdicts so far, in order of stage and shard. Complete once there is a root.
    pub shards: Vec<ShardOutcome>,
}

/// The verdict on a shard, and who can serve its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardOutcome {
    /// Stage.
    pub stage: StageIndex,
    /// Shard.
    pub shard: ShardIndex,
    /// The accepted answer; absent for a shard that failed and was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Nodes that gave this answer.
    pub nodes: Vec<NodeId>,
}

/// What the program of a shard wrote, by the nodes that ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardLogs {
    /// The shard.
    pub shard: ShardKey,
    /// One for each node that still has them.
    pub logs: Vec<ShardLog>,
}

/// What a program wrote on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardLog {
    /// The node that ran it.
    pub node: NodeId,
    /// The attempt that it was drawn for.
    pub attempt: Attempt,
    /// Standard output; bytes that are no text are replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether it wrote more than is kept.
    pub truncated: bool,
}
