//! What a new chain starts from.

use super::POSITIVE;
use crate::common::{HEX, LABEL, LocalReference, SHORT, optional, required};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use valo_contract::quantity::{Count, MilliCpu, Money, Size, Span};

/// Everything a new chain starts from: its genesis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.tiers.all(tier, self.tiers.exists_one(other, other.name == tier.name))").message("spec.chain.tiers: two tiers have the same name").field_path(".tiers"))]
#[x_kube(validation = Rule::new("self.validators.all(one, !has(one.nodeTier) || self.validators.exists_one(other, has(other.nodeTier) && other.nodeTier == one.nodeTier))").message("spec.chain.validators.nodeTier: two entries name the same NodeTier").field_path(".validators"))]
#[x_kube(validation = Rule::new("self.validators.all(one, !has(one.publicKey) || self.validators.exists_one(other, has(other.publicKey) && other.publicKey == one.publicKey))").message("spec.chain.validators.publicKey: two entries have the same key").field_path(".validators"))]
pub struct NewChain {
    /// Its name for people, 1 to 32 of a-z, 0-9 and `-`; the name of the Network unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = SHORT))]
    pub name: Option<String>,
    /// The parameters it takes as they are, but for `parameters`.
    #[serde(default)]
    pub preset: Preset,
    /// Parameters that differ from the preset.
    #[serde(default)]
    pub parameters: Parameters,
    /// The first validators.
    #[schemars(length(min = 1, max = 128))]
    pub validators: Vec<GenesisValidators>,
    /// Accounts with what they hold, beside the stake of the validators.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub accounts: Vec<GenesisAccount>,
    /// Tiers of workers.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub tiers: Vec<GenesisTier>,
}

/// A named set of parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// One machine: fast blocks, short windows.
    Dev,
    /// Members who know each other.
    #[default]
    Consortium,
    /// An open network.
    Public,
}

/// Validators of the genesis: those of a NodeTier of this cluster, or one of elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.nodeTier) != has(self.publicKey)").message("validators.nodeTier: say exactly one of nodeTier and publicKey").field_path(".nodeTier"))]
#[x_kube(validation = Rule::new("has(self.publicKey) == has(self.ownerKey)").message("validators.ownerKey: it goes with publicKey").field_path(".ownerKey"))]
#[x_kube(validation = Rule::new("has(self.nodeTier) == has(self.count)").message("validators.count: it goes with nodeTier").field_path(".count"))]
pub struct GenesisValidators {
    /// NodeTier with `role: validator`: its first `count` nodes, each behind the wallet that the NodeTier says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49), regex(pattern = LABEL))]
    pub node_tier: Option<String>,
    /// How many nodes of the NodeTier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: Option<i32>,
    /// Key of a validator of elsewhere, 64 hexadecimal characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = HEX))]
    pub public_key: Option<String>,
    /// Key of that validator's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = HEX))]
    pub owner_key: Option<String>,
    /// VALO bonded for each, such as `"1000"`: no less than `minValidatorStake`.
    #[x_kube(validation = (POSITIVE, "validators.stake: it must be more than 0"))]
    pub stake: Money,
}

/// An account of the genesis: a Wallet of this cluster, or a key of elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.walletRef) != has(self.publicKey)").message("accounts.walletRef: say exactly one of walletRef and publicKey").field_path(".walletRef"))]
pub struct GenesisAccount {
    /// The Wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_ref: Option<LocalReference>,
    /// The key, 64 hexadecimal characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = HEX))]
    pub public_key: Option<String>,
    /// VALO it starts with, such as `"100000"` or `"0.5"`.
    #[x_kube(validation = (POSITIVE, "accounts.balance: it must be more than 0"))]
    pub balance: Money,
}

