//! Typed rows over plain keys and values: dense rows with numbers, slots that are used again, and values
//! under keys of their own.
//!
//! A dense table's length is kept beside it ([`Table::Meta`]); its rows are numbered without gaps, which
//! is what its Merkle tree relies on. A free slot keeps its number and holds an empty row.

use crate::{
    LedgerError,
    overlay::Overlay,
    store::{Store, Table},
};
use borsh::{BorshDeserialize, BorshSerialize};
use valo_protocol::{
    Parameters,
    encoding::{decode, encode},
    proof::JobRecord,
    registry::Tier,
    state::{AccountRecord, ChainRecord, EpochStarts, KeyRecord, NodeRecord, Supply, ValidatorRecord},
};

/// What a table holds under its keys.
pub trait Record: BorshSerialize + BorshDeserialize {
    /// What it is, for messages.
    const WHAT: &'static str;
}

/// What the rows of a dense table are.
pub trait DenseRecord: Record {
    /// The table.
    const TABLE: Table;
}

macro_rules! records {
    ($($what:literal: $type:ty $(, $table:expr)?;)*) => {$(
        impl Record for $type { const WHAT: &'static str = $what; }
        $(impl DenseRecord for $type { const TABLE: Table = $table; })?
    )*};
}

records! {
    "account": AccountRecord, Table::Accounts;
    "key": KeyRecord, Table::Keys;
    "validator": ValidatorRecord, Table::Validators;
    "node": NodeRecord, Table::Nodes;
    "tier": Tier, Table::Tiers;
    "job": JobRecord;
    "parameters": Parameters;
    "supply": Supply;
    "chain record": ChainRecord;
    "starts of epochs": EpochStarts;
}

/// The key of a numbered row.
pub const fn row_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The number in the key of a row.
pub fn row_index(table: Table, key: &[u8]) -> Result<u64, LedgerError> {
    let bytes = key.try_into().map_err(|_| LedgerError::corrupt(table.name(), "a key is not a row number"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn length_key(table: Table) -> Vec<u8> {
    [b"length/", table.name().as_bytes()].concat()
}

/// Reads a value under a key of its own.
pub fn value<T: Record>(store: &dyn Store, table: Table, key: &[u8]) -> Result<Option<T>, LedgerError> {
    match store.get(table, key)? {
        // An empty row is a free slot.
        Some(bytes) if !bytes.is_empty() => Ok(Some(decode(T::WHAT, &bytes)?)),
        _ => Ok(None),
    }
}

/// Reads a numbered row of a table that holds several kinds.
pub fn row_of<T: Record>(store: &dyn Store, table: Table, index: u64) -> Result<Option<T>, LedgerError> {
    value(store, table, &row_key(index))
}

/// Reads a numbered row.
pub fn row<T: DenseRecord>(store: &dyn Store, index: u64) -> Result<Option<T>, LedgerError> {
    row_of(store, T::TABLE, index)
}

/// Reads a numbered row that must be there.
pub fn expect_row<T: DenseRecord>(store: &dyn Store, index: u64) -> Result<T, LedgerError> {
    row(store, index)?.ok_or_else(|| LedgerError::corrupt(T::TABLE.name(), format!("row {index} is missing")))
}

/// How many rows are read at a time.
const PAGE: usize = 1024;

/// Reads numbered rows from `from` on, at most `limit`; free slots are passed over and not counted.
pub fn rows<T: DenseRecord>(store: &dyn Store, from: u64, limit: usize) -> Result<Vec<(u64, T)>, LedgerError> {
    let mut found = Vec::new();
    let mut next = from;
    while found.len() < limit {
        let wanted = limit.saturating_sub(found.len()).min(PAGE);
        let page = store.scan(T::TABLE, &row_key(next), wanted)?;
        let is_last = page.len() < wanted;
        for (key, row) in page {
            let index = row_index(T::TABLE, &key)?;
            next = index.saturating_add(1);
            if !row.is_empty() {
                found.push((index, decode(T::WHAT, &row)?));
            }
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// How many rows a dense table has, free slots among them.
pub fn length(store: &dyn Store, table: Table) -> Result<u64, LedgerError> {
    match store.get(Table::Meta, &length_key(table))? {
        Some(bytes) => row_index(Table::Meta, &bytes),
        None => Ok(0),
    }
}

impl Overlay<'_> {
    /// Reads a numbered row.
    pub fn row<T: DenseRecord>(&self, index: u64) -> Result<Option<T>, LedgerError> {
        row(self, index)
    }

    /// Reads a numbered row that must be there.
    pub fn expect_row<T: DenseRecord>(&self, index: u64) -> Result<T, LedgerError> {
        expect_row(self, index)
    }

    /// Writes a numbered row that is there already.
    pub fn set_row<T: DenseRecord>(&mut self, index: u64, record: &T) {
        self.put(T::TABLE, row_key(index), encode(record));
    }

    /// Adds a row at the end; gives its number.
    pub fn append_row<T: DenseRecord>(&mut self, record: &T) -> Result<u64, LedgerError> {
        self.append_bytes(T::TABLE, encode(record))
    }

    /// Adds a row of bytes at the end of a dense table; gives its number.
    pub fn append_bytes(&mut self, table: Table, row: Vec<u8>) -> Result<u64, LedgerError> {
        let index = length(self, table)?;
        let next = index.checked_add(1).ok_or(LedgerError::Overflow("rows of a table"))?;
        self.put(Table::Meta, length_key(table), row_key(next).to_vec());
        self.put(table, row_key(index), row);
        Ok(index)
    }

    /// Puts a row into the lowest free slot of a table, or at its end; gives its number.
    pub fn fill_slot<T: DenseRecord>(&mut self, record: &T) -> Result<u64, LedgerError> {
        let prefix = slot_key(T::TABLE, 0);
        match self.scan(Table::FreeSlots, &prefix, 1)?.pop() {
            Some((key, _)) if key.first() == prefix.first() => {
                let index = row_index(Table::FreeSlots, key.get(1..).unwrap_or(&[]))?;
                self.delete(Table::FreeSlots, key);
                self.set_row(index, record);
                Ok(index)
            }
            _ => self.append_row(record),
        }
    }

    /// Whether a table has a free slot.
    pub fn has_free_slot(&self, table: Table) -> Result<bool, LedgerError> {
        let prefix = slot_key(table, 0);
        let found = self.scan(Table::FreeSlots, &prefix, 1)?.pop();
        Ok(found.is_some_and(|(key, _)| key.first() == prefix.first()))
    }

    /// Empties a slot, to be filled again.
    pub fn free_slot<T: DenseRecord>(&mut self, index: u64) {
        self.put(T::TABLE, row_key(index), Vec::new());
        self.put(Table::FreeSlots, slot_key(T::TABLE, index), Vec::new());
    }

    /// Reads a value under a key of its own.
    pub fn value<T: Record>(&self, table: Table, key: &[u8]) -> Result<Option<T>, LedgerError> {
        value(self, table, key)
    }

    /// Writes a value under a key of its own.
    pub fn put_value<T: Record>(&mut self, table: Table, key: impl Into<Vec<u8>>, record: &T) {
        self.put(table, key, encode(record));
    }
}

fn slot_key(table: Table, index: u64) -> Vec<u8> {
    let mut key = vec![table as u8];
    key.extend_from_slice(&row_key(index));
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use valo_protocol::{Height, PublicKey, encoding::Varint, registry::NodeId};

    fn record(n: u32) -> ValidatorRecord {
        ValidatorRecord {
            node: NodeId(n),
            key: PublicKey::default(),
            blocks: Varint(0),
            signed: Varint(0),
            misses: 0,
            skipped_until: Height(0),
            duty: Default::default(),
        }
    }

    proptest! {
        /// Slots are filled from the lowest, a table grows only when none is free, and listing passes over free ones.
        #[test]
        fn slots_are_used_again(steps in proptest::collection::vec((any::<bool>(), any::<proptest::sample::Index>()), 0..80)) {
            let empty = MemoryStore::default();
            let mut state = Overlay::new(&empty);
            let mut model = BTreeMap::new();
            let mut most = 0;
            for (n, (fill, which)) in (0u32..).zip(steps) {
                if fill || model.is_empty() {
                    let slot = state.fill_slot(&record(n)).unwrap();
                    let lowest = (0..).find(|slot| !model.contains_key(slot)).unwrap();
                    prop_assert_eq!(slot, lowest);
                    model.insert(slot, n);
                } else {
                    let slot = *which.get(&model.keys().copied().collect::<Vec<u64>>());
                    state.free_slot::<ValidatorRecord>(slot);
                    model.remove(&slot);
                    prop_assert_eq!(state.row::<ValidatorRecord>(slot).unwrap(), None);
                }
                most = most.max(model.len() as u64);
                prop_assert_eq!(length(&state, Table::Validators).unwrap(), most);
            }
            let list = |from, limit| {
                let rows = rows::<ValidatorRecord>(&state, from, limit).unwrap().into_iter();
                rows.map(|(slot, record)| (slot, record.node.0)).collect::<Vec<_>>()
            };
            prop_assert_eq!(list(0, usize::MAX), model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(list(3, 2), model.range(3..).take(2).map(|(slot, n)| (*slot, *n)).collect::<Vec<_>>());
        }
    }
}
