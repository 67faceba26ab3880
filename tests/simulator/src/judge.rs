//! What must be true at every step, whatever goes wrong.

mod jobs;

use crate::scenario::{Micros, Scenario};
use jobs::Jobs;
use malachitebft_core_consensus::SignedConsensusMsg;
use std::collections::{BTreeMap, BTreeSet};
use valo::{
    chain::{FinalizedBlock, MemoryDisk},
    consensus::context::Context,
};
use valo_ledger::accounts;
use valo_protocol::{
    BlockId, GenesisHash, Hash, Height,
    encoding::encode,
    registry::NodeId,
    vote::{Evidence, VoteKind},
};

/// Watches all nodes.
#[derive(Debug)]
pub struct Judge {
    seed: u64,
    genesis: GenesisHash,
    two_faced: Option<usize>,
    decided: BTreeMap<Height, (BlockId, Hash)>,
    sets: BTreeSet<Hash>,
    signed: BTreeMap<(usize, u8, u64, u32), Vec<u8>>,
    last: Option<Micros>,
    /// The longest time from a block to the next.
    pub longest: Micros,
    /// Blocks decided in a later round than the first.
    pub late: usize,
    /// Transactions in blocks.
    pub transactions: usize,
    /// Proofs of faults that were found.
    pub faults: usize,
    /// Jobs and workers.
    pub jobs: Jobs,
}

impl Judge {
    /// A judge for a run.
    pub fn new(scenario: &Scenario, genesis: GenesisHash) -> Self {
        // The nodes of workers follow those of validators.
        let nodes = (scenario.stakes.len() as u32..).map(NodeId);
        let characters = nodes.zip(scenario.market.workers.iter().map(|worker| worker.character)).collect();
        Self {
            seed: scenario.seed,
            genesis,
            two_faced: scenario.two_faced,
            jobs: Jobs::new(characters, scenario.peaceful),
            decided: BTreeMap::new(),
            sets: BTreeSet::new(),
            signed: BTreeMap::new(),
            last: None,
            longest: 0,
            late: 0,
            transactions: 0,
            faults: 0,
        }
    }

    /// Ends the run with a complaint.
    pub fn fail(&self, complaint: &str) -> ! {
        panic!("seed {}: {complaint}", self.seed)
    }

    /// Holds `claim` to be true.
    pub fn hold(&self, claim: bool, complaint: impl FnOnce() -> String) {
        if !claim {
            self.fail(&complaint());
        }
    }

    /// A node finalized a block and has it on its disk.
    pub fn finalized(&mut self, now: Micros, node: usize, block: &FinalizedBlock, state: Hash, disk: &MemoryDisk) {
        let height = block.certificate.height;
        let verdict = block.certificate.verify(&self.genesis, &block.validators);
        self.hold(verdict.is_ok(), || format!("node {node} holds a bad certificate at height {height}: {verdict:?}"));
        self.hold(block.block.header.id() == block.certificate.block, || {
            format!("node {node} holds another block than the certified one at height {height}")
        });
        let parent = height.previous().and_then(|parent| self.decided.get(&parent));
        if let Some((parent, root)) = parent {
            let header = &block.block.header;
            self.hold(header.parent == *parent, || format!("the block at height {height} has another parent"));
            self.hold(header.state == *root, || format!("the block at height {height} carries another state"));
        }
        match self.decided.get(&height).copied() {
            Some((other, root)) => {
                self.hold(other == block.id, || {
                    format!("agreement: node {node} finalized {}, others {other}, at height {height}", block.id)
                });
                self.hold(root == state, || format!("node {node} has another state after height {height}"));
            }
            None => {
                self.decided.insert(height, (block.id, state));
                let last = self.last.replace(now).unwrap_or(now);
                self.longest = self.longest.max(now.saturating_sub(last));
                self.sets.insert(block.validators.hash());
                let registry = valo_ledger::registry::audit(disk);
                self.hold(registry.is_ok(), || format!("after height {height} the registry: {registry:?}"));
                self.late += usize::from(block.certificate.round.0 > 0);
                self.transactions += block.block.transactions.len();
                let counted = accounts::recount(disk);
                self.hold(counted.as_ref().is_ok_and(|supply| supply.sum() == Some(supply.total)), || {
                    format!("conservation: after height {height} the money is {counted:?}")
                });
                if let Err(complaint) = self.jobs.finalized(block, disk) {
                    self.fail(&format!("at height {height}: {complaint}"));
                }
            }
        }
    }

    /// A node sends a signed vote or proposal: at one place only ever one.
    pub fn published(&mut self, node: usize, message: &SignedConsensusMsg<Context>) {
        let (place, bytes) = match message {
            SignedConsensusMsg::Vote(signed) => {
                let vote = signed.message.protocol();
                let kind = match vote.kind {
                    VoteKind::Prevote => 0,
                    VoteKind::Precommit => 1,
                };
                ((node, kind, vote.height.0, vote.round.0), encode(&vote))
            }
            SignedConsensusMsg::Proposal(signed) => {
                let proposal = signed.message.protocol();
                ((node, 2, proposal.height.0, proposal.round.0), encode(&proposal))
            }
        };
        let earlier = self.signed.insert(place, bytes.clone());
        // Locks make an honest node publish the proposals of others again; those are not its own.
        self.hold(earlier.is_none_or(|earlier| earlier == bytes), || {
            format!("node {node} signed two different things at {place:?}, though it is honest")
        });
    }

    /// A node found faults.
    pub fn faults(&mut self, keys: &[valo_protocol::PublicKey], found: &[Evidence]) {
        for fault in found {
            self.hold(fault.verify(&self.genesis), || format!("a proof of a fault proves nothing: {fault:?}"));
            let culprit = keys.iter().position(|key| *key == fault.culprit());
            self.hold(culprit.is_some() && culprit == self.two_faced, || {
                format!("an honest node is accused: {fault:?}")
            });
        }
        self.faults += found.len();
    }

    /// Different validator sets that decided blocks.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// The highest block that anybody finalized.
    pub fn height(&self) -> Height {
        self.decided.keys().next_back().copied().unwrap_or_default()
    }
}
