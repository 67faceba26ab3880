//! A network on this machine: real nodes in processes of their own, on loopback, in one folder.
//!
//! ```text
//!   HOME/shape.json     of what it consists; a folder that has it is continued
//!   HOME/dev.json       what runs: names, process ids, addresses (while it runs)
//!   HOME/dev.lock      locked while it runs: one network at a time
//!   HOME/NODE/          data folder of each node, with its owner's key and its log
//! ```

mod plan;
mod ports;
mod process;

pub use plan::{Plan, Shape};
pub use process::{Process, Ready};

use crate::bounded::Kind;
use crate::node::{
    BlobSettings, ConsensusSettings, DataFolder, NetworkSettings, NodeConfig, SeedSettings, WorkerSettings,
};
use anyhow::{Context, bail, ensure};
use ports::Reservation;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use valo_client::Client;
use valo_protocol::{AccountNumber, GenesisHash, PublicKey, Timestamp};

/// How often a network is started on other ports when some were taken.
const TRIES: u32 = 5;

/// A node of the network, as `dev.json` lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `validator` or `worker`.
    pub role: String,
    /// Its tier, for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Its data folder.
    pub folder: PathBuf,
    /// Its key.
    pub key: PublicKey,
    /// The account of its owner.
    pub owner: AccountNumber,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its API.
    pub api: SocketAddr,
    /// Its consensus, TCP.
    pub consensus: SocketAddr,
    /// Everything else, UDP.
    pub network: SocketAddr,
}

impl Member {
    /// The address of its API.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.api)
    }
}

/// What runs, as `dev.json` says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The chain.
    pub genesis: GenesisHash,
    /// API of the first validator.
    pub endpoint: String,
    /// The funded account of the user.
    pub account: AccountNumber,
    /// Its key.
    pub key: PublicKey,
    /// The nodes, validators first.
    pub nodes: Vec<Member>,
}

/// What a folder holds, so that it can be continued.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    shape: Shape,
    genesis: GenesisHash,
    user: PublicKey,
    account: AccountNumber,
    nodes: Vec<Member>,
}

/// A network that runs.
#[derive(Debug)]
pub struct DevNetwork {
    home: PathBuf,
    /// What runs.
    pub description: Description,
    processes: Vec<Process>,
    /// Held while it runs, so that the folder has one network at a time.
    lock: Option<fs::File>,
}

