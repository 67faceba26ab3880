//! Storing bytes that this node is given.
//!
//! Room is set aside before bytes are written and given back when the put fails, is cancelled or
//! turns out to be a blob that is here already. A put answers when bytes and tags are on disk.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use iroh_blobs::api::{TempTag, blobs::BlobStatus};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
};
use tracing::warn;

use valo_protocol::{BlobHash, job::MAX_BLOB};

use super::{
    BlobError, Blobs, Shared, check_label, now,
    store::{self, from_iroh, to_iroh},
    tags::{self, Tag},
};

/// A stream up to this length is stored without a file of its own.
const IN_MEMORY: usize = 1 << 20;
const READ: usize = 256 << 10;

impl Blobs {
    /// Stores bytes. `owner` is whose quota they count against, such as an account number.
    pub async fn put_bytes(&self, bytes: impl Into<Bytes>, owner: Option<&str>) -> Result<BlobHash, BlobError> {
        let bytes = bytes.into();
        let permit = self.shared.admit_put(owner).await?;
        self.put_bytes_admitted(bytes, owner, permit).await
    }

    /// Stores the bytes of a file, which stays where it is.
    pub async fn put_path(&self, path: impl AsRef<Path>, owner: Option<&str>) -> Result<BlobHash, BlobError> {
        let path = path.as_ref();
        let permit = self.shared.admit_put(owner).await?;
        let path = tokio::fs::canonicalize(path).await.map_err(BlobError::io("cannot find", path))?;
        let size = tokio::fs::metadata(&path).await.map_err(BlobError::io("cannot read", &path))?.len();
        let mut room = Room::new(&self.shared, owner);
        room.grow(size)?;
        let hash = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || store::hash_file(&path))
                .await
                .map_err(BlobError::store("hash a file"))??
        };
        self.shared.store_bytes(Source::File(path), hash, room, permit).await
    }

    /// Stores what a reader gives, until its end. Quotas and the limit of a blob are checked as the
    /// bytes come; nothing of a put that fails stays.
    pub async fn put_stream(
        &self,
        mut source: impl AsyncRead + Unpin + Send,
        owner: Option<&str>,
    ) -> Result<BlobHash, BlobError> {
        let permit = self.shared.admit_put(owner).await?;
        let mut room = Room::new(&self.shared, owner);
        let mut head = BytesMut::new();
        while head.len() <= IN_MEMORY {
            head.reserve(READ);
            match self.shared.read(&mut source, &mut head).await? {
                0 => {
                    drop(room);
                    return self.put_bytes_admitted(head.freeze(), owner, permit).await;
                }
                length => room.grow(length)?,
            }
        }
        let mut staged = Staged::create(&self.shared).await?;
        staged.write(&head).await?;
        loop {
            head.clear();
            head.reserve(READ);
            match self.shared.read(&mut source, &mut head).await? {
                0 => break,
                length => room.grow(length)?,
            }
            staged.write(&head).await?;
        }
        let hash = staged.finish().await?;
        self.shared.store_bytes(Source::Staged(staged), hash, room, permit).await
    }

    async fn put_bytes_admitted(
        &self,
        bytes: Bytes,
        owner: Option<&str>,
        permit: OwnedSemaphorePermit,
    ) -> Result<BlobHash, BlobError> {
        let mut room = Room::new(&self.shared, owner);
        room.grow(bytes.len() as u64)?;
        let hash = if bytes.len() <= IN_MEMORY {
            BlobHash::of(&bytes)
        } else {
            let bytes = bytes.clone();
            tokio::task::spawn_blocking(move || BlobHash::of(&bytes)).await.map_err(BlobError::store("hash bytes"))?
        };
        self.shared.store_bytes(Source::Memory(bytes), hash, room, permit).await
    }
}

/// Where the bytes of a put are.
enum Source {
    Memory(Bytes),
    File(PathBuf),
    Staged(Staged),
}

impl Shared {
    async fn admit_put(self: &Arc<Self>, owner: Option<&str>) -> Result<OwnedSemaphorePermit, BlobError> {
        if let Some(owner) = owner {
            check_label(owner)?;
        }
        self.puts.clone().acquire_owned().await.map_err(|_| BlobError::Stopping)
    }