/// A class of workers. All slots of a tier are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.isolation != 'trusted' || size(self.admit) > 0").message("tiers.isolation: only a tier that admits named owners can be trusted; list them in admit").field_path(".isolation"))]
pub struct GenesisTier {
    /// Unique name, 1 to 32 of a-z, 0-9 and `-`.
    #[schemars(length(max = 32), regex(pattern = SHORT))]
    pub name: String,
    /// What runs in its slots.
    #[serde(default)]
    pub runtime: Runtime,
    /// Processor share of a slot: cores, or thousandths with `m`, such as `1` or `500m`.
    #[serde(default = "default_cpu", deserialize_with = "required")]
    pub cpu: MilliCpu,
    /// Memory of a slot in bytes, such as `512Mi`.
    #[serde(default = "default_memory", deserialize_with = "required")]
    pub memory: Size,
    /// Accelerator class of a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = SHORT))]
    pub accelerator: Option<String>,
    /// VALO that an owner bonds for each slot.
    pub stake_per_slot: Money,
    /// VALO for 10^9 fuel (wasm), or for a second (container), such as `"0.001"`.
    pub price: Money,
    /// Instructions that a slot runs in a second at least, such as `100M`: from it follows how long a shard may take.
    #[serde(default = "default_fuel", deserialize_with = "required")]
    pub fuel_per_second: Count,
    /// How strangers' work is kept apart from the machine.
    #[serde(default)]
    pub isolation: Isolation,
    /// Keys of the only owners that may join; anyone with the stake unless said.
    #[serde(default)]
    #[schemars(
        length(max = 1024),
        inner(length(max = 64), regex(pattern = HEX)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub admit: Vec<String>,
}

const fn default_cpu() -> MilliCpu {
    MilliCpu(1000)
}

const fn default_memory() -> Size {
    Size(512 << 20)
}

const fn default_fuel() -> Count {
    Count(100_000_000)
}

/// What runs in a tier's slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Runtime {
    /// WebAssembly.
    #[default]
    Wasm,
    /// Containers.
    Container,
}

/// How strangers' work is kept apart from the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Isolation {
    /// Behind a sandbox.
    #[default]
    Sandboxed,
    /// As any pod: its owners trust each other.
    Trusted,
}

/// What replicas of a shard must not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Disjoint {
    /// The owner.
    Owner,
    /// The node: for networks of one owner. Agreement then says nothing about honesty.
    Node,
}

/// Parameters that differ from the preset. Durations are block time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameters {
    /// The least time from a block to the next, such as `100ms`; no more than `idleInterval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_interval: Option<Span>,
    /// The time from a block to the next when nothing is due, such as `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_interval: Option<Span>,
    /// Length of an epoch, such as `10m`: when validators change and groups are made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Span>,
    /// How long unbonded stake stays slashable, such as `1h` or `21d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbonding: Option<Span>,
    /// How long a validator is watched, such as `10m`: one that signed less than half of it is jailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_window: Option<Span>,
    /// How long a validator is jailed at least, such as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<Span>,
    /// How long reveals may come after commits closed, such as `15s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal_window: Option<Span>,
    /// How long an accepted result can be disputed, such as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute_window: Option<Span>,
    /// The longest time from submission of a job to its deadline, such as `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_job_time: Option<Span>,
    /// VALO that a validator bonds at least, such as `"1000"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_validator_stake: Option<Money>,
    /// The most validators of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_validators: Option<i32>,
    /// VALO that stays on every account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_balance: Option<Money>,
    /// VALO paid for a new account, on top of the fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_fee: Option<Money>,
    /// Workers of a sharding group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub group_size: Option<i32>,
    /// What replicas of a shard must not share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disjoint: Option<Disjoint>,
    /// The most bytes of transactions in a block, such as `2Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub block_bytes: Option<Size>,
    /// The most weight of a block: 1,000 is about the work of a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub block_weight: Option<Count>,
    /// VALO for a byte of a transaction, such as `"0.00000001"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_price: Option<Money>,
    /// VALO for a unit of weight, such as `"0.000000001"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_price: Option<Money>,
}