impl DevNetwork {
    /// Starts a network in a folder: a new one, or the one that the folder holds. `user` gets a funded account.
    pub async fn start(
        home: &Path,
        shape: Option<Shape>,
        user: PublicKey,
        others: &[PublicKey],
        verbose: u8,
    ) -> anyhow::Result<Self> {
        let home = std::path::absolute(home).with_context(|| format!("{} names no folder", home.display()))?;
        let mut kept = match read_kept(&home)? {
            Some(kept) => {
                if shape.is_some_and(|shape| shape != kept.shape) {
                    bail!(
                        "{} holds a network of another shape ({} validators, {} workers); leave those flags away, or name another folder",
                        home.display(),
                        kept.shape.validators,
                        kept.shape.workers
                    );
                }
                kept
            }
            None => create(&home, shape.unwrap_or_default(), user, others)?,
        };
        ensure!(
            kept.user == user,
            "{} holds a network whose funded key is {}, not {}; import that key, or name another folder",
            home.display(),
            kept.user.short(),
            user.short()
        );
        let lock = lock(&home)?;
        let mut tries = 0u32;
        loop {
            tries = tries.saturating_add(1);
            let mut ports = Reservation::default();
            assign(&mut kept.nodes, &mut ports, tries == 1)?;
            write_configs(&kept.nodes)?;
            drop(ports);
            match Self::spawn(&home, &kept, verbose).await {
                Ok(mut network) => {
                    network.lock = Some(lock);
                    // The addresses are kept for the next start.
                    write_json(&home.join("shape.json"), &kept)?;
                    return Ok(network);
                }
                Err(error) if tries < TRIES && taken(&error) => {
                    tracing::info!(%error, "a port was taken meanwhile; trying others");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn spawn(home: &Path, kept: &Kept, verbose: u8) -> anyhow::Result<Self> {
        let mut processes = Vec::with_capacity(kept.nodes.len());
        for node in &kept.nodes {
            processes.push(Process::start(&node.name, &node.folder, verbose)?);
        }
        let mut nodes = kept.nodes.clone();
        let ready = futures::future::join_all(processes.iter_mut().map(Process::ready)).await;
        let failed = ready.into_iter().find_map(Result::err);
        for (node, process) in nodes.iter_mut().zip(&processes) {
            node.pid = process.id();
        }
        let endpoint = nodes.first().map(Member::endpoint).context("the network has no node")?;
        let description = Description { genesis: kept.genesis, endpoint, account: kept.account, key: kept.user, nodes };
        let network = Self { home: home.to_owned(), description, processes, lock: None };
        if let Some(error) = failed {
            network.stop().await;
            return Err(error);
        }
        write_json(&network.home.join("dev.json"), &network.description)?;
        Ok(network)
    }

    /// A client for the first validator.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.description.endpoint)?)
    }

    /// Waits until a node ends by itself, and says why. None when no node runs any more.
    pub async fn node_ended(&mut self) -> Option<String> {
        let running = self.processes.iter_mut().filter(|process| process.id().is_some());
        let ends: Vec<_> = running.map(|process| Box::pin(process.ended())).collect();
        if ends.is_empty() {
            return None;
        }
        Some(futures::future::select_all(ends).await.0)
    }

    /// Stops all nodes, and waits for them. Names of those that had to be killed.
    pub async fn stop(mut self) -> Vec<String> {
        self.processes.iter_mut().for_each(Process::let_go);
        let stopped = futures::future::join_all(self.processes.iter_mut().map(Process::stopped)).await;
        let _ = fs::remove_file(self.home.join("dev.json"));
        let nodes = self.description.nodes.iter().zip(stopped);
        nodes.filter(|(_, stopped)| !stopped).map(|(node, _)| node.name.clone()).collect()
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self { validators: 4, workers: 8, tiers: vec!["small".to_owned(), "large".to_owned()], slots: 4 }
    }
}

fn taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    text.contains("in use") || text.contains("cannot listen")
}

/// Takes the folder for this process until the file is closed.
fn lock(home: &Path) -> anyhow::Result<fs::File> {
    let path = home.join("dev.lock");
    let file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("a network runs in {} already; stop it first, or name another folder", home.display())
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn read_kept(home: &Path) -> anyhow::Result<Option<Kept>> {
    let path = home.join("shape.json");
    let text = match Kind::CONFIGURATION.text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let occupied = fs::read_dir(home).is_ok_and(|mut entries| entries.next().is_some());
            ensure!(!occupied, "{} is not empty and holds no network; name another folder", home.display());
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut kept: Kept = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    // The folder may have been moved.
    for node in &mut kept.nodes {
        node.folder = home.join(&node.name);
    }
    Ok(Some(kept))
}

/// Makes the folders of a new network. What says that it is there is written last.
fn create(home: &Path, shape: Shape, user: PublicKey, others: &[PublicKey]) -> anyhow::Result<Kept> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let plan = Plan::new(&shape, user, others, Timestamp(u64::try_from(now.as_millis())?))?;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let nodes: Vec<Member> = plan
        .nodes
        .iter()
        .map(|node| Member {
            name: node.name.clone(),
            role: if node.tier.is_some() { "worker" } else { "validator" }.to_owned(),
            tier: node.tier.clone(),
            folder: home.join(&node.name),
            key: node.key.public(),
            owner: node.owner,
            pid: None,
            api: nowhere,
            consensus: nowhere,
            network: nowhere,
        })
        .collect();
    for (member, planned) in nodes.iter().zip(&plan.nodes) {
        DataFolder::new(&member.folder).create(&config(member, &nodes), &plan.genesis, &planned.key)?;
        plan::write_owner(&member.folder, &planned.owner_key)?;
    }
    let kept = Kept { shape, genesis: plan.genesis.hash(), user, account: plan.user, nodes };
    write_json(&home.join("shape.json"), &kept)?;
    Ok(kept)
}

/// Gives every node its addresses: those it had, as far as they are free and wanted again.
fn assign(nodes: &mut [Member], ports: &mut Reservation, as_before: bool) -> anyhow::Result<()> {
    for node in nodes {
        for address in [&mut node.api, &mut node.consensus, &mut node.network] {
            let before = Some(address.port()).filter(|port| as_before && *port != 0);
            *address = ports.take(before)?;
        }
    }
    Ok(())
}

fn config(node: &Member, nodes: &[Member]) -> NodeConfig {
    let others = || nodes.iter().filter(|other| other.key != node.key);
    let validators = others().filter(|other| other.role == "validator");
    NodeConfig {
        name: node.name.clone(),
        api: node.api,
        consensus: ConsensusSettings {
            listen: node.consensus,
            peers: validators.clone().map(|other| other.consensus.to_string()).collect(),
        },
        network: NetworkSettings {
            listen: node.network,
            seeds: others()
                .map(|other| SeedSettings { key: other.key, addresses: vec![other.network.into()] })
                .collect(),
            ..NetworkSettings::default()
        },
        blobs: BlobSettings::default(),
        worker: WorkerSettings::default(),
    }
}

fn write_configs(nodes: &[Member]) -> anyhow::Result<()> {
    for node in nodes {
        let path = node.folder.join("config.yaml");
        let text = serde_yaml::to_string(&config(node, nodes))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("json.new");
        fs::write(&temporary, serde_json::to_string_pretty(value)?)?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
