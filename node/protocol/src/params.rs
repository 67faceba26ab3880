//! Parameters of a chain, with presets. Everything that may differ between networks, or change by a vote, is here.

use crate::{Action, Amount, job::Verification, time::Duration};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The parameters. Durations are block time in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Parameters {
    /// The least time from a block to the next.
    pub min_interval: Duration,
    /// The time from a block to the next when nothing is due.
    pub idle_interval: Duration,
    /// Length of an epoch.
    pub epoch: Duration,
    /// How long unbonded stake stays slashable.
    pub unbonding: Duration,
    /// How long a validator is watched: one that signed less than half of it is jailed.
    pub downtime_window: Duration,
    /// How long a validator is jailed at least.
    pub jail: Duration,
    /// How long reveals may come after commits closed.
    pub reveal_window: Duration,
    /// How long an accepted result can be disputed.
    pub dispute_window: Duration,
    /// The longest time from submission to deadline.
    pub max_job_time: Duration,
    /// Whole VALO a validator bonds at least.
    pub min_validator_stake: Amount,
    /// The most validators of an epoch.
    pub max_validators: u16,
    /// What stays on every account.
    pub minimum_balance: Amount,
    /// Paid for a new account, on top of the fee.
    pub account_fee: Amount,
    /// Workers of a sharding group.
    pub group_size: u16,
    /// What replicas of a shard must not share.
    pub disjoint: Disjoint,
    /// The most bytes of transactions in a block.
    pub block_bytes: u64,
    /// The most weight of a block.
    pub block_weight: u64,
    /// Price of a byte, in units.
    pub byte_price: u64,
    /// Price of a unit of weight, in units.
    pub weight_price: u64,
    /// What each action weighs.
    pub weights: Weights,
    /// Names the runtime, its features and its fuel table: a change of digests is a change of this number.
    pub runtime_version: u32,
}

/// What replicas of a shard must not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Disjoint {
    /// The owner: no owner answers twice for a shard.
    Owner,
    /// The node: for networks of one owner. Agreement then says nothing about honesty.
    Node,
}

impl Parameters {
    /// The most weight that a transaction can have: messages of the protocol a block's, all others three quarters of it.
    pub fn max_weight(&self, action: &Action) -> u64 {
        if action.is_protocol_message() {
            return self.block_weight;
        }
        self.block_weight.saturating_sub(self.block_weight / 4)
    }
}

/// What each action weighs: a weight of 1,000 is about the work of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Weights {
    /// Every transaction: signature and nonce.
    pub transaction: u64,
    /// A transfer, beyond that.
    pub transfer: u64,
    /// A new account, beyond that.
    pub account: u64,
    /// A job, beyond that.
    pub job: u64,
    /// Each stage of a job.
    pub stage: u64,
    /// Each assignment (shard and replica) of a job: its draw, commit and reveal are prepaid by this.
    pub assignment: u64,
    /// Each entry of a commit, reveal or abstention.
    pub entry: u64,
}

impl Weights {
    /// What an action weighs at most, with its transaction. Messages of the protocol weigh too, though they pay nothing.
    pub fn of(&self, action: &Action) -> u64 {
        let entries = |count: usize| self.entry.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        let beyond = match action {
            Action::Transfer { .. } => self.transfer,
            Action::TransferToKey { .. } => self.transfer.saturating_add(self.account),
            Action::SubmitJob { contract, .. } => {
                let Verification::Replicated { replicas, .. } = contract.verification;
                let stages = u64::try_from(contract.stages.len()).unwrap_or(u64::MAX);
                let assignments = u64::from(contract.total_shards()).saturating_mul(u64::from(replicas));
                self.job
                    .saturating_add(self.stage.saturating_mul(stages))
                    .saturating_add(self.assignment.saturating_mul(assignments))
            }
            Action::CancelJob { .. } => self.stage,
            Action::Commit { entries: list } => entries(list.len()),
            Action::Reveal { entries: list } => entries(list.len()),
            Action::Abstain { entries: list } => entries(list.len()),
            Action::Return => self.entry,
            // Two signatures to verify, and all validators to look at.
            Action::SubmitEvidence { .. } | Action::Unjail => self.account,
            // A change to a node may look at all validators; it weighs as much as two new accounts.
            Action::RegisterNode { .. } => self.account.saturating_mul(3),
            Action::UpdateNode { .. }
            | Action::Drain
            | Action::RemoveNode { .. }
            | Action::ResumeNode { .. }
            | Action::Bond { .. }
            | Action::Unbond { .. }
            | Action::Rebond { .. } => self.account.saturating_mul(2),
        };
        self.transaction.saturating_add(beyond)
    }
}

