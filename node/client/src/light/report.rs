//! What was trusted and what was checked, step by step.

use serde::{Deserialize, Serialize};
use valo_protocol::{BlockId, Hash, Height, Timestamp, event::JobPhase, job::JobId, proof::ShardResult};

/// A step of a check that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was checked, in a few words: `certificate`, `state root`, ...
    pub name: String,
    /// What was found.
    pub detail: String,
}

/// The outcome of the check of a job that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// The job.
    pub job: JobId,
    /// Where it stands, as proven.
    #[serde(flatten)]
    pub phase: JobPhase,
    /// What was believed without proof.
    pub trusted: Vec<String>,
    /// What was checked, in order.
    pub checked: Vec<Step>,
    /// What the check does not say.
    pub caveats: Vec<String>,
    /// The header that carries the state root.
    pub height: Height,
    /// Its block.
    pub block: BlockId,
    /// Its time.
    pub time: Timestamp,
    /// Root over the verdicts.
    pub results_root: Hash,
    /// The verdicts of all shards.
    pub results: Vec<ShardResult>,
    /// Files whose every byte was checked.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}
