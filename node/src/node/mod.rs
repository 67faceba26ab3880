//! A node: all parts put together, started in order and stopped in order.
//!
//! ```text
//!   storage -> mempool -> network, flood, blobs -> consensus (chain) -> worker -> API
//! ```
//! What a later part needs of an earlier one is handed to it here and nowhere else. A part that can no longer do
//! its work safely ends the node with one line that says why: [`Node::failed`].

mod config;
mod logs;
mod members;
mod worker;

pub use config::{
    BlobSettings, ConfigError, ConsensusSettings, DataFolder, NetworkSettings, NodeConfig, SeedSettings, WorkerSettings,
};

use crate::{
    api,
    blobs::{Blobs, BlobsConfig},
    chain::Wake,
    consensus::{self, Consensus},
    mempool::{FinalizedState, Limits, Mempool},
    network::{
        Members, Network, NetworkConfig, Seed,
        flood::{Flood, FloodConfig},
    },
    storage::{Settings, Storage},
};
use anyhow::Context as _;
use prometheus_client::registry::Registry;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;
use valo_ledger::{Ledger, MemoryStore, View};
use valo_protocol::{GenesisHash, PublicKey};

/// A running node.
#[derive(Debug)]
pub struct Node {
    key: PublicKey,
    genesis: GenesisHash,
    api: SocketAddr,
    storage: Storage,
    mempool: Mempool,
    network: Network,
    blobs: Blobs,
    consensus: Consensus,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    failure: watch::Receiver<Option<String>>,
}

impl Node {
    /// Starts the node of a data folder. Returns when it serves.
    pub async fn start(folder: &DataFolder) -> anyhow::Result<Self> {
        let config = folder.config()?;
        let genesis = folder.genesis()?;
        let key = folder.key()?;
        let genesis_hash = genesis.hash();
        let started = Instant::now();
        // Taken first: a port in use is the commonest mistake, and nothing is open yet.
        let listener = TcpListener::bind(config.api)
            .await
            .with_context(|| format!("cannot listen on {} for the API", config.api))?;
        let api_address = listener.local_addr()?;

        let storage = Storage::open_or_create(&folder.join("db"), genesis_hash, Settings::default(), || {
            Ledger::<MemoryStore>::genesis_changes(&genesis)
        })?;
        let state = Arc::new(FinalizedState::new(storage.clone())?);
        let wake = Wake::default();
        let mempool = Mempool::start(genesis_hash, state, wake.clone(), Limits::default())
            .context("cannot start the mempool's threads")?;

        let members = Members::new(members::keys(&View::new(&storage))?);
        let network = Network::bind(network_config(&config, &key), members.clone()).await?;
        let flood = Flood::start(&network, FloodConfig::default(), Arc::new(mempool.clone()));
        let publish = flood.clone();
        mempool.set_publisher(move |items| publish.publish(items));
        let blobs = Blobs::open(blobs_config(&config, folder), &network).await?;
        let logs = worker::open_logs(folder)?;
        let mut protocols = blobs.protocols();
        protocols.push(flood.protocol());
        protocols.push(worker::log_protocol(logs.clone()));
        network.serve(protocols)?;

        let consensus = consensus::start(
            consensus::Config {
                genesis: genesis.clone(),
                key: key.clone(),
                name: config.name.clone(),
                listen: config.consensus.listen,
                peers: config.consensus.peers.clone(),
                fully_connected: config.consensus.fully_connected,
                log: folder.join("consensus.log"),
            },
            storage.clone(),
            Arc::new(storage.clone()),
            Arc::new(mempool.clone()),
            wake,
        )
        .await?;

        let stop = CancellationToken::new();
        let (fail, failure) = watch::channel(None);
        let mut parts = Parts { tasks: JoinSet::new(), stop: stop.clone(), fail };
        parts.watch_until_stopped("consensus", consensus.ended());
        parts.watch_until_stopped("storage", storage_failure(storage.clone()));
        parts.run(members::follow(storage.clone(), consensus.handle().clone(), members));
        if let Some(duty) = worker::duty(worker::Setting {
            folder,
            config: &config,
            key: &key,
            genesis: genesis_hash,
            storage: &storage,
            chain: consensus.handle(),
            mempool: &mempool,
            blobs: &blobs,
            logs: &logs,
        })? {
            let stop = parts.stop.clone();
            let work = async move { crate::worker::start(duty, stop).await.map_err(|error| error.to_string()) };
            parts.watch("the worker", work);
        }
        let mut metrics = Registry::with_prefix("valo");
        blobs.metrics().register(&mut metrics);
        mempool.metrics().register(&mut metrics);
        flood.metrics().register(&mut metrics);
        let services = Arc::new(api::Services {
            genesis,
            genesis_hash,
            key: key.public(),
            started,
            state: Box::new(storage.clone()),
            chain: Box::new(consensus.handle().clone()),
            transactions: Box::new(mempool.clone()),
            blobs: Box::new(blobs.clone()),
            logs: Box::new(logs::LogSources { storage: storage.clone(), network: network.clone(), logs }),
            peers: Box::new(network.clone()),
            metrics: Arc::new(Mutex::new(metrics)),
        });
        let stopped = parts.stop.clone().cancelled_owned();
        let serving = api::serve(listener, services, api::Limits::default(), stopped);
        parts.watch("the API", async move { serving.await.map_err(|error| error.to_string()) });
        info!(name = config.name, key = %key.public(), api = %api_address, "node started");
        Ok(Self {
            key: key.public(),
            genesis: genesis_hash,
            api: api_address,
            storage,
            mempool,
            network,
            blobs,
            consensus,
            tasks: parts.tasks,
            stop,
            failure,
        })
    }

