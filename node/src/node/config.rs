//! What a node reads from its data folder before it starts.
//!
//! ```text
//!   config.yaml    addresses, peers, limits (this file's types; unknown fields are errors)
//!   genesis.json   the chain
//!   node.key       the seed of the node's key, 64 hexadecimal characters, readable by its owner only
//!   db/            state, blocks, receipts, events          blobs/     blobs
//!   consensus.log  votes, before they are sent              worker/    answers, logs, compiled modules
//! ```

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};
use valo_protocol::{Genesis, Hash, PublicKey, SecretKey, genesis::GenesisError};

/// The configuration of a node, as `config.yaml` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// A name for logs.
    pub name: String,
    /// Where the HTTP API listens.
    #[serde(default = "default_api")]
    pub api: SocketAddr,
    /// Consensus among validators, over TCP.
    pub consensus: ConsensusSettings,
    /// Transactions, blobs and everything else between nodes, over UDP.
    pub network: NetworkSettings,
    /// Blobs.
    #[serde(default)]
    pub blobs: BlobSettings,
    /// The worker.
    #[serde(default)]
    pub worker: WorkerSettings,
}

/// How consensus reaches the validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsensusSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Other nodes: `host:port` or a multiaddress. Dialed for ever.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Whether every node is connected to every validator; messages then go straight to their readers.
    #[serde(default)]
    pub fully_connected: bool,
}

/// How the rest of the network is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Addresses told to others in place of the one it listens on.
    #[serde(default)]
    pub advertise: Vec<SocketAddr>,
    /// Nodes to know from the start; they tell of the others.
    #[serde(default)]
    pub seeds: Vec<SeedSettings>,
}

/// A node to know from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeedSettings {
    /// Its key.
    pub key: PublicKey,
    /// Its UDP addresses, best first.
    pub addresses: Vec<SocketAddr>,
}

/// How much blobs may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BlobSettings {
    /// Bytes of all blobs together.
    pub node_quota: u64,
    /// Bytes of the blobs of one uploader.
    pub owner_quota: u64,
}

impl Default for BlobSettings {
    fn default() -> Self {
        Self { node_quota: 20 << 30, owner_quota: 5 << 30 }
    }
}

/// How the worker runs programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Programs run at a time; the node's slots or its cores, whichever are fewer, when not given.
    pub threads: Option<usize>,
}

fn default_api() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {source}; `valo init` makes a data folder")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is malformed.
    #[error("{path} is not valid: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The genesis breaks its own rules.
    #[error("{path} is not a usable genesis: {source}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: GenesisError,
    },
    /// Others can read the node's key.
    #[error("{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The files of a node.
