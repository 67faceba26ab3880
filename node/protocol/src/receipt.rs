//! Receipts: what became of each transaction of a block, with a typed reason when it failed.

use crate::{
    AccountNumber, Amount,
    hash::TransactionId,
    job::{ContractError, JobId, ShardKey, WRONG_ANSWER},
    keys::PublicKey,
    registry::{MAX_UNBONDING, NodeId, NodeState, TierId, TierName},
    time::{Height, Timestamp},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// What became of a transaction in a finalized block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// The transaction.
    pub transaction: TransactionId,
    /// The block.
    pub height: Height,
    /// Its place in the block, from 0.
    pub index: u32,
    /// What it paid.
    pub fee: Amount,
    /// Whether the action took effect.
    pub outcome: Outcome,
}

/// Whether an action took effect.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// It did.
    Done(Made),
    /// It changed nothing but the fee and the nonce.
    Failed(Reason),
}

/// What an action made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Made {
    /// Nothing with a number of its own.
    Nothing,
    /// An account.
    Account(AccountNumber),
    /// A job.
    Job(JobId),
    /// The job that the same `client_id` made before.
    ExistingJob(JobId),
    /// A node.
    Node(NodeId),
}

/// Why an action failed although its transaction was valid.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Reason {
    /// Not enough money for the amount (the fee was already set aside).
    #[error("the balance of {available} VALO does not cover {needed} VALO and the minimum balance of {minimum} VALO")]
    InsufficientBalance {
        /// What the account has.
        available: Amount,
        /// What the action takes.
        needed: Amount,
        /// What must stay on an account.
        minimum: Amount,
    },
    /// The fee needed is more than the sender allowed.
    #[error("the fee of {needed} VALO is more than the {allowed} VALO allowed; raise max_fee")]
    FeeTooLow {
        /// What it would cost.
        needed: Amount,
        /// What the sender allowed.
        allowed: Amount,
    },
    /// No such account.
    #[error("there is no account {0}")]
    NoAccount(AccountNumber),
    /// The amount would leave the new account below the minimum balance.
    #[error("a new account takes at least {0} VALO")]
    BelowMinimum(Amount),
    /// A key that nobody can sign with.
    #[error("the key is not a usable ed25519 public key")]
    UnusableKey,
    /// No such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// The job is not the sender's.
    #[error("job {0} belongs to another account")]
    NotYourJob(JobId),
    /// The job is closed or already accepted.
    #[error("job {0} is already over")]
    JobOver(JobId),
    /// The contract breaks a rule that holds always.
    #[error("the contract is not valid: {0}")]
    Contract(String),
    /// No tier of that name.
    #[error("there is no tier `{0}`")]
    NoTier(#[cfg_attr(feature = "schema", schema(inline))] TierName),
    /// The tier runs something else.
    #[error("tier `{0}` does not run this kind of program")]
    WrongRuntime(#[cfg_attr(feature = "schema", schema(inline))] TierName),
    /// A slot of the tier has less memory than the stage asks for.
    #[error("a slot of tier `{tier}` has {available} bytes of memory, not {needed}")]
    TierTooSmall {
        /// The tier.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        tier: TierName,
        /// Memory of a slot in bytes.
        available: u64,
        /// Memory asked for in bytes.
        needed: u64,
    },
    /// The tier has too few different owners for the replicas.
    #[error("tier `{tier}` has {available} independent workers; {needed} replicas are asked for")]
    TooFewWorkers {
        /// The tier.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        tier: TierName,
        /// Independent workers there are.
        available: u32,
        /// Replicas asked for.
        needed: u32,
    },
    /// The deadline is over, or beyond what the chain allows.
    #[error("the deadline {deadline} is not between now ({now}) and the longest time a job may take")]
    Deadline {
        /// The deadline, block time in milliseconds.
        deadline: Timestamp,
        /// Block time.
        now: Timestamp,
    },
    /// The budget does not cover the job at its limits.
    #[error("the budget of {budget} VALO does not cover one shard of each stage at its limit, {needed} VALO")]
    BudgetTooSmall {
        /// The budget.
        budget: Amount,
        /// The least it takes.
        needed: Amount,
    },
    /// A shard could cost more than the stake behind a slot answers for.
    #[error(
        "a shard of stage `{stage}` may cost {price} VALO; {WRONG_ANSWER} times that is more than the stake of {stake} VALO behind a slot: lower its fuel"
    )]
    ShardTooDear {
        /// Name of the stage.
        stage: String,
        /// Price of a shard at its limit.
        price: Amount,
        /// Stake behind a slot.
        stake: Amount,
    },
    /// The sender is not a registered worker.
    #[error("account {0} is not a node")]
    NotANode(AccountNumber),
    /// Nothing to commit, reveal or abstain from there.
    #[error("nothing is open for this node at shard {0}")]
    NotOpen(ShardKey),
    /// The revealed answer is not the one committed to.
    #[error("the answer revealed for shard {0} is not the one committed to")]
    CommitmentMismatch(ShardKey),
    /// The sender's account is not in the state the action is for.
    #[error("the node has nothing to come back from: it is neither absent nor joining")]
    NotAbsent,
    /// There are too many open jobs or accounts.
    #[error("the chain is full: {0}")]
    Full(String),
    /// No such node.
    #[error("there is no node {0}")]
    NoNode(NodeId),
    /// The node is not the sender's.
    #[error("node {0} belongs to another account")]
    NotYourNode(NodeId),
    /// The key is registered already.
    #[error("the key is node {0} already")]
    AlreadyANode(NodeId),
    /// The owner did not sign the grant.
    #[error("the grant is not signed by the key of account {0}, or not for this chain")]
    GrantSignature(AccountNumber),
    /// The grant permits nothing any more.
    #[error("the grant expired at {expired}; block time is {now}")]
    GrantExpired {
        /// When it expired, block time in milliseconds.
        expired: Timestamp,
        /// Block time.
        now: Timestamp,
    },
    /// No tier with that number.
    #[error("there is no tier number {0}")]
    NoTierNumber(TierId),
    /// The tier is closed to the owner.
    #[error("tier {tier} does not admit nodes of account {owner}")]
    NotAdmitted {
        /// The tier.
        tier: TierId,
        /// The owner.
        owner: AccountNumber,
    },
    /// A worker without slots, or slots for a validator.
    #[error("a worker takes at least one slot, and only a worker has slots")]
    Slots,
    /// Fewer slots than have work.
    #[error("{busy} slots of the node have work; wait for it, or drain the node")]
    SlotsBusy {
        /// Slots that have a shard.
        busy: u16,
    },
    /// Less stake than the node answers with.
    #[error("a stake of {stake} VALO is less than the {needed} VALO that this node takes")]
    StakeTooLow {
        /// What there would be.
        stake: Amount,
        /// What it takes.
        needed: Amount,
    },
    /// More than can be unbonded.
    #[error("{available} VALO of the node's stake can be unbonded; the rest answers for its work")]
    StakeInUse {
        /// What can be.
        available: Amount,
    },
    /// More than is unbonding.
    #[error("{available} VALO of the node's stake are unbonding")]
    NotUnbonding {
        /// What is.
        available: Amount,
    },
    /// Too many parts of a stake are unbonding.
    #[error("{MAX_UNBONDING} parts of the stake are unbonding already; wait until one is paid")]
    TooManyUnbondings,
    /// An amount of nothing.
    #[error("the amount is zero")]
    NoAmount,
    /// The node's state does not allow it.
    #[error("the node is {0}")]
    NodeIs(NodeState),
    /// The node is jailed for some time yet.
    #[error("the node is jailed until {until}; block time is {now}")]
    JailedUntil {
        /// When it may ask, block time in milliseconds.
        until: Timestamp,
        /// Block time.
        now: Timestamp,
    },
    /// Nobody would be left to make blocks.
    #[error("it is the last validator; the chain needs one")]
    LastValidator,
    /// Evidence that proves nothing any more.
    #[error("the evidence is not taken: {0}")]
    BadEvidence(BadEvidence),
    /// Those that are alive would not be enough to make blocks.
    #[error(
        "the validators that are alive would hold {alive} of a power of {total}, no more than two thirds; blocks would stop"
    )]
    QuorumAtRisk {
        /// Power of those that are alive.
        alive: u64,
        /// Power of all.
        total: u64,
    },
}

