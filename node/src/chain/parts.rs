//! Blocks on their way from a proposer: cut into parts, and put together again.
//!
//! ```text
//!   part 0: the signed proposal, and how many bytes follow
//!   part 1, 2, ...: the block's bytes, [`PART`] each, the last one shorter
//! ```
//! The proposal in the first part names the block and is signed by the proposer of its round, so nobody else
//! can make a node put a block together, and what was put together is that block or is dropped. Parts may
//! come in any order, from any peer; the streams a peer may open and the bytes they may hold are bounded.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;
use valo_protocol::{Height, Signature, block::MAX_BLOCK, encoding::encode, vote::Proposal};

/// Bytes of a block in one part.
pub const PART: usize = 128 * 1024;
/// The most streams of one peer that are put together at a time.
const STREAMS_OF_A_PEER: usize = 4;
/// The most bytes held for all unfinished streams.
const MAX_HELD: usize = 16 * MAX_BLOCK;

/// A part of a proposed block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Part {
    /// What is proposed.
    Start {
        /// The proposal.
        proposal: Proposal,
        /// The proposer's signature of it.
        signature: Signature,
        /// Bytes of the block.
        length: u32,
    },
    /// Bytes of the block.
    Data(bytes::Bytes),
}

/// A block as it arrived, with the proposal that announced it. Not checked beyond that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The proposal.
    pub proposal: Proposal,
    /// The proposer's signature of it.
    pub signature: Signature,
    /// The block's bytes.
    pub bytes: Vec<u8>,
}

/// The name of the stream in which a proposal travels: unique for its proposer, height and round.
pub fn stream_name(proposal: &Proposal) -> Vec<u8> {
    encode(&(proposal.height, proposal.round, proposal.proposer))
}

/// Cuts a block into parts, in order.
pub fn split(proposal: Proposal, signature: Signature, block: &bytes::Bytes) -> Vec<Part> {
    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
    let mut parts = vec![Part::Start { proposal, signature, length }];
    let mut rest = block.clone();
    while !rest.is_empty() {
        parts.push(Part::Data(rest.split_to(rest.len().min(PART))));
    }
    parts
}

/// Puts streams of parts together.
#[derive(Debug, Default)]
pub struct Assembler {
    streams: BTreeMap<(Vec<u8>, Vec<u8>), Stream>,
    opened: u64,
    held: usize,
}

#[derive(Debug)]
struct Stream {
    age: u64,
    start: Option<(Proposal, Signature, usize)>,
    data: BTreeMap<u64, bytes::Bytes>,
    held: usize,
}

impl Assembler {
    /// Takes a part that `peer` published. Answers with the block when it is complete. `accept` says
    /// whether a proposal is worth it: the right height, and signed by the proposer of its round.
    pub fn add(
        &mut self,
        peer: &[u8],
        stream: &[u8],
        sequence: u64,
        part: Part,
        accept: impl FnOnce(&Proposal, &Signature) -> bool,
    ) -> Option<Arrived> {
        let parts_of_a_block = MAX_BLOCK.div_ceil(PART);
        if stream.len() > 128 || usize::try_from(sequence).is_ok_and(|sequence| sequence > parts_of_a_block) {
            return None;
        }
        let key = (peer.to_vec(), stream.to_vec());
        match part {
            Part::Start { proposal, signature, length } => {
                let length = usize::try_from(length).ok()?;
                let named = stream_name(&proposal) == stream && sequence == 0;
                if !named || length > MAX_BLOCK || !accept(&proposal, &signature) {
                    self.remove(&key);
                    return None;
                }
                self.open(&key);
                self.streams.get_mut(&key)?.start = Some((proposal, signature, length));
            }
            Part::Data(bytes) => {
                if sequence == 0 || bytes.is_empty() || bytes.len() > PART {
                    return None;
                }
                self.open(&key);
                let entry = self.streams.get_mut(&key)?;
                if entry.data.contains_key(&sequence) {
                    return None;
                }
                entry.held = entry.held.saturating_add(bytes.len());
                self.held = self.held.saturating_add(bytes.len());
                // A slice of a larger message would keep all of it in memory.
                entry.data.insert(sequence, bytes::Bytes::copy_from_slice(&bytes));
            }
        }
        let entry = self.streams.get(&key)?;
        let expected = entry.start.as_ref().map_or(MAX_BLOCK, |(_, _, length)| *length);
        if entry.held > expected {
            self.remove(&key);
            return None;
        }
        self.shed();
        let complete = self.streams.get(&key)?.start.as_ref().is_some_and(|(_, _, length)| *length == expected);
        if !complete || self.streams.get(&key)?.held != expected {
            return None;
        }
        let (proposal, signature, _) = self.streams.get(&key)?.start.clone()?;
        let finished = self.remove(&key)?;
        let bytes = finished.data.into_values().fold(Vec::with_capacity(expected), |mut block, part| {
            block.extend_from_slice(&part);
            block
        });
        Some(Arrived { proposal, signature, bytes })
    }

