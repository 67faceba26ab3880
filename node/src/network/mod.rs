//! The node's network: one iroh endpoint, the members it talks to, and the protocols on it.
//!
//! Between validators, consensus has its own transport. All else runs here: transactions
//! ([`flood`]), blobs (`crate::blobs`), and the small exchange by which nodes that know one seed
//! learn the others. A node is dialed by its ed25519 key, so every connection is authenticated
//! both ways before a byte is read; who is a member is decided by the chain and told through
//! [`Members`]. Others are let in as guests, to hand in transactions (`guests`).
//!
//! ```text
//!  Members (from the chain)        NetworkConfig (seeds, limits)
//!       |                                |
//!  +----v--------------------------------v-----+
//!  | Network: endpoint, admission, addresses,  |
//!  |          standing (bans), dialing         |
//!  +----+--------------+----------------+------+
//!       |              |                |
//!   valo/flood/1   valo/peers/1   iroh-blobs, valo/blobs-who/1
//!   valo/genesis/1, valo/consensus/1
//! ```
//!
//! Order of start: [`Network::bind`], then the protocols that need it ([`flood::Flood::start`],
//! `Blobs::open`), then [`Network::serve`] with all of them; [`Network::shutdown`] ends it.

mod addresses;
mod config;
mod connections;
mod consensus;
mod dial;
mod exchange;
pub mod flood;
pub(crate) mod genesis;
mod guests;
mod host;
mod key;
mod members;
mod metrics;
mod pool;
pub(crate) mod questions;
mod standing;
mod transport;

#[cfg(test)]
pub(crate) mod testing;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use iroh::{
    Endpoint,
    endpoint::Connection,
    protocol::{DynProtocolHandler, Router},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use valo_protocol::PublicKey;

use self::{
    addresses::{AddressBook, Source},
    connections::Connections,
    guests::{ConnectionLimits, Known, Standings},
    pool::Pool,
};
pub use self::{
    config::{NetworkConfig, Seed},
    connections::CloseCode,
    dial::DialError,
    genesis::FetchError,
    host::{Endpoint as RegisteredEndpoint, HostPort, HostPortError},
    members::Members,
    metrics::NetworkMetrics,
    standing::{BAN_POINTS, Offence, Refusal},
};
pub(crate) use self::{consensus::OwnConsensus, key::from_endpoint_id};

/// How long a shutdown may take before the endpoint is dropped as it is.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the network could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The UDP socket could not be bound.
    #[error("cannot listen on UDP {address}: {source}; choose another address, or port 0")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// [`Network::serve`] was called twice.
    #[error("the network already serves its protocols; pass all of them in one call")]
    AlreadyServing,
}

/// A protocol to be served: its name in the handshake, and who answers it.
#[derive(Debug)]
pub struct Protocol {
    /// The ALPN.
    pub alpn: &'static [u8],
    /// Called with each accepted connection.
    pub handler: Box<dyn DynProtocolHandler>,
}

