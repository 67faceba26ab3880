//! Where state lives: ordered key-value tables behind an interface of two reads, and the changes that
//! a block writes to them.

use std::{collections::BTreeMap, sync::Arc};
use valo_protocol::proof::StateTable;

/// A table. The first ten are committed to by the state root: their keys are row numbers (u64,
/// big-endian). The others are derived from those and make them quick to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Single rows: parameters, supply, where the chain is.
    System = 0,
    /// Accounts by number.
    Accounts = 1,
    /// Keys in a linked list.
    Keys = 2,
    /// Validators.
    Validators = 3,
    /// Nodes by id.
    Nodes = 4,
    /// Tiers by id.
    Tiers = 5,
    /// Sharding groups.
    Groups = 6,
    /// Open jobs; rows are reused.
    Jobs = 7,
    /// Closed jobs in order of closing.
    Results = 8,
    /// Open shards; rows are reused.
    Shards = 9,
    /// Every bit of a key inverted -> row in `Keys`, so that an ascending scan finds the next smaller key.
    AccountByKey = 32,
    /// Validator's key -> row in `Validators`.
    ValidatorByKey = 33,
    /// Job id (u64 be) -> contract.
    Contracts = 34,
    /// Job id (u64 be) -> where its row is.
    JobIndex = 35,
    /// Submitter (u64 be), client id -> job id.
    ClientIds = 36,
    /// Shard key -> row in `Shards`.
    ShardIndex = 37,
    /// Block time (u64 be), kind, key -> what ends then.
    Deadlines = 38,
    /// Height (u64 be), key -> what is drawn then.
    Draws = 39,
    /// What waits for free slots.
    Waiting = 40,
    /// Node (u32 be), shard key -> its part in it.
    NodeShards = 41,
    /// Job, stage, shard -> verdict.
    ShardResults = 42,
    /// Table (u8), row (u64 be): rows that can be used again.
    FreeSlots = 43,
    /// Submitter (u64 be), job id (u64 be).
    JobsBySubmitter = 44,
    /// Node (u32 be): draining, and may have nothing left to do.
    Leaving = 45,
    /// Work time (u64 be), kind, key -> what ends then.
    Windows = 46,
    /// Single values: the head, lengths of tables, the genesis hash.
    Meta = 63,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 26] = [
        Self::System,
        Self::Accounts,
        Self::Keys,
        Self::Validators,
        Self::Nodes,
        Self::Tiers,
        Self::Groups,
        Self::Jobs,
        Self::Results,
        Self::Shards,
        Self::AccountByKey,
        Self::ValidatorByKey,
        Self::Contracts,
        Self::JobIndex,
        Self::ClientIds,
        Self::ShardIndex,
        Self::Deadlines,
        Self::Draws,
        Self::Waiting,
        Self::NodeShards,
        Self::ShardResults,
        Self::FreeSlots,
        Self::JobsBySubmitter,
        Self::Leaving,
        Self::Windows,
        Self::Meta,
    ];

    /// Its fixed name, for storage and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Accounts => "accounts",
            Self::Keys => "keys",
            Self::Validators => "validators",
            Self::Nodes => "nodes",
            Self::Tiers => "tiers",
            Self::Groups => "groups",
            Self::Jobs => "jobs",
            Self::Results => "results",
            Self::Shards => "shards",
            Self::AccountByKey => "account-by-key",
            Self::ValidatorByKey => "validator-by-key",
            Self::Contracts => "contracts",
            Self::JobIndex => "job-index",
            Self::ClientIds => "client-ids",
            Self::ShardIndex => "shard-index",
            Self::Deadlines => "deadlines",
            Self::Draws => "draws",
            Self::Waiting => "waiting",
            Self::NodeShards => "node-shards",
            Self::ShardResults => "shard-results",
            Self::FreeSlots => "free-slots",
            Self::JobsBySubmitter => "jobs-by-submitter",
            Self::Leaving => "leaving",
            Self::Windows => "windows",
            Self::Meta => "meta",
        }
    }

    /// The table of the state root that this is, if it is one.
    pub const fn committed(self) -> Option<StateTable> {
        match self {
            Self::System => Some(StateTable::System),
            Self::Accounts => Some(StateTable::Accounts),
            Self::Keys => Some(StateTable::Keys),
            Self::Validators => Some(StateTable::Validators),
            Self::Nodes => Some(StateTable::Nodes),
            Self::Tiers => Some(StateTable::Tiers),
            Self::Groups => Some(StateTable::Groups),
            Self::Jobs => Some(StateTable::Jobs),
            Self::Results => Some(StateTable::Results),
            Self::Shards => Some(StateTable::Shards),
            _ => None,
        }
    }
}

impl From<StateTable> for Table {
    fn from(table: StateTable) -> Self {
        match table {
            StateTable::System => Self::System,
            StateTable::Accounts => Self::Accounts,
            StateTable::Keys => Self::Keys,
            StateTable::Validators => Self::Validators,
            StateTable::Nodes => Self::Nodes,
            StateTable::Tiers => Self::Tiers,
            StateTable::Groups => Self::Groups,
            StateTable::Jobs => Self::Jobs,
            StateTable::Results => Self::Results,
            StateTable::Shards => Self::Shards,
        }
    }
}

/// The store could not answer: a fault of the disk or of the software, never of a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read table {table} of the state: {reason}")]
pub struct StoreError {
    /// Name of the table.
    pub table: &'static str,
    /// What went wrong.
    pub reason: String,
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Reads of finalized state.
pub trait Store {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Rows with a key not below `from`, in ascending order of keys, at most `limit`.
    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError>;
}

impl<S: Store + ?Sized> Store for &S {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        (**self).scan(table, from, limit)
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        (**self).scan(table, from, limit)
    }
}

/// What a block writes: for each key the new value, or none where it is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    tables: BTreeMap<Table, TableChanges>,
}

/// Changes to one table, in ascending order of keys.
pub type TableChanges = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Changes {
    /// All changes, in order of tables and keys.
    pub fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.tables
            .iter()
            .flat_map(|(table, changes)| changes.iter().map(|(key, value)| (*table, key.as_slice(), value.as_deref())))
    }

    /// Changes to one table.
    pub fn table(&self, table: Table) -> Option<&TableChanges> {
        self.tables.get(&table)
    }

    /// How many keys change.
    pub fn len(&self) -> usize {
        self.tables.values().fold(0, |total, changes| total.saturating_add(changes.len()))
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(BTreeMap::is_empty)
    }

    /// What is known of a key here: nothing, deleted, or its value.
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        Some(self.tables.get(&table)?.get(key)?.as_deref())
    }

    /// Sets the value of a key, or deletes it; gives what was recorded for it before.
    pub fn insert(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Option<Vec<u8>>> {
        self.tables.entry(table).or_default().insert(key, value)
    }

    /// Forgets what was recorded for a key.
    pub(crate) fn forget(&mut self, table: Table, key: &[u8]) {
        if let Some(changes) = self.tables.get_mut(&table) {
            changes.remove(key);
            if changes.is_empty() {
                self.tables.remove(&table);
            }
        }
    }
}

/// A store in memory, for tests, simulations and embedding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// Takes over what a block writes.
    pub fn apply(&mut self, changes: &Changes) {
        for (table, key, value) in changes.iter() {
            let rows = self.tables.entry(table).or_default();
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self.tables.get(&table).into_iter().flat_map(|rows| rows.range(from.to_vec()..));
        Ok(rows.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
