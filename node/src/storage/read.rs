//! Reads, of the present state or of a [`Snapshot`]: the ledger's tables and the history of the chain.

use borsh::{BorshDeserialize, BorshSerialize};
use rocksdb::{DBIteratorWithThreadMode, DBPinnableSlice, Direction, IteratorMode};
use valo_ledger::{Store, StoreError, Table, store::Row};
use valo_protocol::{
    Block, BlockId, Height, SignedTransaction, TransactionId, block::FinalizedHeader, encoding::decode, event::Event,
    job::JobId, receipt::Receipt, vote::Evidence,
};

use super::{Column, Snapshot, Storage, StorageError};
use crate::chain::ProposedBlock;

/// Receipts and events are kept in groups of so many: few keys a block, and no need to read a whole block's
/// for one of them.
pub(super) const GROUP: usize = 256;

/// The place of an event: its block, and its number in it from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPlace {
    /// The block.
    pub height: Height,
    /// Its number in the block, from 0.
    pub index: u32,
}

/// The place of a transaction, as it is stored under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct TransactionPlace {
    pub(super) height: Height,
    pub(super) index: u32,
}

/// A transaction in a finalized block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedTransaction {
    /// The transaction.
    pub transaction: SignedTransaction,
    /// What became of it.
    pub receipt: Receipt,
}

type Rows<'a> = DBIteratorWithThreadMode<'a, rocksdb::DB>;

