//! A node: all parts put together, started in order and stopped in order.
//!
//! ```text
//!   storage -> mempool -> network, flood, blobs -> consensus (chain) -> worker -> API
//! ```
//! What a later part needs of an earlier one is handed to it here and nowhere else. A part that can no longer do
//! its work safely ends the node with one line that says why: [`Node::failed`].

mod config;
mod founding;
mod logs;
mod members;
mod newcomer;
mod parts;
mod worker;

pub use config::{
    BlobSettings, ConfigError, ConsensusSettings, DataFolder, Files, NetworkSettings, NodeConfig, SeedError,
    SeedSettings, WorkerSettings,
};
pub use newcomer::{Refused, ask_seeds, provide_genesis};
pub use parts::NotStopped;

use crate::{
    api,
    blobs::{Blobs, BlobsConfig},
    chain::Wake,
    consensus,
    mempool::{FinalizedState, Limits, Mempool},
    network::{
        Members, Network, NetworkConfig, OwnConsensus, Seed,
        flood::{Flood, FloodConfig},
        genesis::protocol as genesis_protocol,
    },
    pulse::{Pulse, Pulses},
    storage::{Settings, Storage},
};
use anyhow::Context as _;
use parts::Parts;
use prometheus_client::registry::Registry;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tracing::info;
use valo_ledger::{Ledger, MemoryStore, View};
use valo_protocol::{GenesisHash, PublicKey};

/// A running node.
#[derive(Debug)]
pub struct Node {
    key: PublicKey,
    genesis: GenesisHash,
    api: SocketAddr,
    parts: Parts,
}

impl Node {
    /// Starts the node of a data folder. Returns when it serves. What a failure on the way leaves running is stopped
    /// before the failure is told, so that the folder can be used again at once.
    pub async fn start(folder: &DataFolder, config: NodeConfig) -> anyhow::Result<Self> {
        let mut parts = Parts::default();
        match Self::start_parts(folder, config, &mut parts).await {
            Ok((key, genesis, api)) => Ok(Self { key, genesis, api, parts }),
            Err(error) => {
                if let Err(late) = parts.stop().await {
                    tracing::warn!("{late}");
                }
                Err(error)
            }
        }
    }

