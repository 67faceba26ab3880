//! Flooding of transactions over plain iroh streams (`valo/flood/1`).
//!
//! What a node publishes goes to all its peers; what a peer sends is deduplicated by its blake3
//! hash, given to the [`FloodHandler`] (the mempool), and passed on only where that says so. A
//! newly connected peer gets what is pending.
//!
//! ```text
//!  publish --+                          +--> queue of peer B --> writer --> one stream
//!            +--> every peer but the    |
//!  receive --+    one it came from -----+--> queue of peer C --> writer --> one stream
//!     ^  new and forwarded only
//!     |
//!  FloodHandler <-- seen? <-- frames <-- reader <-- one stream from each peer
//! ```
//!
//! Why not a gossip library: a peer that keeps its connection but stops reading must never stall
//! the others. Here nothing waits for a peer but its own writer: queues are bounded in items and
//! bytes and filled without waiting; a peer whose queue is full, or that takes nothing for
//! [`FloodConfig::write_timeout`], is dropped and may come back later. Invalid data counts against
//! the sender until it is banned (see [`Offence`](super::Offence)).
//!
//! Guests are heard in one line, one frame after the other and in a measure of their own, and what
//! they have no room for is left out (`super::guests`). A node that is a stranger itself passes
//! nothing on but what it has published itself: others hear the rest from members.

mod frame;
mod guests;
mod keeper;
mod metrics;
mod seen;
mod session;

#[cfg(test)]
mod guest_tests;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tracing::warn;
use valo_protocol::PublicKey;

pub use self::{
    frame::{FrameError, MAX_FRAME, MAX_ITEM},
    metrics::FloodMetrics,
};
use self::{
    guests::{GuestLine, Own},
    seen::{ItemId, Seen, item_id},
    session::Sessions,
};
use super::{Network, Protocol};

/// The name of the protocol in the handshake.
pub const ALPN: &[u8] = b"valo/flood/1";

/// What the handler says about one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid and of use to others.
    Forward,
    /// Not to be passed on, and nobody's fault: known, outdated, or no room for it.
    Keep,
    /// Perhaps of use soon: this node is behind the sender. Not passed on, and not remembered, so that it is heard when it
    /// is sent again.
    Later,
    /// No honest node would have sent it. Counts against the sender.
    Invalid,
}

/// Who sent items, for those who give each sender room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A member, or a seed.
    Member(PublicKey),
    /// Some guest: together they have the room of one.
    Guests,
}

/// Who judges items and knows what is pending: the mempool.
pub trait FloodHandler: Send + Sync + 'static {
    /// Judges items that are new to this node: one verdict for each, in their order. A missing
    /// verdict counts as [`Verdict::Keep`]. While it runs, nothing more is read from this peer.
    fn receive(&self, from: Origin, items: Vec<Bytes>) -> BoxFuture<'_, Vec<Verdict>>;

    /// At most `limit` pending items for a peer that has just connected, most important first.
    fn pending(&self, limit: usize) -> BoxFuture<'_, Vec<Bytes>>;
}

/// Settings of the flood.
#[derive(Clone, Debug)]
pub struct FloodConfig {
    /// Peers at most.
    pub max_peers: usize,
    /// Peers this node dials for itself; beyond them it only accepts.
    pub dial_peers: usize,
    /// Items waiting for one peer.
    pub queue_items: usize,
    /// Bytes waiting for one peer. Items are shared between queues, so this is not multiplied by
    /// the number of peers.
    pub queue_bytes: usize,
    /// How long a peer may take to accept one frame.
    pub write_timeout: Duration,
    /// Pending items sent to a peer that has just connected.
    pub pending_items: usize,
    /// Items waiting for one guest; further ones are left out.
    pub guest_queue_items: usize,
    /// Bytes waiting for one guest.
    pub guest_queue_bytes: usize,
    /// Pending items sent to a guest that has just connected.
    pub guest_pending_items: usize,
    /// Ids remembered for deduplication.
    pub seen_items: usize,
    /// How long an id is remembered at least, traffic permitting.
    pub seen_lifetime: Duration,
}

impl Default for FloodConfig {
    fn default() -> Self {
        Self {
            max_peers: 32,
            dial_peers: 16,
            queue_items: 100_000,
            queue_bytes: 32 << 20,
            write_timeout: Duration::from_secs(5),
            pending_items: 20_000,
            guest_queue_items: 10_000,
            guest_queue_bytes: 1 << 20,
            guest_pending_items: 1000,
            seen_items: 400_000,
            seen_lifetime: Duration::from_secs(60),
        }
    }
}

/// The flood of one node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Flood {
    shared: Arc<Shared>,
}

struct Shared {
    network: Network,
    config: FloodConfig,
    handler: Arc<dyn FloodHandler>,
    seen: Mutex<Seen>,
    sessions: Sessions,
    /// What this node published lately, kept while it is a stranger.
    own: Mutex<Own>,
    guests: GuestLine,
    metrics: FloodMetrics,
}

