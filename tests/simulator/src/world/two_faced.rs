//! A validator with two faces: it signs two things where it may sign one, and shows each of them to some.

use super::World;
use crate::wire::Message;
use malachitebft_core_consensus::{Input, SignedConsensusMsg};
use malachitebft_core_types::{Context as _, NilOrVal, SignedMessage, Vote as _, VoteType};
use valo::{
    chain::{Stream, parts},
    consensus::{
        context::{Address, Context, Value},
        signing::NodeSigner,
    },
};
use valo_protocol::{Block, BlockId, Signature, Timestamp};

impl World {
    /// An honest node sends a block to all; one with two faces sends another one to some.
    pub(super) fn stream(&mut self, node: usize, stream: Stream) {
        let other = (self.scenario.two_faced == Some(node)).then(|| self.other_block(node, &stream)).flatten();
        for to in (0..self.machines.len()).filter(|to| *to != node) {
            let stream = match &other {
                Some((stream, proposal)) if self.random.chance(500) => {
                    self.send_to(node, to, Message::Core(proposal.clone()));
                    stream
                }
                _ => &stream,
            };
            let Stream { name, parts, .. } = stream.clone();
            for (sequence, part) in (0u64..).zip(parts) {
                self.send_to(node, to, Message::Part { stream: name.clone(), sequence, part });
            }
        }
    }

    /// Another block for the same place: as good as the first, a millisecond later.
    fn other_block(&self, node: usize, stream: &Stream) -> Option<(Stream, Input<Context>)> {
        let Some(parts::Part::Start { proposal, .. }) = stream.parts.first() else { return None };
        let bytes: Vec<u8> = stream.parts.iter().fold(Vec::new(), |mut bytes, part| {
            if let parts::Part::Data(data) = part {
                bytes.extend_from_slice(data);
            }
            bytes
        });
        let mut block = Block::from_bytes(&bytes).ok()?;
        block.header.time = Timestamp(block.header.time.0 + 1);
        let mut proposal = proposal.clone();
        proposal.block = block.header.id();
        let signature = self.machines[node].key.sign(&proposal.signed_bytes(&self.genesis.hash()));
        let name = parts::stream_name(&proposal);
        let parts = parts::split(proposal.clone(), signature, &block.to_bytes().into());
        let signed = SignedMessage::new(proposal.clone().into(), signature);
        Some((Stream { block: proposal.block, name, parts }, Input::Proposal(signed)))
    }

    pub(super) fn published(&mut self, node: usize, message: &SignedConsensusMsg<Context>) {
        if self.scenario.two_faced != Some(node) {
            self.judge.published(node, message);
            return;
        }
        // The vote with the other face, to some.
        let SignedConsensusMsg::Vote(vote) = message else { return };
        let value = match vote.message.value() {
            NilOrVal::Val(value) if self.random.chance(500) => {
                let mut other = *value;
                other.0.0[0] ^= 1;
                NilOrVal::Val(other)
            }
            NilOrVal::Val(_) => NilOrVal::Nil,
            NilOrVal::Nil => NilOrVal::Val(Value(BlockId([7; 32]))),
        };
        let (height, round) = (vote.message.height(), vote.message.round());
        let address = Address(self.keys[node]);
        let other = match vote.message.vote_type() {
            VoteType::Prevote => Context.new_prevote(height, round, value, address),
            VoteType::Precommit => Context.new_precommit(height, round, value, address),
        };
        let signer = NodeSigner::new(self.machines[node].key.clone(), self.genesis.hash());
        let signature: Signature = signer.vote(&other);
        let message = Message::Core(Input::Vote(SignedMessage::new(other, signature)));
        for to in 0..self.machines.len() {
            if to != node && self.random.chance(400) {
                self.send_to(node, to, message.clone());
            }
        }
    }
}
