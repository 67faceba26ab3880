//! Job contracts: what a submitter asks for and pays for, and the names of its parts.
//!
//! A contract is stages x shards x replicas. Stages form a directed acyclic graph: a stage reads files
//! of its own or the output of an earlier stage. YAML exists on the client only; this is what is
//! signed and stored.

mod check;
mod id;
mod price;
mod terms;

pub use check::{ContractError, is_name};
pub use id::{Attempt, JobId, ShardIndex, ShardKey, StageIndex};
pub use price::{SLACK, WRONG_ANSWER, fuel_price, locked_stake};
pub use terms::{Offer, Refusal};

use crate::{
    Amount,
    bytes::{BoundedString, BoundedVec},
    domain,
    encoding::{Varint, encode},
    hash::{BlobHash, Hash},
    registry::TierName,
    time::{Duration, Timestamp},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The most bytes of the name of a job.
pub const MAX_NAME: usize = 64;
/// The most stages of a contract.
pub const MAX_STAGES: usize = 16;
/// The most shards of a contract, over all stages.
pub const MAX_SHARDS: u32 = 100_000;
/// The most bytes of an encoded contract.
pub const MAX_CONTRACT: usize = 64 * 1024;
/// The most replicas of a shard in a contract; disputes may draw more.
pub const MAX_REPLICAS: u8 = 13;
/// The most bytes one blob may have.
pub const MAX_BLOB: u64 = 1 << 30;
/// The most memory a wasm program may ask for, in bytes.
pub const MAX_MEMORY: u64 = 1 << 30;

/// Work to be done, as a signed transaction carries it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobContract {
    /// A name for people.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub name: BoundedString<MAX_NAME>,
    /// Stages; a stage reads only from earlier ones.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Stage>))]
    pub stages: BoundedVec<Stage, MAX_STAGES>,
    /// How results are checked.
    pub verification: Verification,
    /// The most that this job may cost; held in escrow from the start.
    pub budget: Amount,
    /// Paid on top to the workers of accepted shards, shared by them; part of the budget.
    pub tip: Amount,
    /// Block time by which the last stage must be accepted.
    pub deadline: Timestamp,
    /// How long workers keep the outputs after the job is closed.
    pub retention: Duration,
    /// How the outputs of the result are put together for the submitter.
    pub merge: Merge,
}

/// How results are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Verification {
    /// Each shard runs on `replicas` nodes; `quorum` equal results accept it.
    Replicated {
        /// Nodes that run each shard.
        replicas: u8,
        /// Equal results that accept.
        quorum: u8,
    },
}

/// How the outputs of the last stages become one result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Merge {
    /// One folder a shard.
    #[default]
    Folders,
    /// Files of one name concatenated in order of shards.
    Concatenate,
}

/// One step of a job: one program over many shards in one tier.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Stage {
    /// Unique name within the contract: 1 to 32 of `[a-z0-9-]`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub name: BoundedString<32>,
    /// Tier it runs in.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub tier: TierName,
    /// What runs.
    pub program: Program,
    /// The most memory, in bytes.
    pub memory: u64,
    /// The most output of a shard, in bytes.
    pub output: u64,
    /// What it reads.
    pub input: Input,
    /// Into how many shards it is split.
    pub shards: u32,
    /// What happens when a shard fails.
    pub on_failure: OnFailure,
}

/// What a stage runs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Program {
    /// A WASI preview 1 command.
    Wasm {
        /// The module.
        module: BlobHash,
        /// Arguments after the program's name.
        #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
        args: BoundedVec<BoundedString<4096>, 64>,
        /// The most fuel a shard may use.
        fuel: Varint,
    },
    /// A container image.
    Container {
        /// Image with its digest: `name@sha256:...`.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        image: BoundedString<512>,
        /// Command and arguments.
        #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
        command: BoundedVec<BoundedString<4096>, 64>,
        /// The most seconds a shard may take.
        seconds: u32,
        /// Processor share in thousandths of a core.
        milli_cpu: u32,
    },
}

/// What a stage reads.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Input {
    /// Nothing: the shard's number and the arguments say what to do.
    None,
    /// Files named by an [`InputManifest`](crate::files::InputManifest).
    Files {
        /// The manifest.
        manifest: BlobHash,
        /// The most bytes a shard reads: from it follows how long fetching may take.
        shard_bytes: u64,
    },
    /// Shard i reads the output of shard i of an earlier stage.
    Each {
        /// The earlier stage.
        stage: StageIndex,
    },
    /// Every shard reads all outputs of an earlier stage, a folder for each: `00000`, `00001`, ...
    All {
        /// The earlier stage.
        stage: StageIndex,
    },
}

impl Input {
    /// The earlier stage this reads from, if any.
    pub const fn upstream(&self) -> Option<StageIndex> {
        match self {
            Self::None | Self::Files { .. } => None,
            Self::Each { stage } | Self::All { stage } => Some(*stage),
        }
    }
}

/// What happens when a shard of a stage fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum OnFailure {
    /// The job fails.
    #[default]
    Fail,
    /// The job goes on without it: later stages read nothing from this shard.
    Continue,
    /// The shard is drawn anew this many times before the job fails.
    Retry(u8),
}

impl JobContract {
    /// The hash under which the chain records the contract.
    pub fn hash(&self) -> Hash {
        Hash::of(domain::CONTRACT, &[&encode(self)])
    }

    /// A stage by its index.
    pub fn stage(&self, index: StageIndex) -> Option<&Stage> {
        self.stages.get(usize::from(index.0))
    }

    /// The stages that no other stage reads from: their outputs are the result.
    pub fn result_stages(&self) -> Vec<StageIndex> {
        let read: Vec<StageIndex> = self.stages.iter().filter_map(|stage| stage.input.upstream()).collect();
        (0u8..).zip(&self.stages).map(|(index, _)| StageIndex(index)).filter(|index| !read.contains(index)).collect()
    }

    /// Shards over all stages.
    pub fn total_shards(&self) -> u32 {
        self.stages.iter().fold(0, |total, stage| total.saturating_add(stage.shards))
    }
}
