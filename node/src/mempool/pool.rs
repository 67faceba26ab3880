//! Which transactions wait, and in which order they go: a data structure without I/O, clock or threads.
//!
//! - Each account has a queue by nonce. The transaction with the account's next nonce is *ready*; later
//!   ones wait behind it, within `per_account`.
//! - Blocks take messages of the protocol first, then what offers most for what it takes ([`rate`]); equals in
//!   the order of arrival.
//! - A transaction replaces another with the same nonce if its `max_fee` is at least an eighth higher (and one unit).
//!   Messages of the protocol are not replaced.
//! - When it is full, the cheapest transaction's account loses its last one, as long as the newcomer offers more
//!   than the cheapest. Messages of the protocol push others out, up to a quarter of the bounds, and are never
//!   pushed out: what is open on chain bounds them.
//! - Nothing leaves without a [`Rejection`], except into a block.
//!
//! [`rate`]: super::transaction::rate

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use valo_protocol::{AccountNumber, Amount, TransactionId, receipt::Invalid};

use super::{
    Rejection,
    limits::Limits,
    queue::{Queue, Sender, Waiting},
    transaction::VerifiedTransaction,
};

/// No transaction takes fewer bytes.
const SMALLEST: usize = 72;
/// How many that do not fit are passed over before a block counts as full.
const MAX_PASSED_OVER: usize = 256;

/// A transaction that left, and why.
pub type Dropped = (Arc<VerifiedTransaction>, Rejection);

/// What came of adding a transaction.
#[derive(Debug)]
pub struct Added {
    /// Whether it could be in the next block.
    pub ready: bool,
    /// What had to go for it.
    pub dropped: Vec<Dropped>,
}

/// The order of blocks: least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    market: bool,
    rate: Reverse<u64>,
    arrival: u64,
    account: AccountNumber,
    nonce: u64,
}

/// The order of leaving: least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cheapness {
    rate: u64,
    arrival: Reverse<u64>,
    account: AccountNumber,
}

/// The waiting transactions. See the module.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    queues: HashMap<AccountNumber, Queue>,
    ids: HashMap<TransactionId, (AccountNumber, u64)>,
    /// Heads of queues that could be in the next block.
    ready: BTreeSet<Rank>,
    /// All but messages of the protocol.
    cheapest: BTreeSet<Cheapness>,
    bytes: usize,
    protocol: usize,
    protocol_bytes: usize,
    arrivals: u64,
}

fn rank(waiting: &Waiting) -> Rank {
    Rank {
        market: !waiting.transaction.is_protocol_message(),
        rate: Reverse(waiting.transaction.rate()),
        arrival: waiting.arrival,
        account: waiting.transaction.sender(),
        nonce: waiting.transaction.nonce(),
    }
}

