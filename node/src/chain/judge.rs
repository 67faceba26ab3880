//! Judging what others propose.

use super::{
    Chain, ChainError, MAX_CLOCK_LEAD, Offer,
    candidates::{Candidate, Verdict},
    parts::{Arrived, Part},
    signatures,
};
use bytes::Bytes;
use valo_ledger::Store;
use valo_protocol::{Block, Height, PublicKey, Round, Signature, Timestamp, vote::Proposal};

/// How many rounds ahead of its own a node looks at proposals; the engine drops votes further ahead.
const ROUNDS_AHEAD: u32 = 10;
/// How many heights ahead of the next one blocks are kept for later.
const HEIGHTS_AHEAD: u64 = 2;
/// How many blocks are kept for later.
const MAX_LATER: usize = 8;

impl<S: Store> Chain<S> {
    /// Takes a part of a block from the network. Gives the block to vote on when it is complete.
    pub fn receive(
        &mut self,
        peer: &[u8],
        stream: &[u8],
        sequence: u64,
        part: Part,
        now: Timestamp,
    ) -> Result<Option<Offer>, ChainError> {
        let mut assembler = std::mem::take(&mut self.assembler);
        let arrived =
            assembler.add(peer, stream, sequence, part, |proposal, signature| self.accepts(proposal, signature));
        self.assembler = assembler;
        match arrived {
            Some(arrived) => self.take(arrived, now),
            None => Ok(None),
        }
    }

    /// Consensus entered a round of the next height: what it can vote on there and has not been told of.
    pub fn enter_round(&mut self, round: Round, now: Timestamp) -> Result<Vec<Offer>, ChainError> {
        self.round = round;
        let height = self.next_height();
        let due: Vec<_> = self.later.keys().filter(|(later, _)| *later <= height).copied().collect();
        for key in due {
            if let Some(arrived) = self.later.remove(&key)
                && arrived.proposal.height == height
                && self.accepts(&arrived.proposal, &arrived.signature)
            {
                self.examine(&arrived, now)?;
            }
        }
        let untold = self.candidates.untold(height, round);
        let offers =
            untold.iter().filter_map(|proposal| Some(self.candidates.get_mut(&proposal.block)?.offer(proposal)));
        Ok(offers.collect())
    }

    /// A decided block fetched from a peer. Its certificate has been verified; the clock is not asked. None when
    /// the bytes are not the block of the next height, which is the peer's fault.
    pub fn receive_decided(&mut self, height: Height, round: Round, bytes: &[u8]) -> Result<Option<Offer>, ChainError> {
        let Ok(block) = Block::from_bytes(bytes) else { return Ok(None) };
        if height != self.next_height() || block.header.height != height || block.header.round > round {
            return Ok(None);
        }
        let id = block.header.id();
        let proposer = block.header.proposer;
        let proposal = Proposal { height, round, block: id, valid_round: None, proposer };
        match self.candidates.get(&id).map(|known| &known.verdict) {
            Some(Verdict::Valid | Verdict::Invalid(_)) => {}
            Some(Verdict::TooEarly) | None => {
                let verdict = self.judge(&block, None)?;
                let candidate = Candidate::new(block, Bytes::copy_from_slice(bytes), verdict.clone());
                if verdict == Verdict::Valid {
                    // The engine writes to its log that the block is good: it must find the block after a crash.
                    self.blocks.save_proposed(&candidate.record(id))?;
                }
                self.candidates.insert(id, candidate);
            }
        }
        Ok(self.candidates.get_mut(&id).map(|candidate| candidate.offer(&proposal)))
    }

    /// Whether a proposal is of a height that matters here, by the proposer of its round, and signed.
    fn accepts(&self, proposal: &Proposal, signature: &Signature) -> bool {
        let next = self.next_height();
        let plausible = if proposal.height == next {
            let turn = self.ledger.proposer(proposal.round).is_some_and(|validator| validator.key == proposal.proposer);
            let near = proposal.round.0 <= self.round.0.saturating_add(ROUNDS_AHEAD);
            turn && near && !self.candidates.are_enough(proposal)
        } else {
            let near = proposal.height > next && proposal.height.0 <= next.0.saturating_add(HEIGHTS_AHEAD);
            near && self.is_validator(&proposal.proposer)
        };
        let ours = proposal.proposer == self.key.public();
        plausible && !ours && proposal.proposer.verify_strict(&proposal.signed_bytes(&self.genesis), signature)
    }

