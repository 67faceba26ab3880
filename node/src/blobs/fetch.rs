//! Fetching a blob from other nodes: verified as it streams, from the next when one fails.
//!
//! Providers are asked in order, each as soon as the one before has failed or has had a head start; whoever announces the
//! size first sends the bytes. So one that died costs half a second, not the time until its connection is given up.
//!
//! A download says nothing about a blob until it is complete and every byte has been checked
//! against the hash, so a liar costs time and no more. What arrived and was right stays on disk
//! when a provider dies, and the next one sends only the rest.

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use iroh::endpoint::Connection;
use iroh_blobs::{
    get::fsm::{self, AtBlobContent, BlobContentNext, ConnectedNext, DecodeError, EndBlobNext},
    protocol::GetRequest,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug, info, warn};

use valo_protocol::{BlobHash, PublicKey, job::MAX_BLOB};

use super::{Attempt, BlobError, Blobs, Shared, now, put::Room, serve::PER_CONNECTION, store, tags::Tag};
use crate::network::Offence;

/// What a download may take beside the time for its bytes.
const ALLOWANCE: Duration = Duration::from_secs(10);
/// How long a provider may take to announce the size.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a provider is asked alone before the next one is asked too.
const HEAD_START: Duration = Duration::from_millis(500);
/// Parts of a blob on their way to the disk.
const PARTS: usize = 64;

/// Downloads under way: two for one blob become one, and one provider is not asked for many at once.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    turns: Mutex<HashMap<BlobHash, Weak<tokio::sync::Mutex<()>>>>,
    lanes: Mutex<HashMap<PublicKey, Weak<Semaphore>>>,
}

impl Fetching {
    fn turn(&self, hash: BlobHash) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&hash).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(hash, Arc::downgrade(&turn));
        turn
    }

    /// Providers answer few requests at once; the others wait here and not there.
    fn lane(&self, provider: PublicKey) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| lane.strong_count() > 0);
        if let Some(lane) = lanes.get(&provider).and_then(Weak::upgrade) {
            return lane;
        }
        let lane = Arc::new(Semaphore::new(PER_CONNECTION));
        lanes.insert(provider, Arc::downgrade(&lane));
        lane
    }
}

/// Why one provider did not give us the blob.
enum Failure {
    /// It cannot be reached, has it not, or stopped; another may do better.
    Provider(String),
    /// It announced more bytes than are wanted.
    TooLarge(u64),
    /// It sent bytes that are not those of the hash.
    Lied(String),
    /// Our own side failed; another provider would not help.
    Own(BlobError),
}

impl Blobs {
    /// Gets a blob from the first of these nodes that has it, at most `max_size` bytes. Returns its
    /// length at once when it is here already.
    pub async fn fetch(&self, hash: BlobHash, providers: &[PublicKey], max_size: u64) -> Result<u64, BlobError> {
        let mut attempts = Vec::new();
        self.fetch_from(hash, providers, max_size, &mut attempts).await
    }

    /// Gets a blob from the nodes that should have it, and if they fail from whichever connected
    /// node has it.
    pub async fn fetch_anywhere(&self, hash: BlobHash, hints: &[PublicKey], max_size: u64) -> Result<u64, BlobError> {
        let mut attempts = Vec::new();
        let error = match self.fetch_from(hash, hints, max_size, &mut attempts).await {
            Err(error @ (BlobError::Unavailable { .. } | BlobError::TooLarge { .. })) => error,
            done => return done,
        };
        let others: Vec<_> = self.who_has(&hash).await.into_iter().filter(|key| !hints.contains(key)).collect();
        if others.is_empty() {
            return Err(error);
        }
        self.fetch_from(hash, &others, max_size, &mut attempts).await
    }

