//! The genesis of a node that has only the hash of its chain: asked of its seeds before it starts.
//!
//! Any seed may answer, since the hash alone is believed; none may be there yet, since pods start in any order. So a node
//! asks all of them again and again, and says meanwhile that it lives and what it waits for.

use super::{ConfigError, DataFolder, NodeConfig, network_config};
use crate::{
    api,
    network::{FetchError, Members, Network, NetworkConfig, Seed},
};
use anyhow::Context as _;
use std::{fmt, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use valo_protocol::{Genesis, GenesisHash, SecretKey};

/// The wait after all seeds were asked in vain; doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What each seed did when it was asked for the genesis.
#[derive(Debug)]
pub struct Refused {
    hash: GenesisHash,
    answers: Vec<(Seed, FetchError)>,
}

impl Refused {
    /// Whether every seed says that it belongs to another chain: asking again would not help.
    fn is_final(&self) -> bool {
        self.answers.iter().all(|(_, error)| matches!(error, FetchError::OtherChain(_)))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no seed gave the genesis of {}", self.hash)?;
        for (index, (seed, error)) in self.answers.iter().enumerate() {
            let places: Vec<_> = seed.addresses.iter().map(ToString::to_string).collect();
            let begin = if index == 0 { ": " } else { "; " };
            write!(formatter, "{begin}{} at {}: {error}", seed.key.short(), places.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Gives a data folder its genesis, if it has none, from the seeds of the configuration. Waits for them without end, and
/// answers probes at the address of the API meanwhile.
///
/// # Errors
/// When the folder cannot be used, the address is taken, or the hash names no usable genesis.
pub async fn provide_genesis(folder: &DataFolder, config: &NodeConfig, hash: GenesisHash) -> anyhow::Result<()> {
    let key = folder.key()?;
    std::fs::create_dir_all(folder.path()).with_context(|| format!("cannot create {}", folder.path().display()))?;
    let _lock = folder.lock()?;
    let listener =
        TcpListener::bind(config.api).await.with_context(|| format!("cannot listen on {} for the API", config.api))?;
    let waits = format!("waits for the genesis of {hash} from its seeds");
    info!(api = %listener.local_addr()?, "{waits}");
    let (reason, told) = watch::channel(waits.clone());
    let stop = CancellationToken::new();
    let asking = async {
        let tell = |refused: &Refused| {
            warn!("{refused}");
            reason.send_replace(format!("{waits}; {refused}"));
        };
        let genesis = ask_seeds(config, &key, hash, None, tell).await;
        stop.cancel();
        genesis
    };
    let (genesis, ()) = tokio::join!(asking, api::serve_waiting(listener, told, stop.cancelled()));
    folder
        .keep_genesis(&genesis?)
        .with_context(|| format!("cannot write {}", folder.join("genesis.json").display()))?;
    info!(genesis = %hash, "the genesis is here");
    Ok(())
}

/// Asks the seeds of a configuration for the genesis of a hash until one gives it: without end, or until `patience` is
/// over after all were asked. `tell` hears of each time that none did.
///
/// # Errors
/// [`Refused`] when the patience is over, or when all seeds are of another chain; at once when the hash names no usable
/// genesis.
pub async fn ask_seeds(
    config: &NodeConfig,
    key: &SecretKey,
    hash: GenesisHash,
    patience: Option<Duration>,
    tell: impl Fn(&Refused),
) -> anyhow::Result<Genesis> {
    let settings = network_config(config, key);
    let seeds = settings.seeds.clone();
    // The port of the configuration may be in use where there is only a question to ask.
    let bind = SocketAddr::new(settings.bind.ip(), 0);
    let network = Network::bind(NetworkConfig { bind, guests: 0, ..settings }, Members::new([])).await?;
    let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
    let mut wait = FIRST_WAIT;
    let asked = loop {
        let refused = match ask_each(&network, &seeds, hash).await {
            Ok(found) => break found,
            Err(refused) => refused,
        };
        if deadline.is_some_and(|deadline| refused.is_final() || Instant::now() + wait > deadline) {
            break Err(refused.into());
        }
        tell(&refused);
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(LONGEST_WAIT);
    };
    network.shutdown().await;
    asked
}

/// Asks one seed after the other. What is found ends it, be it usable or not.
async fn ask_each(network: &Network, seeds: &[Seed], hash: GenesisHash) -> Result<anyhow::Result<Genesis>, Refused> {
    let mut answers = Vec::new();
    for seed in seeds {
        match network.fetch_genesis(seed.key, hash).await {
            Ok(genesis) => return Ok(Ok(genesis)),
            // The right bytes: no other seed has others.
            Err(FetchError::Unusable(reason)) => return Ok(Err(ConfigError::Document { hash, reason }.into())),
            Err(error) => answers.push((seed.clone(), error)),
        }
    }
    Err(Refused { hash, answers })
}
