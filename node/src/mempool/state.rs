//! What the mempool reads of finalized state.

use valo_protocol::{
    AccountNumber, PublicKey, SignedTransaction, TransactionId,
    receipt::{Invalid, Receipt},
};

use super::queue::Sender;

/// Finalized state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

/// The account of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderAccount {
    /// The key that signs for it.
    pub key: PublicKey,
    /// Its nonce and balance.
    pub sender: Sender,
}

/// What a transaction takes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// What its bytes and its weight are worth at the present prices, in units; messages of the protocol do not pay it.
    pub units: u64,
    /// Its weight.
    pub weight: u64,
    /// The most weight that fits into a block for its kind.
    pub max_weight: u64,
}

/// Finalized state as the mempool needs it. Reads must be quick: they are made for each transaction.
pub trait ChainState: Send + Sync + 'static {
    /// The account of a sender; none when there is no such account.
    fn sender(&self, account: AccountNumber) -> Result<Option<SenderAccount>, StateError>;

    /// Whether a transaction of `size` bytes on the wire could be in the next block, signature aside. A nonce that leaves
    /// a gap is answered by [`Invalid::NonceGap`], after everything else was found good.
    fn validity(&self, transaction: &SignedTransaction, size: usize) -> Result<Result<(), Invalid>, StateError>;

    /// What a transaction takes of a block.
    fn cost(&self, transaction: &SignedTransaction, size: usize) -> Result<Cost, StateError>;

    /// The receipt of a final transaction.
    fn receipt(&self, id: &TransactionId) -> Result<Option<Receipt>, StateError>;
}