    async fn fetch_from(
        &self,
        hash: BlobHash,
        providers: &[PublicKey],
        max_size: u64,
        attempts: &mut Vec<Attempt>,
    ) -> Result<u64, BlobError> {
        let shared = &self.shared;
        let limit = max_size.min(MAX_BLOB);
        if let Some(size) = shared.present(&hash, limit)? {
            return Ok(size);
        }
        let turn = shared.fetching.turn(hash);
        let _turn = turn.lock().await;
        let _permit = shared.fetches.acquire().await.map_err(|_| BlobError::Stopping)?;
        if let Some(size) = shared.present(&hash, limit)? {
            return Ok(size);
        }
        if hash == BlobHash::of(b"") {
            return shared.finish_fetch(hash, 0, Room::new(shared, None)).await;
        }
        shared.settled(&hash).await?;
        let mut download = Download::begin(shared, hash).await?;
        let mut race = Race::between(providers);
        let mut too_large = None;
        let mut too_large_count = 0usize;
        loop {
            let Some(missing) = download.missing().await? else { return download.complete().await };
            // What is missing is another after each attempt, and so is the question.
            let ask = |provider| {
                let (shared, missing) = (shared.clone(), missing.clone());
                async move { (provider, shared.ask(provider, missing).await) }.boxed()
            };
            let Some((provider, answer)) = race.next(ask).await else { break };
            let failure = match answer {
                Ok(answer) => match download.receive_all(provider, answer, limit).await {
                    Ok(size) => return Ok(size),
                    Err(failure) => {
                        race.ask_again();
                        failure
                    }
                },
                Err(failure) => failure,
            };
            let reason = match failure {
                Failure::TooLarge(size) => {
                    too_large = Some(size);
                    too_large_count = too_large_count.saturating_add(1);
                    format!("it announces {size} bytes, more than the {limit} wanted")
                }
                Failure::Lied(reason) => {
                    shared.metrics.liars.inc();
                    shared.network.offend(provider, Offence::WrongBytes);
                    warn!(%hash, %provider, %reason, "a provider sent wrong bytes");
                    download.doubtful = true;
                    reason
                }
                Failure::Provider(reason) => reason,
                Failure::Own(error) => return Err(error),
            };
            debug!(%hash, %provider, %reason, "provider failed");
            attempts.push(Attempt { provider, reason });
        }
        shared.metrics.failed.inc();
        match too_large {
            // Nobody proved the size, but all say that it is more than is wanted.
            Some(size) if too_large_count == attempts.len() => Err(BlobError::TooLarge { size, limit }),
            _ => Err(BlobError::Unavailable { hash, attempts: attempts.clone() }),
        }
    }
}

/// A provider that has announced the size, and is about to send.
struct Answer {
    content: AtBlobContent,
    size: u64,
    /// Its place in the lane of the provider, kept while it sends.
    place: OwnedSemaphorePermit,
}

type Asked = BoxFuture<'static, (PublicKey, Result<Answer, Failure>)>;

/// Providers of one blob: who has not been asked, and who has and has not answered.
struct Race {
    queue: VecDeque<PublicKey>,
    asked: FuturesUnordered<Asked>,
    silent: Vec<PublicKey>,
}

impl Race {
    fn between(providers: &[PublicKey]) -> Self {
        Self { queue: providers.iter().copied().collect(), asked: FuturesUnordered::new(), silent: Vec::new() }
    }

    /// Whoever answers or fails next; none when nobody is left.
    async fn next(&mut self, ask: impl Fn(PublicKey) -> Asked) -> Option<(PublicKey, Result<Answer, Failure>)> {
        loop {
            if self.asked.is_empty() {
                self.ask_next(&ask)?;
            }
            let answered = match self.queue.is_empty() {
                true => self.asked.next().await,
                false => match timeout(HEAD_START, self.asked.next()).await {
                    Ok(answered) => answered,
                    Err(_) => {
                        self.ask_next(&ask)?;
                        continue;
                    }
                },
            };
            if let Some((provider, _)) = &answered {
                self.silent.retain(|other| other != provider);
            }
            return answered;
        }
    }

    fn ask_next(&mut self, ask: impl Fn(PublicKey) -> Asked) -> Option<()> {
        let provider = self.queue.pop_front()?;
        self.silent.push(provider);
        self.asked.push(ask(provider));
        Some(())
    }

    /// Those that have not answered are asked anew: what is missing has changed.
    fn ask_again(&mut self) {
        self.asked.clear();
        for provider in std::mem::take(&mut self.silent).into_iter().rev() {
            self.queue.push_front(provider);
        }
    }
}

