//! Block time, heights and rounds.
//!
//! All durations of the protocol are block time in milliseconds, as headers carry it, never counts
//! of blocks, so that they mean the same on a busy and on an idle chain.

use crate::number::number;

number! {
    /// The height of a block. The genesis state is height 0; the first block is height 1.
    Height, u64, varint
}
number! {
    /// Block time: milliseconds since the Unix epoch.
    Timestamp, u64, varint
}
number! {
    /// A span of block time in milliseconds.
    Duration, u64, varint
}

impl Height {
    /// The next height.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The height before; none for genesis.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl Timestamp {
    /// This time and `span` later; the end of time when it does not fit.
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time from `earlier` to this; zero when that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// A span of whole seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

impl From<Duration> for std::time::Duration {
    fn from(span: Duration) -> Self {
        Self::from_millis(span.0)
    }
}

number! {
    /// A round of consensus within a height, from 0.
    Round, u32, fixed
}
