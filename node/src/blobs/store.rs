//! The folder of the store: how it is opened, and how a crash's leftovers are recognised.
//!
//! ```text
//! FOLDER/blobs.db        iroh-blobs' database: records and tags
//! FOLDER/data/           <hash>.data, the bytes of each blob as a plain file; outboards beside it
//! FOLDER/temp/           iroh-blobs' files being written; emptied at each start
//! FOLDER/staging/        our own files being written; emptied at each start
//! FOLDER/empty           the file of the empty blob, which iroh-blobs does not store
//! ```

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use iroh_blobs::{
    Hash, HashAndFormat,
    api::blobs::BlobStatus,
    store::{
        GcConfig, ProtectCb,
        fs::{
            FsStore,
            options::{InlineOptions, Options},
        },
    },
};
use n0_future::StreamExt;
use tracing::{error, info, warn};
use valo_protocol::BlobHash;

use super::{
    BlobError,
    index::{Entry, Index},
    now,
    tags::Tag,
};

/// The store looks this often whether there is something to sweep; in between it waits to be woken.
const SWEEP_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Paths in the store's folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder where needed.
    pub(super) async fn prepare(root: &Path) -> Result<Self, BlobError> {
        let root = root.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&root).map_err(BlobError::io("cannot make", &root))?;
            // The store refuses relative paths.
            let root = root.canonicalize().map_err(BlobError::io("cannot find", &root))?;
            let empty = root.join("empty");
            fs::write(&empty, b"").map_err(BlobError::io("cannot write", &empty))?;
            Ok(Self { root })
        });
        made.await.map_err(BlobError::store("prepare the folder"))?
    }

    /// Empties what only a running store uses. The database must be open: its lock is what makes
    /// sure that no other process is that running store.
    pub(super) async fn empty_scratch(&self) -> Result<(), BlobError> {
        let scratches = [self.staging(), self.root.join("temp")];
        let emptied = tokio::task::spawn_blocking(move || {
            for scratch in scratches {
                match fs::remove_dir_all(&scratch) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(BlobError::io("cannot empty", scratch)(error));
                    }
                    _ => fs::create_dir_all(&scratch).map_err(BlobError::io("cannot make", &scratch))?,
                }
            }
            Ok(())
        });
        emptied.await.map_err(BlobError::store("prepare the folder"))?
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Where iroh-blobs keeps the bytes. Nothing is inlined into the database, so each blob has one.
    pub(super) fn data(&self, hash: &BlobHash, size: u64) -> PathBuf {
        if size == 0 {
            return self.root.join("empty");
        }
        self.root.join("data").join(format!("{hash}.data"))
    }
}

/// Opens the database.
pub(super) async fn load(folder: &Folder, protect: ProtectCb) -> Result<FsStore, BlobError> {
    let mut options = Options::new(&folder.root);
    options.inline = InlineOptions { max_data_inlined: 0, ..InlineOptions::default() };
    options.gc = Some(GcConfig { interval: SWEEP_PAUSE, add_protected: Some(protect) });
    let database = folder.root.join("blobs.db");
    if !database.exists() {
        create(folder, &database).await?;
    }
    open(&database, options).await
}

/// Makes the database beside its place. It gets there as a whole: one that a kill left half made would never open.
async fn create(folder: &Folder, database: &Path) -> Result<(), BlobError> {
    let unfinished = database.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BlobError::io("remove", unfinished)(error));
        }
        _ => {}
    }
    let store = open(&unfinished, Options::new(&folder.root)).await?;
    store.shutdown().await.map_err(BlobError::store("close the database"))?;
    fs::rename(&unfinished, database).map_err(BlobError::io("make", database))
}

async fn open(database: &Path, options: Options) -> Result<FsStore, BlobError> {
    FsStore::load_with_opts(database.to_owned(), options).await.map_err(|error| BlobError::Store {
        action: "open the database",
        reason: format!("{}: {error:#}; is another node using this folder, or is it damaged?", database.display()),
    })
}

/// Fills the index from the store, and dooms what belongs to no complete put.
pub(super) async fn restore(folder: &Folder, store: &FsStore, index: &Arc<Mutex<Index>>) -> Result<(), BlobError> {
    let mut tagged = read_tags(store).await?;
    let present = list(store).await?;
    let mut lost = Vec::new();
    tagged.retain(|hash, entry| {
        let on_disk = fs::metadata(folder.data(hash, entry.size)).map(|file| file.len());
        let whole = (entry.size == 0 || present.contains(hash)) && on_disk.is_ok_and(|length| length == entry.size);
        if !whole {
            lost.push((*hash, entry.pins.clone()));
        }
        whole
    });
    for (hash, pins) in &lost {
        error!(%hash, ?pins, "a blob is gone from this disk or cut short; it has to be fetched again");
        for prefix in super::tags::prefixes(hash) {
            store.tags().delete_prefix(prefix).await.map_err(BlobError::store("delete tags"))?;
        }
    }
    let mut orphans = 0usize;
    for hash in &present {
        if tagged.contains_key(hash) {
            continue;
        }
        let status = store.status(to_iroh(hash)).await.map_err(BlobError::store("read a blob's status"))?;
        let length = fs::metadata(folder.data(hash, 1)).map_or(0, |file| file.len());
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            // A broken download; it goes on where it stopped when someone wants it again.
            BlobStatus::Partial { .. } => index.leave_partial(*hash, length, now()),
            BlobStatus::Complete { .. } => {
                index.doom(*hash);
                orphans = orphans.saturating_add(1);
            }
            BlobStatus::NotFound => {}
        }
    }
    let strays = remove_strays(folder, &present);
    {
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, entry) in tagged {
            index.restore(hash, entry);
        }
        info!(blobs = index.len(), bytes = index.used(), lost = lost.len(), orphans, strays, "blob store open");
    }
    Ok(())
}

