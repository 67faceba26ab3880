//! The waiting transactions of one account, by nonce.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::transaction::VerifiedTransaction;

/// What finalized state says about a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The nonce of its next transaction.
    pub nonce: u64,
    /// Its balance in units.
    pub balance: u64,
}

/// A transaction in its queue.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) transaction: Arc<VerifiedTransaction>,
    /// Its place in the order of arrival.
    pub(super) arrival: u64,
    pub(super) since: Instant,
}

/// The waiting transactions of one account.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) sender: Sender,
    pub(super) waiting: BTreeMap<u64, Waiting>,
}

impl Queue {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, waiting: BTreeMap::new() }
    }

    /// The transaction that can be in the next block.
    pub(super) fn head(&self) -> Option<&Waiting> {
        self.waiting.get(&self.sender.nonce)
    }

    /// The transaction with the highest nonce: the one that can go without leaving a gap.
    pub(super) fn last(&self) -> Option<&Waiting> {
        self.waiting.last_key_value().map(|(_, waiting)| waiting)
    }

    /// What all that wait may pay, except for the one under `nonce`. A block debits every `max_fee` before it credits
    /// anything, so the balance has to cover the sum.
    pub(super) fn fees_without(&self, nonce: u64) -> u64 {
        self.waiting
            .iter()
            .filter(|(other, _)| **other != nonce)
            .fold(0, |sum, (_, waiting)| sum.saturating_add(waiting.transaction.max_fee()))
    }

    /// The first nonce that is missing before `nonce`.
    pub(super) fn missing_before(&self, nonce: u64) -> Option<u64> {
        (self.sender.nonce..nonce).find(|earlier| !self.waiting.contains_key(earlier))
    }

    /// The first waiting transaction that the balance does not cover together with those before it, and the sum
    /// that it would take.
    pub(super) fn first_unpayable(&self) -> Option<(u64, u64)> {
        let mut sum = 0u64;
        for (nonce, waiting) in &self.waiting {
            sum = sum.saturating_add(waiting.transaction.max_fee());
            // Messages of the protocol offer nothing and are covered by nothing.
            if sum > self.sender.balance && waiting.transaction.max_fee() > 0 {
                return Some((*nonce, sum));
            }
        }
        None
    }
}
