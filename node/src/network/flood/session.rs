//! One connected peer: its queue, the task that writes to it, the task that reads from it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use iroh::{
    endpoint::{Connection, SendStream, VarInt},
    protocol::{AcceptError, ProtocolHandler},
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use valo_protocol::PublicKey;

use super::{
    FloodConfig, FrameError, Shared,
    frame::{FrameBuilder, read_frame},
};
use crate::network::{
    CloseCode, Network, Offence, Refusal,
    dial::{close_reason, jitter},
    guests::{FROM_GUEST, Pace, Rate, SAVED, TO_GUEST},
    key::from_endpoint_id,
};

/// Unread bytes held for one peer: a few frames.
const RECEIVE_WINDOW: u32 = 1 << 20;
/// Unread bytes held for one guest: one frame.
const GUEST_WINDOW: u32 = 320 << 10;
/// How long a guest is not read that sent more than it may.
const GUEST_PAUSE: Duration = Duration::from_secs(1);
/// The most that is written at once where that is measured, in time.
const MEASURED: Duration = Duration::from_secs(1);
/// Connections that two nodes opened to each other within this time count as crossing dials.
const CROSSING: Duration = Duration::from_secs(3);
/// A session that lasted this long was no failure.
const SETTLED: Duration = Duration::from_secs(10);

/// Why a session ended.
#[derive(Debug)]
enum End {
    Closed(String),
    Slow(&'static str),
    Broken(FrameError),
    Banned,
    Replaced,
    Stopping,
}

/// The connected peers.
#[derive(Debug)]
pub(super) struct Sessions {
    network: Network,
    next: AtomicU64,
    open: Mutex<HashMap<PublicKey, Session>>,
}

#[derive(Debug)]
struct Session {
    id: u64,
    dialed: bool,
    since: Instant,
    queue: mpsc::Sender<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    end: mpsc::Sender<End>,
}

/// What the session's own task holds.
struct Opened {
    id: u64,
    queue: mpsc::Receiver<Bytes>,
    queued_bytes: Arc<AtomicUsize>,
    end: mpsc::Receiver<End>,
}

impl Session {
    /// False when the queue has no room for more of a guest.
    fn push_to_guest(&self, item: &Bytes, config: &FloodConfig) -> bool {
        let queued = self.queue.max_capacity().saturating_sub(self.queue.capacity());
        let bytes = self.queued_bytes.load(Ordering::Relaxed).saturating_add(item.len());
        queued < config.guest_queue_items && bytes <= config.guest_queue_bytes && self.push(item, config)
    }

    /// False when the queue is full, which ends the session.
    fn push(&self, item: &Bytes, config: &FloodConfig) -> bool {
        let before = self.queued_bytes.fetch_add(item.len(), Ordering::Relaxed);
        let fits = before.saturating_add(item.len()) <= config.queue_bytes
            && !matches!(self.queue.try_send(item.clone()), Err(mpsc::error::TrySendError::Full(_)));
        if !fits {
            self.queued_bytes.fetch_sub(item.len(), Ordering::Relaxed);
            // The channel holds one reason; whichever came first is the one.
            let _ = self.end.try_send(End::Slow("its queue is full"));
        }
        fits
    }
}

impl Sessions {
    pub(super) fn new(network: &Network) -> Self {
        Self { network: network.clone(), next: AtomicU64::new(0), open: Mutex::default() }
    }

    /// Puts items into the queues of all peers but one, without waiting. Returns how many were put, and how many were left
    /// out for guests.
    pub(super) fn queue(&self, items: &[Bytes], except: Option<PublicKey>, config: &FloodConfig) -> (u64, u64) {
        let (mut queued, mut left_out) = (0u64, 0u64);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, session) in open.iter().filter(|(key, _)| Some(**key) != except) {
            let guest = !self.network.knows(key);
            for item in items {
                if guest && !session.push_to_guest(item, config) {
                    left_out = left_out.saturating_add(1);
                    continue;
                }
                if !guest && !session.push(item, config) {
                    break;
                }
                queued = queued.saturating_add(1);
            }
        }
        (queued, left_out)
    }

    /// Enters a new session, in place of an older one with the same peer where that is right.
    fn open(&self, key: PublicKey, dialed: bool, config: &FloodConfig) -> Result<Opened, (CloseCode, &'static str)> {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = open.get(&key) {
            let own = self.network.key();
            let crossing = existing.dialed != dialed && now.saturating_duration_since(existing.since) < CROSSING;
            // Both sides apply the same rule, so one of two crossing connections stays.
            let dialer_is_lower = if dialed { own < key } else { key < own };
            if crossing && !dialer_is_lower {
                return Err((CloseCode::Replaced, "already connected"));
            }
            let _ = existing.end.try_send(End::Replaced);
        } else if self.network.knows(&key)
            && open.keys().filter(|key| self.network.knows(key)).count() >= config.max_peers
        {
            // Guests are counted where they are admitted.
            return Err((CloseCode::Busy, "too many peers, try others"));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (queue, queue_receiver) = mpsc::channel(config.queue_items.max(1));
        let (end, end_receiver) = mpsc::channel(1);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        open.insert(key, Session { id, dialed, since: now, queue, queued_bytes: queued_bytes.clone(), end });
        // Told under the lock, so that the end of one session never hides the beginning of the next.
        self.network.set_peer(key, true);
        Ok(Opened { id, queue: queue_receiver, queued_bytes, end: end_receiver })
    }

