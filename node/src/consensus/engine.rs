//! Starting and stopping the engine.

use super::{
    app::{App, Followers},
    codec::BorshCodec,
    context::{Address, Context},
    peers::{self, Peers},
    signed::{LastSigned, SignedError},
    signing::{ChainVerifier, NodeSigner},
    voting::{NewFolder, Voting, first_word},
};
use crate::{
    chain::{
        BlockStore, Chain, ChainError, ChainHandle, TransactionSource, Wake,
        handle::{REQUEST_QUEUE, SUBSCRIPTION_QUEUE},
    },
    clock::now,
    network::HostPort,
};
use bytesize::ByteSize;
use futures::{FutureExt as _, future::BoxFuture};
use malachitebft_app_channel::{
    ConsensusContext, ConsensusRequest, EngineBuilder, NetworkContext, NetworkIdentity, NetworkRequest, RequestContext,
    Signer as _, SyncContext, WalContext,
    app::{config::NodeConfig, engine::node::NodeRef, net::Multiaddr, types::Keypair},
};
use malachitebft_codec::Codec as _;
use malachitebft_config::{ConsensusConfig, DiscoveryConfig, P2pConfig, PubSubProtocol, ValuePayload, ValueSyncConfig};
use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc, oneshot, watch},
    task::AbortHandle,
};
use valo_ledger::Store;
use valo_protocol::{Genesis, Height, SecretKey, block::MAX_BLOCK};

/// What the engine needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// The node's key: of its votes, and of its identity in the network.
    pub key: SecretKey,
    /// A name for logs and metrics.
    pub name: String,
    /// Where to listen for other nodes.
    pub listen: SocketAddr,
    /// Other nodes, as [`peer_address`] reads them. They are dialled for ever.
    pub peers: Vec<String>,
    /// File of the write-ahead log of votes.
    pub log: PathBuf,
    /// File of what was signed last.
    pub signed: PathBuf,
    /// What is done where that file is new.
    pub new_folder: NewFolder,
}

/// Why consensus does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The chain cannot be opened.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A malformed address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Another program has the port, or the address is not of this machine.
    #[error("cannot listen on {address} for consensus: {source}")]
    Listen {
        /// Where to listen.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder is not this node's, or does not say what was signed.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// The engine does not start.
    #[error("cannot start the consensus engine: {0}")]
    Engine(String),
}

/// Why a text is not the address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a peer: write host:port, or a multiaddress such as /dns/validator-0/tcp/26656")]
pub struct AddressError(pub String);

/// The address of a peer: `host:port`, where a name is resolved anew at each dial, or a multiaddress.
pub fn peer_address(text: &str) -> Result<Multiaddr, AddressError> {
    let malformed = || AddressError(text.to_owned());
    if text.starts_with('/') {
        return text.parse().map_err(|_| malformed());
    }
    match text.parse().map_err(|_| malformed())? {
        HostPort::Address(address) => multiaddress(address),
        HostPort::Name(host, port) => format!("/dns/{host}/tcp/{port}").parse().map_err(|_| malformed()),
    }
}

fn multiaddress(address: SocketAddr) -> Result<Multiaddr, AddressError> {
    let family = if address.is_ipv4() { "ip4" } else { "ip6" };
    let text = format!("/{family}/{}/tcp/{}", address.ip(), address.port());
    text.parse().map_err(|_| AddressError(text))
}

/// Running consensus. Dropping it leaves it running until the process ends; see [`Consensus::stop`].
#[derive(Debug)]
pub struct Consensus {
    handle: ChainHandle,
    engine: NodeRef,
    requests: mpsc::Sender<ConsensusRequest<Context>>,
    network: mpsc::Sender<NetworkRequest>,
    peers: watch::Sender<Peers>,
    keeper: AbortHandle,
    watcher: AbortHandle,
    voting: Voting,
    /// File of the write-ahead log of votes.
    log: PathBuf,
    /// Ends when it cannot be written what may be signed.
    unwritten: watch::Receiver<Option<String>>,
    stop: oneshot::Sender<()>,
    ended: watch::Receiver<Option<Result<(), String>>>,
}

impl Consensus {
    /// The handle for the rest of the node.
    pub fn handle(&self) -> &ChainHandle {
        &self.handle
    }

    /// Where to tell whom the registry names.
    pub fn registry(&self) -> watch::Sender<Peers> {
        self.peers.clone()
    }

