//! Events: what happened in a block, for people and programs that follow the chain. They are derived from the
//! execution of the block, kept by each node beside the state, and not part of the state root.

use crate::{
    AccountNumber, Amount,
    files::RunStatus,
    hash::{Digest, Hash},
    job::{Attempt, JobId, ShardKey, StageIndex},
    keys::PublicKey,
    registry::{NodeId, NodeState},
    time::{Height, Timestamp},
    transaction::{AbstainReason, Answer},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Something that happened in a block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Event {
    /// An account was made.
    AccountCreated { account: AccountNumber, key: PublicKey },
    /// Money moved by a transfer.
    Transferred { from: AccountNumber, to: AccountNumber, amount: Amount },
    /// A validator missed its turn to propose; it is skipped until the given height.
    #[serde(rename_all = "camelCase")]
    ProposalMissed { validator: PublicKey, misses: u32, skipped_until: Height },
    /// A job was taken.
    JobSubmitted { job: JobId, submitter: AccountNumber, contract: Hash, budget: Amount, shards: u32 },
    /// A job moved on.
    JobPhaseChanged { job: JobId, phase: JobPhase },
    /// A stage may run: what it reads is accepted.
    StageStarted { job: JobId, stage: StageIndex },
    /// All shards of a stage are accepted.
    StageCompleted { job: JobId, stage: StageIndex },
    /// Nodes were drawn for a shard.
    #[serde(rename_all = "camelCase")]
    ShardDrawn {
        shard: ShardKey,
        attempt: Attempt,
        /// Randomness of which block, mixed into the seed.
        seed_height: Height,
        /// Seed of the draw.
        seed: Hash,
        /// Drawn, in order of rank.
        drawn: Vec<Drawn>,
        /// Passed over, with the reason; at most 32 are named.
        passed_over: Vec<(NodeId, PassedOver)>,
        /// Last moment for commits, block time.
        commit_until: Timestamp,
    },
    /// A shard waits for free slots.
    ShardWaiting { shard: ShardKey, needed: u32, available: u32 },
    /// A node committed.
    Committed { shard: ShardKey, attempt: Attempt, node: NodeId },
    /// Commits are closed; reveals may come until the given moment.
    #[serde(rename_all = "camelCase")]
    RevealOpened { shard: ShardKey, reveal_until: Timestamp },
    /// A node revealed.
    Revealed { shard: ShardKey, attempt: Attempt, node: NodeId, answer: Answer },
    /// A node abstained.
    Abstained { shard: ShardKey, attempt: Attempt, node: NodeId, reason: AbstainReason },
    /// A node let the commit window pass.
    Missed { shard: ShardKey, attempt: Attempt, node: NodeId },
    /// A node was let go without penalty: a quorum was there long before it.
    LetGo { shard: ShardKey, attempt: Attempt, node: NodeId },
    /// More nodes were called because answers differed or were missing.
    ShardEscalated { shard: ShardKey, replicas: u8, quorum: u8 },
    /// A shard has a verdict.
    ShardAccepted { shard: ShardKey, answer: Answer, agreed: Vec<NodeId>, differed: Vec<NodeId> },
    /// A shard failed.
    ShardFailed { shard: ShardKey, reason: ShardFailure },
    /// A node was paid for a shard.
    Paid { shard: ShardKey, node: NodeId, owner: AccountNumber, amount: Amount },
    /// Stake of a node was taken.
    Slashed { shard: ShardKey, node: NodeId, owner: AccountNumber, amount: Amount, fault: Fault },
    /// A node is no longer drawn until it says that it is back.
    NodeAbsent { node: NodeId },
    /// A node is back.
    NodeReturned { node: NodeId },
    /// Escrow of a closed job returned to its submitter.
    Refunded { job: JobId, account: AccountNumber, amount: Amount },
    /// A new epoch began.
    EpochStarted { epoch: u64, validators: Hash },
    /// A node came in by its owner's grant; it is joining.
    NodeRegistered { node: NodeId, owner: AccountNumber, key: PublicKey, account: AccountNumber, stake: Amount },
    /// A node offers something else than before.
    NodeUpdated { node: NodeId, owner: AccountNumber },
    /// A node moved on: active, draining or left.
    NodeStateChanged { node: NodeId, owner: AccountNumber, state: NodeState },
    /// Stake was added to a node.
    Bonded { node: NodeId, owner: AccountNumber, amount: Amount },
    /// Stake of a node is on its way back to its owner.
    Unbonded { node: NodeId, owner: AccountNumber, amount: Amount, until: Timestamp },
    /// Stake that was on its way back was put back.
    Rebonded { node: NodeId, owner: AccountNumber, amount: Amount },
    /// Stake was paid to its owner.
    StakePaid { node: NodeId, owner: AccountNumber, amount: Amount },
    /// Stake of a validator was taken into the pool of rewards.
    Punished { node: NodeId, owner: AccountNumber, amount: Amount, offence: Offence },
}

impl Event {
    /// The job that this is about, if any.
    pub const fn job(&self) -> Option<JobId> {
        match self {
            Self::JobSubmitted { job, .. }
            | Self::JobPhaseChanged { job, .. }
            | Self::StageStarted { job, .. }
            | Self::StageCompleted { job, .. }
            | Self::Refunded { job, .. } => Some(*job),
            Self::ShardDrawn { shard, .. }
            | Self::ShardWaiting { shard, .. }
            | Self::Committed { shard, .. }
            | Self::RevealOpened { shard, .. }
            | Self::Revealed { shard, .. }
            | Self::Abstained { shard, .. }
            | Self::Missed { shard, .. }
            | Self::LetGo { shard, .. }
            | Self::ShardEscalated { shard, .. }
            | Self::ShardAccepted { shard, .. }
            | Self::ShardFailed { shard, .. }
            | Self::Paid { shard, .. }
            | Self::Slashed { shard, .. } => Some(shard.job),
            Self::AccountCreated { .. }
            | Self::Transferred { .. }
            | Self::ProposalMissed { .. }
            | Self::NodeAbsent { .. }
            | Self::NodeReturned { .. }
            | Self::EpochStarted { .. }
            | Self::NodeRegistered { .. }
            | Self::NodeUpdated { .. }
            | Self::NodeStateChanged { .. }
            | Self::Bonded { .. }
            | Self::Unbonded { .. }
            | Self::Rebonded { .. }
            | Self::StakePaid { .. }
            | Self::Punished { .. } => None,
        }
    }
}

/// What a validator was punished for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Offence {
    /// It signed two things of which it may sign only one.
    #[error("it signed two different things at height {height}")]
    DoubleSign {
        /// Where.
        height: Height,
    },
    /// It signed too few blocks.
    #[error("it signed {signed} of {expected} ms of blocks")]
    Downtime {
        /// How long it was to sign, in milliseconds of block time.
        expected: u64,
        /// How long it did.
        signed: u64,
    },
}