    async fn read(&self, source: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<u64, BlobError> {
        let idle = self.config.put_idle;
        let length = tokio::time::timeout(idle, source.read_buf(buffer))
            .await
            .map_err(|_| BlobError::Stalled(idle))?
            .map_err(BlobError::Source)?;
        Ok(length as u64)
    }

    /// Enters bytes whose hash is known. From here on the put is finished even when the caller goes
    /// away, so that the store is never left in the middle.
    async fn store_bytes(
        self: &Arc<Self>,
        source: Source,
        hash: BlobHash,
        room: Room,
        permit: OwnedSemaphorePermit,
    ) -> Result<BlobHash, BlobError> {
        let shared = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let mut room = room;
            if !shared.claim(&hash, &mut room).await? {
                shared.import(source, hash, room).await?;
            }
            shared.metrics.puts.inc();
            shared.measure();
            Ok(hash)
        })
        .await
        .map_err(BlobError::store("store a blob"))?
    }

    /// Adds the owner to a blob that is here already.
    async fn claim(&self, hash: &BlobHash, room: &mut Room) -> Result<bool, BlobError> {
        let _tagging = self.tagging.read().await;
        let at = now();
        let owner = room.owner.clone();
        if self.index(|index| index.get(hash).is_none()) {
            return Ok(false);
        }
        room.give_back();
        if !self.index(|index| index.claim(hash, owner.as_deref(), at))? {
            return Err(BlobError::Missing(*hash));
        }
        self.write_put(hash, owner.as_deref(), at).await?;
        Ok(true)
    }

    async fn import(self: &Arc<Self>, source: Source, hash: BlobHash, mut room: Room) -> Result<(), BlobError> {
        self.settled(&hash).await?;
        let added = match &source {
            Source::Memory(bytes) => self.store.add_bytes(bytes.clone()).temp_tag().await,
            Source::File(path) => self.store.add_path(path).temp_tag().await,
            Source::Staged(staged) => self.store.add_path(&staged.path).temp_tag().await,
        };
        let held: TempTag = added.map_err(BlobError::store("store a blob"))?;
        if from_iroh(held.hash()) != hash {
            self.index(|index| index.doom(from_iroh(held.hash())));
            drop(held);
            self.sweep.wake();
            return Err(BlobError::Source(std::io::Error::other("the file changed while it was stored")));
        }
        let size = match self.store.status(to_iroh(&hash)).await {
            Ok(BlobStatus::Complete { size }) => size,
            Ok(_) => {
                return Err(BlobError::Store {
                    action: "store a blob",
                    reason: "the store lost it at once".to_owned(),
                });
            }
            Err(error) => return Err(BlobError::store("read a blob's status")(error)),
        };
        let path = self.folder.data(&hash, size);
        tokio::task::spawn_blocking(move || store::sync_file(&path))
            .await
            .map_err(BlobError::store("write to disk"))??;

        let _tagging = self.tagging.read().await;
        let at = now();
        self.set_tags(&hash, [Tag::Stored { size, at }].into_iter().chain(room.owner.clone().map(Tag::Owner))).await?;
        self.index(|index| {
            index.commit(hash, size, room.owner.as_deref(), room.bytes, at);
        });
        room.bytes = 0;
        drop(held);
        Ok(())
    }

    /// Renews the time of a blob that was put again, and its owner.
    async fn write_put(&self, hash: &BlobHash, owner: Option<&str>, at: u64) -> Result<(), BlobError> {
        let Some(size) = self.index(|index| index.get(hash).map(|entry| entry.size)) else {
            return Err(BlobError::Missing(*hash));
        };
        let renewed = Tag::Stored { size, at };
        self.set_tags(hash, [renewed.clone()].into_iter().chain(owner.map(|owner| Tag::Owner(owner.to_owned()))))
            .await?;
        // The older time goes only now: at every moment one is on disk.
        self.remove_older(hash, &renewed).await
    }

    async fn remove_older(&self, hash: &BlobHash, renewed: &Tag) -> Result<(), BlobError> {
        let name = renewed.name(hash);
        self.store
            .tags()
            .delete_range(tags::stored_prefix(hash)..name)
            .await
            .map_err(BlobError::store("delete a tag"))?;
        Ok(())
    }
}

/// Room set aside for a put or a download; what is not used is given back.
pub(super) struct Room {
    shared: Arc<Shared>,
    pub(super) owner: Option<String>,
    pub(super) bytes: u64,
}

impl Room {
    pub(super) fn new(shared: &Arc<Shared>, owner: Option<&str>) -> Self {
        Self { shared: shared.clone(), owner: owner.map(str::to_owned), bytes: 0 }
    }

    /// Sets more room aside. Blobs that make way for it are gone when this returns.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), BlobError> {
        let size = self.bytes.saturating_add(bytes);
        if size > MAX_BLOB {
            return Err(BlobError::TooLarge { size, limit: MAX_BLOB });
        }
        let owner = self.owner.as_deref();
        let evicted = self.shared.index(|index| index.reserve(owner, bytes))?;
        self.bytes = size;
        if !evicted.is_empty() {
            let shared = self.shared.clone();
            tokio::spawn(async move {
                if let Err(error) = shared.drop_tags(&evicted).await {
                    warn!(%error, "could not remove the tags of blobs that made way");
                }
                shared.sweep.wake();
            });
        }
        Ok(())
    }

    pub(super) fn give_back(&mut self) {
        let (owner, bytes) = (self.owner.as_deref(), self.bytes);
        self.shared.index(|index| index.release(owner, bytes));
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A file being written; it is removed in the end, whatever happens.
struct Staged {
    path: PathBuf,
    file: Option<File>,
    hasher: Box<blake3::Hasher>,
}

impl Staged {
    async fn create(shared: &Shared) -> Result<Self, BlobError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let path = shared.folder.staging().join(name);
        let file = File::create_new(&path).await.map_err(BlobError::io("cannot write", &path))?;
        Ok(Self { path, file: Some(file), hasher: Box::default() })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.hasher.update(bytes);
        if let Some(file) = &mut self.file {
            file.write_all(bytes).await.map_err(BlobError::io("cannot write", &self.path))?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobHash, BlobError> {
        if let Some(mut file) = self.file.take() {
            file.flush().await.map_err(BlobError::io("cannot write", &self.path))?;
        }
        Ok(self.hasher.finalize().into())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Unlinking is quick, and a cancelled put has no other moment for it.
        if let Err(error) = std::fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "could not remove a staged file");
        }
    }
}