    /// A sign of life of the engine: what gives it returns when the engine has come round to it.
    pub fn engine_turn(&self) -> impl Fn() -> BoxFuture<'static, ()> + Send + 'static {
        let requests = self.requests.clone();
        move || {
            let requests = requests.clone();
            async move { drop(ConsensusRequest::dump_state(&requests).await) }.boxed()
        }
    }

    /// The same of the engine's network.
    pub fn network_turn(&self) -> impl Fn() -> BoxFuture<'static, ()> + Send + 'static {
        let requests = self.network.clone();
        move || {
            let requests = requests.clone();
            async move { drop(NetworkRequest::dump_state(&requests).await) }.boxed()
        }
    }

    /// Whether it votes, and when that changes.
    pub fn voting(&self) -> &Voting {
        &self.voting
    }

    /// Waits until consensus ends by itself: a fault of this node, with its reason.
    pub fn ended(&self) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let ended = self.chain_ended();
        let unwritten = first_word(self.unwritten.clone());
        async move {
            tokio::select! {
                ended = ended => ended,
                reason = unwritten => Err(reason),
            }
        }
    }

    fn chain_ended(&self) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
                Err(_) => Err("the chain's thread died".to_owned()),
            }
        }
    }

    /// Stops engine and chain. What was finalized is on disk; what was under way is in the log.
    pub async fn stop(self) {
        let ended = self.chain_ended();
        self.keeper.abort();
        self.watcher.abort();
        let _ = self.stop.send(());
        // First the parts, which log and answer, then their supervisor.
        let patience = Some(Duration::from_secs(5));
        self.engine.get_cell().stop_children_and_wait(None, patience).await;
        let _ = self.engine.stop_and_wait(None, patience).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
        // The log has a thread of its own, which nobody joins: it lets go of the file a moment after its actor has ended,
        // and who starts again at once would find it locked.
        let closed = tokio::task::spawn_blocking(move || File::options().write(true).open(self.log)?.lock());
        let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
    }
}

#[derive(Debug, Clone)]
struct EngineConfig {
    name: String,
    consensus: ConsensusConfig,
    sync: ValueSyncConfig,
}

impl NodeConfig for EngineConfig {
    fn moniker(&self) -> &str {
        &self.name
    }

