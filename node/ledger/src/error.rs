//! What can go wrong: with a block ([`BlockError`]), or with this node's state and software ([`LedgerError`]).

use crate::store::StoreError;
use valo_protocol::{
    Amount, Hash, PublicKey,
    encoding::DecodeError,
    genesis::GenesisError,
    hash::{BlockId, GenesisHash},
    receipt::{BadEvidence, Invalid},
    time::{Height, Timestamp},
    validator::ValidatorSetError,
    vote::CertificateError,
    vrf::VrfError,
};

/// The state could not be read, does not hold together, or a rule that always holds was broken: a node
/// that meets this stops and says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not what it should be.
    #[error("the state is damaged: {0}; restore the data folder from another node")]
    Decode(#[from] DecodeError),
    /// Rows do not fit together.
    #[error("the state is damaged: {what}: {reason}; restore the data folder from another node")]
    Corrupt {
        /// Table or value.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No state at all.
    #[error("the store is empty; write the genesis state first")]
    Empty,
    /// The state of another chain.
    #[error("the state is of the chain with genesis {found}, not {expected}")]
    OtherChain {
        /// The chain that was asked for.
        expected: GenesisHash,
        /// The chain whose state is stored.
        found: GenesisHash,
    },
    /// Rows do not give the root that was recorded with them.
    #[error("the state after block {height} gives the root {found}, not {expected}; restore it from another node")]
    Root {
        /// Height of the head.
        height: Height,
        /// The recorded root.
        expected: Hash,
        /// The root over the rows.
        found: Hash,
    },
    /// The genesis document is not usable.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Money was made or lost: a bug.
    #[error(
        "after block {height} accounts, stakes, escrows and pools hold {found} VALO of a supply of {expected} VALO"
    )]
    Supply {
        /// Height of the block.
        height: Height,
        /// The supply.
        expected: Amount,
        /// The sum of all parts.
        found: Amount,
    },
    /// A sum left its bounds: a bug, since the supply bounds all sums.
    #[error("{0} left the bounds of its arithmetic")]
    Overflow(&'static str),
    /// A block that breaks the rules was to be executed.
    #[error("block {height} cannot be executed: {reason}")]
    Block {
        /// Height of the block.
        height: Height,
        /// Which rule.
        reason: Box<BlockError>,
    },
    /// Effects of another state were to be committed.
    #[error("effects of height {found} cannot be committed on height {head}")]
    OutOfOrder {
        /// Height of the head.
        head: Height,
        /// Height of the effects.
        found: Height,
    },
    /// No set can be made of the validators.
    #[error(transparent)]
    Validators(#[from] ValidatorSetError),
}

impl LedgerError {
    pub(crate) fn corrupt(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Corrupt { what, reason: reason.into() }
    }
}

/// Why a block is not acceptable as the next one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Of another version of the rules.
    #[error("the block is of version {0} of the rules; this node follows version 1")]
    Version(u8),
    /// Not the next height.
    #[error("the block is of height {found}, not {expected}")]
    Height {
        /// The next height.
        expected: Height,
        /// The block's.
        found: Height,
    },
    /// Another parent.
    #[error("the block's parent is {found}, not {expected}")]
    Parent {
        /// The head.
        expected: BlockId,
        /// The block's parent.
        found: BlockId,
    },
    /// Not later than its parent.
    #[error("the block's time {found} is not later than its parent's, {parent}")]
    Time {
        /// The parent's time.
        parent: Timestamp,
        /// The block's time.
        found: Timestamp,
    },
    /// Not the proposer's turn.
    #[error("{found} is not the proposer of this height and round; {expected:?} is")]
    Proposer {
        /// Whose turn it was.
        expected: Option<PublicKey>,
        /// Who proposed.
        found: PublicKey,
    },
    /// The proof of randomness is none.
    #[error(transparent)]
    Randomness(#[from] VrfError),
    /// The header's hashes are not those of the contents.
    #[error("the header's hashes are not those of the block's contents")]
    Contents,
    /// The parent's certificate is missing, for another block, or of strangers.
    #[error("the parent's certificate in the block does not fit: {0}")]
    LastCommit(String),
    /// The parent's certificate does not verify.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Evidence that proves nothing, or nothing any more.
    #[error("the block's evidence is not acceptable: {0}")]
    Evidence(BadEvidence),
    /// Another state.
    #[error("the header carries the state root {found}; the state after the parent has {expected}")]
    State {
        /// The root after the parent.
        expected: Hash,
        /// The header's.
        found: Hash,
    },
    /// A wrong next validator set, or one at the wrong time.
    #[error("the header names the next validators {found:?}, not {expected:?}")]
    NextValidators {
        /// What it should name.
        expected: Option<Hash>,
        /// What it names.
        found: Option<Hash>,
    },
    /// More bytes or weight than a block may have.
    #[error("the {kind} of the block's transactions is more than the {limit} allowed")]
    Limit {
        /// What there is too much of.
        kind: &'static str,
        /// The most allowed.
        limit: u64,
    },
    /// A transaction that is not valid at its place.
    #[error("transaction {index} is not valid: {reason}")]
    Transaction {
        /// Its place, from 0.
        index: u32,
        /// Why.
        reason: Invalid,
    },
    /// Not the block's fault: the state could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl BlockError {
    /// Whether this says nothing about the block: this node failed to judge it.
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

impl From<StoreError> for BlockError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}
