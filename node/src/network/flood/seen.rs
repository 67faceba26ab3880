//! Which items were seen lately, so that each is handled once although many peers send it.
//!
//! Two generations: new ids go into the young one; when it is full or its time is over it becomes
//! the old one, and the ids of the old one before are forgotten. So an id is remembered for one to
//! two lifetimes, memory has a bound, and forgetting costs nothing per id.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// The blake3 hash of an item's bytes.
pub(crate) type ItemId = [u8; 32];

pub(crate) fn item_id(item: &[u8]) -> ItemId {
    *blake3::hash(item).as_bytes()
}

#[derive(Debug)]
pub(crate) struct Seen {
    young: HashSet<ItemId>,
    old: HashSet<ItemId>,
    capacity: usize,
    lifetime: Duration,
    turned: Instant,
}

impl Seen {
    /// Remembers at most `capacity` ids, each for at least `lifetime` unless more than half of the
    /// capacity arrive in that time.
    pub(crate) fn new(capacity: usize, lifetime: Duration, now: Instant) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), capacity: capacity.max(2), lifetime, turned: now }
    }

    /// Forgets an id: the item is new when it comes again.
    pub(crate) fn forget(&mut self, id: &ItemId) {
        self.young.remove(id);
        self.old.remove(id);
    }

    /// Remembers an id. True when it is new.
    pub(crate) fn insert(&mut self, id: ItemId, now: Instant) -> bool {
        if self.young.len() >= self.capacity / 2 || now.saturating_duration_since(self.turned) >= self.lifetime {
            self.old = std::mem::take(&mut self.young);
            self.turned = now;
        }
        !self.old.contains(&id) && self.young.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ItemId {
        item_id(&number.to_le_bytes())
    }

    #[test]
    fn forgets_after_two_lifetimes_and_not_before_one() {
        let start = Instant::now();
        let lifetime = Duration::from_secs(10);
        let mut seen = Seen::new(1000, lifetime, start);
        assert!(seen.insert(id(1), start));
        assert!(!seen.insert(id(1), start + Duration::from_secs(9)));
        assert!(!seen.insert(id(1), start + Duration::from_secs(11)));
        assert!(seen.insert(id(1), start + Duration::from_secs(22)));
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut seen = Seen::new(100, Duration::from_secs(10), start);
        for number in 0..10_000 {
            seen.insert(id(number), start);
        }
        assert!(seen.young.len() + seen.old.len() <= 100);
        assert!(!seen.insert(id(9_999), start));
    }
}
