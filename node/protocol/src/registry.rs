//! Tiers and nodes: the directory of who can do what.

use crate::{
    AccountNumber, Amount,
    bytes::{BoundedString, BoundedVec},
    number::number,
    time::Timestamp,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;

number! {
    /// The row of a tier in the table of tiers.
    TierId, u16, fixed
}
number! {
    /// The row of a node in the table of nodes.
    NodeId, u32, fixed
}

/// The name of a tier: 1 to 32 of `[a-z0-9-]`.
pub type TierName = BoundedString<32>;

/// What runs in a tier's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Runtime {
    /// WebAssembly, WASI preview 1.
    Wasm,
    /// Containers, by image digest.
    Container,
}

/// How strangers' work is kept apart from the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Isolation {
    /// Behind a sandbox.
    #[default]
    Sandboxed,
    /// Only for closed tiers, whose owners trust each other.
    Trusted,
}

/// The owners that a closed tier admits.
pub type AdmittedOwners = BoundedVec<AccountNumber, 1024>;

/// Who may offer slots in a tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Admission {
    /// Anyone with the stake.
    #[default]
    Open,
    /// Only these owners.
    Owners(#[cfg_attr(feature = "schema", schema(inline))] AdmittedOwners),
}

/// A class of workers. All slots of a tier are equal.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tier {
    /// Unique name.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub name: TierName,
    /// What runs here.
    pub runtime: Runtime,
    /// Processor share of a slot, in thousandths of a core.
    pub milli_cpu: u32,
    /// Memory of a slot in bytes.
    pub memory: u64,
    /// Accelerator class of a slot, if any.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub accelerator: Option<BoundedString<32>>,
    /// What an owner bonds for each slot.
    pub stake_per_slot: Amount,
    /// Price of 10^9 fuel (wasm) or of one second (container).
    pub price: Amount,
    /// Fuel a slot burns in a second at least: from it follows how long a shard may take.
    pub fuel_per_second: u64,
    /// How strangers' work is kept apart.
    #[serde(default)]
    pub isolation: Isolation,
    /// Who may join.
    #[serde(default)]
    pub admission: Admission,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NodeRole {
    /// Takes part in consensus.
    Validator,
    /// Runs shards of one tier.
    Worker {
        /// The tier.
        tier: TierId,
        /// Shards it runs at a time.
        slots: u16,
    },
}

/// Where a registered node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NodeState {
    /// Registered, not yet drawn or elected.
    Joining,
    /// Takes part.
    Active,
    /// Neither answered nor abstained twice running; not drawn until it says that it is back.
    Absent,
    /// Finishes what it has and takes nothing new; then it leaves.
    Draining,
    /// A validator that was not there: it takes no part until it asks to be let in again.
    Jailed,
    /// Gone; its stake is being unbonded.
    Left,
    /// A validator that signed two things of which it may sign only one: its key never takes part again.
    Tombstoned,
}

/// An address of a node: `tcp://host:port` for consensus, `udp://host:port` or a bare `host:port` for everything else. The
/// chain does not read it.
pub type Endpoint = BoundedString<128>;

/// The addresses of a node.
pub type Endpoints = BoundedVec<Endpoint, 4>;

/// The most parts of a node's stake that are unbonding at a time.
pub const MAX_UNBONDING: usize = 16;

/// Stake that is on its way back to the owner: still slashable, and paid out at a moment of block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Unbonding {
    /// How much.
    pub amount: Amount,
    /// When it is paid.
    pub until: Timestamp,
}

impl fmt::Display for NodeState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Absent => "absent",
            Self::Draining => "draining",
            Self::Jailed => "jailed",
            Self::Left => "left",
            Self::Tombstoned => "tombstoned",
        })
    }
}
