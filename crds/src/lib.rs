//! The custom resources of Valo, group `valo.network`, version `v1alpha1`.
//!
//! | kind | what it stands for |
//! | --- | --- |
//! | [`Network`] | a chain: a new one, or one to join |
//! | [`NodeTier`] | nodes of one role and one tier on this cluster, scaled together |
//! | [`Wallet`] | an owner's account and the Secret with its key |
//! | [`JobContract`] | a job |
//! | [`ShardGroup`] | a sharding group of the chain that nodes of this cluster are in; read only |
//! | [`ConsensusKeyReservation`] | the right of one pod to sign with a consensus key |
//!
//! These types are the source of `crds/manifests`, of the chart `charts/valo-crds` and of `docs/reference/resources.md`:
//! `make generate` rewrites them all.
//!
//! Every rule is in the schema, so that the API server refuses what is wrong and names the field: patterns and ranges
//! for single fields, CEL for what spans several and for what must not change. Unknown fields are refused by `kubectl`
//! (strict field validation is its default) and by these types.

// The columns of a kind repeat `type_ = "string"`; clippy takes each for a duplicate.
#![allow(clippy::duplicated_attributes)]

mod common;
mod generate;
mod job_contract;
mod key_reservation;
mod network;
mod node_tier;
mod reference;
mod schemas;
mod shard_group;
mod wallet;

pub use common::{
    Condition, LocalReference, ResourceAmounts, Resources, SecretKeyRef, TaintEffect, Toleration, TolerationOperator,
};
pub use generate::{all, generated, manifest};
pub use job_contract::{JobContract, JobContractSpec, JobContractStatus, JobPhase, JobReason, JobResult, StageStatus};
pub use key_reservation::{ConsensusKeyReservation, ConsensusKeyReservationSpec, Holder};
pub use network::{
    AddressType, ConsensusPeer, Disjoint, ExternalAddress, GenesisAccount, GenesisTier, GenesisValidators,
    ImagePullPolicy, Ingress, Isolation, Join, Network, NetworkSpec, NetworkStatus, NewChain, Parameters, Preset,
    Runtime, Seed,
};
pub use node_tier::{NodeStatus, NodeTier, NodeTierSpec, NodeTierStatus, Role, Stake, Storage, WalletTemplate};
pub use schemas::schemas;
pub use shard_group::{GroupMember, ShardGroup, ShardGroupSpec, ShardGroupStatus};
pub use valo_contract as contract;
pub use wallet::{FundFrom, Unbonding, Wallet, WalletSpec, WalletStatus};

/// Group of the custom resources.
pub const GROUP: &str = "valo.network";
/// Their version.
pub const VERSION: &str = "v1alpha1";
