//! Giving blobs to other nodes (iroh-blobs' own protocol), within limits.
//!
//! What a node that asks much and reads nothing can make us hold is bounded three times: connections
//! in all and for each node, requests on a connection, and unsent bytes (the transport's windows).
//! A connection whose requests make no progress is closed. Only whole, entered blobs are given, one
//! in each request; pushing, observing and collections are refused.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use iroh_blobs::{
    BlobsProtocol,
    provider::events::{
        AbortReason, ConnectMode, EventMask, EventSender, ObserveMode, ProviderMessage, RequestMode, RequestUpdate,
        ThrottleMode,
    },
};
use tokio::sync::{Semaphore, mpsc};
use tracing::debug;

use valo_protocol::PublicKey;

use super::{Shared, now, store::from_iroh};
use crate::network::{CloseCode, Protocol, from_endpoint_id};

/// Connections for blobs with one node.
const PER_NODE: usize = 4;
/// Requests being answered on one connection.
pub(super) const PER_CONNECTION: usize = 4;
/// An unused connection is closed after this long.
const UNUSED: Duration = Duration::from_secs(120);
const EVENTS: usize = 64;

const MASK: EventMask = EventMask {
    connected: ConnectMode::None,
    get: RequestMode::InterceptLog,
    get_many: RequestMode::Disabled,
    push: RequestMode::Disabled,
    observe: ObserveMode::Intercept,
    throttle: ThrottleMode::None,
};

/// What is known of a connection that asks us.
#[derive(Debug)]
struct Reader {
    active: AtomicUsize,
    progress: Mutex<Instant>,
}

impl Reader {
    fn new() -> Self {
        Self { active: AtomicUsize::new(0), progress: Mutex::new(Instant::now()) }
    }

    fn moved(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn still_since(&self) -> Duration {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

type Readers = Arc<Mutex<HashMap<u64, Arc<Reader>>>>;

struct Handler {
    inner: BlobsProtocol,
    readers: Readers,
    places: Semaphore,
    nodes: Mutex<HashMap<PublicKey, VecDeque<Connection>>>,
    idle: Duration,
}

pub(super) fn protocol(shared: &Arc<Shared>) -> Protocol {
    let (events, messages) = EventSender::channel(EVENTS, MASK);
    let readers = Readers::default();
    shared.network.spawn(answer(shared.clone(), readers.clone(), messages));
    Protocol {
        alpn: iroh_blobs::ALPN,
        handler: Box::new(Handler {
            inner: BlobsProtocol::new(&shared.store, Some(events)),
            readers,
            places: Semaphore::new(shared.config.max_readers),
            nodes: Mutex::default(),
            idle: shared.config.serve_idle,
        }),
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BlobHandler").finish_non_exhaustive()
    }
}

impl Handler {
    /// Enters a connection. The newest wins: a node that was killed leaves connections behind that
    /// only time ends, and must not be kept out by them.
    fn enter(&self, node: PublicKey, connection: &Connection) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let open = nodes.entry(node).or_default();
        if open.len() >= PER_NODE
            && let Some(oldest) = open.pop_front()
        {
            oldest.close(CloseCode::Busy.into(), b"too many connections for blobs");
        }
        open.push_back(connection.clone());
    }

    fn leave(&self, node: &PublicKey, connection: &Connection) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = nodes.get_mut(node) {
            open.retain(|other| other.stable_id() != connection.stable_id());
            if open.is_empty() {
                nodes.remove(node);
            }
        }
    }

    /// Ends when the connection should be closed for leaving us waiting.
    async fn watch(&self, reader: &Reader) -> (CloseCode, &'static str) {
        let mut look = tokio::time::interval(self.idle.min(UNUSED) / 4);
        loop {
            look.tick().await;
            let still = reader.still_since();
            if reader.active.load(Ordering::Relaxed) == 0 {
                if still >= UNUSED {
                    return (CloseCode::Done, "unused");
                }
            } else if still >= self.idle {
                return (CloseCode::TooSlow, "what was asked for is not read");
            }
        }
    }
}

impl ProtocolHandler for Handler {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let node = from_endpoint_id(connection.remote_id());
        let Ok(_place) = self.places.try_acquire() else {
            connection.close(CloseCode::Busy.into(), b"too many readers, try again later");
            return Ok(());
        };
        self.enter(node, &connection);
        // The same number that the store's events carry.
        let id = connection.stable_id() as u64;
        let reader = Arc::new(Reader::new());
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).insert(id, reader.clone());
        tokio::select! {
            _ = self.inner.accept(connection.clone()) => {}
            (code, reason) = self.watch(&reader) => {
                debug!(%node, reason, "closed a connection for blobs");
                connection.close(code.into(), reason.as_bytes());
            }
        }
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.leave(&node, &connection);
        Ok(())
    }
}

/// Decides on each request. It never waits for a peer, so one loop serves all.
async fn answer(shared: Arc<Shared>, readers: Readers, mut messages: mpsc::Receiver<ProviderMessage>) {
    while let Some(message) = messages.recv().await {
        match message {
            ProviderMessage::GetRequestReceived(message) => {
                let hash = from_iroh(message.inner.request.hash);
                let here = shared.index(|index| index.touch(&hash, now())).is_some();
                let reader =
                    readers.lock().unwrap_or_else(PoisonError::into_inner).get(&message.inner.connection_id).cloned();
                let verdict = match reader {
                    _ if !here || !message.inner.request.ranges.is_blob() => Err(AbortReason::Permission),
                    Some(reader) if reader.active.load(Ordering::Relaxed) < PER_CONNECTION => {
                        reader.active.fetch_add(1, Ordering::Relaxed);
                        reader.moved();
                        shared.metrics.served.inc();
                        let (shared, mut updates) = (shared.clone(), message.rx);
                        // The store drops its side of the channel when the request is over.
                        tokio::spawn(async move {
                            let mut sent = 0;
                            while let Ok(Some(update)) = updates.recv().await {
                                reader.moved();
                                progressed(&shared, &mut sent, &update);
                            }
                            reader.moved();
                            reader.active.fetch_sub(1, Ordering::Relaxed);
                        });
                        Ok(())
                    }
                    _ => Err(AbortReason::RateLimited),
                };
                if verdict.is_err() {
                    shared.metrics.refused.inc();
                }
                // An error here means that the asker is gone.
                let _ = message.tx.send(verdict).await;
            }
            ProviderMessage::GetManyRequestReceived(message) => {
                let _ = message.tx.send(Err(AbortReason::Permission)).await;
            }
            ProviderMessage::PushRequestReceived(message) => {
                let _ = message.tx.send(Err(AbortReason::Permission)).await;
            }
            ProviderMessage::ObserveRequestReceived(message) => {
                let _ = message.tx.send(Err(AbortReason::Permission)).await;
            }
            _ => {}
        }
    }
}

/// Bytes of one request sent so far.
fn progressed(shared: &Shared, sent: &mut u64, update: &RequestUpdate) {
    if let RequestUpdate::Progress(progress) = update {
        let end = progress.end_offset;
        shared.metrics.served_bytes.inc_by(end.saturating_sub(*sent));
        *sent = end.max(*sent);
    }
}
