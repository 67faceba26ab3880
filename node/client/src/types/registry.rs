//! Who takes part: validators, nodes, tiers, groups.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use valo_protocol::{
    AccountNumber, Amount, Hash, Height, PublicKey, Timestamp,
    registry::{NodeId, NodeRole, NodeState, Tier, TierId, TierName, Unbonding},
};

/// The validators of a height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validators {
    /// The height they decide: the next one.
    pub height: Height,
    /// Hash of the set.
    pub hash: Hash,
    /// The sum of their power.
    pub total_power: u64,
    /// The members in order of their keys.
    pub validators: Vec<ValidatorInfo>,
}

/// A validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidatorInfo {
    /// The node's key.
    pub key: PublicKey,
    /// Voting power: whole VALO.
    pub power: u64,
    /// Whose stake stands behind it.
    pub owner: AccountNumber,
    /// Whether it is passed over as proposer at that height: for proposals it missed, or because it is jailed or
    /// tombstoned.
    pub skipped: bool,
}

/// A registered node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its key.
    pub key: PublicKey,
    /// Its own account.
    pub account: AccountNumber,
    /// The account whose stake stands behind it.
    pub owner: AccountNumber,
    /// What it does.
    pub role: NodeRole,
    /// Name of its tier, for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tier: Option<TierName>,
    /// Where it stands.
    pub state: NodeState,
    /// Bonded for it.
    pub stake: Amount,
    /// Of that, locked until shards are final.
    pub locked: Amount,
    /// Its voting power at the next height: 0 unless it is in the validator set.
    #[serde(default)]
    pub power: u64,
    /// Shards it runs at a time.
    pub slots: u32,
    /// Slots in use.
    pub busy: u32,
    /// Whether it has said that it is ready.
    pub ready: bool,
    /// Until when it is, or was last, jailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jailed_until: Option<Timestamp>,
    /// Stake on its way back to the owner: slashable until it is paid.
    pub unbonding: Vec<Unbonding>,
    /// Where it is reached.
    pub endpoints: Vec<String>,
}

/// A node as people name it: by number or by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeReference {
    /// Its number.
    Id(NodeId),
    /// 64 hexadecimal characters.
    Key(PublicKey),
}

/// Neither a number nor a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no node: write its number or its key (64 hexadecimal characters)")]
pub struct NodeReferenceError(pub String);

impl FromStr for NodeReference {
    type Err = NodeReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A key first: 64 digits are a key, never a number.
        let key = text.parse().map(Self::Key).ok();
        key.or_else(|| text.parse().map(|id| Self::Id(NodeId(id))).ok())
            .ok_or_else(|| NodeReferenceError(text.to_owned()))
    }
}

impl fmt::Display for NodeReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, formatter),
            Self::Key(key) => fmt::Display::fmt(key, formatter),
        }
    }
}

impl From<NodeId> for NodeReference {
    fn from(id: NodeId) -> Self {
        Self::Id(id)
    }
}

impl From<PublicKey> for NodeReference {
    fn from(key: PublicKey) -> Self {
        Self::Key(key)
    }
}

/// A tier and what it has to offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierInfo {
    /// Its number.
    pub id: TierId,
    /// What it is.
    pub tier: Tier,
    /// Nodes that take part in it.
    pub nodes: u32,
    /// Different owners of those nodes: the most replicas a shard can have.
    pub owners: u32,
    /// Slots of those nodes.
    pub slots: u32,
    /// Slots in use.
    pub busy: u32,
}

/// A sharding group of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its tier.
    pub tier: TierId,
    /// Name of its tier.
    #[schema(value_type = String)]
    pub tier_name: TierName,
    /// Its place in the tier, from 0.
    pub index: u32,
    /// Its members.
    pub nodes: Vec<NodeId>,
}