impl Flood {
    /// Starts to dial peers; they can dial us once [`Flood::protocol`] is served.
    pub fn start(network: &Network, config: FloodConfig, handler: Arc<dyn FloodHandler>) -> Self {
        let seen = Seen::new(config.seen_items, config.seen_lifetime, Instant::now());
        let shared = Arc::new(Shared {
            network: network.clone(),
            seen: Mutex::new(seen),
            sessions: Sessions::new(network),
            own: Mutex::default(),
            guests: GuestLine::new(Instant::now()),
            metrics: FloodMetrics::default(),
            config,
            handler,
        });
        network.spawn(keeper::keep_connected(shared.clone()));
        Self { shared }
    }

    /// For [`Network::serve`].
    pub fn protocol(&self) -> Protocol {
        Protocol { alpn: ALPN, handler: Box::new(session::Handler(self.shared.clone())) }
    }

    /// Sends items to all peers. Does not wait, and does not ask the handler: these are ours. Items
    /// may be published again later, for peers that were not there; those who know them ignore them.
    pub fn publish(&self, items: Vec<Bytes>) {
        let items: Vec<_> = items
            .into_iter()
            .filter(|item| {
                let fits = !item.is_empty() && item.len() <= MAX_ITEM;
                if !fits {
                    warn!(length = item.len(), limit = MAX_ITEM, "not published: wrong size");
                    self.shared.metrics.oversize.inc();
                }
                fits
            })
            .collect();
        self.shared.metrics.published.inc_by(items.len() as u64);
        self.shared.first_seen(&items);
        self.shared.keep_own(&items);
        self.shared.send(&items, None);
    }

    /// The counters.
    pub fn metrics(&self) -> &FloodMetrics {
        &self.shared.metrics
    }
}

impl Shared {
    /// Marks items as seen; says for each whether it is new.
    fn first_seen(&self, items: &[Bytes]) -> Vec<bool> {
        let ids: Vec<ItemId> = items.iter().map(|item| item_id(item)).collect();
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter().map(|id| seen.insert(id, now)).collect()
    }

    /// Queues items for all peers but one.
    fn send(&self, items: &[Bytes], except: Option<PublicKey>) {
        let (queued, left_out) = self.sessions.queue(items, except, &self.config);
        self.metrics.queued.inc_by(queued);
        self.metrics.guest_left_out.inc_by(left_out);
    }

    /// Keeps what a stranger publishes for peers that it has not met yet: nobody else passes it on.
    fn keep_own(&self, items: &[Bytes]) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if self.network.is_stranger() {
            items.iter().for_each(|item| own.keep(item.clone()));
        } else {
            own.clear();
        }
    }

    /// What a peer is sent that has just connected.
    async fn pending(&self, guest: bool) -> Vec<Bytes> {
        if self.network.is_stranger() {
            return self.own.lock().unwrap_or_else(PoisonError::into_inner).items();
        }
        let limit = if guest { self.config.guest_pending_items } else { self.config.pending_items };
        let mut pending = self.handler.pending(limit).await;
        pending.truncate(limit);
        pending.retain(|item| !item.is_empty() && item.len() <= MAX_ITEM);
        pending
    }

    /// Handles the items of one frame of a guest, when it is its turn. False when the guest is banned by them.
    async fn receive_from_guest(&self, from: PublicKey, items: Vec<Bytes>) -> bool {
        self.metrics.guest_items.inc_by(items.len() as u64);
        let Some(turn) = self.guests.turn(&items).await else { return true };
        let handled = self.receive(from, items).await;
        drop(turn);
        handled
    }

    /// Handles the items of one frame. False when the sender is banned by them.
    async fn receive(&self, from: PublicKey, items: Vec<Bytes>) -> bool {
        let bytes: usize = items.iter().map(Bytes::len).sum();
        self.metrics.received_bytes.inc_by(bytes as u64);
        let total = items.len();
        let new: Vec<Bytes> =
            self.first_seen(&items).into_iter().zip(items).filter_map(|(new, item)| new.then_some(item)).collect();
        self.metrics.duplicates.inc_by(total.saturating_sub(new.len()) as u64);
        if new.is_empty() {
            return true;
        }
        self.metrics.received.inc_by(new.len() as u64);
        let origin = if self.network.knows(&from) { Origin::Member(from) } else { Origin::Guests };
        let verdicts = self.handler.receive(origin, new.clone()).await;
        let mut forward = Vec::with_capacity(new.len());
        let mut later = Vec::new();
        let mut invalid = 0u32;
        for (item, verdict) in new.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Forward => forward.push(item),
                Verdict::Keep => {}
                Verdict::Later => later.push(item_id(&item)),
                Verdict::Invalid => invalid = invalid.saturating_add(1),
            }
        }
        if !self.network.is_stranger() {
            self.metrics.forwarded.inc_by(forward.len() as u64);
            self.send(&forward, Some(from));
        }
        if !later.is_empty() {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            later.iter().for_each(|id| seen.forget(id));
        }
        if invalid == 0 {
            return true;
        }
        self.metrics.invalid.inc_by(u64::from(invalid));
        !self.network.offend(from, super::Offence::InvalidItems(invalid))
    }
}

impl fmt::Debug for Flood {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(formatter)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Flood")
            .field("network", &self.network)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
