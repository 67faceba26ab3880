//! Late nodes: `GetHistoryMinHeight`, `GetDecidedValues`, `ProcessSyncedValue`.

use super::{App, AppError, proposals::proposed_value};
use crate::consensus::{
    codec::engine_certificate,
    context::{Context, Height, round_of},
};
use bytes::Bytes;
use malachitebft_app_channel::app::types::sync::RawDecidedValue;
use malachitebft_core_types::Round;
use malachitebft_engine::host::SyncedValueOutcome;
use std::ops::RangeInclusive;
use valo_ledger::Store;
use valo_protocol::block::MAX_BLOCK;

/// The most bytes of blocks in one answer.
const MAX_ANSWER: usize = 2 * MAX_BLOCK;

impl<S: Store> App<S> {
    /// The lowest height that others can have from this node.
    pub(super) fn earliest(&self) -> Result<Height, AppError> {
        Ok(Height(self.chain.earliest()?))
    }

    /// Finalized blocks for a late node: from the start of the range on, as many as fit one answer.
    pub(super) fn decided_values(
        &self,
        range: RangeInclusive<Height>,
    ) -> Result<Vec<RawDecidedValue<Context>>, AppError> {
        let (mut values, mut bytes) = (Vec::new(), 0usize);
        let mut height = range.start().0;
        while height <= range.end().0
            && let Some((block, certificate)) = self.chain.decided(height)?
        {
            let block = Bytes::from(block.to_bytes());
            bytes = bytes.saturating_add(block.len());
            if bytes > MAX_ANSWER && !values.is_empty() {
                break;
            }
            values.push(RawDecidedValue::new(block, engine_certificate(&certificate)));
            height = height.next();
        }
        Ok(values)
    }

    /// A finalized block from a peer, whose certificate the engine has verified.
    pub(super) fn synced(
        &mut self,
        height: Height,
        round: Round,
        bytes: &Bytes,
    ) -> Result<SyncedValueOutcome<Context>, AppError> {
        let Some(protocol_round) = round_of(round) else { return Ok(SyncedValueOutcome::PeerFault) };
        if height.0 != self.chain.next_height() {
            // Decided in the meantime.
            return Ok(SyncedValueOutcome::LocalTransientError);
        }
        match self.chain.receive_decided(height.0, protocol_round, bytes)? {
            Some(offer) => Ok(SyncedValueOutcome::Verdict(proposed_value(offer))),
            None => {
                tracing::warn!(%height, "a peer sent bytes that are not the block it was asked for");
                Ok(SyncedValueOutcome::PeerFault)
            }
        }
    }
}
