//! Rows of the state's tables: what a proof of state carries and a light client reads.
//!
//! Every row is its canonical encoding; a slot that is free holds an empty row. Rows of jobs are in
//! [`crate::proof`], the row of a tier is the [`Tier`](crate::registry::Tier) itself.

use crate::{
    AccountNumber, Amount,
    bytes::BoundedVec,
    clock::WorkClock,
    encoding::Varint,
    hash::Hash,
    keys::PublicKey,
    registry::{Endpoints, MAX_UNBONDING, NodeId, NodeRole, NodeState, Unbonding},
    time::{Height, Timestamp},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Row of the system table that holds the [`Parameters`](crate::Parameters).
pub const PARAMETERS_ROW: u64 = 0;
/// Row of the system table that holds the [`Supply`].
pub const SUPPLY_ROW: u64 = 1;
/// Row of the system table that holds the [`ChainRecord`].
pub const CHAIN_ROW: u64 = 2;
/// Row of the system table that holds the [`EpochStarts`].
pub const EPOCHS_ROW: u64 = 3;

/// The most epochs that an unbonding time may span.
pub const MAX_EPOCHS_KEPT: usize = 1024;

/// An account. Its number is its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRecord {
    /// The key that signs for it.
    pub key: PublicKey,
    /// How many transactions it has sent.
    pub nonce: Varint,
    /// What it holds: nothing on the account of a node that was never funded, else at least the minimum balance.
    pub balance: Amount,
    /// The node whose own account this is.
    pub node: Option<NodeId>,
}

/// A key that has an account. The rows form a list in ascending order of keys, which starts at row 0
/// with the key of zeros (no usable key), so that a row proves that no key lies between its own and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// The key; zeros at the head of the list.
    pub key: PublicKey,
    /// Its account; none at the head of the list.
    pub account: Option<AccountNumber>,
    /// The next larger key; zeros at the end of the list.
    pub next: PublicKey,
}

impl KeyRecord {
    /// Whether this row proves that `key` has no account.
    pub fn proves_absence(&self, key: &PublicKey) -> bool {
        self.key < *key && (*key < self.next || self.next == PublicKey::default())
    }
}

/// A registered node. Its id is its row, which is used again when the node has left and its stake is paid.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// The node's key.
    pub key: PublicKey,
    /// The node's own account, which signs its work.
    pub account: AccountNumber,
    /// The account whose stake stands behind it.
    pub owner: AccountNumber,
    /// What it does.
    pub role: NodeRole,
    /// Where it stands.
    pub state: NodeState,
    /// Bonded for it.
    pub stake: Amount,
    /// Of the stake, what answers for shards that are not final.
    pub locked: Amount,
    /// Slots that have a shard.
    pub busy: u16,
    /// How often running it neither answered nor abstained: 2 for a window it let pass, 1 for a shard that others
    /// had done long before it. At 4 it is absent.
    pub unanswered: u8,
    /// Its row in the table of validators, if it is one.
    pub validator: Option<u32>,
    /// Until when it is jailed; zero if it never was.
    pub jailed_until: Timestamp,
    /// Whether the node itself has said that it is ready: until then it is neither drawn nor elected.
    pub ready: bool,
    /// Stake on its way back to the owner, in order of time: slashable until it is paid.
    pub unbonding: BoundedVec<Unbonding, MAX_UNBONDING>,
    /// Where it is reached.
    pub endpoints: Endpoints,
}

/// How a validator does its duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidatorRecord {
    /// Its node.
    pub node: NodeId,
    /// The node's key.
    pub key: PublicKey,
    /// Blocks whose certificate it could have signed.
    pub blocks: Varint,
    /// Of these, the ones it did sign, as far as the next block's proposer had seen.
    pub signed: Varint,
    /// Proposals missed running.
    pub misses: u32,
    /// The last height for which it is passed over as proposer; zero for none, the largest for one that is jailed or
    /// tombstoned.
    pub skipped_until: Height,
    /// How much of the last two halves of the downtime window it signed, the earlier half first.
    pub duty: [Duty; 2],
}

/// How long a validator was to sign blocks, and how long it did, in milliseconds of block time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Duty {
    /// From each block it could have signed to the next.
    pub expected: Varint,
    /// Of this, from those that it did sign.
    pub signed: Varint,
}

/// When the epochs began in which a fault can still be punished, in order: those of the unbonding time, and the one
/// before.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochStarts {
    /// The first height of each epoch, and the block time at which it began.
    pub starts: BoundedVec<EpochStart, MAX_EPOCHS_KEPT>,
}

/// The beginning of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EpochStart {
    /// Its first height.
    pub height: Height,
    /// Time of the block before it.
    pub time: Timestamp,
}

/// Where all money is. The parts always sum to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supply {
    /// Everything there is, fixed at genesis.
    pub total: Amount,
    /// On accounts.
    pub balances: Amount,
    /// Bonded for nodes.
    pub bonded: Amount,
    /// Unbonded and not yet paid out.
    pub unbonding: Amount,
    /// In the escrows of jobs.
    pub escrows: Amount,
    /// Pool of rewards: fees and slashed stake.
    pub rewards: Amount,
    /// Pool from which newcomers get their first account.
    pub gateway: Amount,
}

impl Supply {
    /// The sum of the parts; none when it does not fit.
    pub fn sum(&self) -> Option<Amount> {
        [self.balances, self.bonded, self.unbonding, self.escrows, self.rewards, self.gateway]
            .into_iter()
            .try_fold(Amount::ZERO, Amount::checked_add)
    }
}

/// Where the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainRecord {
    /// Height of the block that wrote this.
    pub height: Height,
    /// Its time.
    pub time: Timestamp,
    /// The clock by which windows of shards are measured.
    pub clock: WorkClock,
    /// Randomness of this block, of the one before and of the one before that.
    pub randomness: [Hash; 3],
    /// The epoch of the next block, from 0.
    pub epoch: u64,
    /// Block time at which that epoch started.
    pub epoch_started: Timestamp,
    /// Block time at which the present half of the downtime window started.
    pub duty_since: Timestamp,
    /// Hash of the validator set of the next block.
    pub validators: Hash,
}
