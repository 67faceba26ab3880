//! What this node has been drawn for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use valo_protocol::{
    Timestamp,
    job::{Attempt, ShardKey},
    registry::NodeId,
};

/// The shards that this node was drawn for and that are not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignments {
    /// This node; absent when it is not registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Its assignments, in order of their shards.
    pub assignments: Vec<Assignment>,
}

/// What is expected of a node that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AssignmentState {
    /// To run the shard, and to commit or abstain.
    Assigned,
    /// To wait until reveals open.
    Committed,
    /// To reveal.
    RevealOpen,
    /// To keep its output until there is a verdict.
    Revealed,
}

/// A shard that a node was drawn for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The shard.
    pub shard: ShardKey,
    /// The attempt it was drawn for.
    pub attempt: Attempt,
    /// Where it stands.
    pub state: AssignmentState,
    /// Last moment for what comes next (commit or reveal), block time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
