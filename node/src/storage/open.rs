//! Opening: a new folder is made whole or not at all, and nothing that looks wrong is ever reset.

use std::{fs, path::Path, sync::Arc};

use borsh::BorshDeserialize;
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::watch;
use valo_ledger::Changes;
use valo_protocol::{
    BlockId, GenesisHash, Height,
    encoding::{decode, encode},
};

use super::{
    FORMAT, Inner, Settings, Storage, StorageError,
    columns::{Column, database_options, descriptors},
};

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const GENESIS_KEY: &[u8] = b"genesis";
pub(super) const HEAD_KEY: &[u8] = b"head";

impl Storage {
    /// Opens the storage in a folder, or makes one if there is none. `genesis_state` gives the state of height 0.
    ///
    /// A new one is written beside its place and moved there when it is complete.
    pub fn open_or_create<E: std::fmt::Display>(
        path: &Path,
        genesis: GenesisHash,
        settings: Settings,
        genesis_state: impl FnOnce() -> Result<Changes, E>,
    ) -> Result<Self, StorageError> {
        if is_vacant(path)? {
            let changes = genesis_state().map_err(|error| StorageError::Genesis(error.to_string()))?;
            create(path, genesis, settings, &changes)?;
        }
        Self::open(path, genesis, settings)
    }

    /// Opens the storage in a folder.
    pub fn open(path: &Path, genesis: GenesisHash, settings: Settings) -> Result<Self, StorageError> {
        // RocksDB would take a folder without this file for a new one.
        if !path.join("CURRENT").is_file() {
            return Err(StorageError::NotStorage {
                path: path.to_path_buf(),
                reason: "the file CURRENT is missing".to_owned(),
            });
        }
        check_columns(path, settings)?;
        let mut options = database_options(&settings);
        options.create_if_missing(false);
        let db = DB::open_cf_descriptors(&options, path, descriptors(&settings))
            .map_err(|error| StorageError::from_rocksdb("open", path, error))?;
        let reader = Meta { db: &db, path };
        reader.check_format()?;
        let found: GenesisHash = reader.get(GENESIS_KEY, "genesis hash")?;
        if found != genesis {
            return Err(StorageError::OtherNetwork { path: path.to_path_buf(), found, expected: genesis });
        }
        let head: (Height, BlockId) = reader.get(HEAD_KEY, "last finalized block")?;
        let storage = Self {
            inner: Arc::new(Inner {
                db,
                path: path.to_path_buf(),
                genesis,
                failure: watch::Sender::new(None),
                head: watch::Sender::new(head),
            }),
        };
        storage.check_head()?;
        Ok(storage)
    }

    /// Blocks and their bookkeeping are written in one batch: if they disagree, a part was lost.
    fn check_head(&self) -> Result<(), StorageError> {
        use super::BlockReader;
        let (height, id) = self.head();
        let corrupt = |reason: String| Err(StorageError::Corrupt { path: self.inner.path.clone(), reason });
        if height == Height(0) {
            return Ok(());
        }
        match self.header(height)? {
            Some(header) if header.header.id() == id => {}
            Some(_) => return corrupt(format!("the header of block {height} is not that of block {id}")),
            None => return corrupt(format!("the header of the last finalized block {height} is missing")),
        }
        if self.header(height.next())?.is_some() {
            return corrupt(format!("there is a block after the last finalized block {height}"));
        }
        if self.block(height)?.is_none() {
            return corrupt(format!("the last finalized block {height} is missing"));
        }
        Ok(())
    }
}

/// Whether nothing is at a place, or an empty folder.
fn is_vacant(path: &Path) -> Result<bool, StorageError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StorageError::from_io("open", path, &error)),
    }
}

fn create(path: &Path, genesis: GenesisHash, settings: Settings, changes: &Changes) -> Result<(), StorageError> {
    let io = |action, at: &Path| {
        let at = at.to_path_buf();
        move |error: std::io::Error| StorageError::from_io(action, &at, &error)
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io("create", parent))?;
    let unfinished = path.with_extension("unfinished");
    if unfinished.exists() {
        // Left behind by a crash while a new storage was made; it never held more than the genesis state.
        fs::remove_dir_all(&unfinished).map_err(io("remove", &unfinished))?;
    }
    write_new(&unfinished, genesis, settings, changes)?;
    if path.exists() {
        fs::remove_dir(path).map_err(io("create", path))?;
    }
    fs::rename(&unfinished, path).map_err(io("create", path))?;
    fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(io("create", parent))
}

