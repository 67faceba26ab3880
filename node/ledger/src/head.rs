//! The head: where the chain stands, and everything a node needs of the last block to make or judge the next.

use crate::{
    LedgerError,
    store::{Store, Table},
    tables::Record,
};
use borsh::{BorshDeserialize, BorshSerialize};
use std::{collections::BTreeSet, sync::Arc};
use valo_protocol::{
    Hash, Height, PublicKey, Timestamp, Validator, ValidatorSet, WorkClock,
    encoding::{decode, encode},
    hash::BlockId,
    time::Round,
};

pub(crate) const HEAD_KEY: &[u8] = b"head";
pub(crate) const GENESIS_KEY: &[u8] = b"genesis";

/// The last block and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Height of the block; 0 for the genesis state.
    pub height: Height,
    /// Its id; the genesis hash at height 0.
    pub block: BlockId,
    /// Its time.
    pub time: Timestamp,
    /// How far work time is behind it.
    pub clock: WorkClock,
    /// Its randomness, R_h.
    pub randomness: Hash,
    /// R_(h-1) and R_(h-2).
    pub earlier_randomness: [Hash; 2],
    /// The state root after it, which the next header carries.
    pub state_root: Hash,
    /// The validators of its own height: whose certificate makes it final.
    pub signers: Arc<ValidatorSet>,
    /// The validators of the next height.
    pub validators: Arc<ValidatorSet>,
    /// Validators that are passed over as proposers of the next height.
    pub skipped: BTreeSet<PublicKey>,
    /// The epoch of the next height, from 0.
    pub epoch: u64,
    /// Block time at which that epoch started.
    pub epoch_started: Timestamp,
    /// Whether it changed rows beside the bookkeeping of each block: they wait for a header that carries their root.
    pub uncertified: bool,
}

/// The head as it is stored, beside the state.
#[derive(BorshSerialize, BorshDeserialize)]
struct StoredHead {
    height: Height,
    block: BlockId,
    time: Timestamp,
    clock: WorkClock,
    randomness: [Hash; 3],
    state_root: Hash,
    signers: ValidatorSet,
    validators: ValidatorSet,
    skipped: BTreeSet<PublicKey>,
    epoch: u64,
    epoch_started: Timestamp,
    uncertified: bool,
}

impl Record for StoredHead {
    const WHAT: &'static str = "head";
}

impl Head {
    /// Who proposes in a round of the next height.
    pub fn proposer(&self, round: Round) -> Option<Validator> {
        self.validators.proposer(&self.randomness, &self.skipped, self.height.next(), round).copied()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let [before, before_that] = self.earlier_randomness;
        encode(&StoredHead {
            height: self.height,
            block: self.block,
            time: self.time,
            clock: self.clock,
            randomness: [self.randomness, before, before_that],
            state_root: self.state_root,
            signers: (*self.signers).clone(),
            validators: (*self.validators).clone(),
            skipped: self.skipped.clone(),
            epoch: self.epoch,
            epoch_started: self.epoch_started,
            uncertified: self.uncertified,
        })
    }

    pub(crate) fn read(store: &dyn Store) -> Result<Option<Self>, LedgerError> {
        let Some(bytes) = store.get(Table::Meta, HEAD_KEY)? else { return Ok(None) };
        let stored: StoredHead = decode(StoredHead::WHAT, &bytes)?;
        let [randomness, before, before_that] = stored.randomness;
        let signers = Arc::new(stored.signers);
        let validators = if *signers == stored.validators { signers.clone() } else { Arc::new(stored.validators) };
        Ok(Some(Self {
            height: stored.height,
            block: stored.block,
            time: stored.time,
            clock: stored.clock,
            randomness,
            earlier_randomness: [before, before_that],
            state_root: stored.state_root,
            signers,
            validators,
            skipped: stored.skipped,
            epoch: stored.epoch,
            epoch_started: stored.epoch_started,
            uncertified: stored.uncertified,
        }))
    }
}

/// When the next block is due, transactions aside; never before `min_interval` after its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once: there is a draw to make, or a state that no header carries yet.
    Now,
    /// At a deadline.
    At(Timestamp),
    /// Nothing is due before the idle interval ends.
    Idle(Timestamp),
}
