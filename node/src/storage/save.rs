//! Writes: one atomic batch for each finalized block, and what consensus must not forget in between.

use rocksdb::{IteratorMode, WriteBatch};
use valo_ledger::{Changes, StoreError};
use valo_protocol::{
    Block, Height, PublicKey,
    block::FinalizedHeader,
    encoding::encode,
    vote::{Certificate, Evidence},
};

use super::{
    BlockReader, EventPlace, Storage, StorageError,
    columns::Column,
    open::HEAD_KEY,
    read::{Bytes, GROUP, Source, TransactionPlace, job_key, place_key},
};
use crate::chain::{BlockStore, FinalizedBlock, ProposedBlock};

/// Proofs of faults that are kept at most. One validator is at fault once a height.
const MAX_EVIDENCE: usize = 10_000;

impl BlockStore for Storage {
    fn save_decided(&self, finalized: &FinalizedBlock, changes: &Changes) -> Result<(), StoreError> {
        self.write_decided(finalized, changes).map_err(|error| error.for_table(Column::Blocks.label()))
    }

    fn save_certificate(&self, certificate: &Certificate) -> Result<(), StoreError> {
        self.write_certificate(certificate).map_err(|error| error.for_table(Column::Headers.label()))
    }

    fn decided(&self, height: Height) -> Result<Option<(Block, Certificate)>, StoreError> {
        let read = || {
            let snapshot = self.snapshot();
            let (Some(block), Some(header)) = (snapshot.block(height)?, snapshot.header(height)?) else {
                return Ok(None);
            };
            Ok(Some((block, header.certificate)))
        };
        read().map_err(|error: StorageError| error.for_table(Column::Blocks.label()))
    }

    fn earliest(&self) -> Result<Option<Height>, StoreError> {
        self.earliest_height().map_err(|error| error.for_table(Column::Headers.label()))
    }

    fn save_proposed(&self, proposed: &ProposedBlock) -> Result<(), StoreError> {
        let write = || {
            let height = proposed.block.header.height;
            let mut batch = WriteBatch::default();
            let key = [&height.0.to_be_bytes()[..], proposed.id.as_bytes()].concat();
            batch.put_cf(self.column(Column::Proposed)?, key, encode(proposed));
            self.write(batch, true)
        };
        write().map_err(|error: StorageError| error.for_table(Column::Proposed.label()))
    }

    fn proposed(&self, height: Height) -> Result<Vec<ProposedBlock>, StoreError> {
        self.read_proposed(height).map_err(|error| error.for_table(Column::Proposed.label()))
    }

    fn save_evidence(&self, evidence: &[Evidence]) -> Result<(), StoreError> {
        self.write_evidence(evidence).map_err(|error| error.for_table(Column::Evidence.label()))
    }

    fn evidence(&self, limit: usize) -> Result<Vec<Evidence>, StoreError> {
        self.read_evidence(limit).map_err(|error| error.for_table(Column::Evidence.label()))
    }
}

/// One proof for each validator and height is enough: it is put out for the first.
fn evidence_key(evidence: &Evidence) -> Vec<u8> {
    let (height, culprit): (Height, PublicKey) = match evidence {
        Evidence::Votes { first: (vote, _), .. } => (vote.height, vote.validator),
        Evidence::Proposals { first: (proposal, _), .. } => (proposal.height, proposal.proposer),
    };
    [&height.0.to_be_bytes()[..], &culprit.0].concat()
}

impl Storage {
    fn write_decided(&self, finalized: &FinalizedBlock, changes: &Changes) -> Result<(), StorageError> {
        let header = &finalized.block.header;
        let height = header.height;
        let (head, _) = self.head();
        if height != head.next() {
            return Err(StorageError::OutOfOrder { head, found: height });
        }
        let mut batch = WriteBatch::default();
        self.put_state(&mut batch, changes)?;
        let key = height.0.to_be_bytes();
        batch.put_cf(self.column(Column::Blocks)?, key, encode(&finalized.block));
        let finalized_header = FinalizedHeader { header: header.clone(), certificate: finalized.certificate.clone() };
        batch.put_cf(self.column(Column::Headers)?, key, encode(&finalized_header));
        batch.put_cf(self.column(Column::Heights)?, finalized.id.as_bytes(), encode(&height));
        self.put_receipts(&mut batch, finalized)?;
        self.put_events(&mut batch, finalized)?;
        self.delete_proposed(&mut batch, height)?;
        let evidence = self.column(Column::Evidence)?;
        for proof in &finalized.block.evidence {
            batch.delete_cf(evidence, evidence_key(proof));
        }
        batch.put_cf(self.column(Column::Node)?, HEAD_KEY, encode(&(height, finalized.id)));
        self.write(batch, true)?;
        self.inner.head.send_replace((height, finalized.id));
        Ok(())
    }