    /// The node's key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The chain it follows.
    pub fn genesis(&self) -> GenesisHash {
        self.genesis
    }

    /// Where the API listens.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Waits until a part fails, and says which and why. Then the node has to be stopped.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static {
        let mut failure = self.failure.clone();
        async move {
            match failure.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the node stopped".to_owned(),
            }
        }
    }

    /// Stops everything, last part first. What was finalized is on disk.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Each has a bound of its own for what it still finishes.
        while self.tasks.join_next().await.is_some() {}
        self.consensus.stop().await;
        self.mempool.stop();
        if let Err(error) = self.blobs.shutdown().await {
            tracing::warn!(%error, "blobs did not close in order");
        }
        self.network.shutdown().await;
        self.storage.close();
    }
}

/// The tasks of a node, and where the first failure is told.
struct Parts {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    fail: watch::Sender<Option<String>>,
}

impl Parts {
    /// Runs a task until the node stops.
    fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Watches for the end of something that is stopped elsewhere.
    fn watch_until_stopped(
        &mut self,
        part: &'static str,
        end: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.watch(part, async move { stop.run_until_cancelled(end).await.unwrap_or(Ok(())) });
    }

    /// Runs a part that should last as long as the node; its end before that is a failure.
    fn watch(&mut self, part: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        let (stop, fail) = (self.stop.clone(), self.fail.clone());
        self.tasks.spawn(async move {
            let reason = match task.await {
                _ if stop.is_cancelled() => return,
                Ok(()) => "it ended by itself".to_owned(),
                Err(reason) => reason,
            };
            fail.send_if_modified(|failure| {
                let first = failure.is_none();
                if first {
                    *failure = Some(format!("{part} stopped: {reason}"));
                }
                first
            });
        });
    }
}

async fn storage_failure(storage: Storage) -> Result<(), String> {
    let mut failure = storage.failure();
    match failure.wait_for(Option::is_some).await {
        Ok(error) => Err(error.as_ref().map(ToString::to_string).unwrap_or_default()),
        Err(_) => Ok(()),
    }
}

fn network_config(config: &NodeConfig, key: &valo_protocol::SecretKey) -> NetworkConfig {
    let seeds = config.network.seeds.iter().map(|seed| Seed { key: seed.key, addresses: seed.addresses.clone() });
    NetworkConfig {
        bind: config.network.listen,
        advertise: config.network.advertise.clone(),
        seeds: seeds.collect(),
        ..NetworkConfig::new(key.clone())
    }
}

fn blobs_config(config: &NodeConfig, folder: &DataFolder) -> BlobsConfig {
    BlobsConfig {
        node_quota: config.blobs.node_quota,
        owner_quota: config.blobs.owner_quota,
        ..BlobsConfig::new(folder.join("blobs"))
    }
}
