//! Names of jobs and their parts.

use crate::number::number;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;

number! {
    /// The number of a job: dense from 1, in order of submission.
    JobId, u64, varint
}
number! {
    /// The place of a stage in its contract, from 0.
    StageIndex, u8, fixed
}
number! {
    /// The place of a shard in its stage, from 0.
    ShardIndex, u32, varint
}
number! {
    /// How often a shard has been drawn anew, from 0.
    Attempt, u8, fixed
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
