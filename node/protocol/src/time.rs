//! Block time, heights and rounds.
//!
//! All durations of the protocol are block time in milliseconds, as headers carry it, never counts
//! of blocks, so that they mean the same on a busy and on an idle chain.

use crate::encoding::Varint;
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! varint_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl BorshSerialize for $name {
            fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
                BorshSerialize::serialize(&Varint(self.0), writer)
            }
        }

        impl BorshDeserialize for $name {
            fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
                Varint::deserialize_reader(reader).map(|value| Self(value.0))
            }
        }
    };
}

varint_newtype! {
    /// The height of a block. The genesis state is height 0; the first block is height 1.
    Height
}
varint_newtype! {
    /// Block time: milliseconds since the Unix epoch.
    Timestamp
}
varint_newtype! {
    /// A span of block time in milliseconds.
    Duration
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

/// A round of consensus within a height, from 0.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Round(pub u32);

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}
