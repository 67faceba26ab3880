//! The mempool of a simulated node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use valo::chain::{FinalizedBlock, TransactionSource};
use valo_protocol::{GenesisHash, SignedTransaction, TransactionId};

/// Transactions in order of sender and nonce. Clones share them.
#[derive(Debug, Clone)]
pub struct Pool {
    genesis: GenesisHash,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    waiting: BTreeMap<(u64, u64), SignedTransaction>,
    done: BTreeSet<TransactionId>,
}

impl Pool {
    /// An empty pool.
    pub fn new(genesis: GenesisHash) -> Self {
        Self { genesis, contents: Arc::default() }
    }

    /// Takes a transaction, unless it is in a block already.
    pub fn add(&self, signed: SignedTransaction) {
        let mut contents = self.contents();
        if !contents.done.contains(&signed.id(&self.genesis)) {
            let place = (signed.transaction.sender.index(), signed.transaction.nonce.0);
            contents.waiting.insert(place, signed);
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TransactionSource for Pool {
    fn candidates(&self, _max_bytes: usize) -> Vec<SignedTransaction> {
        self.contents().waiting.values().cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.contents().waiting.is_empty()
    }

    // Every node verifies every signature itself.
    fn verified(&self, _id: &TransactionId, _transaction: &SignedTransaction) -> bool {
        false
    }

    fn finalized(&self, block: &FinalizedBlock) {
        let mut contents = self.contents();
        for signed in &block.block.transactions {
            contents.done.insert(signed.id(&self.genesis));
            contents.waiting.remove(&(signed.transaction.sender.index(), signed.transaction.nonce.0));
        }
    }
}