    /// Ends a session, unless another one has taken its place.
    fn close(&self, key: &PublicKey, id: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(key).is_some_and(|session| session.id == id) {
            open.remove(key);
            self.network.set_peer(*key, false);
        }
    }
}

/// Accepts sessions from peers that dial us.
#[derive(Debug)]
pub(super) struct Handler(pub(super) Arc<Shared>);

impl ProtocolHandler for Handler {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        // On a task of its own: the router stops for good when a handler panics.
        let session = self.0.network.spawn_orderly(run(self.0.clone(), connection, false));
        if let Err(error) = session.await {
            warn!(%error, "the session of a peer failed");
        }
        Ok(())
    }
}

/// Runs the session of a connection until it ends, and closes the connection.
pub(super) async fn run(shared: Arc<Shared>, connection: Connection, dialed: bool) {
    let key = from_endpoint_id(connection.remote_id());
    let network = shared.network.clone();
    if let Some(Refusal::Slow { .. }) = network.refusal(&key) {
        connection.close(CloseCode::TooSlow.into(), b"too slow lately, try again later");
        return;
    }
    let opened = match shared.sessions.open(key, dialed, &shared.config) {
        Ok(opened) => opened,
        Err((code, reason)) => {
            debug!(peer = %key, reason, "refused a peer");
            connection.close(code.into(), reason.as_bytes());
            return;
        }
    };
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(1));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(0));
    network.met(&connection);
    shared.metrics.peers.inc();
    debug!(peer = %key, dialed, "peer connected");

    let started = Instant::now();
    let Opened { id, queue, queued_bytes, mut end } = opened;
    let end = tokio::select! {
        end = write(&shared, &connection, key, queue, &queued_bytes) => end,
        end = read(&shared, &connection, key) => end,
        Some(end) = end.recv() => end,
        closed = connection.closed() => End::Closed(close_reason(&closed)),
        () = network.stopping().cancelled() => End::Stopping,
    };

    shared.metrics.peers.dec();
    shared.sessions.close(&key, id);
    finish(&shared, &connection, key, end, started.elapsed());
}

/// Closes the connection and draws the consequences of the end of a session.
fn finish(shared: &Shared, connection: &Connection, key: PublicKey, end: End, lasted: Duration) {
    let (code, reason) = match &end {
        End::Closed(_) => (CloseCode::Done, String::new()),
        End::Slow(how) => (CloseCode::TooSlow, format!("too slow: {how}")),
        End::Broken(error) => (CloseCode::Broken, error.to_string()),
        End::Banned => (CloseCode::Banned, "banned for invalid data".to_owned()),
        End::Replaced => (CloseCode::Replaced, "a newer connection took over".to_owned()),
        End::Stopping => (CloseCode::Stopping, "the node stops".to_owned()),
    };
    connection.close(code.into(), reason.as_bytes());
    let reason = match &end {
        End::Closed(reason) => reason,
        _ => &reason,
    };

    let network = &shared.network;
    match &end {
        End::Slow(_) => {
            shared.metrics.slow.inc();
            network.slow(key);
        }
        End::Broken(_) => {
            shared.metrics.broken.inc();
            network.offend(key, Offence::BrokenFrame);
        }
        End::Replaced | End::Stopping => {
            debug!(peer = %key, reason, "peer disconnected");
            return;
        }
        End::Closed(_) | End::Banned => {}
    }
    if network.knows(&key) {
        info!(peer = %key, reason, lasted_ms = lasted.as_millis(), "peer disconnected");
    } else {
        debug!(guest = %key, reason, lasted_ms = lasted.as_millis(), "guest disconnected");
    }
    let now = Instant::now();
    network.book(|book| {
        if lasted >= SETTLED && matches!(end, End::Closed(_)) {
            book.settled(&key, now);
        } else {
            book.failed(&key, jitter(), now);
        }
    });
}

async fn write(
    shared: &Arc<Shared>,
    connection: &Connection,
    key: PublicKey,
    mut queue: mpsc::Receiver<Bytes>,
    queued_bytes: &AtomicUsize,
) -> End {
    let mut stream = match connection.open_uni().await {
        Ok(stream) => stream,
        Err(error) => return End::Closed(close_reason(&error)),
    };
    let asked = shared.clone();
    let guest = !shared.network.knows(&key);
    let pending = match tokio::spawn(async move { asked.pending(guest).await }).await {
        Ok(pending) => pending,
        Err(error) => return End::Closed(format!("handler failed: {error}")),
    };
    let mut pending = pending.into_iter().peekable();
    let mut carried: Option<Bytes> = None;
    while carried.is_some() || pending.peek().is_some() {
        let mut first = carried.take();
        match send(shared, key, &mut stream, || first.take().or_else(|| pending.next())).await {
            Ok(rest) => carried = rest,
            Err(end) => return end,
        }
    }
    loop {
        // What did not fit into the last frame opens the next one.
        let mut first = match carried.take() {
            Some(item) => Some(item),
            None => queue.recv().await,
        };
        if first.is_none() {
            // The other end of the queue went away with the session's place in the table.
            return End::Replaced;
        }
        let mut taken = 0usize;
        let sent = send(shared, key, &mut stream, || {
            let item = first.take().or_else(|| queue.try_recv().ok())?;
            taken = taken.saturating_add(item.len());
            Some(item)
        })
        .await;
        match sent {
            Ok(rest) => {
                let kept = rest.as_ref().map_or(0, Bytes::len);
                queued_bytes.fetch_sub(taken.saturating_sub(kept), Ordering::Relaxed);
                carried = rest;
            }
            Err(end) => return end,
        }
    }
}

