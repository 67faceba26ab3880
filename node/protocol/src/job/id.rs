//! Names of jobs and their parts.

use crate::encoding::Varint;
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident, $integer:ty, $($derive:ident),*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, $($derive),*)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub struct $name(pub $integer);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

index! {
    /// The number of a job: dense from 1, in order of submission.
    JobId, u64,
}
index! {
    /// The place of a stage in its contract, from 0.
    StageIndex, u8, BorshSerialize, BorshDeserialize
}
index! {
    /// The place of a shard in its stage, from 0.
    ShardIndex, u32,
}
index! {
    /// How often a shard has been drawn anew, from 0.
    Attempt, u8, BorshSerialize, BorshDeserialize
}

impl BorshSerialize for JobId {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&Varint(self.0), writer)
    }
}

impl BorshDeserialize for JobId {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        Varint::deserialize_reader(reader).map(|value| Self(value.0))
    }
}

impl BorshSerialize for ShardIndex {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&Varint(u64::from(self.0)), writer)
    }
}

impl BorshDeserialize for ShardIndex {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let value = Varint::deserialize_reader(reader)?.0;
        u32::try_from(value).map(Self).map_err(|_| crate::encoding::invalid("shard index does not fit 32 bits"))
    }
}

/// A shard of a stage of a job.
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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ShardKey {
    /// The job.
    pub job: JobId,
    /// The stage.
    pub stage: StageIndex,
    /// The shard.
    pub shard: ShardIndex,
}

impl fmt::Display for ShardKey {
    /// `job/stage/shard`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.job, self.stage, self.shard)
    }
}
