//! The write-ahead log of a simulated node: what is flushed survives a fall, what is not may survive in part.

use crate::random::Random;
use malachitebft_core_consensus::Input;
use valo::consensus::context::Context;
use valo_protocol::Height;

/// The log, for one height at a time.
#[derive(Debug, Clone, Default)]
pub struct Log {
    height: Height,
    flushed: Vec<Input<Context>>,
    written: Vec<Input<Context>>,
}

impl Log {
    /// Starts a height: gives what an earlier run wrote for it, and forgets other heights.
    pub fn start(&mut self, height: Height) -> Vec<Input<Context>> {
        if self.height != height {
            *self = Self { height, ..Self::default() };
        }
        self.flush();
        self.flushed.clone()
    }

    /// Appends an entry.
    pub fn append(&mut self, height: Height, entry: Input<Context>) {
        if height == self.height {
            self.written.push(entry);
        }
    }

    /// Makes everything written durable.
    pub fn flush(&mut self) {
        self.flushed.append(&mut self.written);
    }

    /// The power went: of what was not flushed some beginning is there, or nothing.
    pub fn fall(&mut self, random: &mut Random) {
        let kept = random.index(self.written.len() + 1);
        self.written.truncate(kept);
        self.flush();
    }
}
