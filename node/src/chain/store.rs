//! What the chain asks of the disk: blocks, proposals and evidence. The node implements it over RocksDB, the
//! simulator in memory.

use crate::chain::FinalizedBlock;
use borsh::{BorshDeserialize, BorshSerialize};
use valo_ledger::{Changes, StoreError};
use valo_protocol::{
    Block, BlockId, Height, Signature,
    vote::{Certificate, Evidence, Proposal},
};

/// Durable state of the chain beside the ledger's tables. Every method returns when what it wrote would survive
/// the loss of power: a vote or a proposal follows right after.
pub trait BlockStore: std::fmt::Debug + Send + Sync + 'static {
    /// Writes a finalized block, its certificate, receipts and events and the ledger's changes in one atomic
    /// batch, and drops what was proposed for its height or below.
    fn save_decided(&self, finalized: &FinalizedBlock, changes: &Changes) -> Result<(), StoreError>;

    /// Replaces the certificate of a finalized block by one with more signatures. This may be lost with the power.
    fn save_certificate(&self, certificate: &Certificate) -> Result<(), StoreError>;

    /// The block of a height with its certificate.
    fn decided(&self, height: Height) -> Result<Option<(Block, Certificate)>, StoreError>;

    /// The lowest height that [`BlockStore::decided`] has; none when there is no block.
    fn earliest(&self) -> Result<Option<Height>, StoreError>;

    /// Writes a good block that was proposed, before it is sent or voted for. The key is (height, block); a later
    /// record of the same block replaces the earlier.
    fn save_proposed(&self, proposed: &ProposedBlock) -> Result<(), StoreError>;

    /// All good blocks that were proposed for a height.
    fn proposed(&self, height: Height) -> Result<Vec<ProposedBlock>, StoreError>;

    /// Keeps proofs of faults until a block carries them: at most one of each validator.
    fn save_evidence(&self, evidence: &[Evidence]) -> Result<(), StoreError>;

    /// The oldest proofs of faults that no block carries yet, at most `limit`.
    fn evidence(&self, limit: usize) -> Result<Vec<Evidence>, StoreError>;
}

/// A block that was proposed for a height that is not finalized yet, and that this node found good. Finding it
/// here after a crash, the node neither asks its clock again nor proposes another in the same round.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProposedBlock {
    /// Its id.
    pub id: BlockId,
    /// The signed proposals of it: the first, and those of later rounds in which it was proposed again.
    pub proposals: Vec<(Proposal, Signature)>,
    /// The block.
    pub block: Block,
}