/// A named set of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// One machine: fast blocks, short windows.
    Dev,
    /// A network of members who know each other.
    Consortium,
    /// An open network.
    Public,
}

/// No preset of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset `{0}`; there are dev, consortium and public")]
pub struct UnknownPreset(pub String);

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        match text {
            "dev" => Ok(Self::Dev),
            "consortium" => Ok(Self::Consortium),
            "public" => Ok(Self::Public),
            other => Err(UnknownPreset(other.to_owned())),
        }
    }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const VALO: u64 = crate::amount::UNITS_PER_VALO;

impl Parameters {
    /// The longest step from a block to the next that is no pause of the chain: twice the idle interval, so that rounds
    /// that fail are none.
    pub const fn longest_step(&self) -> Duration {
        Duration(self.idle_interval.0.saturating_mul(2))
    }

    /// The parameters of a preset.
    pub const fn preset(preset: Preset) -> Self {
        let dev = Self {
            min_interval: Duration(50),
            // With a dead proposer 350 ms more: still well below the 1.5 s that are promised.
            idle_interval: Duration(800),
            epoch: Duration(10 * SECOND),
            unbonding: Duration(30 * SECOND),
            downtime_window: Duration(2 * MINUTE),
            jail: Duration(30 * SECOND),
            reveal_window: Duration(2 * SECOND),
            dispute_window: Duration(10 * SECOND),
            max_job_time: Duration(7 * DAY),
            min_validator_stake: Amount::from_units(VALO),
            max_validators: 100,
            minimum_balance: Amount::from_units(VALO / 1000),
            account_fee: Amount::from_units(VALO / 1000),
            group_size: 8,
            disjoint: Disjoint::Owner,
            block_bytes: 2 * 1024 * 1024,
            block_weight: 40_000_000,
            byte_price: 10,
            weight_price: 1,
            weights: Weights {
                transaction: 500,
                transfer: 500,
                account: 2_000,
                job: 5_000,
                stage: 1_000,
                assignment: 2_000,
                entry: 500,
            },
            runtime_version: 1,
        };
        match preset {
            Preset::Dev => dev,
            Preset::Consortium => Self {
                min_interval: Duration(100),
                idle_interval: Duration(5 * SECOND),
                epoch: Duration(10 * MINUTE),
                unbonding: Duration(HOUR),
                downtime_window: Duration(10 * MINUTE),
                jail: Duration(10 * MINUTE),
                reveal_window: Duration(15 * SECOND),
                dispute_window: Duration(10 * MINUTE),
                min_validator_stake: Amount::from_units(1_000 * VALO),
                ..dev
            },
            Preset::Public => Self {
                min_interval: Duration(250),
                idle_interval: Duration(10 * SECOND),
                epoch: Duration(6 * HOUR),
                unbonding: Duration(21 * DAY),
                downtime_window: Duration(HOUR),
                jail: Duration(HOUR),
                reveal_window: Duration(2 * MINUTE),
                dispute_window: Duration(2 * HOUR),
                min_validator_stake: Amount::from_units(10_000 * VALO),
                max_validators: 150,
                group_size: 16,
                ..dev
            },
        }
    }
}