fn write_new(path: &Path, genesis: GenesisHash, settings: Settings, changes: &Changes) -> Result<(), StorageError> {
    let failed = |error| StorageError::from_rocksdb("create", path, error);
    let mut options = database_options(&settings);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_error_if_exists(true);
    let db = DB::open_cf_descriptors(&options, path, descriptors(&settings)).map_err(failed)?;
    let column = |column: Column| {
        db.cf_handle(&column.name()).ok_or_else(|| StorageError::Corrupt {
            path: path.to_path_buf(),
            reason: format!("column family {} was not made", column.label()),
        })
    };
    let mut batch = WriteBatch::default();
    for (table, key, value) in changes.iter() {
        if let Some(value) = value {
            batch.put_cf(column(Column::State(table))?, key, value);
        }
    }
    let node = column(Column::Node)?;
    batch.put_cf(node, FORMAT_KEY, encode(&FORMAT));
    batch.put_cf(node, GENESIS_KEY, encode(&genesis));
    batch.put_cf(node, HEAD_KEY, encode(&(Height(0), BlockId(genesis.0))));
    let mut write = WriteOptions::default();
    write.set_sync(true);
    db.write_opt(batch, &write).map_err(failed)
}

/// Compares the column families with those of this format, before RocksDB complains in its words.
fn check_columns(path: &Path, settings: Settings) -> Result<(), StorageError> {
    let options = database_options(&settings);
    let failed = |error| StorageError::from_rocksdb("open", path, error);
    let found = DB::list_cf(&options, path).map_err(failed)?;
    let known: Vec<String> = Column::all().map(Column::name).collect();
    let missing = known.iter().find(|name| !found.contains(name));
    let foreign = found.iter().find(|name| *name != rocksdb::DEFAULT_COLUMN_FAMILY_NAME && !known.contains(name));
    let reason = match (missing, foreign) {
        (None, None) => return Ok(()),
        (Some(name), _) => format!("column family {name} is missing"),
        (None, Some(name)) => format!("column family {name} is unknown"),
    };
    let node = Column::Node.name();
    if found.contains(&node) {
        // Another format perhaps: it says so itself.
        let db = DB::open_cf_for_read_only(&options, path, [node], false).map_err(failed)?;
        Meta { db: &db, path }.check_format()?;
    }
    let path = path.to_path_buf();
    // A damaged manifest is read up to the damage: then some of ours are there and others are not.
    match found.iter().any(|name| known.contains(name)) {
        true => Err(StorageError::Corrupt { path, reason }),
        false => Err(StorageError::NotStorage { path, reason }),
    }
}

/// Reads of the node's own column before there is a [`Storage`].
struct Meta<'a> {
    db: &'a DB,
    path: &'a Path,
}

impl Meta<'_> {
    fn get<T: BorshDeserialize>(&self, key: &[u8], what: &'static str) -> Result<T, StorageError> {
        let not_storage = |reason: String| StorageError::NotStorage { path: self.path.to_path_buf(), reason };
        let column = self.db.cf_handle(&Column::Node.name());
        let column = column.ok_or_else(|| not_storage("column family node is missing".to_owned()))?;
        let value =
            self.db.get_cf(column, key).map_err(|error| StorageError::from_rocksdb("read", self.path, error))?;
        let value = value.ok_or_else(|| not_storage(format!("the {what} is missing")))?;
        decode(what, &value)
            .map_err(|error| StorageError::Corrupt { path: self.path.to_path_buf(), reason: error.to_string() })
    }

    fn check_format(&self) -> Result<(), StorageError> {
        let found: u32 = self.get(FORMAT_KEY, "format")?;
        match found.cmp(&FORMAT) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => {
                Err(StorageError::Newer { path: self.path.to_path_buf(), found, supported: FORMAT })
            }
            std::cmp::Ordering::Less => Err(StorageError::Older { path: self.path.to_path_buf(), found }),
        }
    }
}
