//! Transactions that reach this node before the block that makes them possible.
//!
//! Nodes hear of a block at slightly different times. A worker that is one block ahead reveals what a validator does
//! not know to be open yet; a newcomer spends what it was given a moment ago. Such a transaction is neither wrong nor
//! to be forgotten: it is held here, and judged again after each block, until it is taken, is refused for good, or its
//! time is over.
//!
//! What is held is not verified, since the account may not even exist yet. So each peer has room of its own: one that
//! sends much only pushes out its own. Guests have the room of one peer together, and what a member sends too is the member's.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::Limits;
use crate::network::flood::Origin;
use bytes::Bytes;

/// One that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) from: Origin,
    pub(super) bytes: Bytes,
    since: Instant,
}

/// What is held, by who sent it. See the module.
#[derive(Debug)]
pub(super) struct Early {
    peers: HashMap<Origin, VecDeque<Held>>,
    /// What is held, and in whose room.
    known: HashMap<Bytes, Origin>,
    per_peer: usize,
    bytes_per_peer: usize,
    lifetime: Duration,
}

impl Early {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            peers: HashMap::new(),
            known: HashMap::new(),
            per_peer: limits.early_per_peer,
            bytes_per_peer: limits.early_bytes_per_peer,
            lifetime: limits.early_lifetime,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Holds an item; the oldest of the same peer go for it.
    pub(super) fn hold(&mut self, from: Origin, bytes: Bytes, now: Instant) {
        self.put(Held { from, bytes, since: now });
    }

    fn put(&mut self, held: Held) {
        if held.bytes.len() > self.bytes_per_peer {
            return;
        }
        match self.known.get(&held.bytes) {
            Some(Origin::Guests) if held.from != Origin::Guests => {
                let guests = self.peers.entry(Origin::Guests).or_default();
                guests.retain(|other| other.bytes != held.bytes);
            }
            Some(_) => return,
            None => {}
        }
        self.known.insert(held.bytes.clone(), held.from);
        let queue = self.peers.entry(held.from).or_default();
        queue.push_back(held);
        let mut total: usize = queue.iter().map(|held| held.bytes.len()).sum();
        while queue.len() > self.per_peer || total > self.bytes_per_peer {
            let Some(oldest) = queue.pop_front() else { return };
            total = total.saturating_sub(oldest.bytes.len());
            self.known.remove(&oldest.bytes);
        }
    }

    /// Everything whose time is not over, oldest of each peer first. What is still early comes back by
    /// [`Early::put_back`].
    pub(super) fn take(&mut self, now: Instant) -> Vec<Held> {
        self.known.clear();
        let alive = |held: &Held| now.saturating_duration_since(held.since) < self.lifetime;
        self.peers.drain().flat_map(|(_, queue)| queue).filter(alive).collect()
    }

    /// Takes back what is still early, with the age it has.
    pub(super) fn put_back(&mut self, held: Vec<Held>) {
        held.into_iter().for_each(|held| self.put(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::SecretKey;

    fn peer(seed: u8) -> Origin {
        Origin::Member(SecretKey::from_seed([seed; 32]).public())
    }

    fn item(number: u8) -> Bytes {
        Bytes::from(vec![number; 10])
    }

    fn early() -> Early {
        let limits = Limits {
            early_per_peer: 3,
            early_bytes_per_peer: 25,
            early_lifetime: Duration::from_secs(5),
            ..Limits::default()
        };
        Early::new(&limits)
    }

    fn held(early: &mut Early, now: Instant) -> Vec<Bytes> {
        early.take(now).into_iter().map(|held| held.bytes).collect()
    }

    #[test]
    fn a_peer_that_sends_much_pushes_out_only_its_own() {
        let now = Instant::now();
        let mut early = early();
        early.hold(peer(1), item(0), now);
        for number in 1..=200 {
            early.hold(peer(2), item(number), now);
        }
        early.hold(peer(2), Bytes::from(vec![9; 26]), now);
        assert_eq!(early.len(), 3, "one of the first, and two of the second: three would be over its bytes");
        let mut left = held(&mut early, now);
        left.sort();
        assert_eq!(left, [item(0), item(199), item(200)]);
        assert_eq!(early.len(), 0);
    }

    #[test]
    fn the_same_item_is_held_once() {
        let now = Instant::now();
        let mut early = early();
        early.hold(peer(1), item(1), now);
        early.hold(peer(1), item(1), now);
        early.hold(peer(2), item(1), now);
        assert_eq!(held(&mut early, now), [item(1)]);
    }

    #[test]
    fn guests_share_room_and_push_out_nothing_that_a_member_sent_too() {
        let now = Instant::now();
        let mut early = early();
        early.hold(Origin::Guests, item(1), now);
        early.hold(peer(1), item(1), now);
        early.hold(peer(1), item(2), now);
        early.hold(Origin::Guests, item(2), now);
        for number in 10..100 {
            early.hold(Origin::Guests, item(number), now);
        }
        let mut left = held(&mut early, now);
        left.sort();
        assert_eq!(left, [item(1), item(2), item(98), item(99)]);
    }

    #[test]
    fn age_counts_from_the_first_time() {
        let start = Instant::now();
        let mut early = early();
        early.hold(peer(1), item(1), start);
        let again = early.take(start + Duration::from_secs(3));
        early.put_back(again);
        assert_eq!(held(&mut early, start + Duration::from_secs(5)), Vec::<Bytes>::new());
    }
}