    /// Starts part after part. Gives the node's key, its chain, and where its API listens.
    async fn start_parts(
        folder: &DataFolder,
        config: NodeConfig,
        parts: &mut Parts,
    ) -> anyhow::Result<(PublicKey, GenesisHash, SocketAddr)> {
        let genesis = folder.genesis()?;
        let key = folder.key()?;
        let genesis_hash = genesis.hash();
        let started = Instant::now();
        // Before the port: a second node of this folder would only be told that the port is taken.
        parts.folder = folder.lock()?;
        // Taken early: a port in use is the commonest mistake, and nothing is open yet.
        let listener = TcpListener::bind(config.api)
            .await
            .with_context(|| format!("cannot listen on {} for the API", config.api))?;
        let api_address = listener.local_addr()?;

        let storage = Storage::open_or_create(&folder.join("db"), genesis_hash, Settings::default(), || {
            Ledger::<MemoryStore>::genesis_changes(&genesis)
        })?;
        parts.storage = Some(storage.clone());
        let state = Arc::new(FinalizedState::new(storage.clone())?);
        let wake = Wake::default();
        let mempool = Mempool::start(genesis_hash, state, wake.clone(), Limits::default())
            .context("cannot start the mempool's threads")?;
        parts.mempool = Some(mempool.clone());

        let members = Members::new(members::directory(&View::new(&storage), key.public())?.nodes.into_keys());
        let network = Network::bind(network_config(&config, &key), members.clone()).await?;
        parts.network = Some(network.clone());
        let flood = Flood::start(&network, FloodConfig::default(), Arc::new(mempool.clone()));
        let publish = flood.clone();
        mempool.set_publisher(move |items| publish.publish(items));
        let blobs = Blobs::open(blobs_config(&config, folder), &network).await?;
        parts.blobs = Some(blobs.clone());
        let logs = worker::open_logs(folder)?;
        let words = mpsc::channel(256);
        let mut protocols = blobs.protocols();
        protocols.push(flood.protocol());
        protocols.push(genesis_protocol(&network, &genesis));
        let own = OwnConsensus::new(config.consensus.listen.port());
        protocols.push(own.protocol());
        protocols.push(worker::log_protocol(logs.clone()));
        protocols.push(founding::protocol(storage.clone(), words.0.clone()));
        network.serve(protocols)?;

        consensus::can_listen(config.consensus.listen).await?;
        let consensus = consensus::start(
            consensus::Config {
                genesis: genesis.clone(),
                key: key.clone(),
                name: config.name.clone(),
                listen: config.consensus.listen,
                peers: config.consensus.peers.clone(),
                log: folder.join("consensus.log"),
                signed: folder.join("signed.log"),
                new_folder: folder.new_folder(),
            },
            storage.clone(),
            Arc::new(storage.clone()),
            Arc::new(mempool.clone()),
            wake,
        )
        .await?;

        let chain = consensus.handle().clone();
        let pulses =
            [Pulse::new("chain"), Pulse::new("consensus"), Pulse::new("consensusNetwork"), Pulse::new("worker")];
        let [chain_pulse, engine_pulse, network_pulse, worker_pulse] = pulses.clone();
        let asked = chain.clone();
        parts.run(chain_pulse.ask(move || {
            let chain = asked.clone();
            // No transaction to judge: the answer says only that the loop came round to it.
            async move { chain.validity(Vec::new()).await }
        }));
        parts.run(engine_pulse.ask(consensus.engine_turn()));
        parts.run(network_pulse.ask(consensus.network_turn()));
        let voting = consensus.voting().clone();
        parts.run(founding::find_out(network.clone(), voting, chain.head(), words));
        let (tell, found) = watch::channel(consensus::Peers::new());
        let (asked, nodes) = watch::channel(BTreeSet::new());
        network.spawn(network.clone().find_consensus(nodes, tell));
        let consensuses = members::Consensuses { found, asked, own, wanted: consensus.registry() };
        parts.watch_until_stopped("consensus", consensus.ended());
        parts.consensus = Some(consensus);
        parts.watch_until_stopped("storage", storage_failure(storage.clone()));
        parts.run(members::follow(storage.clone(), chain.clone(), network.clone(), consensuses));
        let setting = worker::Setting {
            folder: folder.clone(),
            config: config.clone(),
            key: key.clone(),
            genesis: genesis_hash,
            storage: storage.clone(),
            chain: chain.clone(),
            mempool: mempool.clone(),
            blobs: blobs.clone(),
            logs: logs.clone(),
            pulse: worker_pulse,
        };
        let following = worker::follow(setting, parts.stop.clone());
        parts.watch("the worker", async move { following.await.map_err(|error| format!("{error:#}")) });
        let mut metrics = Registry::with_prefix("valo");
        blobs.metrics().register(&mut metrics);
        mempool.metrics().register(&mut metrics);
        flood.metrics().register(&mut metrics);
        network.metrics().register(&mut metrics);
        let services = Arc::new(api::Services {
            genesis,
            genesis_hash,
            key: key.public(),
            started,
            state: Box::new(storage.clone()),
            chain: Box::new(chain),
            transactions: Box::new(mempool.clone()),
            blobs: Box::new(blobs.clone()),
            logs: Box::new(logs::LogSources { network: network.clone(), logs }),
            peers: Box::new(network.clone()),
            pulses: Pulses::new(pulses),
            metrics: Arc::new(Mutex::new(metrics)),
        });
        let stopped = parts.stop.clone().cancelled_owned();
        let serving = api::serve(listener, services, api::Limits::default(), stopped);
        parts.watch("the API", async move { serving.await.map_err(|error| error.to_string()) });
        info!(name = config.name, key = %key.public(), api = %api_address, "node started");
        Ok((key.public(), genesis_hash, api_address))
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
        let mut failure = self.parts.failure();
        async move {
            match failure.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the node stopped".to_owned(),
            }
        }
    }

    /// Waits until the process has to start again for this node to vote, or to stop voting, and says why. The node is sound.
    pub fn starts_again(&self) -> impl Future<Output = String> + Send + 'static {
        let voting = self.parts.consensus.as_ref().map(|consensus| consensus.voting().starts_again());
        async move {
            match voting {
                Some(again) => again.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops everything, last part first. What was finalized is on disk.
    pub async fn stop(self) -> Result<(), NotStopped> {
        self.parts.stop().await
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
        guests: config.network.guests,
        guests_per_prefix: config.network.guests.div_ceil(4),
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