    fn is_validator(&self, key: &PublicKey) -> bool {
        self.head().validators.get(key).is_some()
    }

    fn take(&mut self, arrived: Arrived, now: Timestamp) -> Result<Option<Offer>, ChainError> {
        if arrived.proposal.height > self.next_height() {
            if self.later.len() < MAX_LATER {
                self.later.insert((arrived.proposal.height, arrived.proposal.block), arrived);
            }
            return Ok(None);
        }
        if arrived.proposal.height < self.next_height() || !self.examine(&arrived, now)? {
            return Ok(None);
        }
        let candidate = self.candidates.get_mut(&arrived.proposal.block);
        Ok(candidate.map(|candidate| candidate.offer(&arrived.proposal)))
    }

    /// Judges a block of the next height, unless that was done before, and keeps it. False when the bytes are
    /// not the block that was announced.
    fn examine(&mut self, arrived: &Arrived, now: Timestamp) -> Result<bool, ChainError> {
        let Arrived { proposal, signature, bytes } = arrived;
        let id = proposal.block;
        if self.candidates.get(&id).is_none() {
            let Ok(block) = Block::from_bytes(bytes) else { return Ok(false) };
            if block.header.id() != id {
                return Ok(false);
            }
            let verdict = self.judge(&block, Some(now))?;
            self.candidates.insert(id, Candidate::new(block, Bytes::copy_from_slice(bytes), verdict));
        }
        let Some(candidate) = self.candidates.get_mut(&id) else { return Ok(false) };
        let has_ripened = candidate.verdict == Verdict::TooEarly && is_in_time(&candidate.block, now);
        if has_ripened {
            candidate.verdict = Verdict::Valid;
        }
        // A fresh proposal is of a block made for its round; one proposed again keeps its header.
        let round_fits = match proposal.valid_round {
            None => candidate.block.header.round == proposal.round,
            Some(valid_round) => candidate.block.header.round <= valid_round && valid_round < proposal.round,
        };
        if !round_fits {
            return Ok(false);
        }
        let known = candidate.proposals.insert(proposal.round, (proposal.clone(), *signature)).is_some();
        // The engine writes to its log that the block is good: it must find the block after a crash.
        if candidate.verdict == Verdict::Valid && (!known || has_ripened) {
            let record = candidate.record(id);
            self.blocks.save_proposed(&record)?;
        }
        Ok(true)
    }

    /// Whether a block of the next height is good. Without a clock its time is not judged: others decided it.
    fn judge(&self, block: &Block, now: Option<Timestamp>) -> Result<Verdict, ChainError> {
        if let Err(error) = self.ledger.check(block) {
            return match error {
                valo_ledger::BlockError::Ledger(error) => Err(error.into()),
                error => Ok(Verdict::Invalid(error.to_string())),
            };
        }
        let ours = self.last.as_ref().map(|last| &last.certificate);
        if block.last_commit.as_ref() != ours
            && let Err(error) = self.ledger.check_certificate(block)
        {
            return Ok(Verdict::Invalid(error.to_string()));
        }
        let good = signatures::verify(&self.ledger, &*self.transactions, &block.transactions)?;
        if let Some(index) = good.iter().position(|good| !good) {
            return Ok(Verdict::Invalid(format!("the signature of transaction {index} is not by its sender")));
        }
        Ok(match now {
            Some(now) if !is_in_time(block, now) => Verdict::TooEarly,
            _ => Verdict::Valid,
        })
    }
}

fn is_in_time(block: &Block, now: Timestamp) -> bool {
    block.header.time <= now.after(MAX_CLOCK_LEAD)
}