impl Shared {
    /// Asks a provider and reads the announced size. A shared connection may be one that a restarted
    /// provider does not know any more; so when it does not carry the answer, a fresh one is tried.
    async fn ask(&self, provider: PublicKey, request: GetRequest) -> Result<Answer, Failure> {
        // Each download before us has an end, so this wait has one too.
        let lane = self.fetching.lane(provider).acquire_owned().await;
        let place = lane.map_err(|_| Failure::Own(BlobError::Stopping))?;
        let patience = self.config.fetch_idle.min(ANSWER);
        let mut tries = 0u32;
        loop {
            let connection = self
                .network
                .connection(provider, iroh_blobs::ALPN)
                .await
                .map_err(|error| Failure::Provider(error.to_string()))?;
            let failure = match timeout(patience, ask(connection.clone(), request.clone())).await {
                Ok(Ok((content, size))) => return Ok(Answer { content, size, place }),
                Ok(Err(failure)) if connection.close_reason().is_none() => return Err(failure),
                Ok(Err(failure)) => failure,
                Err(_) => silent(patience),
            };
            self.network.forget(provider, iroh_blobs::ALPN, &connection).await;
            tries = tries.saturating_add(1);
            if tries > 1 {
                return Err(failure);
            }
        }
    }

    /// The length of a blob that is here; an error when it is longer than wanted.
    fn present(&self, hash: &BlobHash, limit: u64) -> Result<Option<u64>, BlobError> {
        match self.index(|index| index.touch(hash, now())) {
            Some(size) if size > limit => Err(BlobError::TooLarge { size, limit }),
            found => Ok(found),
        }
    }

    /// Enters a blob whose bytes are complete.
    async fn finish_fetch(&self, hash: BlobHash, size: u64, mut room: Room) -> Result<u64, BlobError> {
        let _tagging = self.tagging.read().await;
        let at = now();
        // Not waited for: what a kill takes away can be fetched again, and a pin waits.
        self.write_tags(&hash, [Tag::Stored { size, at }]).await?;
        self.index(|index| index.commit(hash, size, None, room.bytes, at));
        room.bytes = 0;
        self.metrics.fetched.inc();
        self.measure();
        Ok(size)
    }
}

/// One blob on its way; lives through all providers. When it is dropped in the middle, the index
/// learns how many bytes stay behind.
struct Download {
    shared: Arc<Shared>,
    hash: BlobHash,
    /// Bytes on disk that count for nobody yet.
    on_disk: u64,
    /// Some provider lied, or parts come from an earlier run: check the whole once more.
    doubtful: bool,
    /// Keeps the store's collection away until the blob has its tag.
    _held: iroh_blobs::api::TempTag,
}

impl Download {
    async fn begin(shared: &Arc<Shared>, hash: BlobHash) -> Result<Self, BlobError> {
        let held =
            shared.store.tags().temp_tag(store::raw(&hash)).await.map_err(BlobError::store("begin a download"))?;
        shared.index(|index| index.begin_fetch(hash));
        let mut download = Self { shared: shared.clone(), hash, on_disk: 0, doubtful: false, _held: held };
        let local = shared
            .store
            .remote()
            .local(store::raw(&hash))
            .await
            .map_err(BlobError::store("read what is here of a blob"))?;
        download.on_disk = local.local_bytes();
        download.doubtful = download.on_disk > 0;
        Ok(download)
    }

    /// What is not here yet; none when everything is.
    async fn missing(&mut self) -> Result<Option<GetRequest>, BlobError> {
        let local = self.shared.store.remote().local(store::raw(&self.hash)).await;
        let local = local.map_err(BlobError::store("read what is here of a blob"))?;
        self.on_disk = local.local_bytes();
        Ok((!local.is_complete()).then(|| local.missing()))
    }

    /// Enters a blob of which everything is here.
    async fn complete(&mut self) -> Result<u64, BlobError> {
        let mut room = Room::new(&self.shared, None);
        room.grow(self.on_disk)?;
        match self.finish(self.on_disk, room).await {
            Ok(size) => Ok(size),
            Err(Failure::Own(error)) => Err(error),
            Err(_) => Err(BlobError::Corrupt(self.hash)),
        }
    }

    /// Receives from a provider that has announced the size.
    async fn receive_all(&mut self, provider: PublicKey, answer: Answer, limit: u64) -> Result<u64, Failure> {
        let Answer { content, size, place: _place } = answer;
        if size > limit {
            return Err(Failure::TooLarge(size));
        }
        let Some(length) = NonZeroU64::new(size) else {
            return Err(Failure::Lied("it says the blob is empty".to_owned()));
        };
        let mut room = Room::new(&self.shared, None);
        room.grow(size).map_err(Failure::Own)?;
        self.receive(content, length).await?;
        let size = self.finish(size, room).await?;
        info!(hash = %self.hash, %provider, size, "fetched a blob");
        Ok(size)
    }

