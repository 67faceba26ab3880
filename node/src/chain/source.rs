//! Where transactions for blocks come from: the mempool implements this.

use crate::chain::FinalizedBlock;
use valo_protocol::{SignedTransaction, TransactionId};

/// A source of transactions. Called from the chain's thread, which waits for the answer: it must be quick.
pub trait TransactionSource: std::fmt::Debug + Send + Sync + 'static {
    /// Transactions for a block in the order of preference, nonces of a sender in order, of about `max_bytes`
    /// in all. They stay in the source until [`TransactionSource::finalized`] takes them out.
    fn candidates(&self, max_bytes: usize) -> Vec<SignedTransaction>;

    /// Whether anything waits to be in a block: then one is due.
    fn is_empty(&self) -> bool;

    /// Whether the signature of a transaction has been verified already. The id covers all but the signature, so
    /// this compares the signature too.
    fn verified(&self, id: &TransactionId, transaction: &SignedTransaction) -> bool;

    /// Told of every finalized block after it is on disk.
    fn finalized(&self, block: &FinalizedBlock);
}

/// A source without transactions.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTransactions;

impl TransactionSource for NoTransactions {
    fn candidates(&self, _max_bytes: usize) -> Vec<SignedTransaction> {
        Vec::new()
    }

    fn is_empty(&self) -> bool {
        true
    }

    fn verified(&self, _id: &TransactionId, _transaction: &SignedTransaction) -> bool {
        false
    }

    fn finalized(&self, _block: &FinalizedBlock) {}
}
