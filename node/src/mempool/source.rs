//! The chain's side of the mempool: candidates for blocks, and what finalized blocks change.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use valo_protocol::{AccountNumber, SignedTransaction, TransactionId, receipt::Invalid};

use super::{Mempool, Rejection, Shared, pool::Dropped, queue::Sender};
use crate::chain::{FinalizedBlock, TransactionSource};

/// How often transactions are looked for that have waited too long.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);
/// Ready transactions that a block has left behind and that are looked at again after it.
const RECHECKED: usize = 256;

/// What happens after blocks, but not after each.
#[derive(Debug)]
pub(super) struct Housekeeping {
    last_expiry: Instant,
    /// Arrivals up to the last block: what is older has had its chance to be in this one.
    arrivals: u64,
}

impl Housekeeping {
    pub(super) fn new(now: Instant) -> Self {
        Self { last_expiry: now, arrivals: 0 }
    }
}

impl TransactionSource for Mempool {
    fn candidates(&self, max_bytes: usize) -> Vec<SignedTransaction> {
        let best = self.shared.pool().best(max_bytes, usize::MAX);
        best.into_iter().map(|transaction| transaction.signed().clone()).collect()
    }

    fn is_empty(&self) -> bool {
        !self.shared.pool().has_ready()
    }

    fn verified(&self, id: &TransactionId, transaction: &SignedTransaction) -> bool {
        self.shared.pool().get(id).is_some_and(|waiting| waiting.is(id, &transaction.signature))
    }

    fn finalized(&self, block: &FinalizedBlock) {
        self.shared.finalized(block, Instant::now());
        self.recheck_early();
    }
}

impl Shared {
    fn finalized(&self, block: &FinalizedBlock, now: Instant) {
        // Only a sender's own transactions take from its balance, so that nobody else's can become impossible.
        let senders = block.block.transactions.iter().map(|signed| signed.transaction.sender);
        let accounts = self.pool().waiting_accounts(senders);
        let touched = self.look_up(accounts);
        let included = block.receipts.iter().map(|receipt| receipt.transaction);
        let (mut dropped, left_behind) = {
            let mut pool = self.pool();
            let dropped = pool.finalized(included, touched);
            self.version.fetch_add(1, Ordering::SeqCst);
            let mut housekeeping = self.housekeeping.lock().unwrap_or_else(PoisonError::into_inner);
            let left_behind = pool.left_behind(housekeeping.arrivals, RECHECKED);
            housekeeping.arrivals = pool.arrivals();
            (dropped, left_behind)
        };
        dropped.extend(self.recheck(&left_behind));
        dropped.extend(self.expire(now));
        {
            let mut outcomes = self.outcomes();
            if outcomes.has_waiters() {
                for receipt in &block.receipts {
                    outcomes.finalized(receipt);
                }
            }
            self.metrics.dropped.inc_by(u64::try_from(dropped.len()).unwrap_or(u64::MAX));
            for (transaction, reason) in dropped {
                outcomes.rejected(transaction.id(), reason, now);
            }
        }
        let pool = self.pool();
        self.metrics.waiting.set(i64::try_from(pool.len()).unwrap_or(i64::MAX));
        self.metrics.waiting_bytes.set(i64::try_from(pool.bytes()).unwrap_or(i64::MAX));
    }

    fn look_up(&self, accounts: Vec<AccountNumber>) -> Vec<(AccountNumber, Sender)> {
        accounts
            .into_iter()
            .filter_map(|account| match self.state.sender(account) {
                Ok(found) => found.map(|found| (account, found.sender)),
                Err(error) => {
                    // The chain reads the same disk and stops the node when it fails for good.
                    tracing::warn!(%account, %error, "could not look up an account after a block");
                    None
                }
            })
            .collect()
    }

    /// Drops the ready transactions that can no longer be in a block: the window of a commit has closed, a price has
    /// risen. They would make blocks due for ever, and hold up those behind them.
    fn recheck(&self, left_behind: &[std::sync::Arc<super::VerifiedTransaction>]) -> Vec<Dropped> {
        let mut dead = Vec::new();
        for transaction in left_behind {
            match self.state.validity(transaction.signed(), transaction.bytes().len()) {
                Ok(Ok(()) | Err(Invalid::NonceGap { .. })) => {}
                Ok(Err(invalid)) => dead.push((transaction.id(), Rejection::Invalid(invalid))),
                Err(error) => tracing::warn!(%error, "could not check a waiting transaction again"),
            }
        }
        if dead.is_empty() {
            return Vec::new();
        }
        let mut pool = self.pool();
        dead.into_iter().filter_map(|(id, reason)| pool.remove(&id).map(|gone| (gone, reason))).collect()
    }

    fn expire(&self, now: Instant) -> Vec<Dropped> {
        {
            let mut housekeeping = self.housekeeping.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_duration_since(housekeeping.last_expiry) < EXPIRY_INTERVAL {
                return Vec::new();
            }
            housekeeping.last_expiry = now;
        }
        self.pool().expire(now)
    }
}