    fn consensus(&self) -> &ConsensusConfig {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut ConsensusConfig {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.sync
    }
}

fn engine_config(config: &Config, votes: bool) -> Result<EngineConfig, AddressError> {
    let block = ByteSize::b(u64::try_from(MAX_BLOCK).unwrap_or(u64::MAX));
    let p2p = P2pConfig {
        listen_addr: multiaddress(config.listen)?,
        persistent_peers: config.peers.iter().map(|peer| peer_address(peer)).collect::<Result<_, _>>()?,
        protocol: if config.genesis.fully_connected { PubSubProtocol::Broadcast } else { PubSubProtocol::default() },
        // Parts are far smaller than a block; answers to late nodes carry several blocks.
        pubsub_max_size: block,
        rpc_max_size: ByteSize::b(block.as_u64().saturating_mul(4)),
        discovery: DiscoveryConfig {
            // Many nodes behind one address: one machine, one NAT, one ingress.
            max_connections_per_ip: 1000,
            ip_throttle_duration: Duration::ZERO,
            ..DiscoveryConfig::default()
        },
        ..P2pConfig::default()
    };
    Ok(EngineConfig {
        name: config.name.clone(),
        consensus: ConsensusConfig {
            enabled: votes,
            p2p,
            value_payload: ValuePayload::ProposalAndParts,
            ..ConsensusConfig::default()
        },
        sync: ValueSyncConfig {
            status_update_interval: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            max_response_size: ByteSize::b(block.as_u64().saturating_mul(3)),
            batch_size: 20,
            ..ValueSyncConfig::default()
        },
    })
}

/// Whether consensus can listen there. Asked before [`start`] by whoever starts a process: the engine would only log that
/// it cannot, and then hear nobody. Not part of [`start`], since an engine that was stopped in this process may close its
/// listener later, which the next one shares.
pub async fn can_listen(address: SocketAddr) -> Result<(), StartError> {
    TcpListener::bind(address).await.map(drop).map_err(|source| StartError::Listen { address, source })
}

/// Opens the chain and joins consensus. `store` is the state, `blocks` the rest of the same disk.
pub async fn start<S: Store + Send + 'static>(
    config: Config,
    store: S,
    blocks: Arc<dyn BlockStore>,
    transactions: Arc<dyn TransactionSource>,
    wake: Wake,
) -> Result<Consensus, StartError> {
    let chain = Chain::open(config.genesis.clone(), config.key.clone(), store, blocks, transactions)?;
    let genesis = chain.ledger().genesis_hash();
    let mut signed = LastSigned::open(config.signed.clone(), &config.log, config.key.public(), genesis, now())?;
    if config.new_folder == NewFolder::Votes {
        signed.allow(Height(0))?;
    }
    let signed = Arc::new(Mutex::new(signed));
    let voting = Voting::new(config.key.public(), signed.clone(), &chain.tip());
    let engine_config = engine_config(&config, voting.votes())?;

    let failed = |error: &dyn std::fmt::Display| StartError::Engine(error.to_string());
    let key = config.key.public();
    let signer = NodeSigner::new(config.key.clone(), genesis).guarded(signed);
    let identity = Keypair::ed25519_from_bytes(*config.key.seed()).map_err(|error| failed(&error))?;
    let peer = identity.public().to_peer_id().to_bytes();
    let proof = signer.sign_validator_proof(key.0.to_vec(), peer).await.map_err(|error| failed(&error))?;
    let proof = BorshCodec.encode(&proof).map_err(|error| failed(&error))?;
    let identity = NetworkIdentity::new_validator(config.name.clone(), identity, Address(key).to_string(), proof);
    let verifier = ChainVerifier::new(genesis);
    let (channels, engine) = EngineBuilder::new(Context, engine_config)
        .with_default_wal(WalContext::new(config.log.clone(), BorshCodec))
        .with_default_network(NetworkContext::new(identity, BorshCodec))
        .with_default_sync(SyncContext::new(BorshCodec))
        .with_default_consensus(ConsensusContext::new_validator(Address(key), Box::new(verifier), Box::new(signer)))
        .with_default_request(RequestContext::new(16))
        .build()
        .await
        .map_err(|error| failed(&error))?;

    let (tip_sender, tip) = watch::channel(chain.tip());
    let (finalized, _) = broadcast::channel(SUBSCRIPTION_QUEUE);
    let (requests, request_queue) = mpsc::channel(REQUEST_QUEUE);
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = watch::channel(None);
    let silence = voting.silence();
    let handle = ChainHandle { tip, finalized: finalized.clone(), wake: wake.clone(), requests, silence };
    let followers = Followers { tip: tip_sender, finalized };
    let (engine_requests, network_requests) = (channels.requests.clone(), channels.net_requests.clone());
    let (peers, wanted) = watch::channel(Peers::new());
    let keeper = tokio::spawn(peers::keep(network_requests.clone(), wanted)).abort_handle();
    let (unwritable, unwritten) = watch::channel(None);
    let watching = voting.clone().watch(handle.head(), config.new_folder);
    let watcher = tokio::spawn(async move {
        if let Err(error) = watching.await {
            unwritable.send_replace(Some(error.to_string()));
        }
    });
    let watcher = watcher.abort_handle();
    let app = App::new(chain, channels, followers, wake, request_queue, voting.clone());
    let runtime = tokio::runtime::Handle::current();
    let supervisor = engine.actor.clone();
    // Blocks are judged and executed here, so that they never hold up the engine's timers and the network.
    let body = move || {
        let outcome = runtime.block_on(app.run(stopped)).map_err(|error| error.to_string());
        if let Err(reason) = &outcome {
            tracing::error!(%reason, "the chain stops");
            supervisor.get_cell().stop_children(None);
            supervisor.stop(None);
        }
        end.send_replace(Some(outcome));
    };
    thread::Builder::new().name("valo-chain".to_owned()).spawn(body).map_err(|error| failed(&error))?;
    Ok(Consensus {
        handle,
        engine: engine.actor,
        requests: engine_requests,
        network: network_requests,
        peers,
        keeper,
        watcher,
        voting,
        log: config.log,
        unwritten,
        stop,
        ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_peers() {
        for (text, expected) in [
            ("127.0.0.1:26656", "/ip4/127.0.0.1/tcp/26656"),
            ("[::1]:1", "/ip6/::1/tcp/1"),
            ("validator-0.validators:26656", "/dns/validator-0.validators/tcp/26656"),
            ("/dns4/host/tcp/7", "/dns4/host/tcp/7"),
        ] {
            assert_eq!(peer_address(text).map(|address| address.to_string()), Ok(expected.to_owned()));
        }
        for text in ["", "host", "host:", "host:99999", ":80", "a/b:80", "/nonsense/7"] {
            assert_eq!(peer_address(text), Err(AddressError(text.to_owned())));
        }
    }
}
