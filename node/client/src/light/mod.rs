//! The light check: whether a job's result is what the validators of a trusted chain made final, without
//! believing the node that answers.
//!
//! ```text
//!   trusted: genesis document, or a checkpoint (height, hash of the validator set)
//!     -> validator set -> certificate of a header -> state root -> row of the job
//!     -> root over the verdicts of its shards -> digest of each output -> every byte of every file
//! ```
//! Each arrow is a step that is checked and reported. What is not checked is said too: the verdicts themselves rest on the
//! quorum of workers that the chain drew, and on the chain's rules being followed by more than a third of the voting power.

mod job;
mod report;
mod trust;

pub use job::{OutputScope, verify_job};
pub use report::{JobReport, Step};
pub use trust::{Trust, verify_proof};

use crate::error::ClientError;
use valo_protocol::{
    GenesisHash, Hash, Height,
    encoding::DecodeError,
    hash::Digest,
    job::{JobId, ShardIndex, StageIndex},
    proof::{StateProofError, StateTable},
    validator::ValidatorSetError,
};

/// What does not hold, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The node could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The trusted genesis names no usable validators.
    #[error("the trusted genesis has no usable validator set: {0}")]
    Genesis(#[from] ValidatorSetError),
    /// The node is on another chain.
    #[error("the node is on chain {found}, not on the trusted chain {trusted}")]
    OtherChain {
        /// Genesis hash of the trusted chain.
        trusted: GenesisHash,
        /// Genesis hash that the node names.
        found: GenesisHash,
    },
    /// Other validators than those that are trusted.
    #[error(
        "the validators at height {height} are {found}, the trusted ones are {trusted}; changes of the set cannot be followed yet: verify from a checkpoint with the present set, from a source you trust"
    )]
    ValidatorsChanged {
        /// Height of the header.
        height: Height,
        /// Hash of the set that the proof shows.
        found: Hash,
        /// Hash of the trusted set.
        trusted: Hash,
    },
    /// A header from before the checkpoint.
    #[error("the proof is for height {height}, before the trusted checkpoint at {checkpoint}")]
    BeforeCheckpoint {
        /// Height of the header.
        height: Height,
        /// Height of the checkpoint.
        checkpoint: Height,
    },
    /// The proof does not hold.
    #[error("the proof of state does not hold: {0}")]
    Proof(#[from] StateProofError),
    /// The proof is for something else.
    #[error("the node proved row {index} of table {table:?}, which is not what was asked for: {reason}")]
    OtherRow {
        /// The table.
        table: StateTable,
        /// The row.
        index: u64,
        /// Why it is not.
        reason: String,
    },
    /// The row cannot be read.
    #[error("the proven row cannot be read: {0}")]
    Row(#[from] DecodeError),
    /// The contract is not the one on chain.
    #[error("the contract that the node shows has hash {found}; on chain is {recorded}")]
    Contract {
        /// Hash on chain.
        recorded: Hash,
        /// Hash of what the node showed.
        found: Hash,
    },
    /// The job has no result.
    #[error("job {job} is {phase}: there is no result to verify")]
    NoResult {
        /// The job.
        job: JobId,
        /// Where it stands, proven.
        phase: String,
    },
    /// The verdicts are not those on chain.
    #[error("the verdicts that the node shows have root {found}; on chain is {recorded}")]
    Results {
        /// Root on chain.
        recorded: Hash,
        /// Root over what the node showed.
        found: Hash,
    },
    /// Verdicts are missing.
    #[error("the node shows {found} verdicts; the job has {expected} shards")]
    ResultCount {
        /// Shards of the job.
        expected: u64,
        /// Verdicts shown.
        found: u64,
    },
    /// The record behind a digest cannot be had.
    #[error("stage {stage} shard {shard}: the output {digest} cannot be checked: {source}")]
    Output {
        /// The stage.
        stage: StageIndex,
        /// The shard.
        shard: ShardIndex,
        /// The accepted digest.
        digest: Digest,
        /// Why.
        source: Box<LightError>,
    },
    /// The record says something else than the verdict.
    #[error("the output record says {what} {recorded}; the verdict says {accepted}")]
    Record {
        /// Which field.
        what: &'static str,
        /// What the record says.
        recorded: String,
        /// What the verdict says.
        accepted: String,
    },
    /// A file has another length than its record says.
    #[error("file {path} has {found} bytes; its record says {expected}")]
    FileSize {
        /// Path in the output.
        path: String,
        /// Length in the record.
        expected: u64,
        /// Length found.
        found: u64,
    },
}