async fn read_tags(store: &FsStore) -> Result<BTreeMap<BlobHash, Entry>, BlobError> {
    let mut names = Vec::new();
    let mut tags = store.tags().list().await.map_err(BlobError::store("list tags"))?;
    while let Some(tag) = tags.next().await {
        let tag = tag.map_err(BlobError::store("read a tag"))?;
        match Tag::parse(&tag.name.0) {
            Some(parsed) => names.push(parsed),
            None => warn!(tag = ?tag.name, "an unknown tag in the blob store"),
        }
    }
    let mut entries: BTreeMap<BlobHash, Entry> = BTreeMap::new();
    for (hash, tag) in &names {
        if let Tag::Stored { size, at } = tag {
            let entry = entries.entry(*hash).or_insert_with(|| Entry::new(*size, *at));
            entry.stored = entry.stored.max(*at);
            entry.used = entry.stored;
        }
    }
    for (hash, tag) in names {
        // Owners and pins of a blob that was never completely stored have nothing to hold.
        if let Some(entry) = entries.get_mut(&hash) {
            match tag {
                Tag::Owner(owner) => entry.owners.insert(owner),
                Tag::Pin(label) => entry.pins.insert(label),
                Tag::Stored { .. } => continue,
            };
        }
    }
    Ok(entries)
}

async fn list(store: &FsStore) -> Result<HashSet<BlobHash>, BlobError> {
    let mut present = HashSet::new();
    let mut hashes = store.blobs().list().stream().await.map_err(BlobError::store("list blobs"))?;
    while let Some(hash) = hashes.next().await {
        let hash = hash.map_err(BlobError::store("list blobs"))?;
        present.insert(from_iroh(hash));
    }
    Ok(present)
}

/// Removes files of blobs that the database does not know: a kill came between the two.
fn remove_strays(folder: &Folder, present: &HashSet<BlobHash>) -> usize {
    let Ok(files) = fs::read_dir(folder.root.join("data")) else {
        return 0;
    };
    let mut removed = 0usize;
    for file in files.flatten() {
        let name = file.file_name();
        let hash = name.to_str().and_then(|name| name.split('.').next()).and_then(|name| name.parse::<BlobHash>().ok());
        if hash.is_some_and(|hash| !present.contains(&hash)) && fs::remove_file(file.path()).is_ok() {
            removed = removed.saturating_add(1);
        }
    }
    removed
}

/// Copies a file and checks its bytes on the way. Nothing is left at `target` when they are wrong.
pub(super) fn copy_verified(hash: &BlobHash, source: &Path, target: &Path) -> Result<u64, BlobError> {
    let copied = copy_hashed(source, target)?;
    if BlobHash::from(copied.0) == *hash {
        return Ok(copied.1);
    }
    fs::remove_file(target).map_err(BlobError::io("cannot remove", target))?;
    Err(BlobError::Corrupt(*hash))
}

fn copy_hashed(source: &Path, target: &Path) -> Result<(blake3::Hash, u64), BlobError> {
    let reading = || BlobError::io("cannot read", source);
    let writing = || BlobError::io("cannot write", target);
    let mut input = fs::File::open(source).map_err(reading())?;
    let mut output = fs::File::create_new(target).map_err(writing())?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0u64;
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finalize(), total)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(reading()(error)),
        };
        let part = buffer.get(..length).unwrap_or_default();
        hasher.update(part);
        output.write_all(part).map_err(writing())?;
        total = total.saturating_add(part.len() as u64);
    }
}

/// The same hash in iroh's type.
pub(super) fn to_iroh(hash: &BlobHash) -> Hash {
    Hash::from_bytes(*hash.as_bytes())
}

/// The same hash in the chain's type.
pub(super) fn from_iroh(hash: Hash) -> BlobHash {
    BlobHash(*hash.as_bytes())
}

/// A single blob, in iroh's words.
pub(super) fn raw(hash: &BlobHash) -> HashAndFormat {
    HashAndFormat::raw(to_iroh(hash))
}

/// The hash of a file's bytes.
pub(super) fn hash_file(path: &Path) -> Result<BlobHash, BlobError> {
    let reading = || BlobError::io("cannot read", path);
    let file = fs::File::open(path).map_err(reading())?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(reading())?;
    Ok(hasher.finalize().into())
}

/// Makes sure that the bytes of a file survive a loss of power.
pub(super) fn sync_file(path: &Path) -> Result<(), BlobError> {
    fs::File::open(path).and_then(|file| file.sync_data()).map_err(BlobError::io("cannot write", path))
}