    fn put_state(&self, batch: &mut WriteBatch, changes: &Changes) -> Result<(), StorageError> {
        let mut present = None;
        for (table, key, value) in changes.iter() {
            let column = match present {
                Some((of, column)) if of == table => column,
                _ => self.column(Column::State(table))?,
            };
            present = Some((table, column));
            match value {
                Some(value) => batch.put_cf(column, key, value),
                None => batch.delete_cf(column, key),
            }
        }
        Ok(())
    }

    fn put_receipts(&self, batch: &mut WriteBatch, finalized: &FinalizedBlock) -> Result<(), StorageError> {
        let height = finalized.block.header.height;
        let (transactions, receipts) = (self.column(Column::Transactions)?, self.column(Column::Receipts)?);
        for (first, group) in (0u32..).step_by(GROUP).zip(finalized.receipts.chunks(GROUP)) {
            batch.put_cf(receipts, place_key(height, first), encode(group));
            for (index, receipt) in (first..).zip(group) {
                let place = TransactionPlace { height, index };
                batch.put_cf(transactions, receipt.transaction.as_bytes(), encode(&place));
            }
        }
        Ok(())
    }

    fn put_events(&self, batch: &mut WriteBatch, finalized: &FinalizedBlock) -> Result<(), StorageError> {
        let height = finalized.block.header.height;
        let (events, job_events) = (self.column(Column::Events)?, self.column(Column::JobEvents)?);
        for (first, group) in (0u32..).step_by(GROUP).zip(finalized.events.chunks(GROUP)) {
            batch.put_cf(events, place_key(height, first), encode(group));
        }
        for (index, event) in (0u32..).zip(&finalized.events) {
            if let Some(job) = event.job() {
                batch.put_cf(job_events, job_key(job, EventPlace { height, index }), encode(event));
            }
        }
        Ok(())
    }

    /// What was proposed up to a height is decided or void.
    fn delete_proposed(&self, batch: &mut WriteBatch, height: Height) -> Result<(), StorageError> {
        let column = self.column(Column::Proposed)?;
        let end = height.next().0.to_be_bytes();
        // Keys only: the values are whole blocks.
        let mut rows = self.inner.db.raw_iterator_cf(column);
        rows.seek_to_first();
        while let Some(key) = rows.key().filter(|key| **key < end[..]) {
            batch.delete_cf(column, key);
            rows.next();
        }
        rows.status().map_err(|error| self.fault(error))
    }

    fn write_certificate(&self, certificate: &Certificate) -> Result<(), StorageError> {
        let height = certificate.height;
        let other = || StorageError::OtherBlock { height, found: certificate.block };
        let mut header = self.header(height)?.ok_or_else(other)?;
        if header.certificate.block != certificate.block {
            return Err(other());
        }
        header.certificate = certificate.clone();
        let mut batch = WriteBatch::default();
        batch.put_cf(self.column(Column::Headers)?, height.0.to_be_bytes(), encode(&header));
        // The certificate that is there proves the same: this one may be lost.
        self.write(batch, false)
    }

    fn write_evidence(&self, evidence: &[Evidence]) -> Result<(), StorageError> {
        let column = self.column(Column::Evidence)?;
        let mut count = self.rows(Column::Evidence, IteratorMode::Start)?.take(MAX_EVIDENCE).count();
        let mut batch = WriteBatch::default();
        for proof in evidence {
            let key = evidence_key(proof);
            let known = self.value::<Evidence>(Column::Evidence, &key)?.is_some();
            if known || count >= MAX_EVIDENCE {
                continue;
            }
            batch.put_cf(column, key, encode(proof));
            count = count.saturating_add(1);
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch, true) }
    }
}
