//! The mempool of a simulated node: holds what the finalized state of its node would take, now or later.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use valo::chain::{FinalizedBlock, MemoryDisk, TransactionSource};
use valo_ledger::View;
use valo_protocol::{GenesisHash, SignedTransaction, TransactionId, receipt::Invalid};

/// Transactions in order of sender and nonce. Clones share them.
#[derive(Debug, Clone)]
pub struct Pool {
    genesis: GenesisHash,
    disk: MemoryDisk,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    waiting: BTreeMap<(u64, u64), SignedTransaction>,
    done: BTreeSet<TransactionId>,
}

impl Pool {
    /// An empty pool over the state of a node.
    pub fn new(genesis: GenesisHash, disk: MemoryDisk) -> Self {
        Self { genesis, disk, contents: Arc::default() }
    }

    /// Takes a transaction, unless it is in a block already.
    pub fn add(&self, signed: SignedTransaction) {
        let mut contents = self.contents();
        if !contents.done.contains(&signed.id(&self.genesis)) {
            let place = (signed.transaction.sender.index(), signed.transaction.nonce.0);
            // Of two for one place the first one stays, while it is good.
            let known = contents.waiting.get(&place);
            if known.is_none_or(|known| *known != signed && !is_useful(&self.disk, known)) {
                contents.waiting.insert(place, signed);
            }
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
        }
        // What is too early now is sent again by whoever said it.
        contents.waiting.retain(|_, signed| is_useful(&self.disk, signed));
    }
}

/// Whether a state takes a transaction now, or may when others of its sender came.
pub fn is_useful(disk: &MemoryDisk, signed: &SignedTransaction) -> bool {
    let view = View::new(disk);
    let validity = view.params().and_then(|params| view.validity(&params, signed, signed.to_bytes().len()));
    match validity {
        Ok(Ok(()) | Err(Invalid::NonceGap { .. })) => true,
        Ok(Err(_)) => false,
        Err(error) => panic!("the state does not say whether a transaction is valid: {error}"),
    }
}