/// Where bytes come from.
pub(super) trait Source {
    fn storage(&self) -> &Storage;
    fn pinned(&self, column: Column, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error>;
    fn rows(&self, column: Column, mode: IteratorMode<'_>) -> Result<Rows<'_>, StorageError>;
}

impl Source for Storage {
    fn storage(&self) -> &Storage {
        self
    }

    fn pinned(&self, column: Column, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        match self.inner.db.cf_handle(&column.name()) {
            Some(column) => self.inner.db.get_pinned_cf(column, key),
            // Opening made sure that all are there.
            None => Ok(None),
        }
    }

    fn rows(&self, column: Column, mode: IteratorMode<'_>) -> Result<Rows<'_>, StorageError> {
        Ok(self.inner.db.iterator_cf(self.column(column)?, mode))
    }
}

impl Source for Snapshot<'_> {
    fn storage(&self) -> &Storage {
        self.storage
    }

    fn pinned(&self, column: Column, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        match self.storage.inner.db.cf_handle(&column.name()) {
            Some(column) => self.snapshot.get_pinned_cf(column, key),
            None => Ok(None),
        }
    }

    fn rows(&self, column: Column, mode: IteratorMode<'_>) -> Result<Rows<'_>, StorageError> {
        Ok(self.snapshot.iterator_cf(self.storage.column(column)?, mode))
    }
}

/// What all readers share, in terms of bytes.
pub(super) trait Bytes: Source {
    fn fault(&self, error: rocksdb::Error) -> StorageError {
        StorageError::from_rocksdb("read", &self.storage().inner.path, error)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> StorageError {
        StorageError::Corrupt { path: self.storage().inner.path.clone(), reason: reason.to_string() }
    }

    fn value<T: BorshDeserialize>(&self, column: Column, key: &[u8]) -> Result<Option<T>, StorageError> {
        let value = self.pinned(column, key).map_err(|error| self.fault(error))?;
        value.map(|bytes| decode(column.label(), &bytes).map_err(|error| self.damaged(error))).transpose()
    }

    /// Rows from a key on, at most `limit`, as long as `more` says so of the key.
    fn range(
        &self,
        column: Column,
        from: &[u8],
        limit: usize,
        more: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Row>, StorageError> {
        let mut found = Vec::new();
        for row in self.rows(column, IteratorMode::From(from, Direction::Forward))?.take(limit) {
            let (key, value) = row.map_err(|error| self.fault(error))?;
            if !more(&key) {
                break;
            }
            found.push((key.into_vec(), value.into_vec()));
        }
        Ok(found)
    }
}

impl<S: Source> Bytes for S {}

/// The history of the chain: blocks and what came of them.
pub trait BlockReader {
    /// The block of a height.
    fn block(&self, height: Height) -> Result<Option<Block>, StorageError>;

    /// The block of a height as it is encoded, to be sent to others.
    fn block_bytes(&self, height: Height) -> Result<Option<Vec<u8>>, StorageError>;

    /// The header of a height, with its certificate.
    fn header(&self, height: Height) -> Result<Option<FinalizedHeader>, StorageError>;

    /// Headers from a height on, at most `limit`.
    fn headers(&self, from: Height, limit: usize) -> Result<Vec<FinalizedHeader>, StorageError>;

    /// The height of a block.
    fn height_of(&self, block: &BlockId) -> Result<Option<Height>, StorageError>;

    /// The lowest height that is kept; none when there is no block.
    fn earliest_height(&self) -> Result<Option<Height>, StorageError>;

    /// What became of a transaction; none when it is in no finalized block.
    fn receipt(&self, transaction: &TransactionId) -> Result<Option<Receipt>, StorageError>;

    /// A transaction in a finalized block, with its receipt.
    fn transaction(&self, transaction: &TransactionId) -> Result<Option<IncludedTransaction>, StorageError>;

    /// The receipts of a block, in order.
    fn receipts(&self, height: Height) -> Result<Vec<Receipt>, StorageError>;

    /// Events of all blocks from a place on, in order, at most `limit`.
    fn events(&self, from: EventPlace, limit: usize) -> Result<Vec<(EventPlace, Event)>, StorageError>;

    /// Events about a job from a place on, in order, at most `limit`.
    fn job_events(&self, job: JobId, from: EventPlace, limit: usize) -> Result<Vec<(EventPlace, Event)>, StorageError>;
}

/// The key of the `index`-th of a block.
pub(super) fn place_key(height: Height, index: u32) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = height.0.to_be_bytes();
    let [i, j, k, l] = index.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

pub(super) fn job_key(job: JobId, place: EventPlace) -> [u8; 20] {
    let mut key = [0u8; 20];
    for (slot, byte) in key.iter_mut().zip(job.0.to_be_bytes().into_iter().chain(place_key(place.height, place.index)))
    {
        *slot = byte;
    }
    key
}

fn read_place(key: &[u8]) -> Option<EventPlace> {
    let (height, index) = key.split_at_checked(8)?;
    Some(EventPlace {
        height: Height(u64::from_be_bytes(height.try_into().ok()?)),
        index: u32::from_be_bytes(index.try_into().ok()?),
    })
}

/// The start of the group that an index is in.
fn group_of(index: u32) -> u32 {
    let group = u32::try_from(GROUP).unwrap_or(u32::MAX);
    index.saturating_sub(index.checked_rem(group).unwrap_or(0))
}

impl<S: Source> BlockReader for S {
    fn block(&self, height: Height) -> Result<Option<Block>, StorageError> {
        self.value(Column::Blocks, &height.0.to_be_bytes())
    }

    fn block_bytes(&self, height: Height) -> Result<Option<Vec<u8>>, StorageError> {
        let bytes = self.pinned(Column::Blocks, &height.0.to_be_bytes()).map_err(|error| self.fault(error))?;
        Ok(bytes.map(|bytes| bytes.to_vec()))
    }

    fn header(&self, height: Height) -> Result<Option<FinalizedHeader>, StorageError> {
        self.value(Column::Headers, &height.0.to_be_bytes())
    }

    fn headers(&self, from: Height, limit: usize) -> Result<Vec<FinalizedHeader>, StorageError> {
        let rows = self.range(Column::Headers, &from.0.to_be_bytes(), limit, |_| true)?;
        rows.iter().map(|(_, value)| decode("header", value).map_err(|error| self.damaged(error))).collect()
    }

    fn height_of(&self, block: &BlockId) -> Result<Option<Height>, StorageError> {
        self.value(Column::Heights, block.as_bytes())
    }

    fn earliest_height(&self) -> Result<Option<Height>, StorageError> {
        let Some((key, _)) = self.range(Column::Headers, &[], 1, |_| true)?.pop() else { return Ok(None) };
        let height = key.try_into().map_err(|_| self.damaged("a key of a header is not a height"))?;
        Ok(Some(Height(u64::from_be_bytes(height))))
    }

    fn receipt(&self, transaction: &TransactionId) -> Result<Option<Receipt>, StorageError> {
        let Some(place) = self.value::<TransactionPlace>(Column::Transactions, transaction.as_bytes())? else {
            return Ok(None);
        };
        let first = group_of(place.index);
        let group: Option<Vec<Receipt>> = self.value(Column::Receipts, &place_key(place.height, first))?;
        let index = usize::try_from(place.index.saturating_sub(first)).unwrap_or(usize::MAX);
        let receipt = group.and_then(|group| group.into_iter().nth(index));
        match receipt {
            Some(receipt) if receipt.transaction == *transaction => Ok(Some(receipt)),
            _ => Err(self.damaged(format!("the receipt of transaction {transaction} is missing"))),
        }
    }

    fn transaction(&self, transaction: &TransactionId) -> Result<Option<IncludedTransaction>, StorageError> {
        let Some(receipt) = self.receipt(transaction)? else { return Ok(None) };
        let missing = || self.damaged(format!("block {} does not have transaction {transaction}", receipt.height));
        let block = self.block(receipt.height)?.ok_or_else(missing)?;
        let index = usize::try_from(receipt.index).unwrap_or(usize::MAX);
        let transaction = block.transactions.into_iter().nth(index).ok_or_else(missing)?;
        Ok(Some(IncludedTransaction { transaction, receipt }))
    }

    fn receipts(&self, height: Height) -> Result<Vec<Receipt>, StorageError> {
        let prefix = height.0.to_be_bytes();
        let rows = self.range(Column::Receipts, &prefix, usize::MAX, |key| key.starts_with(&prefix))?;
        let mut receipts = Vec::new();
        for (_, value) in rows {
            let group: Vec<Receipt> = decode("receipts", &value).map_err(|error| self.damaged(error))?;
            receipts.extend(group);
        }
        Ok(receipts)
    }

    fn events(&self, from: EventPlace, limit: usize) -> Result<Vec<(EventPlace, Event)>, StorageError> {
        let start = place_key(from.height, group_of(from.index));
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        for row in self.rows(Column::Events, IteratorMode::From(&start, Direction::Forward))? {
            let (key, value) = row.map_err(|error| self.fault(error))?;
            let first = read_place(&key).ok_or_else(|| self.damaged("a key of events is no place"))?;
            let group: Vec<Event> = decode("events", &value).map_err(|error| self.damaged(error))?;
            for (offset, event) in (0u32..).zip(group) {
                let place = EventPlace { height: first.height, index: first.index.saturating_add(offset) };
                if place < from {
                    continue;
                }
                found.push((place, event));
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    fn job_events(&self, job: JobId, from: EventPlace, limit: usize) -> Result<Vec<(EventPlace, Event)>, StorageError> {
        let prefix = job.0.to_be_bytes();
        let rows = self.range(Column::JobEvents, &job_key(job, from), limit, |key| key.starts_with(&prefix))?;
        rows.iter()
            .map(|(key, value)| {
                let place = key.get(prefix.len()..).and_then(read_place);
                let place = place.ok_or_else(|| self.damaged("a key of a job's events is no place"))?;
                Ok((place, decode("event", value).map_err(|error| self.damaged(error))?))
            })
            .collect()
    }
}

impl Storage {
    pub(super) fn read_proposed(&self, height: Height) -> Result<Vec<ProposedBlock>, StorageError> {
        let prefix = height.0.to_be_bytes();
        let rows = self.range(Column::Proposed, &prefix, usize::MAX, |key| key.starts_with(&prefix))?;
        rows.iter().map(|(_, value)| decode("proposed block", value).map_err(|error| self.damaged(error))).collect()
    }

    pub(super) fn read_evidence(&self, limit: usize) -> Result<Vec<Evidence>, StorageError> {
        let rows = self.range(Column::Evidence, &[], limit, |_| true)?;
        rows.iter().map(|(_, value)| decode("evidence", value).map_err(|error| self.damaged(error))).collect()
    }
}

fn table_get(source: &impl Source, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let value = source.pinned(Column::State(table), key);
    let value = value.map_err(|error| source.fault(error).for_table(table.name()))?;
    Ok(value.map(|bytes| bytes.to_vec()))
}

fn table_scan(source: &impl Source, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
    source.range(Column::State(table), from, limit, |_| true).map_err(|error| error.for_table(table.name()))
}

impl Store for Storage {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        table_get(self, table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        table_scan(self, table, from, limit)
    }
}

impl Store for Snapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        table_get(self, table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        table_scan(self, table, from, limit)
    }
}
