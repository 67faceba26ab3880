//! The clock by which work is measured: it goes with block time, and stands while the chain does.
//!
//! Block time says what time it is. After a pause of the chain (its validators were down, or could not agree)
//! it has moved on by all of it, while nobody could commit or reveal anything. Windows of shards are therefore
//! measured by work time: block time less what is not counted. Of a pause only the longest step
//! ([`Parameters::longest_step`](crate::Parameters::longest_step)) counts; and since nodes that went down with the chain
//! come back with it, the clock stands on for as long as the pause was, a minute at most.

use crate::time::{Duration, Timestamp};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The longest time the clock stands on after a pause.
pub const MOST_GRACE: Duration = Duration::from_seconds(60);

/// How far work time is behind block time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkClock {
    /// Block time that was not counted so far.
    pub behind: Duration,
    /// Block time that will not be counted next: nodes are coming back.
    pub grace: Duration,
}

impl WorkClock {
    /// The clock in a block that comes `step` after its parent. More than `longest` of it is a pause.
    #[must_use]
    pub fn after(self, step: Duration, longest: Duration) -> Self {
        let pause = step.0.saturating_sub(longest.0);
        let grace = self.grace.0.max(pause.min(MOST_GRACE.0));
        let stands = grace.min(step.0.min(longest.0));
        Self {
            behind: Duration(self.behind.0.saturating_add(pause).saturating_add(stands)),
            grace: Duration(grace.saturating_sub(stands)),
        }
    }

    /// Work time at a block time.
    pub const fn work_time(self, block_time: Timestamp) -> Timestamp {
        Timestamp(block_time.0.saturating_sub(self.behind.0))
    }

    /// The block time at which work time will come to a moment that is not past, unless the chain pauses before.
    pub const fn block_time(self, work_time: Timestamp) -> Timestamp {
        work_time.after(self.behind).after(self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: Duration = Duration(1_600);

    /// The clock and work time after blocks that come so long after each other.
    fn run(steps: &[u64]) -> (WorkClock, Timestamp) {
        let (mut clock, mut time) = (WorkClock::default(), Timestamp(0));
        for step in steps {
            time = time.after(Duration(*step));
            clock = clock.after(Duration(*step), LONGEST);
        }
        (clock, clock.work_time(time))
    }

    #[test]
    fn without_a_pause_it_is_block_time() {
        assert_eq!(run(&[50, 800, 1_600, 1]), (WorkClock::default(), Timestamp(2_451)));
    }

    #[test]
    fn of_a_pause_nothing_counts_nor_of_the_time_to_come_back() {
        let (clock, time) = run(&[1_000, 9_600]);
        assert_eq!((clock.grace, time), (Duration(6_400), Timestamp(1_000)));
        assert_eq!(run(&[1_000, 9_600, 800, 5_000]).1, Timestamp(1_000), "another pause while it stands");
        assert_eq!(run(&[1_000, 9_600, 1_600, 1_600, 1_600, 1_600]).1, Timestamp(1_000));
        assert_eq!(run(&[1_000, 9_600, 1_600, 1_600, 1_600, 1_600, 7]).1, Timestamp(1_007));
        assert_eq!(run(&[1_000, 1_700, 800]).1, Timestamp(3_300), "a short pause costs little");
        let day = 24 * 3_600_000;
        assert_eq!(run(&[1_000, day]).0.grace, Duration(MOST_GRACE.0 - LONGEST.0), "a minute, and no more");
    }

    proptest! {
        /// It never goes back, never faster than block time, and reaches a moment when it said it would.
        #[test]
        fn it_goes_on(steps in proptest::collection::vec(0u64..200_000, 0..20), ahead in 0u64..100_000) {
            let (clock, now) = run(&steps);
            let time = Timestamp(now.0 + clock.behind.0);
            let moment = now.after(Duration(ahead));
            let (mut at, mut later) = (time, clock);
            let due = clock.block_time(moment);
            while at < due {
                let step = due.since(at).min(LONGEST);
                let before = later.work_time(at);
                at = at.after(step);
                later = later.after(step, LONGEST);
                prop_assert!(later.work_time(at) >= before && later.work_time(at).since(before) <= step);
            }
            prop_assert_eq!(later.work_time(at), moment);
        }
    }
}
