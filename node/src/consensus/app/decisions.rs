//! Decisions: `ConsensusReady`, `Decided`, `Finalized`.

use super::{App, AppError, pacing::Hold};
use crate::consensus::{
    codec::certificate_of,
    context::{Context, Height},
    evidence::evidence_of,
    timeouts, validators_after,
};
use malachitebft_app_channel::{Reply, app::types::MisbehaviorEvidence};
use malachitebft_core_types::{CommitCertificate, HeightParams};
use malachitebft_engine::host::Next;
use std::time::Duration;
use valo_ledger::Store;

impl<S: Store> App<S> {
    /// Where consensus goes on.
    pub(super) fn next_height(&self) -> (Height, HeightParams<Context>) {
        let validators = validators_after(self.chain.head());
        // Until the earliest moment of the next block the engine collects precommits beyond a quorum:
        // who is late takes part all the same.
        let collect = Duration::from(self.chain.ledger().params().min_interval);
        (Height(self.chain.next_height()), HeightParams::new(validators, timeouts(), Some(collect)))
    }

    /// Lets the engine begin, if it waits for that.
    pub(super) fn release_first(&mut self) {
        if let Some(reply) = self.first.take() {
            let _ = reply.send(self.next_height());
        }
    }

    /// A block is final: execute, write, publish.
    pub(super) fn decided(&mut self, certificate: &CommitCertificate<Context>) -> Result<(), AppError> {
        let certificate = certificate_of(certificate).map_err(AppError::Certificate)?;
        let finalized = self.chain.decide(certificate)?;
        tracing::debug!(
            height = %finalized.certificate.height,
            round = %finalized.certificate.round,
            block = %finalized.id.short(),
            transactions = finalized.block.transactions.len(),
            "finalized"
        );
        self.followers.tip.send_replace(self.chain.tip());
        // Fails only while nobody listens.
        let _ = self.followers.finalized.send(finalized);
        self.complete_proofs();
        Ok(())
    }

    /// The height is over. The next one starts when a block is due.
    pub(super) fn finalized(
        &mut self,
        certificate: &CommitCertificate<Context>,
        evidence: &MisbehaviorEvidence<Context>,
        reply: Reply<Next<Context>>,
    ) -> Result<(), AppError> {
        let certificate = certificate_of(certificate).map_err(AppError::Certificate)?;
        self.chain.extend_certificate(certificate)?;
        let evidence = evidence_of(evidence);
        if !evidence.is_empty() {
            for fault in &evidence {
                tracing::warn!(culprit = %fault.culprit(), "a validator signed two different things");
            }
            self.chain.keep_evidence(&evidence)?;
        }
        self.hold = Some(Hold::new(reply, &self.channels.events, self.chain.ledger().params().idle_interval));
        Ok(())
    }
}
