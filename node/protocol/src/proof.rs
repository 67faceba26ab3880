//! Proofs of state: a row of a table, the way from it to the state root, the header that carries the
//! root, and the certificate that makes the header final.
//!
//! ```text
//!   row -> leaf -> root of its table -+
//!          (id, length, root) of all tables -> state root -> header -> certificate -> validator set
//! ```

use crate::{
    AccountNumber, Amount,
    block::FinalizedHeader,
    domain,
    encoding::encode,
    event::JobPhase,
    hash::{BlockId, GenesisHash, Hash},
    job::{JobId, ShardIndex, StageIndex},
    merkle::{self, MerklePath},
    time::{Height, Timestamp},
    transaction::Answer,
    validator::ValidatorSet,
    vote::CertificateError,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A table of the state. The numbers are fixed for ever.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[borsh(use_discriminant = true)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum StateTable {
    /// Single rows: parameters, pools, randomness, epoch.
    System = 0,
    /// Accounts by number.
    Accounts = 1,
    /// Account keys in a linked list, so that absence is provable.
    Keys = 2,
    /// Validators.
    Validators = 3,
    /// Nodes by id.
    Nodes = 4,
    /// Tiers by id.
    Tiers = 5,
    /// Sharding groups.
    Groups = 6,
    /// Open jobs; rows are reused.
    Jobs = 7,
    /// Closed jobs in order of closing; append-only.
    Results = 8,
    /// Open shards; rows are reused.
    Shards = 9,
}

impl StateTable {
    /// All tables in order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::System,
        Self::Accounts,
        Self::Keys,
        Self::Validators,
        Self::Nodes,
        Self::Tiers,
        Self::Groups,
        Self::Jobs,
        Self::Results,
        Self::Shards,
    ];
}

/// What a state root commits to for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TableRoot {
    /// The table.
    pub table: StateTable,
    /// Its number of rows.
    pub length: u64,
    /// Root of its Merkle tree.
    pub root: Hash,
}

/// The state root: `blake3("valo/state/1" || borsh(roots))`, tables in order of their numbers.
pub fn state_root(tables: &[TableRoot]) -> Hash {
    Hash::of(domain::STATE, &[&encode(tables)])
}

/// A row with the way to the state root.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RowProof {
    /// The table.
    pub table: StateTable,
    /// The row's place.
    pub index: u64,
    /// The row in its canonical encoding.
    #[serde(with = "hex::serde")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub row: Vec<u8>,
    /// From the row to the root of its table.
    pub path: MerklePath,
    /// All tables.
    pub tables: Vec<TableRoot>,
}

impl RowProof {
    /// The state root that this leads to; none when the proof does not hold together.
    pub fn root(&self) -> Option<Hash> {
        let table = self.tables.iter().find(|root| root.table == self.table)?;
        let root = self.path.root(merkle::leaf(&self.row), self.index, table.length)?;
        (root == table.root).then(|| state_root(&self.tables))
    }
}

/// A row with everything that makes it certain. `header` is the one whose `state` is the root: the block
/// after the one that wrote the row, or a later one.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    /// The row.
    pub row: RowProof,
    /// The header that carries the state root, and its certificate.
    pub finalized: FinalizedHeader,
    /// The validators of that height.
    pub validators: ValidatorSet,
}

/// Why a proof of state does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// The row does not lead to the header's state root.
    #[error("the row does not lead to the state root in header {0}")]
    Root(Height),
    /// The certificate is for another block.
    #[error("the certificate is for block {certified}, not for the header's {header}")]
    Certificate {
        /// The block the certificate is for.
        certified: BlockId,
        /// The block of the header.
        header: BlockId,
    },
    /// The validators are not the trusted ones.
    #[error("the validator set {found} is not the trusted {trusted}")]
    Validators {
        /// The set in the proof.
        found: Hash,
        /// The set that is trusted.
        trusted: Hash,
    },
    /// The certificate does not verify.
    #[error(transparent)]
    Signatures(#[from] CertificateError),
}

impl StateProof {
    /// Checks path, header, certificate and signatures against a trusted validator set.
    pub fn verify(&self, genesis: &GenesisHash, trusted: &ValidatorSet) -> Result<(), StateProofError> {
        let header = &self.finalized.header;
        if self.row.root() != Some(header.state) {
            return Err(StateProofError::Root(header.height));
        }
        let certificate = &self.finalized.certificate;
        if certificate.block != header.id() || certificate.height != header.height {
            return Err(StateProofError::Certificate { certified: certificate.block, header: header.id() });
        }
        if self.validators != *trusted {
            return Err(StateProofError::Validators { found: self.validators.hash(), trusted: trusted.hash() });
        }
        Ok(certificate.verify(genesis, trusted)?)
    }
}

/// The row of a job, open ([`StateTable::Jobs`]) or closed ([`StateTable::Results`]).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// The job.
    pub job: JobId,
    /// Who submitted and pays it.
    pub submitter: AccountNumber,
    /// What the submitter chose so that it never makes the job twice.
    pub client_id: Option<[u8; 16]>,
    /// Hash of its contract.
    pub contract: Hash,
    /// Block in which it was submitted.
    pub submitted: Height,
    /// Block time of that block.
    pub submitted_at: Timestamp,
    /// Where it stands.
    pub phase: JobPhase,
    /// Block time since which it stands there.
    pub phase_since: Timestamp,
    /// What is left of the budget in escrow.
    pub escrow: Amount,
    /// Of that, set aside for shards under way and for the tip.
    pub reserved: Amount,
    /// What workers have been paid out of it.
    pub paid: Amount,
    /// What is left of the tip.
    pub tip: Amount,
    /// Progress of each stage, in order.
    pub stages: Vec<StageProgress>,
    /// From acceptance on: Merkle root over the encoded [`ShardResult`]s of all stages, in order of stage and shard.
    pub results: Option<Hash>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StageProgress {
    /// Shards in all.
    pub shards: u32,
    /// From the end of which block on its shards are drawn; none while it waits for what it reads.
    pub drawable: Option<Height>,
    /// Shards that have been drawn at least once: the first so many in order, unless it reads shard by shard.
    pub placed: u32,
    /// Shards accepted.
    pub accepted: u32,
    /// Shards failed for good (only with `onFailure: continue`).
    pub failed: u32,
}

/// The verdict on a shard, as [`JobRecord::results`] commits to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ShardResult {
    /// Stage.
    pub stage: StageIndex,
    /// Shard.
    pub shard: ShardIndex,
    /// The accepted answer; none for a shard that failed and was left out.
    pub answer: Option<Answer>,
}

/// The root over results, as [`JobRecord::results`] holds it.
pub fn results_root(results: &[ShardResult]) -> Hash {
    merkle::root(results.iter().map(encode))
}
