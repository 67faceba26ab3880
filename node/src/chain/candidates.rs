//! Blocks proposed for the next height, and what this node found of them.

use super::store::ProposedBlock;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};
use valo_ledger::Effects;
use valo_protocol::{Block, BlockId, Height, PublicKey, Round, Signature, vote::Proposal};

/// How many different blocks of one proposer and round are looked at: one more than is honest.
const BLOCKS_OF_A_ROUND: usize = 2;

/// A block that consensus may vote on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The proposal of it.
    pub proposal: Proposal,
    /// Whether it is good.
    pub valid: bool,
}

/// What this node found of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is good.
    Valid,
    /// Its time was too far ahead of this node's clock. It is a good block all the same once others decided it.
    TooEarly,
    /// It breaks a rule.
    Invalid(String),
}

/// A proposed block.
#[derive(Debug)]
pub(super) struct Candidate {
    pub block: Arc<Block>,
    pub bytes: Bytes,
    pub verdict: Verdict,
    /// The signed proposals of it, one a round.
    pub proposals: BTreeMap<Round, (Proposal, Signature)>,
    /// What executing it gives, when there was time to find out before the decision.
    pub effects: Option<Effects>,
    /// The rounds in which consensus was told of it since this node started.
    pub told: Vec<Round>,
}

impl Candidate {
    pub fn new(block: Block, bytes: Bytes, verdict: Verdict) -> Self {
        Self { block: Arc::new(block), bytes, verdict, proposals: BTreeMap::new(), effects: None, told: Vec::new() }
    }

    /// The record on disk.
    pub fn record(&self, id: BlockId) -> ProposedBlock {
        ProposedBlock { id, proposals: self.proposals.values().cloned().collect(), block: (*self.block).clone() }
    }

    /// Tells consensus of the block in a round.
    pub fn offer(&mut self, proposal: &Proposal) -> Offer {
        self.told.push(proposal.round);
        Offer { proposal: proposal.clone(), valid: self.verdict == Verdict::Valid }
    }
}

/// All blocks proposed for the next height.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    blocks: BTreeMap<BlockId, Candidate>,
}

impl Candidates {
    /// What was on disk when the node started.
    pub fn restore(records: Vec<ProposedBlock>) -> Self {
        let blocks = records.into_iter().map(|ProposedBlock { id, proposals, block }| {
            let bytes = Bytes::from(block.to_bytes());
            let mut candidate = Candidate::new(block, bytes, Verdict::Valid);
            candidate.proposals =
                proposals.into_iter().map(|(proposal, signature)| (proposal.round, (proposal, signature))).collect();
            (id, candidate)
        });
        Self { blocks: blocks.collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub fn get(&self, id: &BlockId) -> Option<&Candidate> {
        self.blocks.get(id)
    }

    pub fn get_mut(&mut self, id: &BlockId) -> Option<&mut Candidate> {
        self.blocks.get_mut(id)
    }

    pub fn insert(&mut self, id: BlockId, candidate: Candidate) {
        self.blocks.insert(id, candidate);
    }

    /// Takes one out and forgets the others.
    pub fn take(&mut self, id: &BlockId) -> Option<Candidate> {
        let taken = self.blocks.remove(id)?;
        self.blocks.clear();
        Some(taken)
    }

    /// What `proposer` made for a round at first hand.
    pub fn made_by(&self, proposer: &PublicKey, round: Round) -> Option<(&BlockId, &Candidate)> {
        self.blocks.iter().find(|(_, candidate)| {
            candidate.block.header.proposer == *proposer && candidate.block.header.round == round
        })
    }

    /// Whether so many blocks of a proposal's round are known that another one is not worth a look.
    pub fn are_enough(&self, proposal: &Proposal) -> bool {
        !self.blocks.contains_key(&proposal.block)
            && self.blocks.values().filter(|candidate| candidate.proposals.contains_key(&proposal.round)).count()
                >= BLOCKS_OF_A_ROUND
    }

    /// Proposals of a round that consensus has not been told of since this node started.
    pub fn untold(&self, height: Height, round: Round) -> Vec<Proposal> {
        self.blocks
            .values()
            .filter(|candidate| !candidate.told.contains(&round))
            .filter_map(|candidate| candidate.proposals.get(&round))
            .map(|(proposal, _)| proposal.clone())
            .filter(|proposal| proposal.height == height)
            .collect()
    }

    /// A good block that has not been executed yet.
    pub fn unexecuted(&self) -> Option<(BlockId, Arc<Block>)> {
        let mut waiting = self
            .blocks
            .iter()
            .filter(|(_, candidate)| candidate.verdict == Verdict::Valid && candidate.effects.is_none());
        waiting.next().map(|(id, candidate)| (*id, candidate.block.clone()))
    }
}
