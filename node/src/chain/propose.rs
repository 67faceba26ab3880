//! Making the next block, and sending it.

use super::{
    Chain, ChainError,
    candidates::{Candidate, Verdict},
    parts::{Part, split, stream_name},
    signatures,
};
use bytes::Bytes;
use valo_ledger::{Draft, Store};
use valo_protocol::{
    BlockId, Height, PublicKey, Round, Signature, Timestamp, block::MAX_EVIDENCE, vote::Proposal, vrf,
};

/// A block on its way out: a named stream of parts, in order.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The block.
    pub block: BlockId,
    /// Name of the stream.
    pub name: Vec<u8>,
    /// The parts.
    pub parts: Vec<Part>,
}

impl<S: Store> Chain<S> {
    /// The block that this node proposes in a round: the same for ever, also after a crash.
    pub fn propose(&mut self, round: Round, now: Timestamp) -> Result<Stream, ChainError> {
        let id = match self.candidates.made_by(&self.key.public(), round) {
            Some((id, _)) => *id,
            None => self.make(round, now)?,
        };
        let height = self.next_height();
        let proposal = Proposal { height, round, block: id, valid_round: None, proposer: self.key.public() };
        self.stream(&proposal).ok_or(ChainError::Missing { height, block: id })
    }

    /// Sends a block again: one that this node proposes again in a later round, or that it is locked on. None when
    /// it does not have the block, or not the proposer's signature.
    pub fn restream(
        &self,
        height: Height,
        round: Round,
        valid_round: Option<Round>,
        proposer: PublicKey,
        block: BlockId,
    ) -> Option<Stream> {
        let proposal = Proposal { height, round, block, valid_round, proposer };
        (height == self.next_height()).then(|| self.stream(&proposal)).flatten()
    }

    fn stream(&self, proposal: &Proposal) -> Option<Stream> {
        let candidate = self.candidates.get(&proposal.block)?;
        let signature = if proposal.proposer == self.key.public() {
            self.sign(proposal)
        } else {
            let (known, signature) = candidate.proposals.get(&proposal.round)?;
            (known == proposal).then_some(*signature)?
        };
        let parts = split(proposal.clone(), signature, &candidate.bytes);
        Some(Stream { block: proposal.block, name: stream_name(proposal), parts })
    }

    fn sign(&self, proposal: &Proposal) -> Signature {
        self.key.sign(&proposal.signed_bytes(&self.genesis))
    }

    /// Makes a block and keeps it on disk.
    fn make(&mut self, round: Round, now: Timestamp) -> Result<BlockId, ChainError> {
        let height = self.next_height();
        let head = self.ledger.head();
        let time = now.max(Timestamp(head.time.0.saturating_add(1)));
        let vrf_proof = vrf::prove(&self.key, &vrf::input(&head.randomness, height))?;
        let last_commit = self.last.as_ref().map(|last| last.certificate.clone());
        // Rarely any: the disk is asked only when somebody was seen signing twice.
        let evidence = if self.culprits.is_empty() { Vec::new() } else { self.blocks.evidence(MAX_EVIDENCE)? };
        let draft = Draft { time, round, proposer: self.key.public(), vrf_proof, last_commit, evidence };
        let max_bytes = self.budget.bytes(self.ledger.params().block_bytes);
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let mut transactions = self.transactions.candidates(max_bytes);
        let good = signatures::verify(&self.ledger, &*self.transactions, &transactions)?;
        let mut verdicts = good.into_iter();
        transactions.retain(|_| verdicts.next().unwrap_or(false));
        let block = self.ledger.draft(draft, &mut transactions.into_iter())?;

        let id = block.header.id();
        let bytes = Bytes::from(block.to_bytes());
        let mut candidate = Candidate::new(block, bytes, Verdict::Valid);
        let proposal = Proposal { height, round, block: id, valid_round: None, proposer: self.key.public() };
        candidate.proposals.insert(round, (proposal.clone(), self.sign(&proposal)));
        // The engine knows what it asked for itself.
        candidate.told.push(round);
        self.blocks.save_proposed(&candidate.record(id))?;
        self.candidates.insert(id, candidate);
        Ok(id)
    }
}