#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    /// The data folder at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads `config.yaml`.
    pub fn config(&self) -> Result<NodeConfig, ConfigError> {
        let path = self.join("config.yaml");
        serde_yaml::from_str(&read(&path)?).map_err(|error| ConfigError::Malformed { path, reason: error.to_string() })
    }

    /// Reads and checks `genesis.json`.
    pub fn genesis(&self) -> Result<Arc<Genesis>, ConfigError> {
        let path = self.join("genesis.json");
        let genesis: Genesis = serde_json::from_str(&read(&path)?)
            .map_err(|error| ConfigError::Malformed { path: path.clone(), reason: error.to_string() })?;
        genesis.check().map_err(|source| ConfigError::Genesis { path, source })?;
        Ok(Arc::new(genesis))
    }

    /// Reads `node.key`.
    pub fn key(&self) -> Result<SecretKey, ConfigError> {
        let path = self.join("node.key");
        let text = read(&path)?;
        check_private(&path)?;
        let seed: Hash = text
            .trim()
            .parse()
            .map_err(|_| ConfigError::Malformed { path, reason: "it takes 64 hexadecimal characters".to_owned() })?;
        Ok(SecretKey::from_seed(seed.0))
    }

    /// Writes the three files of a new node. Never overwrites one.
    pub fn create(&self, config: &NodeConfig, genesis: &Genesis, key: &SecretKey) -> anyhow::Result<()> {
        use anyhow::Context as _;
        fs::create_dir_all(&self.path).with_context(|| format!("cannot create {}", self.path.display()))?;
        self.write_new("config.yaml", &serde_yaml::to_string(config)?, 0o644)?;
        self.write_new("genesis.json", &serde_json::to_string_pretty(genesis)?, 0o644)?;
        self.write_new("node.key", &format!("{}\n", Hash(*key.seed())), 0o600)
    }

    fn write_new(&self, name: &str, contents: &str, mode: u32) -> anyhow::Result<()> {
        use anyhow::Context as _;
        use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
        let path = self.join(name);
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(contents.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn check_private(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::Permissions { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use valo_mutation::{damaged, damaged_text};
    use valo_protocol::{Parameters, Timestamp, bytes::BoundedString, params::Preset};

    fn config() -> NodeConfig {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        NodeConfig {
            name: "validator-0".to_owned(),
            api: listen,
            consensus: ConsensusSettings { listen, peers: vec!["127.0.0.1:1".to_owned()], fully_connected: true },
            network: NetworkSettings { listen, advertise: vec![], seeds: vec![] },
            blobs: BlobSettings::default(),
            worker: WorkerSettings::default(),
        }
    }

    fn genesis() -> Genesis {
        Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new("test").unwrap(),
            time: Timestamp(1),
            parameters: Parameters::preset(Preset::Dev),
            accounts: Default::default(),
            tiers: Default::default(),
            nodes: Default::default(),
        }
    }

    #[test]
    fn a_folder_is_written_once_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path().join("node"));
        let key = SecretKey::from_seed([7; 32]);
        folder.create(&config(), &genesis(), &key).unwrap();
        assert_eq!(folder.config().unwrap(), config());
        assert_eq!(folder.key().unwrap().public(), key.public());
        assert!(folder.create(&config(), &genesis(), &key).is_err(), "a second time");
    }

    #[test]
    fn what_is_wrong_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        assert!(folder.config().unwrap_err().to_string().contains("config.yaml"));
        folder.create(&config(), &genesis(), &SecretKey::from_seed([7; 32])).unwrap();
        assert!(matches!(folder.genesis(), Err(ConfigError::Genesis { .. })), "no validators");
        let text = fs::read_to_string(folder.join("config.yaml")).unwrap();
        fs::write(folder.join("config.yaml"), format!("{text}\ntypo: 1\n")).unwrap();
        assert!(folder.config().unwrap_err().to_string().contains("typo"));
        fs::set_permissions(folder.join("node.key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(folder.key().unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(folder.join("node.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.join("node.key"), "abc").unwrap();
        assert!(folder.key().unwrap_err().to_string().contains("64 hexadecimal"));
    }
    /// A file of a folder with other contents. What is read of it, or the one line that names it.
    fn with_file<T>(
        name: &str,
        contents: &[u8],
        read: impl Fn(&DataFolder) -> Result<T, ConfigError>,
    ) -> Result<T, String> {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(root.path());
        folder.create(&config(), &genesis(), &SecretKey::from_seed([7; 32])).unwrap();
        fs::write(folder.join(name), contents).unwrap();
        let result = read(&folder).map_err(|error| error.to_string());
        if let Err(line) = &result {
            assert!(line.contains(name) && !line.contains('\n'), "{line}");
        }
        result
    }

    fn config_texts() -> Vec<String> {
        let seed = SeedSettings { key: SecretKey::from_seed([8; 32]).public(), addresses: vec![config().api] };
        let mut long = config();
        long.network.seeds = vec![seed; 2];
        long.worker.threads = Some(2);
        [config(), long].iter().map(|config| serde_yaml::to_string(config).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn damaged_configurations_are_read_or_named(text in damaged_text(config_texts())) {
            if let Ok(read) = with_file("config.yaml", text.as_bytes(), DataFolder::config) {
                let again = serde_yaml::to_string(&read).unwrap();
                prop_assert_eq!(with_file("config.yaml", again.as_bytes(), DataFolder::config), Ok(read));
            }
        }

        #[test]
        fn damaged_genesis_files_are_named(text in damaged_text(vec![serde_json::to_string(&genesis()).unwrap()])) {
            // It names no validator, and nothing that a few changes make of it does.
            prop_assert!(with_file("genesis.json", text.as_bytes(), DataFolder::genesis).is_err());
        }

        #[test]
        fn damaged_node_keys_are_a_seed_or_named(bytes in damaged(vec![format!("{}\n", Hash([7; 32])).into_bytes()])) {
            if let Ok(key) = with_file("node.key", &bytes, DataFolder::key) {
                let text = String::from_utf8(bytes).unwrap();
                prop_assert_eq!(Hash(*key.seed()).to_string(), text.trim().to_lowercase());
            }
        }
    }
}
