//! The row of an open shard: who was drawn for it, what each of them did, and what came of it.
//!
//! ```text
//!                 drawn                    all committed, or let go
//!   (no row yet) -------> Open ------------------------------------> Revealing --+--> Accepted
//!                          ^                                                     |
//!                          +--- more are drawn: answers differ or are missing ---+--> Failed
//! ```
//! A row is made when a shard is drawn for the first time, and freed when its job is closed.

use crate::{
    AccountNumber, Amount,
    event::ShardFailure,
    hash::Hash,
    job::{Attempt, ShardKey},
    registry::NodeId,
    time::{Height, Timestamp},
    transaction::{AbstainReason, Answer},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A row of the table of shards, by version of its layout.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum ShardRow {
    /// Without audits and disputes by a party.
    V1(ShardRecord) = 1,
}

/// A shard that was drawn at least once and whose job is not closed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardRecord {
    /// Which shard.
    pub key: ShardKey,
    /// Where it stands.
    pub phase: ShardPhase,
    /// Number of the next draw.
    pub attempt: Attempt,
    /// How often it began anew after a failure.
    pub retries: u8,
    /// The committee that the contract asks for.
    pub base: Committee,
    /// How far it has grown: 0 as the contract asks, above that for the juries.
    pub level: u8,
    /// Whether a draw is wanted, and since which block.
    pub queued: Option<Queued>,
    /// Whether a draw found that nobody else could be drawn.
    pub exhausted: bool,
    /// Whether fuel used is paid; else the limit is, as for seconds reserved.
    pub metered: bool,
    /// Tier's price of 10^9 fuel or of a second when it was first drawn.
    pub unit_price: Amount,
    /// Price of one replica at the limit of the stage.
    pub limit_price: Amount,
    /// Set aside in the job's escrow for it.
    pub reserved: Amount,
    /// The answer that may be used while a jury looks into a difference.
    pub provisional: Option<Answer>,
    /// All nodes drawn since it last began anew, in order.
    pub assignments: Vec<ShardAssignment>,
}

/// How many answer for a shard, and how many equal answers it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committee {
    /// Nodes that answer.
    pub replicas: u8,
    /// Equal answers that decide.
    pub quorum: u8,
}

/// Where an open shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShardPhase {
    /// Commits may come, or more nodes are to be drawn.
    Open,
    /// Commits are closed; reveals may come.
    Revealing {
        /// Last moment for reveals, work time.
        until: Timestamp,
    },
    /// It has its result.
    Accepted {
        /// The result.
        answer: Answer,
        /// Block in which it was accepted.
        height: Height,
        /// End of its dispute window: the stake behind it is locked until then, work time.
        final_at: Timestamp,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: ShardFailure,
        /// Block in which it failed.
        height: Height,
        /// End of its dispute window: stake behind it, if any, is locked until then, work time.
        final_at: Timestamp,
    },
}

/// A draw that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queued {
    /// The first block whose randomness may be used.
    pub from: Height,
    /// Whether it was tried, and waits for slots.
    pub waiting: bool,
}

/// A node drawn for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardAssignment {
    /// The node.
    pub node: NodeId,
    /// Its owner when it was drawn.
    pub owner: AccountNumber,
    /// The draw.
    pub attempt: Attempt,
    /// Whether it was drawn because answers differed.
    pub juror: bool,
    /// Work time of the draw.
    pub drawn_at: Timestamp,
    /// Last moment for its commit, work time.
    pub commit_until: Timestamp,
    /// What of the node's stake is locked for it.
    pub locked: Amount,
    /// What it did.
    pub state: MemberState,
}

/// What a drawn node did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum MemberState {
    /// Nothing yet: it works.
    Assigned,
    /// It committed.
    Committed {
        /// To what.
        commitment: Hash,
        /// Work time of the commit.
        at: Timestamp,
    },
    /// It revealed what it had committed to.
    Revealed {
        /// Its answer.
        answer: Answer,
    },
    /// It said that it cannot answer.
    Abstained {
        /// Why.
        reason: AbstainReason,
    },
    /// It let the window pass.
    Missed,
    /// It was let go without penalty.
    LetGo,
    /// It committed and let the window for reveals pass.
    NotRevealed,
}

impl MemberState {
    /// Whether a slot of the node is taken: it works.
    pub const fn has_slot(&self) -> bool {
        matches!(self, Self::Assigned)
    }

    /// Whether something is expected of the node.
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Assigned | Self::Committed { .. })
    }
}

impl ShardPhase {
    /// Whether it has its result or failed.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Accepted { .. } | Self::Failed { .. })
    }
}

impl ShardRecord {
    /// The part of a node in a draw.
    pub fn assignment(&self, node: NodeId, attempt: Attempt) -> Option<&ShardAssignment> {
        self.assignments.iter().find(|assignment| assignment.node == node && assignment.attempt == attempt)
    }
}
