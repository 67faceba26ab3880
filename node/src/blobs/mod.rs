//! Blobs: files named by their blake3 hash, kept within quotas and fetched from whoever has them.
//!
//! Bytes and verification are iroh-blobs' (an `FsStore` in the data folder, blake3 verified
//! streaming between nodes); who may put how much, what must stay, what is visible and whom to ask
//! is decided here.
//!
//! ```text
//!  put_bytes, put_path, put_stream        fetch, fetch_anywhere
//!        | quota, then bytes                    | size, quota, then verified bytes
//!        v                                      v
//!  +-----------------------------------------------------+
//!  | index (authority)  <-- tags in the store's database |      valo/blobs-who/1
//!  | FsStore: DATA/blobs/data/<hash>.data                | <---- members: who has it?
//!  +-----------------------------------------------------+ <---- members: iroh-blobs get
//!        ^ get, export, path
//! ```
//!
//! Promises:
//! - What `put` and `pin` answered is on disk and survives a kill; what they did not answer is
//!   invisible after it.
//! - A quota counts before bytes are written. Downloads that nobody owns make way when the node's
//!   quota is full, the longest unused first.
//! - A blob without a pin may go: by [`Blobs::collect`], by age, or to make way. Whoever needs one
//!   for a while pins it, with a label that says why.

mod error;
mod fetch;
mod index;
mod put;
mod serve;
mod store;
mod sweep;
mod tags;
mod who;

#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use iroh_blobs::store::fs::FsStore;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::{
    fs::File,
    sync::{RwLock, Semaphore},
};
use tracing::warn;
use valo_protocol::BlobHash;

pub use self::{
    error::{Attempt, BlobError, Quota},
    index::BlobInfo,
    sweep::Collected,
};
use self::{index::Index, store::Folder, sweep::Sweep, tags::Tag};
use crate::network::{Network, Protocol};

/// The longest label of an owner or a pin, in bytes.
pub const MAX_LABEL: usize = 128;

/// How long a shutdown waits for puts under way.
const LAST_PUTS: Duration = Duration::from_secs(5);

/// Settings of the blobs. `BlobsConfig::new` gives defaults.
#[derive(Clone, Debug)]
pub struct BlobsConfig {
    /// The folder of the store; made when missing.
    pub folder: PathBuf,
    /// Bytes of all blobs together.
    pub node_quota: u64,
    /// Bytes of the blobs of one owner.
    pub owner_quota: u64,
    /// Blobs without a pin that were neither stored nor used for this long are collected each
    /// minute; `None` leaves it to [`Blobs::collect`].
    pub retention: Option<Duration>,
    /// Blobs written at once; further ones wait.
    pub max_puts: usize,
    /// Blobs downloaded at once; further ones wait.
    pub max_fetches: usize,
    /// How long a stream that is being stored may pause.
    pub put_idle: Duration,
    /// How long a provider may take to answer, and to send the next part.
    pub fetch_idle: Duration,
    /// A download may take as long as its size takes at this rate, and a little more.
    pub fetch_bytes_per_second: u64,
    /// Connections that may ask us for blobs at once.
    pub max_readers: usize,
    /// How long a reader may leave what it asked for unread.
    pub serve_idle: Duration,
}

impl BlobsConfig {
    /// The defaults: 20 GiB for the node, 5 GiB for an owner, a day of retention.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            node_quota: 20 << 30,
            owner_quota: 5 << 30,
            retention: Some(Duration::from_secs(24 * 3600)),
            max_puts: 16,
            max_fetches: 16,
            put_idle: Duration::from_secs(30),
            fetch_idle: Duration::from_secs(3),
            fetch_bytes_per_second: 1 << 20,
            max_readers: 48,
            serve_idle: Duration::from_secs(30),
        }
    }
}

/// Counters of the blobs, for `valo_blobs_*` metrics. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct BlobMetrics {
    /// Bytes of all blobs, and of those being written.
    pub stored_bytes: Gauge,
    /// Blobs stored.
    pub stored: Gauge,
    /// Blobs put by clients or the node.
    pub puts: Counter,
    /// Blobs downloaded.
    pub fetched: Counter,
    /// Bytes downloaded.
    pub fetched_bytes: Counter,
    /// Downloads that no provider could complete.
    pub failed: Counter,
    /// Providers whose bytes did not match the hash.
    pub liars: Counter,
    /// Requests of other nodes that were answered with bytes.
    pub served: Counter,
    /// Bytes sent to other nodes.
    pub served_bytes: Counter,
    /// Requests of other nodes that were refused.
    pub refused: Counter,
}

impl BlobMetrics {
    /// Names the counters in a registry; the caller chooses the prefix.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("blobs");
        registry.register("stored_bytes", "Bytes of all blobs", self.stored_bytes.clone());
        registry.register("stored", "Blobs stored", self.stored.clone());
        for (name, help, counter) in [
            ("puts", "Blobs put", &self.puts),
            ("fetched", "Blobs downloaded", &self.fetched),
            ("fetched_bytes", "Bytes downloaded", &self.fetched_bytes),
            ("failed", "Downloads that failed", &self.failed),
            ("liars", "Providers of wrong bytes", &self.liars),
            ("served", "Requests answered", &self.served),
            ("served_bytes", "Bytes sent to other nodes", &self.served_bytes),
            ("refused", "Requests refused", &self.refused),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}

/// The blobs of one node. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Blobs {
    shared: Arc<Shared>,
}

