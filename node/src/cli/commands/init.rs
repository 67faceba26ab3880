//! `valo init`: makes the data folder of a node.

use crate::{
    bounded::Kind,
    cli::{context::Context, output::Table},
    network::HostPort,
    node::{
        BlobSettings, ConsensusSettings, DataFolder, NetworkSettings, NodeConfig, Refused, SeedSettings,
        WorkerSettings, ask_seeds,
    },
};
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use valo_protocol::{Genesis, GenesisHash, PublicKey, SecretKey};

/// For how long seeds that do not give the genesis are asked again.
const PATIENCE: Duration = Duration::from_secs(20);

const EXAMPLES: &str = "\
Examples:
  valo init --home node --genesis-hash 5c2e... --seed 7422b988...@203.0.113.4:7002
  valo init --home node --genesis genesis.json --seed 7422b988...@203.0.113.4:7002
  valo run --home node

Without --genesis the seeds are asked for the document; nothing of an answer is believed but what
has the hash. A seed that answers is enough to follow the chain: it says where its consensus is.
Makes config.yaml, genesis.json and node.key (a new key, readable by its owner only). Nothing that
is there is overwritten. For a whole network on this machine there is `valo dev`.";

/// `valo init`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder to make
    #[arg(long, value_name = "FOLDER")]
    home: PathBuf,
    /// Genesis document of the chain; without it the seeds are asked for that of --genesis-hash
    #[arg(long, value_name = "FILE", required_unless_present = "genesis_hash")]
    genesis: Option<PathBuf>,
    /// Hash that the genesis must have, from a source you trust
    #[arg(long, value_name = "HASH")]
    genesis_hash: Option<GenesisHash>,
    /// File with the node's key (64 hexadecimal characters); a new key unless given
    #[arg(long, value_name = "FILE")]
    node_key: Option<PathBuf>,
    /// Name of the node in logs
    #[arg(long, default_value = "node")]
    name: String,
    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    api: SocketAddr,
    /// Where consensus listens, TCP
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:7001")]
    consensus: SocketAddr,
    /// Where everything else listens, UDP
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:7002")]
    network: SocketAddr,
    /// UDP address that others should use: host:port
    #[arg(long, value_name = "ADDRESS")]
    advertise: Vec<HostPort>,
    /// Consensus address of another node: host:port; not needed where a seed answers
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<String>,
    /// Another node for everything else: its key and UDP address, or its name
    #[arg(long, value_name = "KEY@ADDRESS")]
    seed: Vec<SeedSettings>,
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    home: PathBuf,
    key: PublicKey,
    chain: String,
    genesis: GenesisHash,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let key = match &self.node_key {
            Some(path) => read_seed(path)?,
            None => SecretKey::generate()?,
        };
        let config = NodeConfig {
            name: self.name,
            api: self.api,
            consensus: ConsensusSettings { listen: self.consensus, peers: self.peer },
            network: NetworkSettings {
                listen: self.network,
                advertise: self.advertise,
                seeds: self.seed,
                ..NetworkSettings::default()
            },
            blobs: BlobSettings::default(),
            worker: WorkerSettings::default(),
        };
        let genesis = match (&self.genesis, self.genesis_hash) {
            (Some(path), expected) => genesis_of(path, expected)?,
            (None, Some(hash)) => ask(context, &config, &key, hash).await?,
            (None, None) => bail!("there is no genesis to start from: give --genesis, or --genesis-hash and --seed"),
        };
        let hash = genesis.hash();
        DataFolder::new(&self.home).create(&config, &genesis, &key)?;
        let made = Made { home: self.home, key: key.public(), chain: genesis.chain.to_string(), genesis: hash };
        context.output.show(&made, || {
            let mut table = Table::fields();
            table.field("Folder", made.home.display());
            table.field("Key", made.key);
            table.field("Chain", format_args!("{} ({})", made.chain, made.genesis));
            let known = genesis.nodes.iter().any(|node| node.key == made.key);
            table.field("Registered", if known { "in the genesis" } else { "not yet: it follows the chain" });
            format!("{table}\n\nstart it with: valo run --home {}", made.home.display())
        })
    }
}

/// Asks the seeds for the genesis of a hash.
async fn ask(context: &Context, config: &NodeConfig, key: &SecretKey, hash: GenesisHash) -> anyhow::Result<Genesis> {
    if config.network.seeds.is_empty() {
        bail!("there is nobody to ask for the genesis of {hash}: give --seed, or the document by --genesis");
    }
    let tell = |refused: &Refused| context.output.note(format_args!("{refused}; asking again"));
    ask_seeds(config, key, hash, Some(PATIENCE), tell).await
}

fn genesis_of(path: &std::path::Path, expected: Option<GenesisHash>) -> anyhow::Result<Genesis> {
    let genesis = read_genesis(path)?;
    let hash = genesis.hash();
    if let Some(expected) = expected.filter(|expected| *expected != hash) {
        bail!("{} has hash {hash}, not {expected}", path.display());
    }
    Ok(genesis)
}

fn read_genesis(path: &std::path::Path) -> anyhow::Result<Genesis> {
    let text = Kind::GENESIS.text(path).with_context(|| format!("cannot read {}", path.display()))?;
    let genesis: Genesis =
        serde_json::from_str(&text).with_context(|| format!("{} is not a genesis document", path.display()))?;
    genesis.check().with_context(|| format!("{} is not usable", path.display()))?;
    Ok(genesis)
}

fn read_seed(path: &std::path::Path) -> anyhow::Result<SecretKey> {
    let text = Kind::KEY.text(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = zeroize::Zeroizing::new(text);
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
        .map_err(|_| anyhow::anyhow!("{} holds no key: it takes 64 hexadecimal characters", path.display()))?;
    Ok(SecretKey::from_seed(*bytes))
}
