//! Time and randomness, fixed by the contract: every replica sees the same.

use blake3::OutputReader;

use crate::request::World;

/// A look at the clock takes this long, in nanoseconds: time never stands still, and a program
/// that waits for it by looking comes to its end.
pub(crate) const RESOLUTION: u64 = 1_000;

/// Separates this use of the seed from any other.
const RANDOM_CONTEXT: &str = "valo sandbox 2026 random_get";

/// The one clock behind all of WASI's.
#[derive(Debug)]
pub(crate) struct Clock {
    start: u64,
    now: u64,
}

impl Clock {
    pub(crate) fn new(world: &World) -> Clock {
        Clock { start: world.start, now: world.start }
    }

    /// What every file's timestamps show.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The time, which goes on by a step for having been looked at.
    pub(crate) fn look(&mut self) -> u64 {
        let now = self.now;
        self.sleep(RESOLUTION);
        now
    }

    /// Lets time pass; nobody waits for it.
    pub(crate) fn sleep(&mut self, nanoseconds: u64) {
        self.now = self.now.saturating_add(nanoseconds);
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }
}

/// The endless stream that `random_get` reads.
pub(crate) fn randomness(world: &World) -> OutputReader {
    blake3::Hasher::new_derive_key(RANDOM_CONTEXT).update(&world.seed).finalize_xof()
}