struct Shared {
    config: BlobsConfig,
    folder: Folder,
    store: FsStore,
    network: Network,
    index: Arc<Mutex<Index>>,
    sweep: Arc<Sweep>,
    /// Held shared while tags and entry of a blob are written, and exclusively while tags of blobs
    /// that left the index are removed, so that a new put never loses its tags to an old deletion.
    tagging: RwLock<()>,
    puts: Arc<Semaphore>,
    fetches: Semaphore,
    fetching: fetch::Fetching,
    metrics: BlobMetrics,
}

impl Blobs {
    /// Opens the store, drops what a crash left half done, and starts to keep house.
    pub async fn open(config: BlobsConfig, network: &Network) -> Result<Self, BlobError> {
        let folder = Folder::prepare(&config.folder).await?;
        let index = Arc::new(Mutex::new(Index::new(config.node_quota, config.owner_quota)));
        let sweep = Arc::new(Sweep::default());
        let store = store::load(&folder, sweep.clone().protect(index.clone())).await?;
        folder.empty_scratch().await?;
        store::restore(&folder, &store, &index).await?;
        let blobs = Self {
            shared: Arc::new(Shared {
                puts: Arc::new(Semaphore::new(config.max_puts.max(1))),
                tagging: RwLock::new(()),
                fetches: Semaphore::new(config.max_fetches.max(1)),
                fetching: fetch::Fetching::default(),
                metrics: BlobMetrics::default(),
                network: network.clone(),
                config,
                folder,
                store,
                index,
                sweep,
            }),
        };
        blobs.shared.sweep.wake();
        blobs.shared.measure();
        network.spawn(sweep::keep_house(blobs.clone()));
        Ok(blobs)
    }

    /// For [`Network::serve`].
    pub fn protocols(&self) -> Vec<Protocol> {
        vec![serve::protocol(&self.shared), who::protocol(&self.shared)]
    }

    /// Whether the blob is complete on this node.
    pub fn has(&self, hash: &BlobHash) -> bool {
        self.size(hash).is_some()
    }

    /// Its length in bytes, when it is complete on this node.
    pub fn size(&self, hash: &BlobHash) -> Option<u64> {
        self.shared.index(|index| index.get(hash).map(|entry| entry.size))
    }

    /// Bytes in use, and the node's quota.
    pub fn usage(&self) -> (u64, u64) {
        let used = self.shared.index(|index| index.used());
        (used, self.shared.config.node_quota)
    }

    /// Bytes in use by an owner, and its quota.
    pub fn usage_of(&self, owner: &str) -> (u64, u64) {
        let used = self.shared.index(|index| index.used_by(owner));
        (used, self.shared.config.owner_quota)
    }

    /// At most `limit` blobs in the order of their hashes, those behind `after`.
    pub fn list(&self, after: Option<BlobHash>, limit: usize) -> Vec<BlobInfo> {
        self.shared.index(|index| index.list(after, limit))
    }

    /// Opens a blob for reading and seeking. The bytes are as they are on disk; where a damaged
    /// disk must not go unnoticed, use [`Blobs::export`].
    pub async fn get(&self, hash: &BlobHash) -> Result<File, BlobError> {
        let path = self.path(hash)?;
        match File::open(&path).await {
            Ok(file) => Ok(file),
            // Deleted just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing(*hash)),
            Err(error) => Err(BlobError::io("cannot open", path)(error)),
        }
    }

    /// The blob's file, to be read only. It is there as long as the blob is: pin it meanwhile.
    pub fn path(&self, hash: &BlobHash) -> Result<PathBuf, BlobError> {
        let now = now();
        let size = self.shared.index(|index| index.touch(hash, now)).ok_or(BlobError::Missing(*hash))?;
        Ok(self.shared.folder.data(hash, size))
    }

    /// Copies a blob into a new file at `target`, checking every byte against the hash. A blob that
    /// turns out damaged is dropped from this node, so that it can be fetched again.
    pub async fn export(&self, hash: &BlobHash, target: &Path) -> Result<u64, BlobError> {
        let source = self.path(hash)?;
        let (hash, target) = (*hash, target.to_owned());
        let copied = tokio::task::spawn_blocking(move || store::copy_verified(&hash, &source, &target))
            .await
            .map_err(BlobError::store("export a blob"))?;
        if let Err(BlobError::Corrupt(hash)) = &copied {
            warn!(%hash, "a blob was damaged on this disk; dropped");
            self.shared.forget(hash).await?;
        }
        copied
    }