/// Why evidence of a fault is not taken.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum BadEvidence {
    /// Not two different statements of one signer for one place, or not signed.
    #[error("it does not prove that one validator signed two different things in one place")]
    NoProof,
    /// Whoever signed it is not there, or no validator.
    #[error("{0} is no registered validator")]
    NoValidator(PublicKey),
    /// It has been punished for it.
    #[error("{0} is tombstoned already")]
    AlreadyPunished(PublicKey),
    /// Of a block that is not there yet.
    #[error("height {0} is not reached yet")]
    Early(Height),
    /// Stake that answered for it then has been paid.
    #[error("height {0} is longer ago than the unbonding time")]
    Late(Height),
    /// A second proof against one validator in a block.
    #[error("{0} is accused twice in the block")]
    Twice(PublicKey),
}

impl From<ContractError> for Reason {
    fn from(error: ContractError) -> Self {
        Self::Contract(error.to_string())
    }
}

/// Why a transaction is not valid at all: it is never in a block, and costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Invalid {
    /// No such sender.
    #[error("there is no account {0}")]
    NoSender(AccountNumber),
    /// The nonce is used already.
    #[error("nonce {nonce} is used already; the next is {expected}")]
    NonceUsed {
        /// Nonce of the transaction.
        nonce: u64,
        /// The next nonce of the account.
        expected: u64,
    },
    /// The nonce leaves a gap.
    #[error("nonce {nonce} leaves a gap; the next is {expected}")]
    NonceGap {
        /// Nonce of the transaction.
        nonce: u64,
        /// The next nonce of the account.
        expected: u64,
    },
    /// The signature is not by the sender's key for this chain.
    #[error("the signature is not by the key of account {0}, or not for this chain")]
    Signature(AccountNumber),
    /// The balance does not cover the fee it allows.
    #[error("the balance of {available} VALO does not cover the fee of up to {needed} VALO")]
    CannotPayFee {
        /// What the account has.
        available: Amount,
        /// The fee it allows.
        needed: Amount,
    },
    /// `max_fee` is below what the bytes and the weight of the transaction cost.
    #[error("max_fee of {allowed} VALO is below the {needed} VALO that this transaction costs")]
    FeeTooLow {
        /// The fee it allows.
        allowed: Amount,
        /// The fee it takes.
        needed: Amount,
    },
    /// More bytes than allowed.
    #[error("the transaction takes {size} bytes; at most {max} are allowed")]
    TooLarge {
        /// Its length.
        size: u64,
        /// The most bytes.
        max: u64,
    },
    /// A message of the protocol for which nothing is open.
    #[error("nothing is open for this node at shard {0}")]
    NotOpen(ShardKey),
    /// A message of the protocol from an account that is no node.
    #[error("account {0} is not a node")]
    NotANode(AccountNumber),
    /// A message of the protocol without entries, or with one twice.
    #[error("the message has no entry, or one twice")]
    Entries,
    /// A return of a node that is neither absent nor joining.
    #[error("the node has nothing to come back from: it is neither absent nor joining")]
    NotAbsent,
    /// Evidence that proves nothing.
    #[error("the evidence is not taken: {0}")]
    BadEvidence(BadEvidence),
    /// A node that asks to be let in again and is not jailed, or not long enough.
    #[error("the node cannot be let in again: {0}")]
    CannotUnjail(Box<Reason>),
    /// A node that leaves already, or that must not leave.
    #[error("the node cannot drain: {0}")]
    CannotDrain(Box<Reason>),
}