/// A node drawn for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Drawn {
    /// The node.
    pub node: NodeId,
    /// Its owner.
    pub owner: AccountNumber,
    /// Its place in the draw, from 0.
    pub rank: u16,
}

/// Why a node was passed over in a draw.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum PassedOver {
    /// Enough were drawn before its rank came.
    #[error("its rank in the draw was too low")]
    Rank,
    /// All its slots are taken.
    #[error("it has no free slot")]
    NoFreeSlot,
    /// Another node of its owner has this shard.
    #[error("another node of its owner was drawn for this shard")]
    SameOwner,
    /// It answered for this shard before.
    #[error("it was drawn for this shard before")]
    DrawnBefore,
    /// It is absent, draining, jailed or gone.
    #[error("it does not take part")]
    NotActive,
    /// The stake left behind its slots does not cover the shard.
    #[error("its free stake does not cover the shard")]
    Stake,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "phase", content = "reason", rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum JobPhase {
    /// Taken; its budget is in escrow.
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
    Failed(JobFailure),
}

impl JobPhase {
    /// Whether results are there, provisional or final.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::Final)
    }

    /// Whether the job will not change any more, or only from accepted to final.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Accepted | Self::Final | Self::Failed(_))
    }
}

/// Why a job failed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum JobFailure {
    /// A shard failed.
    #[error("shard {shard}: {reason}")]
    Shard {
        /// Which.
        shard: ShardKey,
        /// Why.
        reason: ShardFailure,
    },
    /// The deadline passed.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// The escrow does not cover the next shard at its limit.
    #[error("the budget is used up; raise it")]
    BudgetExhausted,
    /// The submitter cancelled it.
    #[error("cancelled by its submitter")]
    Cancelled,
}

/// Why a shard failed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ShardFailure {
    /// The workers agreed that the program did not succeed.
    #[error("{0}")]
    Status(RunStatus),
    /// No answer found a quorum among all who could be drawn.
    #[error("no answer found a quorum among {owners} independent owners")]
    NoQuorum {
        /// Owners that were drawn.
        owners: u16,
    },
    /// Workers could not fetch the program or an input.
    #[error("the program or an input is not available")]
    Unavailable,
}

/// What a node was slashed for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Fault {
    /// Its answer lost.
    #[error("its answer differed from the accepted one, {accepted}")]
    WrongAnswer {
        /// The accepted digest.
        accepted: Digest,
    },
    /// It committed and did not reveal.
    #[error("it committed and did not reveal")]
    NotRevealed,
    /// It revealed something else than it had committed to.
    #[error("it revealed what it had not committed to")]
    Mismatch,
    /// It neither answered nor abstained.
    #[error("it neither answered nor abstained")]
    Missed,
}
