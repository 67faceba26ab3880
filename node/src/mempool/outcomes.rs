//! What became of transactions: who waits for it, and the reasons of those that were dropped, for a while.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use valo_protocol::{TransactionId, receipt::Receipt};

use super::Rejection;

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is in a finalized block.
    Final(Receipt),
    /// It was refused or dropped.
    Rejected(Rejection),
}

/// Waiters and remembered reasons, both bounded.
#[derive(Debug)]
pub(super) struct Outcomes {
    waiters: HashMap<TransactionId, Vec<oneshot::Sender<Fate>>>,
    waiting: usize,
    max_waiting: usize,
    reasons: HashMap<TransactionId, (Rejection, u64)>,
    /// In the order of time; an entry whose number is not that of the reason is outdated.
    order: VecDeque<(TransactionId, u64, Instant)>,
    max_reasons: usize,
    memory: Duration,
    number: u64,
}

impl Outcomes {
    pub(super) fn new(max_waiting: usize, max_reasons: usize, memory: Duration) -> Self {
        Self {
            waiters: HashMap::new(),
            waiting: 0,
            max_waiting,
            reasons: HashMap::new(),
            order: VecDeque::new(),
            max_reasons,
            memory,
            number: 0,
        }
    }

    /// Waits for the fate of a transaction; none when too many wait already.
    pub(super) fn wait(&mut self, id: TransactionId) -> Option<oneshot::Receiver<Fate>> {
        if self.waiting >= self.max_waiting {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters.entry(id).or_default().push(sender);
        self.waiting = self.waiting.saturating_add(1);
        Some(receiver)
    }

    /// Forgets those who no longer wait for a transaction.
    pub(super) fn forget_waiters(&mut self, id: &TransactionId) {
        let Some(waiters) = self.waiters.get_mut(id) else { return };
        let before = waiters.len();
        waiters.retain(|waiter| !waiter.is_closed());
        self.waiting = self.waiting.saturating_sub(before.saturating_sub(waiters.len()));
        if waiters.is_empty() {
            self.waiters.remove(id);
        }
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Tells those who wait, and remembers nothing: the receipt is on disk.
    pub(super) fn finalized(&mut self, receipt: &Receipt) {
        self.tell(&receipt.transaction, &Fate::Final(receipt.clone()));
    }

    /// Tells those who wait, and remembers the reason.
    pub(super) fn rejected(&mut self, id: TransactionId, reason: Rejection, now: Instant) {
        self.tell(&id, &Fate::Rejected(reason.clone()));
        self.number = self.number.saturating_add(1);
        self.reasons.insert(id, (reason, self.number));
        self.order.push_back((id, self.number, now));
        self.trim(now);
    }

    /// It is waiting again: what was said of it before no longer holds.
    pub(super) fn accepted(&mut self, id: &TransactionId) {
        self.reasons.remove(id);
    }

    /// Why a transaction was refused or dropped.
    pub(super) fn reason(&mut self, id: &TransactionId, now: Instant) -> Option<Rejection> {
        self.trim(now);
        self.reasons.get(id).map(|(reason, _)| reason.clone())
    }

    /// Sends everybody home, and takes nobody in any more.
    pub(super) fn stop(&mut self) {
        self.waiters.clear();
        self.waiting = 0;
        self.max_waiting = 0;
    }

    fn tell(&mut self, id: &TransactionId, fate: &Fate) {
        for waiter in self.waiters.remove(id).unwrap_or_default() {
            self.waiting = self.waiting.saturating_sub(1);
            // Somebody who stopped waiting need not be told.
            let _ = waiter.send(fate.clone());
        }
    }

    fn trim(&mut self, now: Instant) {
        while let Some((id, number, since)) = self.order.front().copied() {
            let outdated = now.saturating_duration_since(since) >= self.memory;
            if !outdated && self.order.len() <= self.max_reasons {
                return;
            }
            self.order.pop_front();
            if self.reasons.get(&id).is_some_and(|(_, present)| *present == number) {
                self.reasons.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> TransactionId {
        TransactionId([byte; 32])
    }

    #[test]
    fn reasons_are_bounded_in_number_and_time() {
        let start = Instant::now();
        let mut outcomes = Outcomes::new(1, 2, Duration::from_secs(10));
        for n in 1..=3 {
            outcomes.rejected(id(n), Rejection::Outbid, start);
        }
        assert_eq!(outcomes.reason(&id(1), start), None);
        assert_eq!(outcomes.reason(&id(2), start), Some(Rejection::Outbid));
        assert_eq!(outcomes.reason(&id(3), start + Duration::from_secs(10)), None);
        assert!(outcomes.order.is_empty());
    }

    #[test]
    fn a_newer_reason_outlives_the_older_and_acceptance_clears_both() {
        let start = Instant::now();
        let mut outcomes = Outcomes::new(1, 10, Duration::from_secs(10));
        outcomes.rejected(id(1), Rejection::Outbid, start);
        outcomes.rejected(id(1), Rejection::Superseded { nonce: 4 }, start + Duration::from_secs(5));
        assert_eq!(outcomes.reason(&id(1), start + Duration::from_secs(12)), Some(Rejection::Superseded { nonce: 4 }));
        outcomes.accepted(&id(1));
        assert_eq!(outcomes.reason(&id(1), start + Duration::from_secs(12)), None);
    }

    #[test]
    fn waiters_are_bounded_and_forgotten() {
        let mut outcomes = Outcomes::new(2, 2, Duration::from_secs(10));
        let first = outcomes.wait(id(1)).unwrap();
        let mut second = outcomes.wait(id(1)).unwrap();
        assert!(outcomes.wait(id(2)).is_none());
        drop(first);
        outcomes.forget_waiters(&id(1));
        assert!(outcomes.wait(id(2)).is_some());
        outcomes.rejected(id(1), Rejection::Outbid, Instant::now());
        assert_eq!(second.try_recv(), Ok(Fate::Rejected(Rejection::Outbid)));
        assert_eq!(outcomes.waiting, 1);
    }
}