    /// Keeps a blob until the same label is unpinned. Pinning twice with one label is once.
    pub async fn pin(&self, hash: &BlobHash, label: &str) -> Result<(), BlobError> {
        check_label(label)?;
        let _tagging = self.shared.tagging.read().await;
        if !self.has(hash) {
            return Err(BlobError::Missing(*hash));
        }
        self.shared.set_tags(hash, [Tag::Pin(label.to_owned())]).await?;
        // It may have left the index meanwhile; its tags go with it.
        if self.shared.index(|index| index.pin(hash, label)) { Ok(()) } else { Err(BlobError::Missing(*hash)) }
    }

    /// Takes back a pin. Nothing happens when there is none.
    pub async fn unpin(&self, hash: &BlobHash, label: &str) -> Result<(), BlobError> {
        check_label(label)?;
        self.shared.index(|index| index.unpin(hash, label));
        self.shared.remove_tags(&[Tag::Pin(label.to_owned()).name(hash)]).await
    }

    /// Takes a blob off an owner's quota; its bytes stay until they are collected.
    pub async fn disown(&self, hash: &BlobHash, owner: &str) -> Result<(), BlobError> {
        check_label(owner)?;
        self.shared.index(|index| index.disown(hash, owner));
        self.shared.measure();
        self.shared.remove_tags(&[Tag::Owner(owner.to_owned()).name(hash)]).await
    }

    /// Deletes a blob, whoever owns it. Refused while it is pinned.
    pub async fn delete(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let pins = self
            .shared
            .index(|index| index.get(hash).map(|entry| entry.pins.clone()))
            .ok_or(BlobError::Missing(*hash))?;
        if !pins.is_empty() {
            return Err(BlobError::Pinned { hash: *hash, reasons: pins.into_iter().collect::<Vec<_>>().join(", ") });
        }
        self.shared.forget(hash).await
    }

    /// The counters.
    pub fn metrics(&self) -> &BlobMetrics {
        &self.shared.metrics
    }

    /// Waits a moment for what is being written and closes the database. Call it when the network is
    /// shut down; afterwards nothing works any more.
    pub async fn shutdown(&self) -> Result<(), BlobError> {
        let all = u32::try_from(self.shared.config.max_puts.max(1)).unwrap_or(u32::MAX);
        if tokio::time::timeout(LAST_PUTS, self.shared.puts.acquire_many(all)).await.is_err() {
            warn!("blobs that were still being written are given up");
        }
        self.shared.puts.close();
        self.shared.fetches.close();
        self.shared.store.shutdown().await.map_err(BlobError::store("close the database"))
    }
}

impl Shared {
    fn index<T>(&self, with: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut index)
    }

    fn measure(&self) {
        let (bytes, count) = self.index(|index| (index.used(), index.len()));
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.stored_bytes.set(bytes);
        self.metrics.stored.set(count);
    }

    /// Writes tags and waits until they are on disk.
    async fn set_tags(&self, hash: &BlobHash, tags: impl IntoIterator<Item = Tag>) -> Result<(), BlobError> {
        self.write_tags(hash, tags).await?;
        self.sync().await
    }

    /// Writes tags; they are on disk in half a second or with the next [`Shared::sync`].
    async fn write_tags(&self, hash: &BlobHash, tags: impl IntoIterator<Item = Tag>) -> Result<(), BlobError> {
        for tag in tags {
            self.store.tags().set(tag.name(hash), store::raw(hash)).await.map_err(BlobError::store("write a tag"))?;
        }
        Ok(())
    }

    async fn remove_tags(&self, names: &[Vec<u8>]) -> Result<(), BlobError> {
        for name in names {
            self.store.tags().delete(name).await.map_err(BlobError::store("delete a tag"))?;
        }
        self.sync().await
    }

    /// The store answers before its transaction is committed; this waits for the commit.
    async fn sync(&self) -> Result<(), BlobError> {
        self.store.sync_db().await.map_err(BlobError::store("write to disk"))
    }

    /// Takes a blob out of sight and has its bytes swept away.
    async fn forget(&self, hash: &BlobHash) -> Result<(), BlobError> {
        self.index(|index| index.remove(hash));
        self.measure();
        self.drop_tags(std::slice::from_ref(hash)).await?;
        self.sweep.wake();
        Ok(())
    }

    /// Removes the tags of blobs that left the index (and did not come back).
    async fn drop_tags(&self, hashes: &[BlobHash]) -> Result<(), BlobError> {
        let _tagging = self.tagging.write().await;
        for hash in hashes {
            if self.index(|index| index.get(hash).is_some()) {
                continue;
            }
            for prefix in tags::prefixes(hash) {
                self.store.tags().delete_prefix(prefix).await.map_err(BlobError::store("delete tags"))?;
            }
        }
        self.sync().await
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(formatter)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Blobs")
            .field("folder", &self.config.folder)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

fn check_label(label: &str) -> Result<(), BlobError> {
    if label.is_empty() || label.len() > MAX_LABEL {
        return Err(BlobError::Label { label: label.chars().take(MAX_LABEL).collect(), limit: MAX_LABEL });
    }
    Ok(())
}

/// Seconds since 1970, for ages only; a wrong clock makes blobs older or younger, nothing else.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