    async fn finish(&mut self, size: u64, room: Room) -> Result<u64, Failure> {
        let shared = self.shared.clone();
        if !shared.store.has(store::to_iroh(&self.hash)).await.map_err(own("read a blob's status"))? {
            return Err(Failure::Provider("it sent less than the whole".to_owned()));
        }
        if self.doubtful {
            self.check(size).await?;
        }
        let size = shared.finish_fetch(self.hash, size, room).await.map_err(Failure::Own)?;
        self.on_disk = 0;
        Ok(size)
    }

    /// Writes the parts of a blob as they come, each checked against the hash before.
    async fn receive(&mut self, content: AtBlobContent, size: NonZeroU64) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let idle = shared.config.fetch_idle;
        let rate = shared.config.fetch_bytes_per_second.max(1);
        let deadline = Instant::now() + ALLOWANCE + Duration::from_secs(size.get() / rate);
        let import =
            shared.store.import_bao(store::to_iroh(&self.hash), size, PARTS).await.map_err(own("write a blob"))?;
        let before = self.on_disk;
        let mut content = content;
        let received = loop {
            let next = match timeout_at(deadline.min(Instant::now() + idle), content.next()).await {
                Ok(next) => next,
                Err(_) if Instant::now() >= deadline => {
                    break Err(Failure::Provider(format!("it is slower than {rate} bytes a second")));
                }
                Err(_) => break Err(silent(idle)),
            };
            match next {
                BlobContentNext::More((rest, Ok(item))) => {
                    let read = rest.stats().payload_bytes_read;
                    if import.tx.send(item).await.is_err() {
                        break Err(Failure::Own(BlobError::Store {
                            action: "write a blob",
                            reason: "the store stopped".to_owned(),
                        }));
                    }
                    self.on_disk = before.saturating_add(read);
                    content = rest;
                }
                BlobContentNext::More((_, Err(error))) => break Err(decoding(error)),
                BlobContentNext::Done(end) => break Ok(end),
            }
        };
        shared.metrics.fetched_bytes.inc_by(self.on_disk.saturating_sub(before));
        drop(import.tx);
        // What was right is kept, whatever came after it.
        import.rx.await.map_err(own("write a blob"))?.map_err(own("write a blob"))?;
        match received?.next() {
            EndBlobNext::Closing(closing) => {
                // The bytes are complete; how the stream ends does not matter.
                let _ = timeout(idle, closing.next()).await;
                Ok(())
            }
            EndBlobNext::MoreChildren(_) => Ok(()),
        }
    }

    /// Reads the whole blob once more.
    async fn check(&mut self, size: u64) -> Result<(), Failure> {
        let path = self.shared.folder.data(&self.hash, size);
        let found = tokio::task::spawn_blocking(move || store::hash_file(&path))
            .await
            .map_err(own("check a blob"))?
            .map_err(Failure::Own)?;
        if found == self.hash {
            return Ok(());
        }
        self.on_disk = 0;
        self.shared.index(|index| index.doom(self.hash));
        self.shared.sweep.wake();
        Err(Failure::Own(BlobError::Corrupt(self.hash)))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let (hash, left) = (self.hash, self.on_disk);
        self.shared.index(|index| index.end_fetch(&hash, left, now()));
        self.shared.measure();
    }
}

/// Sends the request and reads the announced size.
async fn ask(connection: Connection, request: GetRequest) -> Result<(AtBlobContent, u64), Failure> {
    let start = fsm::start(connection, request, fsm::RequestCounters::default());
    let connected = start.next().await.map_err(broken)?;
    match connected.next().await.map_err(broken)? {
        ConnectedNext::StartRoot(root) => root
            .next()
            .next()
            .await
            .map_err(|error| Failure::Provider(format!("it does not have the blob, or refuses ({error:#})"))),
        _ => Err(Failure::Provider("it answered something else".to_owned())),
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Provider(format!("the connection broke: {error:#}"))
}

fn silent(idle: Duration) -> Failure {
    Failure::Provider(format!("it sent nothing for {} s", idle.as_secs()))
}

fn own<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Own(BlobError::store(action)(error))
}

fn decoding(error: DecodeError) -> Failure {
    match error {
        DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. } => {
            Failure::Lied(format!("its bytes are wrong ({error:#})"))
        }
        DecodeError::Write { .. } => Failure::Own(BlobError::store("write a blob")(error)),
        other => Failure::Provider(format!("it stopped in the middle ({other:#})")),
    }
}
