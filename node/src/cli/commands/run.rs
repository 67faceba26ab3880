//! `valo run`: a node, from its data folder, until it is stopped.

use crate::{
    cli::{
        devnet::Ready,
        output::{Format, Output, print},
    },
    network::HostPort,
    node::{DataFolder, Files, Node, SeedSettings, provide_genesis},
};
use anyhow::{Context as _, bail};
use clap::Args;
use std::{
    io::Read, net::SocketAddr, os::unix::process::CommandExt as _, path::PathBuf, process::Command, time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use valo_protocol::GenesisHash;

/// How long a node that is told to stop may take to start, so as to stop in order.
const START: Duration = Duration::from_secs(10);
/// How long a node whose parent has gone may take: more than it needs to stop in order.
const LAST: Duration = Duration::from_secs(28);

const EXAMPLES: &str = "\
Examples:
  valo init --home node --genesis genesis.json --peer 203.0.113.4:7001
  valo run --home node
  valo run --home /data --config /etc/valo/config.yaml --genesis /etc/valo/genesis.json \\
    --node-key /etc/valo-key/node.key
  valo run --home /data --config /etc/valo/config.yaml --node-key /etc/valo-key/node.key \\
    --genesis-hash 5c2e... --seed 7422b988...@203.0.113.4:7002

With --genesis-hash, a folder that has no genesis yet gets it from the seeds, which are asked until
one gives it; nothing of it is believed but what has that hash.
In a container the three files are mounted, and `valo init` is not needed.

Runs in the foreground. Ctrl-C or SIGTERM stops it in order; what was finalized is on disk at
any moment.
VALO_LOG sets what is logged, as in VALO_LOG=debug,libp2p=warn.
Exit code 3: key, genesis and data folder do not belong together, or a file is not what it should be;
starting it again does not help.";

/// `valo run`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Data folder of the node: `valo init` makes one
    #[arg(long, value_name = "FOLDER")]
    home: PathBuf,
    /// Configuration, if it is not config.yaml in the data folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Genesis document of the chain, if it is not genesis.json in the data folder
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Hash that the genesis must have, from a source you trust; enough to get it from the seeds
    #[arg(long, value_name = "HASH")]
    genesis_hash: Option<GenesisHash>,
    /// File with the node's key, if it is not node.key in the data folder
    #[arg(long, value_name = "FILE")]
    node_key: Option<PathBuf>,
    /// Name of the node in logs, in place of the one in the configuration
    #[arg(long)]
    name: Option<String>,
    /// UDP address that others should use, host:port, in place of those in the configuration
    #[arg(long, value_name = "ADDRESS")]
    advertise: Vec<HostPort>,
    /// Another node for everything but consensus, beside those in the configuration: its key and UDP address, or its name
    #[arg(long, value_name = "KEY@ADDRESS")]
    seed: Vec<SeedSettings>,
    /// Consensus address of another node, host:port, beside those in the configuration
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<String>,
    /// Vote once no block has come for 30 s, though the folder is new. You vouch that the key signed nothing above the
    /// last block: if it did, it is punished, and the chain may fork
    #[arg(long)]
    vote_without_record: bool,
    /// Started by itself, as the node that serves there: it is not told again
    #[arg(long, hide = true, value_name = "ADDRESS")]
    again: Option<SocketAddr>,
    /// Stop when standard input closes: whoever started it has gone
    #[arg(long, hide = true)]
    with_parent: bool,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> anyhow::Result<()> {
        // Listened for before anything starts, so that no signal is lost.
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let parent = self.with_parent.then(parent_gone).transpose()?;
        let parent_gone = async {
            match parent {
                Some(gone) => drop(gone.await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(parent_gone);
        let files = Files { config: self.config, genesis: self.genesis, key: self.node_key };
        let home = std::path::absolute(&self.home).with_context(|| format!("no folder {}", self.home.display()))?;
        let folder = DataFolder::new(&home).with(files).voting_without_record(self.vote_without_record);
        let mut config = folder.config()?;
        config.name = self.name.unwrap_or(config.name);
        config.api = self.again.unwrap_or(config.api);
        if !self.advertise.is_empty() {
            config.network.advertise = self.advertise;
        }
        config.network.seeds.extend(self.seed);
        config.consensus.peers.extend(self.peer);
        if let Some(hash) = self.genesis_hash {
            if folder.lacks_genesis() && !config.network.seeds.is_empty() {
                tokio::select! {
                    provided = provide_genesis(&folder, &config, hash) => provided?,
                    () = &mut parent_gone => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                }
            }
            folder.genesis_of(hash)?;
        }
        let starting = Node::start(&folder, config);
        tokio::pin!(starting);
        let started = tokio::select! {
            node = &mut starting => Some(node?),
            () = &mut parent_gone => None,
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        // Told to stop while it starts: it starts and stops, so that nothing is left half made.
        let Some(node) = started else {
            return match tokio::time::timeout(START, starting).await {
                Ok(Ok(node)) => Ok(node.stop().await?),
                Ok(Err(error)) => {
                    tracing::warn!(error = format!("{error:#}"), "stopped before it had started");
                    Ok(())
                }
                Err(_) => Ok(()),
            };
        };
        let ready = Ready { key: node.key(), api: node.api() };
        match output.format {
            _ if self.again.is_some() => {}
            Format::Table => print(format_args!("node {} serves at http://{}", ready.key.short(), ready.api))?,
            _ => output.show(&ready, String::new)?,
        }
        let end = tokio::select! {
            reason = node.failed() => End::Failed(reason),
            reason = node.starts_again() => End::Again(reason),
            () = &mut parent_gone => End::Stopped,
            _ = terminate.recv() => End::Stopped,
            _ = interrupt.recv() => End::Stopped,
        };
        let stopped = node.stop().await;
        match end {
            End::Failed(reason) => bail!("{reason}"),
            End::Again(reason) => {
                tracing::info!(%reason, "starts again");
                Err(start_again(ready.api)?.into())
            }
            End::Stopped => Ok(stopped?),
        }
    }
}

/// Why a node that served does not go on.
enum End {
    Failed(String),
    Again(String),
    Stopped,
}

/// Becomes the same program anew, under the same process id, so that whoever started this one need not do anything. Returns
/// only if that fails.
fn start_again(api: SocketAddr) -> anyhow::Result<std::io::Error> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--again") {
        arguments.extend(["--again".into(), api.to_string().into()]);
    }
    Ok(Command::new(program).args(arguments).exec())
}

/// Told when standard input closes. The thread ends with the process.
fn parent_gone() -> anyhow::Result<oneshot::Receiver<()>> {
    let (gone, told) = oneshot::channel();
    let watch = move || {
        let mut byte = [0u8; 64];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        let _ = gone.send(());
        // Whatever keeps the process, it does not outlive its parent for long.
        std::thread::sleep(LAST);
        std::process::exit(1);
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(watch).context("cannot watch the parent")?;
    Ok(told)
}