/// How fast a peer is written to, if it is not as fast as it reads.
fn measure(network: &Network, key: &PublicKey) -> Option<Rate> {
    // A stranger is a guest to everybody, and keeps to what a guest may send.
    if network.is_stranger() {
        return Some(FROM_GUEST);
    }
    (!network.knows(key)).then_some(TO_GUEST)
}

/// Fills one frame and writes it. Gives back the item that had no room.
async fn send(
    shared: &Shared,
    key: PublicKey,
    stream: &mut SendStream,
    mut next: impl FnMut() -> Option<Bytes>,
) -> Result<Option<Bytes>, End> {
    let rate = measure(&shared.network, &key);
    let (mut items, mut bytes) = (0usize, 0usize);
    let mut frame = FrameBuilder::new();
    let mut rest = None;
    while let Some(item) = next() {
        let length = item.len();
        let fast = rate.is_some_and(|rate| {
            items > 0 && rate.time(items.saturating_add(1), bytes.saturating_add(length)) > MEASURED
        });
        if fast {
            rest = Some(item);
            break;
        }
        if let Err(item) = frame.push(item) {
            rest = Some(item);
            break;
        }
        items = items.saturating_add(1);
        bytes = bytes.saturating_add(length);
    }
    let Some(frame) = frame.finish() else {
        return Ok(rest);
    };
    let length = frame.len() as u64;
    match tokio::time::timeout(shared.config.write_timeout, stream.write_chunk(frame)).await {
        Err(_) => return Err(End::Slow("it does not read")),
        Ok(Err(error)) => return Err(End::Closed(error.to_string())),
        Ok(Ok(())) => {
            shared.metrics.sent_bytes.inc_by(length);
        }
    }
    if let Some(rate) = rate {
        tokio::time::sleep(rate.time(items, bytes)).await;
    }
    Ok(rest)
}

async fn read(shared: &Arc<Shared>, connection: &Connection, key: PublicKey) -> End {
    let mut guest = !shared.network.knows(&key);
    set_window(connection, guest);
    let mut stream = match connection.accept_uni().await {
        Ok(stream) => stream,
        Err(error) => return End::Closed(close_reason(&error)),
    };
    let mut pace = Pace::new(FROM_GUEST, Instant::now());
    loop {
        if guest == shared.network.knows(&key) {
            guest = !guest;
            set_window(connection, guest);
        }
        match read_frame(&mut stream).await {
            Ok(Some(items)) => match heard(shared, key, items, &mut pace).await {
                Ok(()) => {}
                Err(end) => return end,
            },
            Ok(None) => return End::Closed("the peer ended its stream".to_owned()),
            Err(error) if error.is_violation() => return End::Broken(error),
            Err(error) => return End::Closed(error.to_string()),
        }
    }
}

fn set_window(connection: &Connection, guest: bool) {
    let bytes = if guest { GUEST_WINDOW } else { RECEIVE_WINDOW };
    connection.set_receive_window(VarInt::from_u32(bytes));
}

/// Has a frame handled; of a guest only what it may send.
async fn heard(shared: &Arc<Shared>, key: PublicKey, mut items: Vec<Bytes>, pace: &mut Pace) -> Result<(), End> {
    let guest = !shared.network.knows(&key);
    let before = items.len();
    if guest {
        let now = Instant::now();
        let fitting = items.iter().take_while(|item| pace.take(item.len(), SAVED, now)).count();
        items.truncate(fitting);
    }
    let unheard = before.saturating_sub(items.len());
    if !items.is_empty() {
        // On its own task: what is marked as seen must reach the handler even when this session ends meanwhile.
        let shared = shared.clone();
        let handled = tokio::spawn(async move {
            if guest { shared.receive_from_guest(key, items).await } else { shared.receive(key, items).await }
        });
        match handled.await {
            Ok(true) => {}
            Ok(false) => return Err(End::Banned),
            Err(error) => return Err(End::Closed(format!("handler failed: {error}"))),
        }
    }
    if unheard > 0 {
        shared.metrics.guest_limited.inc_by(unheard as u64);
        debug!(guest = %key, unheard, "a guest sent more than it may");
        tokio::time::sleep(GUEST_PAUSE).await;
    }
    Ok(())
}
