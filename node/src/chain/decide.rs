//! What follows from a decision.

use super::{Chain, ChainError, FinalizedBlock};
use std::sync::Arc;
use valo_ledger::Store;
use valo_protocol::{
    Block, Height, Round,
    block::FinalizedHeader,
    vote::{Certificate, Evidence},
};

impl<S: Store> Chain<S> {
    /// Executes the block that a certificate makes final, writes everything in one batch, and moves on.
    pub fn decide(&mut self, certificate: Certificate) -> Result<Arc<FinalizedBlock>, ChainError> {
        let (height, id) = (certificate.height, certificate.block);
        if height != self.next_height() {
            return Err(ChainError::OutOfOrder { expected: self.next_height(), found: height });
        }
        let candidate = self.candidates.take(&id).ok_or(ChainError::Missing { height, block: id })?;
        let mut effects = match candidate.effects {
            Some(effects) => effects,
            None => self.ledger.execute(&candidate.block)?,
        };
        let size = u64::try_from(candidate.bytes.len()).unwrap_or(u64::MAX);
        let (time, limit) = (candidate.block.header.time, self.ledger.params().block_bytes);
        self.budget.decided(time, size, certificate.round, limit);
        let block = Arc::unwrap_or_clone(candidate.block);
        let finalized = Arc::new(FinalizedBlock {
            id,
            block,
            certificate,
            receipts: std::mem::take(&mut effects.receipts),
            events: std::mem::take(&mut effects.events),
            validators: self.head().validators.clone(),
        });
        let roots = self.ledger.table_roots();
        self.blocks.save_decided(&finalized, &effects.changes)?;
        self.ledger.commit(effects)?;
        self.certified = Some(roots);
        self.last = Some(FinalizedHeader {
            header: finalized.block.header.clone(),
            certificate: finalized.certificate.clone(),
        });
        self.assembler.drop_through(height);
        self.later.retain(|(later, _), _| *later > height);
        self.round = Round(0);
        self.transactions.finalized(&finalized);
        Ok(finalized)
    }

    /// Takes over a certificate of the last block with more signatures, for the next block to carry.
    pub fn extend_certificate(&mut self, certificate: Certificate) -> Result<(), ChainError> {
        if let Some(last) = &mut self.last
            && last.certificate.height == certificate.height
            && last.certificate.block == certificate.block
            && last.certificate.signatures.len() < certificate.signatures.len()
        {
            self.blocks.save_certificate(&certificate)?;
            last.certificate = certificate;
        }
        Ok(())
    }

    /// Keeps proofs of faults for a block to carry: one of each culprit, for more would only fill the disk.
    pub fn keep_evidence(&mut self, evidence: &[Evidence]) -> Result<(), ChainError> {
        let fresh: Vec<Evidence> =
            evidence.iter().filter(|fault| self.culprits.insert(fault.culprit())).cloned().collect();
        if !fresh.is_empty() {
            self.blocks.save_evidence(&fresh)?;
        }
        Ok(())
    }

    /// Executes a candidate ahead of the decision. False when there is nothing to do.
    pub fn work_ahead(&mut self) -> Result<bool, ChainError> {
        let Some((id, block)) = self.candidates.unexecuted() else { return Ok(false) };
        let effects = self.ledger.execute(&block)?;
        if let Some(candidate) = self.candidates.get_mut(&id) {
            candidate.effects = Some(effects);
        }
        Ok(true)
    }

    /// A finalized block with its certificate.
    pub fn decided(&self, height: Height) -> Result<Option<(Block, Certificate)>, ChainError> {
        if height > self.head().height {
            return Ok(None);
        }
        Ok(self.blocks.decided(height)?)
    }

    /// The lowest height this node can give to others.
    pub fn earliest(&self) -> Result<Height, ChainError> {
        Ok(self.blocks.earliest()?.unwrap_or_default())
    }
}
