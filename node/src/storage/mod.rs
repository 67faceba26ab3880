//! What the node keeps on disk: the ledger's tables, blocks and what came of them, in one RocksDB.
//!
//! - One column family for each table ([`columns`]).
//! - A finalized block, its receipts and events and all changes to the state are **one atomic batch**, on
//!   disk when [`BlockStore::save_decided`] returns ([`save`]). A crash at any moment leaves the block before or the
//!   block itself, never a half.
//! - Readers use a [`Snapshot`]: one finalized state, whatever is written meanwhile ([`read`]).
//! - A folder of another chain or a newer format is refused; a damaged one is reported and left as it is ([`open`]).
//! - After a failed write nothing more is written: the node stops, and a restart finds out what is there.
//!
//! [`BlockStore::save_decided`]: crate::chain::BlockStore::save_decided

mod columns;
mod error;
mod open;
mod read;
mod save;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rocksdb::{ColumnFamily, DB, SnapshotWithThreadMode, WriteBatch, WriteOptions};
use tokio::sync::watch;
use valo_protocol::{BlockId, GenesisHash, Height};

use self::columns::Column;
pub use self::{
    error::StorageError,
    read::{BlockReader, EventPlace, IncludedTransaction},
};

/// The format that this version writes. Changes with the column families and with what their rows hold.
pub const FORMAT: u32 = 3;

/// How much memory and how many files storage may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the cache for what was read, with indexes and filters.
    pub cache: usize,
    /// Bytes of what was written and is only in memory and in the log.
    pub write_buffers: usize,
    /// Open files at most.
    pub open_files: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache: 64 << 20, write_buffers: 64 << 20, open_files: 512 }
    }
}

/// The storage of a node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    db: DB,
    path: PathBuf,
    genesis: GenesisHash,
    /// The first write that failed.
    failure: watch::Sender<Option<StorageError>>,
    head: watch::Sender<(Height, BlockId)>,
}

/// One finalized state and its history, whatever is written after it was taken. Holding one keeps RocksDB from
/// cleaning up, so hold it for a request, not for a connection.
pub struct Snapshot<'a> {
    storage: &'a Storage,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl Storage {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The chain that is stored.
    pub fn genesis(&self) -> GenesisHash {
        self.inner.genesis
    }

    /// The last finalized block: its height and id; height 0 and the genesis hash when there is none.
    pub fn head(&self) -> (Height, BlockId) {
        *self.inner.head.borrow()
    }

    /// The present state, for any number of reads that have to fit together.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { storage: self, snapshot: self.inner.db.snapshot() }
    }

    /// The first write that failed, once one did. The node has to stop then.
    pub fn failure(&self) -> watch::Receiver<Option<StorageError>> {
        self.inner.failure.subscribe()
    }

    fn column(&self, column: Column) -> Result<&ColumnFamily, StorageError> {
        self.inner.db.cf_handle(&column.name()).ok_or_else(|| StorageError::Corrupt {
            path: self.inner.path.clone(),
            reason: format!("column family {} is missing", column.label()),
        })
    }

    /// Writes a batch; with `sync` it is on disk when this returns.
    fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StorageError> {
        if let Some(failure) = &*self.inner.failure.borrow() {
            return Err(StorageError::Failed(failure.to_string()));
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.inner.db.write_opt(batch, &options).map_err(|error| {
            let error = StorageError::from_rocksdb("write", &self.inner.path, error);
            // What a failed write or sync left on disk is unknown: only a restart can tell.
            self.inner.failure.send_if_modified(|failure| match failure {
                Some(_) => false,
                None => {
                    *failure = Some(error.clone());
                    true
                }
            });
            error
        })
    }

    /// Stops the work in the background. What was written is on disk already.
    pub fn close(&self) {
        self.inner.db.cancel_all_background_work(true);
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Storage").field("path", &self.inner.path).field("head", &self.head()).finish()
    }
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Snapshot").field("of", &self.storage.inner.path).finish()
    }
}
