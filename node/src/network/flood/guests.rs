//! The flood's side of guests: the line they stand in, and what a stranger keeps of its own items.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::network::guests::{FROM_GUESTS, Pace};

/// Own items that a stranger keeps, and their bytes.
const OWN_ITEMS: usize = 1000;
const OWN_BYTES: usize = 1 << 20;

/// Guests in front of the handler: one frame at a time, first come first served, and no more in a second than
/// [`FROM_GUESTS`].
#[derive(Debug)]
pub(super) struct GuestLine {
    turn: Semaphore,
    pace: Mutex<Pace>,
}

impl GuestLine {
    pub(super) fn new(now: Instant) -> Self {
        Self { turn: Semaphore::new(1), pace: Mutex::new(Pace::new(FROM_GUESTS, now)) }
    }

    /// Waits for the turn of these items. It is over when what is given is dropped.
    pub(super) async fn turn(&self, items: &[Bytes]) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        let turn = self.turn.acquire().await.ok()?;
        let bytes = items.iter().map(Bytes::len).sum();
        let wait = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.reserve(items.len(), bytes, Instant::now())
        };
        tokio::time::sleep(wait).await;
        Some(turn)
    }
}

/// What this node published lately, the oldest first to go.
#[derive(Debug, Default)]
pub(super) struct Own {
    items: VecDeque<Bytes>,
    bytes: usize,
}

impl Own {
    pub(super) fn keep(&mut self, item: Bytes) {
        if self.items.contains(&item) {
            return;
        }
        self.bytes = self.bytes.saturating_add(item.len());
        self.items.push_back(item);
        while self.items.len() > OWN_ITEMS || self.bytes > OWN_BYTES {
            let Some(oldest) = self.items.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.len());
        }
    }

    pub(super) fn items(&self) -> Vec<Bytes> {
        self.items.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_items_are_kept_once_and_within_bounds() {
        let mut own = Own::default();
        let item = |number: u32| Bytes::from(number.to_le_bytes().repeat(100));
        (0..5000).for_each(|number| own.keep(item(number / 2)));
        assert_eq!(own.items().len(), OWN_ITEMS);
        assert_eq!(own.items().last(), Some(&item(2499)));
        (0..100).for_each(|number| own.keep(Bytes::from(vec![number; 60_000])));
        assert!(own.bytes <= OWN_BYTES && own.bytes == own.items().iter().map(Bytes::len).sum::<usize>());
        own.clear();
        assert_eq!((own.bytes, own.items().len()), (0, 0));
    }
}
