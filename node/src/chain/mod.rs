//! The chain of a node: which block comes next, whether a proposed one is good, and what follows from a decision.
//!
//! Nothing here reads a clock, opens a socket or spawns a task: time is an argument, the disk is a
//! [`BlockStore`], transactions come from a [`TransactionSource`]. The node drives it from the consensus
//! engine, the simulator from virtual time, so that what is tested is what runs.
//!
//! ```text
//!   propose -> draft, keep on disk -> parts -> (network) -> receive -> judge, keep on disk -> Offer
//!                                                                                               |
//!   Tip, FinalizedBlock <- commit <- one atomic batch <- execute <- decide <- (votes, consensus engine)
//! ```
//! Two rules carry the safety of a node that may crash at any moment: a block is on disk before it is proposed or
//! voted for, and the same height and round is answered with the same block for ever.

mod budget;
mod candidates;
mod decide;
pub mod handle;
mod judge;
pub mod memory;
pub mod parts;
mod proofs;
mod propose;
mod signatures;
pub mod source;
pub mod store;

#[cfg(test)]
mod tests;

pub use candidates::Offer;
pub use handle::{ChainHandle, ChainStopped, Tip, Wake};
pub use memory::MemoryDisk;
pub use proofs::Proof;
pub use propose::Stream;
pub use source::{NoTransactions, TransactionSource};
pub use store::{BlockStore, ProposedBlock};

use budget::Budget;
use candidates::Candidates;
use parts::{Arrived, Assembler};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use valo_ledger::{Due, Head, Ledger, LedgerError, Store, StoreError};
use valo_protocol::{
    Block, BlockId, Duration, Genesis, GenesisHash, Height, PublicKey, Round, SecretKey, Timestamp, ValidatorSet,
    block::FinalizedHeader,
    event::Event,
    proof::TableRoot,
    receipt::Receipt,
    validator::MAX_VALIDATORS,
    vote::{Certificate, Evidence},
    vrf::VrfError,
};

/// How far ahead of this node's clock the time of a block may be that it votes for.
pub const MAX_CLOCK_LEAD: Duration = Duration(500);

/// A block that nobody can take back, and what came of it.
#[derive(Debug, Clone)]
pub struct FinalizedBlock {
    /// Its id.
    pub id: BlockId,
    /// The block.
    pub block: Block,
    /// What makes it final.
    pub certificate: Certificate,
    /// A receipt for each transaction, in order.
    pub receipts: Vec<Receipt>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The validators of its height, whose signatures are in the certificate.
    pub validators: Arc<ValidatorSet>,
}

/// Why the chain cannot go on: a fault of this node's disk, state or software. The node stops and says so.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The state failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node's key proves nothing.
    #[error(transparent)]
    Randomness(#[from] VrfError),
    /// Blocks and state on disk do not belong together.
    #[error(
        "the last block on disk is {found:?}, the state is of block {expected} at height {height}; restore the data folder from another node"
    )]
    Torn {
        /// Height of the state.
        height: Height,
        /// Block of the state.
        expected: BlockId,
        /// Block on disk at that height.
        found: Option<BlockId>,
    },
    /// A block was decided that this node never saw.
    #[error("block {block} was decided at height {height}, but this node does not have it")]
    Missing {
        /// Its height.
        height: Height,
        /// Its id.
        block: BlockId,
    },
    /// A decision for another height than the next.
    #[error("height {found} was decided while height {expected} is next")]
    OutOfOrder {
        /// The next height.
        expected: Height,
        /// The height decided.
        found: Height,
    },
}

/// The chain.
#[derive(Debug)]
pub struct Chain<S> {
    genesis: GenesisHash,
    key: SecretKey,
    ledger: Ledger<S>,
    blocks: Arc<dyn BlockStore>,
    transactions: Arc<dyn TransactionSource>,
    /// The last header with its certificate; none before the first block.
    last: Option<FinalizedHeader>,
    /// Roots of the tables before the last block: what its header certifies. None right after a start.
    certified: Option<Vec<TableRoot>>,
    candidates: Candidates,
    /// How much goes into the blocks that this node proposes.
    budget: Budget,
    assembler: Assembler,
    /// Blocks of heights beyond the next one, waiting for their turn.
    later: BTreeMap<(Height, BlockId), Arrived>,
    /// The round that consensus is in at the next height.
    round: Round,
    /// Validators whose faults are proven on disk.
    culprits: BTreeSet<PublicKey>,
}

impl<S: Store> Chain<S> {
    /// Opens the chain at the last finalized block. `store` holds the state, at least of the genesis.
    pub fn open(
        genesis: Arc<Genesis>,
        key: SecretKey,
        store: S,
        blocks: Arc<dyn BlockStore>,
        transactions: Arc<dyn TransactionSource>,
    ) -> Result<Self, ChainError> {
        let ledger = Ledger::open(genesis, store)?;
        let head = ledger.head();
        let last = match blocks.decided(head.height)? {
            Some((block, certificate)) => Some(FinalizedHeader { header: block.header, certificate }),
            None => None,
        };
        let found = last.as_ref().map(|last| last.header.id());
        let expected = (head.height > Height(0)).then_some(head.block);
        if found != expected {
            return Err(ChainError::Torn { height: head.height, expected: head.block, found });
        }
        let candidates = Candidates::restore(blocks.proposed(head.height.next())?);
        let culprits = blocks.evidence(MAX_VALIDATORS)?.iter().map(Evidence::culprit).collect();
        Ok(Self {
            genesis: ledger.genesis_hash(),
            key,
            ledger,
            blocks,
            transactions,
            last,
            certified: None,
            candidates,
            budget: Budget::default(),
            assembler: Assembler::default(),
            later: BTreeMap::new(),
            round: Round(0),
            culprits,
        })
    }

    /// The state.
    pub fn ledger(&self) -> &Ledger<S> {
        &self.ledger
    }

    /// The state, for tests that look behind a store in memory.
    pub fn blocks(&self) -> &Arc<dyn BlockStore> {
        &self.blocks
    }

    /// The last finalized block and what follows from it.
    pub fn head(&self) -> &Head {
        self.ledger.head()
    }

    /// The height that is decided next.
    pub fn next_height(&self) -> Height {
        self.head().height.next()
    }

    /// The last finalized block, in short.
    pub fn tip(&self) -> Tip {
        let head = self.head();
        Tip {
            height: head.height,
            block: head.block,
            time: head.time,
            state: head.state_root,
            validators: head.validators.clone(),
        }
    }

    /// When consensus on the next height should start, by the clock. A time gone by means at once.
    pub fn due(&self) -> Timestamp {
        let (head, params) = (self.head(), self.ledger.params());
        let earliest = head.time.after(params.min_interval);
        if !self.candidates.is_empty() || self.later.keys().any(|(height, _)| *height == self.next_height()) {
            // Others have started already.
            return Timestamp(0);
        }
        if !self.transactions.is_empty() {
            return earliest;
        }
        match self.ledger.due() {
            Due::Now => earliest,
            Due::At(deadline) => earliest.max(deadline),
            Due::Idle(end) => earliest.max(end),
        }
    }
}
