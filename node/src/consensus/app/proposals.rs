//! Rounds and proposals: `StartedRound`, `GetValue`, `ReceivedProposalPart`, `RestreamProposal`.

use super::{App, AppError};
use crate::{
    chain::{Offer, Stream, parts::Part},
    clock::now,
    consensus::context::{Address, Context, Height, Value, engine_round, round_of},
};
use bytes::Bytes;
use malachitebft_app_channel::{
    NetworkMsg, Reply,
    app::{
        streaming::{StreamContent, StreamId, StreamMessage},
        types::{LocallyProposedValue, PeerId, ProposedValue},
    },
};
use malachitebft_core_types::{Round, Validity};
use valo_ledger::Store;

/// What consensus is told of a block.
pub fn proposed_value(offer: Offer) -> ProposedValue<Context> {
    let Offer { proposal, valid } = offer;
    ProposedValue {
        height: Height(proposal.height),
        round: engine_round(proposal.round),
        valid_round: proposal.valid_round.map_or(Round::Nil, engine_round),
        proposer: Address(proposal.proposer),
        value: Value(proposal.block),
        validity: Validity::from_bool(valid),
    }
}

impl<S: Store> App<S> {
    /// The blocks of a round that the engine does not know: those that came early, and after a crash all.
    pub(super) fn started_round(
        &mut self,
        height: Height,
        round: Round,
    ) -> Result<Vec<ProposedValue<Context>>, AppError> {
        let (Some(round), true) = (round_of(round), height.0 == self.chain.next_height()) else {
            return Ok(Vec::new());
        };
        if round.0 > 0 {
            tracing::info!(%height, %round, "no block in the round before");
        }
        Ok(self.chain.enter_round(round, now())?.into_iter().map(proposed_value).collect())
    }

    /// The engine asks for a block to propose.
    pub(super) async fn get_value(
        &mut self,
        height: Height,
        round: Round,
        reply: Reply<LocallyProposedValue<Context>>,
    ) -> Result<(), AppError> {
        let (Some(protocol_round), true) = (round_of(round), height.0 == self.chain.next_height()) else {
            tracing::warn!(%height, %round, next = %self.chain.next_height(), "asked for a block of another height");
            return Ok(());
        };
        let stream = self.chain.propose(protocol_round, now())?;
        let _ = reply.send(LocallyProposedValue::new(height, round, Value(stream.block)));
        self.publish(stream).await;
        Ok(())
    }

    /// A part arrived. Gives the block's verdict when it was the last one.
    pub(super) fn received_part(
        &mut self,
        peer: PeerId,
        message: StreamMessage<Part>,
    ) -> Result<Option<ProposedValue<Context>>, AppError> {
        let StreamContent::Data(part) = message.content else { return Ok(None) };
        let stream = message.stream_id.to_bytes();
        let offer = self.chain.receive(&peer.to_bytes(), &stream, message.sequence, part, now())?;
        if let Some(Offer { proposal, valid: false }) = &offer {
            tracing::warn!(
                height = %proposal.height, round = %proposal.round, block = %proposal.block.short(),
                proposer = %proposal.proposer.short(), "a proposed block is not acceptable"
            );
        }
        Ok(offer.map(proposed_value))
    }

    /// The engine proposes a block again, or is locked on it and wants others to have it.
    pub(super) async fn restream(
        &mut self,
        height: Height,
        round: Round,
        valid_round: Round,
        proposer: Address,
        value: Value,
    ) {
        let Some(round) = round_of(round) else { return };
        let stream = self.chain.restream(height.0, round, round_of(valid_round), proposer.0, value.0);
        match stream {
            Some(stream) => self.publish(stream).await,
            None => tracing::warn!(%height, %round, block = %value, "cannot send a block again: it is not here"),
        }
    }

    async fn publish(&mut self, stream: Stream) {
        let id = StreamId::new(Bytes::from(stream.name));
        for (sequence, part) in (0u64..).zip(stream.parts) {
            let message = StreamMessage::new(id.clone(), sequence, StreamContent::Data(part));
            // The network is gone only when the engine stops, which ends the loop.
            if self.channels.network.send(NetworkMsg::PublishProposalPart(message)).await.is_err() {
                return;
            }
        }
    }
}
