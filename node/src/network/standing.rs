//! How much patience a node has left with each other node.
//!
//! Honest nodes validate before they send, so invalid data is never an honest accident of traffic;
//! a few points of tolerance remain for versions that disagree. Points fade with time; at
//! [`BAN_POINTS`] the node is refused for the ban time. A node that is merely slow is refused for a
//! short, doubling while, so that it does not cost a full resend of everything pending each second.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use valo_protocol::PublicKey;

/// At this many points a node is banned.
pub const BAN_POINTS: u32 = 100;
/// Points forgiven for each full minute of good conduct.
const FORGIVEN_PER_MINUTE: u32 = 10;
/// Records kept; the harmless ones go first when there are more.
const MAX_RECORDS: usize = 4096;
const SLOW_START: Duration = Duration::from_secs(1);
const SLOW_LIMIT: Duration = Duration::from_secs(60);

/// What a node did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It sent this many items that no honest node would have forwarded.
    InvalidItems(u32),
    /// It broke the framing of a protocol.
    BrokenFrame,
    /// The bytes it served do not have the hash it was asked for.
    WrongBytes,
}

impl Offence {
    fn points(self) -> u32 {
        match self {
            Self::InvalidItems(count) => count.saturating_mul(25),
            Self::BrokenFrame => BAN_POINTS,
            Self::WrongBytes => 50,
        }
    }
}

/// Why a node is refused at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It sent invalid data.
    Banned {
        /// Until the ban ends.
        remaining: Duration,
    },
    /// It read too slowly and may come back in a moment.
    Slow {
        /// Until it may come back.
        remaining: Duration,
    },
}

#[derive(Debug)]
struct Record {
    points: u32,
    counted: Instant,
    banned_until: Option<Instant>,
    slow_until: Option<Instant>,
    slow_wait: Duration,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { points: 0, counted: now, banned_until: None, slow_until: None, slow_wait: SLOW_START }
    }

    fn fade(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.counted).as_secs() / 60;
        if minutes > 0 {
            let forgiven = u32::try_from(minutes).unwrap_or(u32::MAX).saturating_mul(FORGIVEN_PER_MINUTE);
            self.points = self.points.saturating_sub(forgiven);
            self.counted = now;
        }
    }

    fn refusal(&self, now: Instant) -> Option<Refusal> {
        let remaining = |until: Option<Instant>| {
            until.map(|until| until.saturating_duration_since(now)).filter(|remaining| !remaining.is_zero())
        };
        if let Some(remaining) = remaining(self.banned_until) {
            return Some(Refusal::Banned { remaining });
        }
        remaining(self.slow_until).map(|remaining| Refusal::Slow { remaining })
    }
}

/// The records of all nodes met.
#[derive(Debug)]
pub(crate) struct Standing {
    ban: Duration,
    records: Mutex<HashMap<PublicKey, Record>>,
}

impl Standing {
    pub(crate) fn new(ban: Duration) -> Self {
        Self { ban, records: Mutex::new(HashMap::new()) }
    }

    /// Counts an offence. True when the node is banned by it.
    pub(crate) fn offend(&self, key: PublicKey, offence: Offence, now: Instant) -> bool {
        self.with_record(key, now, |record, ban| {
            record.fade(now);
            record.points = record.points.saturating_add(offence.points());
            if record.points < BAN_POINTS {
                return false;
            }
            record.points = 0;
            record.banned_until = now.checked_add(ban);
            true
        })
    }

    /// Notes that a node could not keep up.
    pub(crate) fn slow(&self, key: PublicKey, now: Instant) {
        self.with_record(key, now, |record, _| {
            record.slow_until = now.checked_add(record.slow_wait);
            record.slow_wait = record.slow_wait.saturating_mul(2).min(SLOW_LIMIT);
        });
    }

    /// Why the node is refused now, if it is.
    pub(crate) fn refusal(&self, key: &PublicKey, now: Instant) -> Option<Refusal> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(key).and_then(|record| record.refusal(now))
    }

    fn with_record<T>(&self, key: PublicKey, now: Instant, change: impl FnOnce(&mut Record, Duration) -> T) -> T {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= MAX_RECORDS && !records.contains_key(&key) {
            records.retain(|_, record| record.refusal(now).is_some());
            // Keys are free to make, so even refused ones must not pile up.
            if records.len() >= MAX_RECORDS {
                records.clear();
            }
        }
        let record = records.entry(key).or_insert_with(|| Record::new(now));
        change(record, self.ban)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey([1; 32]);

    #[test]
    fn invalid_data_leads_to_a_ban_that_ends() {
        let standing = Standing::new(Duration::from_secs(60));
        let now = Instant::now();
        for _ in 0..3 {
            assert!(!standing.offend(KEY, Offence::InvalidItems(1), now));
        }
        assert_eq!(standing.refusal(&KEY, now), None);
        assert!(standing.offend(KEY, Offence::InvalidItems(1), now));
        assert_eq!(
            standing.refusal(&KEY, now + Duration::from_secs(20)),
            Some(Refusal::Banned { remaining: Duration::from_secs(40) })
        );
        assert_eq!(standing.refusal(&KEY, now + Duration::from_secs(60)), None);
    }

    #[test]
    fn points_fade() {
        let standing = Standing::new(Duration::from_secs(60));
        let now = Instant::now();
        assert!(!standing.offend(KEY, Offence::InvalidItems(3), now));
        let later = now + Duration::from_secs(600);
        assert!(!standing.offend(KEY, Offence::InvalidItems(3), later));
    }

    #[test]
    fn a_slow_node_waits_longer_each_time() {
        let standing = Standing::new(Duration::from_secs(60));
        let now = Instant::now();
        standing.slow(KEY, now);
        standing.slow(KEY, now);
        assert_eq!(standing.refusal(&KEY, now), Some(Refusal::Slow { remaining: Duration::from_secs(2) }));
    }

    #[test]
    fn records_stay_bounded() {
        let standing = Standing::new(Duration::from_secs(60));
        let now = Instant::now();
        for index in 0..MAX_RECORDS + 10 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&index.to_le_bytes());
            standing.offend(PublicKey(bytes), Offence::BrokenFrame, now);
        }
        assert!(standing.records.lock().unwrap().len() <= MAX_RECORDS);
    }
}