/// The network of one node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    key: PublicKey,
    config: NetworkConfig,
    endpoint: Endpoint,
    members: Members,
    known: Known,
    standings: Arc<Standings>,
    connections: Connections,
    addresses: Mutex<AddressBook>,
    /// Bumped when the address book learned something.
    news: watch::Sender<u64>,
    /// Nodes with which a lasting connection is open, guests among them.
    connected: Mutex<BTreeSet<PublicKey>>,
    /// Those that are no guests.
    peers: watch::Sender<BTreeSet<PublicKey>>,
    metrics: NetworkMetrics,
    pool: Pool,
    router: OnceLock<Router>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Network {
    /// Binds the socket. Nothing is dialed and nothing accepted yet.
    pub async fn bind(config: NetworkConfig, members: Members) -> Result<Self, NetworkError> {
        let known = Known::new(members.clone(), config.seeds.iter().map(|seed| seed.key));
        let standings = Arc::new(Standings::new(known.clone(), config.ban));
        let metrics = NetworkMetrics::default();
        let limits = ConnectionLimits {
            total: config.max_connections,
            per_node: config.max_connections_per_node,
            guests: config.guests,
            guests_per_prefix: config.guests_per_prefix,
        };
        let connections = Connections::new(known.clone(), standings.clone(), limits, metrics.clone());
        let endpoint = transport::bind(&config.secret_key, config.bind, connections.clone()).await?;
        let key = from_endpoint_id(endpoint.id());
        let mut addresses = AddressBook::new(key, config.backoff_start, config.backoff_limit);
        let now = Instant::now();
        for seed in &config.seeds {
            addresses.learn_names(seed.key, seed.addresses.clone(), Source::Seed, now);
        }
        let network = Self {
            inner: Arc::new(Inner {
                key,
                config,
                endpoint,
                members,
                known,
                standings,
                connections,
                addresses: Mutex::new(addresses),
                news: watch::Sender::new(0),
                connected: Mutex::default(),
                peers: watch::Sender::new(BTreeSet::new()),
                metrics,
                pool: Pool::default(),
                router: OnceLock::new(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        };
        network.spawn(network.clone().follow_members());
        info!(key = %network.key(), addresses = ?network.own_places(), "network bound");
        Ok(network)
    }

    /// Starts to accept connections for these protocols and for the exchange of peers.
    pub fn serve(&self, protocols: impl IntoIterator<Item = Protocol>) -> Result<(), NetworkError> {
        let mut protocols: Vec<_> = protocols.into_iter().collect();
        protocols.push(exchange::protocol(self));
        let mut first = false;
        self.inner.router.get_or_init(|| {
            first = true;
            protocols
                .into_iter()
                .fold(Router::builder(self.inner.endpoint.clone()), |builder, protocol| {
                    builder.accept(protocol.alpn, protocol.handler)
                })
                .spawn()
        });
        if first { Ok(()) } else { Err(NetworkError::AlreadyServing) }
    }

    /// This node's key.
    pub fn key(&self) -> PublicKey {
        self.inner.key
    }

    /// The address the socket is bound to.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.inner.endpoint.bound_sockets().first().copied()
    }

    /// What others should put into their configuration to reach this node.
    pub fn as_seed(&self) -> Seed {
        Seed { key: self.key(), addresses: self.own_places() }
    }

    /// The members of this network.
    pub fn members(&self) -> &Members {
        &self.inner.members
    }

    /// Members and seeds with which a lasting connection is open, and every change of that set.
    pub fn peers(&self) -> watch::Receiver<BTreeSet<PublicKey>> {
        self.inner.peers.subscribe()
    }

    /// Notes where a node is by the registry, in place of what the registry said before.
    pub fn learn(&self, key: PublicKey, addresses: impl IntoIterator<Item = HostPort>) {
        let learned = self.book(|book| book.learn_names(key, addresses, Source::Own, Instant::now()));
        if learned {
            self.tell_news();
        }
    }

    /// The counters.
    pub fn metrics(&self) -> &NetworkMetrics {
        &self.inner.metrics
    }

    /// Counts an offence against a node; at [`BAN_POINTS`] it is disconnected and refused for the
    /// configured time. True when that happened now.
    pub fn offend(&self, key: PublicKey, offence: Offence) -> bool {
        let banned = self.inner.standings.of(&key).offend(key, offence, Instant::now());
        if banned {
            // Keys are free: guests must not fill the log.
            if self.knows(&key) {
                warn!(peer = %key, ?offence, ban = ?self.inner.config.ban, "banned a peer");
            } else {
                debug!(peer = %key, ?offence, "banned a guest");
            }
            self.inner.connections.close(&key, CloseCode::Banned, "banned for invalid data");
        }
        banned
    }

    /// Why a node is refused at present, if it is.
    pub fn refusal(&self, key: &PublicKey) -> Option<Refusal> {
        self.inner.standings.refusal(key, Instant::now())
    }

    /// A connection for a protocol, shared with other callers; dialed when there is none.
    pub async fn connection(&self, key: PublicKey, alpn: &'static [u8]) -> Result<Connection, DialError> {
        self.inner.pool.get(self, key, alpn).await
    }

    /// Gives up a shared connection that does not answer, so that the next caller dials anew.
    pub async fn forget(&self, key: PublicKey, alpn: &'static [u8], stale: &Connection) {
        self.inner.pool.forget(key, alpn, stale).await;
    }

    /// Closes all connections and stops all tasks of the network. Takes a few seconds at most.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        let finish = async {
            self.inner.tasks.wait().await;
            if let Some(router) = self.inner.router.get()
                && let Err(error) = router.shutdown().await
            {
                warn!(%error, "a protocol handler panicked");
            }
            self.inner.endpoint.close().await;
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, finish).await.is_err() {
            warn!("connections did not close in time and were dropped");
        }
        self.inner.connected.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.inner.peers.send_modify(BTreeSet::clear);
    }

    pub(crate) fn config(&self) -> &NetworkConfig {
        &self.inner.config
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.inner.stop
    }

    /// Runs a task until the network stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        self.inner.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Runs a task that watches [`Network::stopping`] itself, to leave in an orderly way.
    pub(crate) fn spawn_orderly(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.inner.tasks.spawn(task)
    }

    pub(crate) fn set_peer(&self, key: PublicKey, connected: bool) {
        let mut nodes = self.inner.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if connected {
            nodes.insert(key)
        } else {
            nodes.remove(&key)
        };
        self.tell_peers(&nodes);
    }

    /// Tells who of the connected nodes is a peer: with the registry a guest becomes one.
    fn tell_peers(&self, connected: &BTreeSet<PublicKey>) {
        let peers: BTreeSet<_> = connected.iter().filter(|key| self.knows(key)).copied().collect();
        let guests = connected.len().saturating_sub(peers.len());
        self.inner.metrics.guests.set(i64::try_from(guests).unwrap_or(i64::MAX));
        self.inner.peers.send_if_modified(|told| {
            let changed = *told != peers;
            *told = peers;
            changed
        });
    }

    pub(crate) fn slow(&self, key: PublicKey) {
        self.inner.standings.of(&key).slow(key, Instant::now());
    }

    /// Whether a node is a member or a seed. All others are guests.
    pub(crate) fn knows(&self, key: &PublicKey) -> bool {
        self.inner.known.contains(key)
    }

    /// The nodes of the configuration.
    pub(crate) fn seeds(&self) -> &BTreeSet<PublicKey> {
        self.inner.known.seeds()
    }

    /// Whether this node itself is in no registry that it knows of, so that others take it for a guest.
    pub(crate) fn is_stranger(&self) -> bool {
        !self.inner.members.contains(&self.inner.key)
    }

    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    fn own_places(&self) -> Vec<HostPort> {
        if !self.inner.config.advertise.is_empty() {
            return self.inner.config.advertise.clone();
        }
        let bound = self.inner.endpoint.bound_sockets().into_iter();
        bound.filter(|address| !address.ip().is_unspecified()).map(HostPort::from).collect()
    }

    fn tell_news(&self) {
        self.inner.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    fn note(&self, key: PublicKey, addresses: impl IntoIterator<Item = SocketAddr>, source: Source) {
        let learned = self.book(|book| book.learn(key, addresses, source, Instant::now()));
        if learned {
            self.tell_news();
        }
    }

    pub(crate) fn book<T>(&self, with: impl FnOnce(&mut AddressBook) -> T) -> T {
        let mut book = self.inner.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut book)
    }

    /// Guests that become members are peers; nodes that leave are forgotten, and disconnected unless they may be guests.
    async fn follow_members(self) {
        let mut changes = self.inner.members.watch();
        while changes.changed().await.is_ok() {
            self.inner.connections.close_strangers();
            self.book(|book| book.retain(|key| self.knows(key)));
            let connected = self.inner.connected.lock().unwrap_or_else(PoisonError::into_inner);
            self.tell_peers(&connected);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Network")
            .field("key", &self.inner.key)
            .field("local_address", &self.local_address())
            .finish_non_exhaustive()
    }
}