    /// Drops what was announced for `height` or below.
    pub fn drop_through(&mut self, height: Height) {
        self.streams.retain(|_, stream| stream.start.as_ref().is_none_or(|(proposal, ..)| proposal.height > height));
        self.held = self.streams.values().fold(0, |held, stream| held.saturating_add(stream.held));
    }

    fn open(&mut self, key: &(Vec<u8>, Vec<u8>)) {
        if self.streams.contains_key(key) {
            return;
        }
        let of_peer = self.streams.range((key.0.clone(), Vec::new())..).take_while(|((peer, _), _)| *peer == key.0);
        if of_peer.clone().count() >= STREAMS_OF_A_PEER
            && let Some(oldest) = of_peer.min_by_key(|(_, stream)| stream.age).map(|(key, _)| key.clone())
        {
            self.remove(&oldest);
        }
        self.opened = self.opened.saturating_add(1);
        let stream = Stream { age: self.opened, start: None, data: BTreeMap::new(), held: 0 };
        self.streams.insert(key.clone(), stream);
    }

    fn remove(&mut self, key: &(Vec<u8>, Vec<u8>)) -> Option<Stream> {
        let stream = self.streams.remove(key)?;
        self.held = self.held.saturating_sub(stream.held);
        Some(stream)
    }

    /// Drops the oldest streams while too many bytes are held, those without an accepted proposal first.
    fn shed(&mut self) {
        while self.held > MAX_HELD {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| (stream.start.is_some(), stream.age));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            self.remove(&key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use valo_protocol::{BlockId, PublicKey, Round};

    fn proposal(round: u32) -> Proposal {
        Proposal {
            height: Height(5),
            round: Round(round),
            block: BlockId([1; 32]),
            valid_round: None,
            proposer: PublicKey([2; 32]),
        }
    }

    fn block(length: usize) -> Bytes {
        (0..length).map(|n| n as u8).collect()
    }

    fn feed(assembler: &mut Assembler, peer: &[u8], parts: &[(u64, Part)]) -> Option<Arrived> {
        let name = stream_name(&proposal(0));
        parts.iter().fold(None, |found, (sequence, part)| {
            found.or(assembler.add(peer, &name, *sequence, part.clone(), |_, _| true))
        })
    }

    proptest! {
        #[test]
        fn any_order_gives_the_block(length in 1usize..(3 * PART), order: u64, repeat: bool) {
            let bytes = block(length);
            let mut parts: Vec<(u64, Part)> = (0u64..).zip(split(proposal(0), Signature([0; 64]), &bytes)).collect();
            if repeat { parts.extend(parts.clone()); }
            let turn = order as usize % parts.len();
            parts.rotate_left(turn);
            let mut assembler = Assembler::default();
            let arrived = feed(&mut assembler, b"peer", &parts).unwrap();
            prop_assert_eq!(arrived.bytes, bytes.to_vec());
        }
    }

    #[test]
    fn a_peer_that_sends_junk_does_not_spoil_the_stream_of_another() {
        let bytes = block(2 * PART);
        let parts: Vec<(u64, Part)> = (0u64..).zip(split(proposal(0), Signature([0; 64]), &bytes)).collect();
        let mut assembler = Assembler::default();
        assert_eq!(feed(&mut assembler, b"bad", &[(1, Part::Data(block(7))), (2, Part::Data(block(9)))]), None);
        assert_eq!(feed(&mut assembler, b"good", &parts).unwrap().bytes, bytes.to_vec());
    }

    #[test]
    fn what_peers_can_make_a_node_hold_is_bounded() {
        let mut assembler = Assembler::default();
        let full = Part::Data(block(PART));
        for round in 0..20 {
            let name = stream_name(&proposal(round));
            for sequence in 1..40 {
                assembler.add(b"peer", &name, sequence, full.clone(), |_, _| true);
            }
        }
        assert!(assembler.held <= STREAMS_OF_A_PEER * MAX_BLOCK, "{} bytes", assembler.held);
        assert!(assembler.streams.len() <= STREAMS_OF_A_PEER);
        for peer in 0u32..30 {
            for sequence in 1..30 {
                let name = stream_name(&proposal(0));
                assembler.add(&peer.to_le_bytes(), &name, sequence, full.clone(), |_, _| true);
            }
        }
        assert!(assembler.held <= MAX_HELD, "{} bytes", assembler.held);
    }

    #[test]
    fn a_proposal_that_is_not_accepted_is_dropped_with_its_bytes() {
        let parts = split(proposal(0), Signature([0; 64]), &block(10));
        let name = stream_name(&proposal(0));
        let mut assembler = Assembler::default();
        for (sequence, part) in [(1u64, parts[1].clone()), (0, parts[0].clone())] {
            assert_eq!(assembler.add(b"peer", &name, sequence, part, |_, _| false), None);
        }
        assert_eq!(assembler.held, 0);
    }
}
