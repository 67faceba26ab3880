//! Why a job went as it did, shard by shard: built from the events of its blocks, with nothing left to guess.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use valo_protocol::{
    AccountNumber, Amount, Hash, Height, Timestamp,
    event::{Fault, JobPhase, PassedOver, ShardFailure},
    job::{Attempt, JobId, ShardIndex, StageIndex},
    params::Disjoint,
    registry::NodeId,
    transaction::{AbstainReason, Answer},
};

/// A height and its block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// The block.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
}

/// Why a job went as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobExplanation {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    #[serde(flatten)]
    pub phase: JobPhase,
    /// The job in one or two sentences.
    pub summary: String,
    /// What replicas of a shard do not share on this network.
    pub disjoint: Disjoint,
    /// What agreement of such replicas is worth.
    pub worth: String,
    /// When it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted: Option<Moment>,
    /// Each phase it went through, and when.
    pub phases: Vec<(Moment, JobPhase)>,
    /// What workers were paid, out of the job's escrow and, as jurors, out of what others lost.
    pub paid: Amount,
    /// What was taken from stakes.
    pub slashed: Amount,
    /// What returned to the submitter, if the job is closed.
    pub refunded: Amount,
    /// Shards in order of stage and shard.
    pub shards: Vec<ShardExplanation>,
    /// The `from` of the next page of shards; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a shard went as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardExplanation {
    /// Its stage.
    pub stage: StageIndex,
    /// Name of its stage.
    pub stage_name: String,
    /// Its place in the stage.
    pub shard: ShardIndex,
    /// The shard in one or two sentences.
    pub summary: String,
    /// The accepted answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// When it was accepted or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Moment>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<ShardFailure>,
    /// When it waited for free slots.
    pub waits: Vec<WaitExplanation>,
    /// When more nodes were called, because answers differed or were missing.
    pub escalations: Vec<EscalationExplanation>,
    /// Every draw.
    pub draws: Vec<DrawExplanation>,
    /// Every node that was drawn, in order, and what came of it.
    pub answers: Vec<AnswerExplanation>,
}

/// A wait for free slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitExplanation {
    /// When it could not be placed.
    pub at: Moment,
    /// Slots of different owners it takes.
    pub needed: u32,
    /// Those that were free.
    pub available: u32,
}

/// A call for more nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EscalationExplanation {
    /// When.
    pub at: Moment,
    /// Nodes that answer from then on, all in all.
    pub replicas: u8,
    /// Equal answers that accept from then on.
    pub quorum: u8,
}

/// A draw of nodes for a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrawExplanation {
    /// When.
    pub at: Moment,
    /// The attempt it was for.
    pub attempt: Attempt,
    /// The block whose randomness is in the seed: later than what was drawn for was fixed.
    pub seed_height: Height,
    /// `blake3("valo/draw/1" || randomness || job || stage || shard || attempt)`.
    pub seed: Hash,
    /// Who was drawn, in order of rank.
    pub drawn: Vec<DrawnExplanation>,
    /// Who was not, and why.
    pub passed_over: Vec<PassedOverExplanation>,
    /// Last moment for commits, block time.
    pub commit_until: Timestamp,
}

/// A node that was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrawnExplanation {
    /// The node.
    pub node: NodeId,
    /// Its owner.
    pub owner: AccountNumber,
    /// Its place in the order that the seed gives, from 0.
    pub rank: u16,
    /// Why it was drawn.
    pub why: String,
}

/// A node that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassedOverExplanation {
    /// The node.
    pub node: NodeId,
    /// Why.
    pub reason: PassedOver,
    /// Why, in words.
    pub why: String,
}

/// What came of a node that was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerExplanation {
    /// The node.
    pub node: NodeId,
    /// Its owner.
    pub owner: AccountNumber,
    /// The attempt it was drawn for.
    pub attempt: Attempt,
    /// Where it stands.
    pub standing: Standing,
    /// The same in a sentence.
    pub why: String,
    /// When it committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Moment>,
    /// When it revealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revealed: Option<Moment>,
    /// What it revealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Why it abstained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstained: Option<AbstainReason>,
    /// What it was paid.
    pub paid: Amount,
    /// What was taken from its stake.
    pub slashed: Amount,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Where a node stands with a shard it was drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It works on it.
    Working,
    /// It committed; nothing is revealed yet.
    Committed,
    /// It revealed; there is no verdict yet.
    Revealed,
    /// Its answer is the accepted one.
    Agreed,
    /// Its answer is not the accepted one.
    Differed,
    /// It said that it cannot.
    Abstained,
    /// It neither answered nor abstained in time.
    Missed,
    /// It committed and did not reveal, or revealed something else.
    NotRevealed,
    /// It was let go without penalty.
    LetGo,
    /// The shard ended without a verdict.
    NoVerdict,
}
