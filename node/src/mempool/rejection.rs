//! Why a transaction is not taken, or will never be in a block.

use std::time::Duration;

use valo_protocol::{
    Amount, TransactionId,
    encoding::DecodeError,
    receipt::{BadEvidence, Invalid},
};

/// Why the mempool refuses a transaction, or dropped one it held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The bytes are no transaction.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The chain would not take it.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It weighs more than fits into a block.
    #[error("the transaction weighs {weight}; a block has room for {max}")]
    TooHeavy {
        /// Its weight.
        weight: u64,
        /// The most that fits.
        max: u64,
    },
    /// The nonce is beyond what is held for one account.
    #[error(
        "nonce {nonce} is too far ahead: the next is {expected}, and at most {limit} transactions of an account wait"
    )]
    TooFarAhead {
        /// Nonce of the transaction.
        nonce: u64,
        /// The next nonce of the account.
        expected: u64,
        /// How many of one account may wait.
        limit: u64,
    },
    /// Another transaction of the account waits under this nonce, and this one does not offer enough to replace it.
    #[error("nonce {nonce} is taken by {present}; to replace it, max_fee must be at least {needed} VALO")]
    NonceTaken {
        /// Nonce of both.
        nonce: u64,
        /// The one that waits.
        present: TransactionId,
        /// The least `max_fee` that replaces it.
        needed: Amount,
    },
    /// A message of the protocol waits under this nonce. Those are never replaced.
    #[error("nonce {nonce} is taken by the protocol message {present}, which cannot be replaced")]
    ProtocolNonce {
        /// Nonce of both.
        nonce: u64,
        /// The one that waits.
        present: TransactionId,
    },
    /// A later transaction with the same nonce, a higher fee or a message of the protocol, took its place.
    #[error("it was replaced by {by}, which has the same nonce")]
    Replaced {
        /// What replaced it.
        by: TransactionId,
    },
    /// Another transaction with the same nonce is final.
    #[error("another transaction with nonce {nonce} of its sender is final")]
    Superseded {
        /// The nonce.
        nonce: u64,
    },
    /// The mempool is full of transactions that pay more.
    #[error("the mempool is full of transactions that offer more; raise max_fee above {above} VALO, or try later")]
    Full {
        /// A transaction of this size and weight has to offer more than this.
        above: Amount,
    },
    /// No more room for messages of the protocol.
    #[error("the mempool holds as many protocol messages as it may; try later")]
    ProtocolFull,
    /// Transactions that pay more took its place.
    #[error("it had to make way for transactions that offer more; raise max_fee, or try later")]
    Outbid,
    /// A transaction before it in the order of nonces never came.
    #[error("it waited {} seconds for nonce {missing}, which did not come", .waited.as_secs())]
    Expired {
        /// The first nonce that is missing.
        missing: u64,
        /// How long it waited.
        waited: Duration,
    },
    /// More arrives than can be verified.
    #[error("the node has more transactions to verify than it can; try again in a second")]
    Busy,
    /// The node's own state could not be read.
    #[error("the node cannot read its state: {0}")]
    State(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl Rejection {
    /// Whether no honest node would have sent these bytes, whatever state it has seen: they count against the peer.
    /// What is merely late, early, cheap or unlucky does not.
    pub fn is_offence(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::Invalid(Invalid::Signature(_) | Invalid::TooLarge { .. } | Invalid::Entries)
        )
    }

    /// Whether it says something about the transaction that its id names, so that everybody who asks for the id
    /// may be told. A wrong signature does not: the id does not cover it.
    pub fn concerns_id(&self) -> bool {
        !matches!(
            self,
            Self::Malformed(_)
                | Self::Invalid(Invalid::Signature(_))
                | Self::Busy
                | Self::State(_)
                | Self::Stopping
                | Self::Full { .. }
                | Self::ProtocolFull
        )
    }

    /// Whether the same transaction may be taken when it is sent again later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Invalid(invalid) => matches!(
                invalid,
                Invalid::NoSender(_)
                    | Invalid::NonceGap { .. }
                    | Invalid::CannotPayFee { .. }
                    | Invalid::FeeTooLow { .. }
                    | Invalid::NotOpen(_)
            ),
            Self::TooFarAhead { .. }
            | Self::Full { .. }
            | Self::ProtocolFull
            | Self::Outbid
            | Self::Expired { .. }
            | Self::Busy
            | Self::State(_)
            | Self::Stopping => true,
            Self::Malformed(_)
            | Self::TooHeavy { .. }
            | Self::NonceTaken { .. }
            | Self::ProtocolNonce { .. }
            | Self::Replaced { .. }
            | Self::Superseded { .. } => false,
        }
    }

    /// Whether the next block may make it good: whoever sent it may be a block ahead of this node.
    pub(super) fn awaits_block(&self) -> bool {
        matches!(
            self,
            Self::Invalid(
                Invalid::NoSender(_)
                    | Invalid::CannotPayFee { .. }
                    | Invalid::NotOpen(_)
                    | Invalid::NotANode(_)
                    | Invalid::NotAbsent
                    | Invalid::BadEvidence(BadEvidence::Early(_))
                    | Invalid::CannotUnjail(_)
                    | Invalid::CannotDrain(_)
            )
        )
    }

    /// A short name that programs can match on.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Invalid(invalid) => match invalid {
                Invalid::NoSender(_) => "noSender",
                Invalid::NonceUsed { .. } => "nonceUsed",
                Invalid::NonceGap { .. } => "nonceGap",
                Invalid::Signature(_) => "signature",
                Invalid::CannotPayFee { .. } => "cannotPayFee",
                Invalid::FeeTooLow { .. } => "feeTooLow",
                Invalid::TooLarge { .. } => "tooLarge",
                Invalid::NotOpen(_) => "notOpen",
                Invalid::NotANode(_) => "notANode",
                Invalid::Entries => "entries",
                Invalid::NotAbsent => "notAbsent",
                Invalid::BadEvidence(_) => "badEvidence",
                Invalid::CannotUnjail(_) => "cannotUnjail",
                Invalid::CannotDrain(_) => "cannotDrain",
            },
            Self::TooHeavy { .. } => "tooHeavy",
            Self::TooFarAhead { .. } => "tooFarAhead",
            Self::NonceTaken { .. } | Self::ProtocolNonce { .. } => "nonceTaken",
            Self::Replaced { .. } => "replaced",
            Self::Superseded { .. } => "superseded",
            Self::Full { .. } | Self::ProtocolFull => "full",
            Self::Outbid => "outbid",
            Self::Expired { .. } => "expired",
            Self::Busy => "busy",
            Self::State(_) => "state",
            Self::Stopping => "stopping",
        }
    }
}
