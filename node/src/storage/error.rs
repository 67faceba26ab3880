//! What can go wrong with the disk, told apart so that the operator of the node knows what to do.

use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;
use valo_ledger::StoreError;
use valo_protocol::{BlockId, GenesisHash, Height};

/// Why storage could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Another process has it open.
    #[error("{} is in use by another process; stop that node first", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to another chain.
    #[error(
        "{} holds the chain {found}, but the genesis of this node is {expected}; use another data folder, or the genesis of that chain",
        .path.display()
    )]
    OtherNetwork {
        /// The folder.
        path: PathBuf,
        /// The chain it holds.
        found: GenesisHash,
        /// The chain that was asked for.
        expected: GenesisHash,
    },
    /// Written by a newer version of this program.
    #[error(
        "{} was written in format {found} by a newer version of valo; this version reads up to format {supported}: update valo",
        .path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is understood.
        supported: u32,
    },
    /// Written in a format that is no longer read.
    #[error("{} was written in format {found}, which this version of valo cannot read; move it away and sync anew", .path.display())]
    Older {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// There are files, but no storage of ours.
    #[error("{} is no storage of valo, or it is damaged or half written: {reason}; nothing was changed. Move it away to start anew", .path.display())]
    NotStorage {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// What is there is damaged.
    #[error(
        "{} is damaged: {reason}; nothing was changed. Restore it from a copy, or move it away and sync anew from other nodes",
        .path.display()
    )]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// No space left.
    #[error("the disk of {} is full; finalized blocks are safe. Free some space and start the node again", .path.display())]
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// The system refused a read or a write.
    #[error("cannot {action} {}: {reason}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A write failed before; what is on disk is known only after a restart.
    #[error("nothing more is written after a failed write: {0}")]
    Failed(String),
    /// A block that does not follow the last one.
    #[error("block {found} cannot be stored after block {head}")]
    OutOfOrder {
        /// The last finalized height.
        head: Height,
        /// The height of the block.
        found: Height,
    },
    /// A certificate for a block that is not the one of its height.
    #[error("a certificate for block {found} at height {height}, where another block is final")]
    OtherBlock {
        /// The height.
        height: Height,
        /// The block of the certificate.
        found: BlockId,
    },
    /// The genesis makes no state.
    #[error("the genesis makes no state: {0}")]
    Genesis(String),
}

impl StorageError {
    /// Reads what RocksDB says.
    pub(super) fn from_rocksdb(action: &'static str, path: &Path, error: rocksdb::Error) -> Self {
        let path = path.to_path_buf();
        let kind = error.kind();
        let reason = error.into_string();
        if reason.contains("No space left on device") || reason.contains("Disk quota exceeded") {
            return Self::Full { path };
        }
        // Another process holds the lock, or this one does already.
        if reason.contains("lock") && (reason.contains("/LOCK:") || reason.contains("lock hold by current process")) {
            return Self::Locked { path };
        }
        match kind {
            ErrorKind::Corruption => Self::Corrupt { path, reason },
            // A column family that is missing, unknown, or a file that should be there.
            ErrorKind::InvalidArgument | ErrorKind::NotFound => Self::Corrupt { path, reason },
            ErrorKind::IOError if reason.contains("No such file") => Self::Corrupt { path, reason },
            _ => Self::Io { action, path, reason },
        }
    }

    pub(super) fn from_io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full { path: path.to_path_buf() }
            }
            _ => Self::Io { action, path: path.to_path_buf(), reason: error.to_string() },
        }
    }

    /// As the ledger and the chain know it.
    pub(super) fn for_table(self, table: &'static str) -> StoreError {
        StoreError { table, reason: self.to_string() }
    }
}