fn cheapness(waiting: &Waiting) -> Cheapness {
    Cheapness {
        rate: waiting.transaction.rate(),
        arrival: Reverse(waiting.arrival),
        account: waiting.transaction.sender(),
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            queues: HashMap::new(),
            ids: HashMap::new(),
            ready: BTreeSet::new(),
            cheapest: BTreeSet::new(),
            bytes: 0,
            protocol: 0,
            protocol_bytes: 0,
            arrivals: 0,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes on the wire of all that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether any could be in the next block.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The waiting transaction of an id.
    pub fn get(&self, id: &TransactionId) -> Option<&Arc<VerifiedTransaction>> {
        let (account, nonce) = self.ids.get(id)?;
        Some(&self.queues.get(account)?.waiting.get(nonce)?.transaction)
    }

    /// Whether the transaction of an id waits.
    pub fn contains(&self, id: &TransactionId) -> bool {
        self.ids.contains_key(id)
    }

    /// The nonce after the last of an account that waits without a gap; none when nothing of the account waits.
    pub fn next_nonce(&self, account: AccountNumber) -> Option<u64> {
        let queue = self.queues.get(&account)?;
        let mut next = queue.sender.nonce;
        while queue.waiting.contains_key(&next) {
            next = next.saturating_add(1);
        }
        Some(next)
    }

    /// Takes a transaction, given what finalized state says about its sender. One that already waits is taken again
    /// without effect.
    pub fn add(
        &mut self,
        transaction: Arc<VerifiedTransaction>,
        sender: Sender,
        now: Instant,
    ) -> Result<Added, Rejection> {
        let (account, nonce) = (transaction.sender(), transaction.nonce());
        if self.ids.contains_key(&transaction.id()) {
            return Ok(Added { ready: false, dropped: Vec::new() });
        }
        // The pool may have seen a later block than whoever looked the sender up.
        let sender = match self.queues.get(&account) {
            Some(queue) if queue.sender.nonce > sender.nonce => queue.sender,
            _ => sender,
        };
        if nonce < sender.nonce {
            return Err(Invalid::NonceUsed { nonce, expected: sender.nonce }.into());
        }
        if nonce.saturating_sub(sender.nonce) >= self.limits.per_account {
            let limit = self.limits.per_account;
            return Err(Rejection::TooFarAhead { nonce, expected: sender.nonce, limit });
        }
        self.check_replacement(&transaction)?;
        self.check_payable(&transaction, sender)?;
        let mut dropped = self.refresh(account, sender);
        dropped.extend(self.make_room(&transaction)?);
        dropped.extend(self.insert(transaction, sender, now));
        let ready = self.queues.get(&account).is_some_and(|queue| queue.missing_before(nonce).is_none());
        Ok(Added { ready, dropped })
    }

    /// Refuses a transaction under a taken nonce that does not offer enough.
    fn check_replacement(&self, transaction: &VerifiedTransaction) -> Result<(), Rejection> {
        let nonce = transaction.nonce();
        let queue = self.queues.get(&transaction.sender());
        let Some(present) = queue.and_then(|queue| queue.waiting.get(&nonce)) else { return Ok(()) };
        let present = &present.transaction;
        if present.is_protocol_message() {
            return Err(Rejection::ProtocolNonce { nonce, present: present.id() });
        }
        let needed = present.max_fee().saturating_add((present.max_fee() / 8).max(1));
        if transaction.max_fee() < needed && !transaction.is_protocol_message() {
            return Err(Rejection::NonceTaken { nonce, present: present.id(), needed: Amount::from_units(needed) });
        }
        Ok(())
    }

    /// Refuses a transaction whose sender cannot pay it beside all that already wait.
    fn check_payable(&self, transaction: &VerifiedTransaction, sender: Sender) -> Result<(), Rejection> {
        if transaction.max_fee() == 0 {
            return Ok(());
        }
        let others = self.queues.get(&transaction.sender()).map_or(0, |queue| queue.fees_without(transaction.nonce()));
        let needed = others.saturating_add(transaction.max_fee());
        if needed > sender.balance {
            return Err(Invalid::CannotPayFee {
                available: Amount::from_units(sender.balance),
                needed: Amount::from_units(needed),
            }
            .into());
        }
        Ok(())
    }

    /// Drops what is cheaper than the newcomer until it fits, or says that it does not.
    fn make_room(&mut self, newcomer: &VerifiedTransaction) -> Result<Vec<Dropped>, Rejection> {
        let size = newcomer.bytes().len();
        let replaced = self
            .queues
            .get(&newcomer.sender())
            .and_then(|queue| queue.waiting.get(&newcomer.nonce()))
            .map_or((0, 0), |present| (1, present.transaction.bytes().len()));
        let protocol = newcomer.is_protocol_message();
        if protocol
            && (self.protocol >= Limits::protocol_share(self.limits.transactions)
                || self.protocol_bytes.saturating_add(size) > Limits::protocol_share(self.limits.bytes))
        {
            return Err(Rejection::ProtocolFull);
        }
        // What would have to go is chosen first, so that a refusal changes nothing.
        let mut leaving: Vec<(AccountNumber, u64)> = Vec::new();
        let mut taken: HashMap<AccountNumber, usize> = HashMap::new();
        let mut count = self.ids.len().saturating_sub(replaced.0).saturating_add(1);
        let mut bytes = self.bytes.saturating_sub(replaced.1).saturating_add(size);
        let mut cheap = self.cheapest.iter();
        while count > self.limits.transactions || bytes > self.limits.bytes {
            let full = |above: u64| Rejection::Full { above: fee_at(newcomer, above) };
            let Some(candidate) = cheap.next() else {
                return Err(if protocol { Rejection::ProtocolFull } else { full(newcomer.rate()) });
            };
            if !protocol && candidate.rate >= newcomer.rate() {
                return Err(full(candidate.rate));
            }
            // An account that has the newcomer's own nonce in its way would lose what the newcomer waits for.
            if candidate.account == newcomer.sender() {
                continue;
            }
            let skip = taken.entry(candidate.account).or_default();
            let queue = self.queues.get(&candidate.account);
            let last = queue.and_then(|queue| queue.waiting.iter().rev().nth(*skip));
            let Some((nonce, last)) = last else { continue };
            *skip = skip.saturating_add(1);
            if last.transaction.is_protocol_message() {
                continue;
            }
            leaving.push((candidate.account, *nonce));
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(last.transaction.bytes().len());
        }
        Ok(leaving
            .into_iter()
            .filter_map(|(account, nonce)| self.take(account, nonce))
            .map(|transaction| (transaction, Rejection::Outbid))
            .collect())
    }

    fn insert(&mut self, transaction: Arc<VerifiedTransaction>, sender: Sender, now: Instant) -> Option<Dropped> {
        let (account, nonce, id) = (transaction.sender(), transaction.nonce(), transaction.id());
        let replaced = self.take(account, nonce).map(|replaced| (replaced, Rejection::Replaced { by: id }));
        self.arrivals = self.arrivals.saturating_add(1);
        let waiting = Waiting { transaction, arrival: self.arrivals, since: now };
        let size = waiting.transaction.bytes().len();
        self.bytes = self.bytes.saturating_add(size);
        if waiting.transaction.is_protocol_message() {
            self.protocol = self.protocol.saturating_add(1);
            self.protocol_bytes = self.protocol_bytes.saturating_add(size);
        } else {
            self.cheapest.insert(cheapness(&waiting));
        }
        self.ids.insert(id, (account, nonce));
        let queue = self.queues.entry(account).or_insert_with(|| Queue::new(sender));
        if queue.sender.nonce == nonce {
            self.ready.insert(rank(&waiting));
        }
        queue.waiting.insert(nonce, waiting);
        replaced
    }

    /// Takes one out, and the queue with it when it was the last.
    fn take(&mut self, account: AccountNumber, nonce: u64) -> Option<Arc<VerifiedTransaction>> {
        let queue = self.queues.get_mut(&account)?;
        let waiting = queue.waiting.remove(&nonce)?;
        if queue.waiting.is_empty() {
            self.queues.remove(&account);
        }
        self.ready.remove(&rank(&waiting));
        let size = waiting.transaction.bytes().len();
        self.bytes = self.bytes.saturating_sub(size);
        if waiting.transaction.is_protocol_message() {
            self.protocol = self.protocol.saturating_sub(1);
            self.protocol_bytes = self.protocol_bytes.saturating_sub(size);
        } else {
            self.cheapest.remove(&cheapness(&waiting));
        }
        self.ids.remove(&waiting.transaction.id());
        Some(waiting.transaction)
    }

    /// Drops one for a reason of the caller's. Those behind it wait for its nonce again.
    pub fn remove(&mut self, id: &TransactionId) -> Option<Arc<VerifiedTransaction>> {
        let (account, nonce) = *self.ids.get(id)?;
        self.take(account, nonce)
    }

    /// Takes over what finalized state says about an account. Drops what that makes impossible: used nonces, and what
    /// the balance no longer covers with everything behind it.
    fn refresh(&mut self, account: AccountNumber, sender: Sender) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        let Some(queue) = self.queues.get_mut(&account) else { return dropped };
        if queue.sender == sender {
            return dropped;
        }
        if let Some(head) = queue.head() {
            self.ready.remove(&rank(head));
        }
        queue.sender = sender;
        let used: Vec<u64> = queue.waiting.range(..sender.nonce).map(|(nonce, _)| *nonce).collect();
        for nonce in used {
            dropped.extend(self.take(account, nonce).map(|gone| (gone, Rejection::Superseded { nonce })));
        }
        if let Some((first, needed)) = self.queues.get(&account).and_then(Queue::first_unpayable) {
            let reason = Invalid::CannotPayFee {
                available: Amount::from_units(sender.balance),
                needed: Amount::from_units(needed),
            };
            let queue = self.queues.get(&account);
            let nonces: Vec<u64> =
                queue.map(|queue| queue.waiting.range(first..).map(|(nonce, _)| *nonce).collect()).unwrap_or_default();
            for nonce in nonces {
                dropped.extend(self.take(account, nonce).map(|gone| (gone, reason.clone().into())));
            }
        }
        if let Some(head) = self.queues.get(&account).and_then(Queue::head) {
            self.ready.insert(rank(head));
        }
        dropped
    }

    /// After a block: takes out what is final, and revalidates the accounts that the block touched.
    pub fn finalized(
        &mut self,
        included: impl IntoIterator<Item = TransactionId>,
        touched: impl IntoIterator<Item = (AccountNumber, Sender)>,
    ) -> Vec<Dropped> {
        for id in included {
            self.remove(&id);
        }
        touched.into_iter().flat_map(|(account, sender)| self.refresh(account, sender)).collect()
    }

    /// The accounts among these that have something waiting.
    pub fn waiting_accounts(&self, accounts: impl IntoIterator<Item = AccountNumber>) -> Vec<AccountNumber> {
        let distinct: HashSet<AccountNumber> =
            accounts.into_iter().filter(|account| self.queues.contains_key(account)).collect();
        distinct.into_iter().collect()
    }

    /// Drops what has waited too long for an earlier nonce.
    pub fn expire(&mut self, now: Instant) -> Vec<Dropped> {
        let mut late: Vec<(AccountNumber, u64, Rejection)> = Vec::new();
        for (account, queue) in &self.queues {
            // The first gap holds back everything after it.
            let Some(missing) = queue.last().and_then(|last| queue.missing_before(last.transaction.nonce())) else {
                continue;
            };
            for (nonce, waiting) in queue.waiting.range(missing..) {
                let waited = now.saturating_duration_since(waiting.since);
                if waited >= self.limits.gap_lifetime {
                    late.push((*account, *nonce, Rejection::Expired { missing, waited }));
                }
            }
        }
        late.into_iter()
            .filter_map(|(account, nonce, reason)| self.take(account, nonce).map(|gone| (gone, reason)))
            .collect()
    }

    /// The first transactions in the order of blocks that are ready and arrived up to the `before`-th arrival (see
    /// [`Pool::arrivals`]). After a block with room for them they are likely dead.
    pub fn left_behind(&self, before: u64, limit: usize) -> Vec<Arc<VerifiedTransaction>> {
        self.ready
            .iter()
            .take(limit.saturating_mul(4))
            .filter(|rank| rank.arrival <= before)
            .take(limit)
            .filter_map(|rank| self.at(rank))
            .collect()
    }

    /// How many have ever arrived.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    fn at(&self, rank: &Rank) -> Option<Arc<VerifiedTransaction>> {
        let waiting = self.queues.get(&rank.account)?.waiting.get(&rank.nonce)?;
        Some(waiting.transaction.clone())
    }

    /// Transactions in the order of blocks: best first, nonces of an account in order, at most `max_bytes` and
    /// `max_count`. Messages of the protocol come first.
    pub fn best(&self, max_bytes: usize, max_count: usize) -> Vec<Arc<VerifiedTransaction>> {
        let mut chosen = Vec::new();
        let mut room = max_bytes;
        let mut passed_over = 0usize;
        let mut heads = self.ready.iter().copied().peekable();
        // Those whose turn came when the one before them was chosen.
        let mut successors: BinaryHeap<Reverse<Rank>> = BinaryHeap::new();
        loop {
            let next = match (heads.peek(), successors.peek()) {
                (Some(head), Some(Reverse(successor))) if successor < head => {
                    successors.pop().map(|Reverse(rank)| rank)
                }
                (Some(_), _) => heads.next(),
                (None, _) => successors.pop().map(|Reverse(rank)| rank),
            };
            let Some(next) = next.filter(|_| chosen.len() < max_count) else { return chosen };
            let Some(queue) = self.queues.get(&next.account) else { continue };
            let Some(waiting) = queue.waiting.get(&next.nonce) else { continue };
            let size = waiting.transaction.bytes().len();
            let Some(rest) = room.checked_sub(size) else {
                // What does not fit holds back its account; smaller ones of others may still fit.
                passed_over = passed_over.saturating_add(1);
                if room < SMALLEST || passed_over > MAX_PASSED_OVER {
                    return chosen;
                }
                continue;
            };
            room = rest;
            chosen.push(waiting.transaction.clone());
            if let Some(successor) = queue.waiting.get(&next.nonce.saturating_add(1)) {
                successors.push(Reverse(rank(successor)));
            }
        }
    }
}

/// What a transaction would have to offer, in units, to reach a rate that another has.
fn fee_at(transaction: &VerifiedTransaction, rate: u64) -> Amount {
    let units = u128::from(transaction.max_fee())
        .saturating_mul(u128::from(rate))
        .checked_div(u128::from(transaction.rate().max(1)))
        .unwrap_or(0);
    Amount::from_units(u64::try_from(units).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
