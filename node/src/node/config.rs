//! What a node reads from its data folder before it starts.
//!
//! ```text
//!   config.yaml    addresses, peers, limits (this file's types; unknown fields are errors)
//!   genesis.json   the chain
//!   node.key       the seed of the node's key, 64 hexadecimal characters, readable by its owner only
//!   db/            state, blocks, receipts, events          blobs/     blobs
//!   consensus.log  the engine's log of the present height   worker/    answers, logs, compiled modules
//!   signed.log     whose folder it is, what was signed last
//! ```
//! The first three are only read, and may lie elsewhere ([`Files`]): in a pod they are mounted.

use crate::{bounded::Kind, consensus::NewFolder, network::HostPort};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use valo_protocol::{
    Genesis, GenesisHash, Hash, PublicKey, SecretKey,
    genesis::{DocumentError, GenesisError},
};
use zeroize::Zeroizing;

/// The configuration of a node, as `config.yaml` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// A name for logs.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where the HTTP API listens.
    #[serde(default = "default_api")]
    pub api: SocketAddr,
    /// Consensus among validators, over TCP.
    #[serde(default)]
    pub consensus: ConsensusSettings,
    /// Transactions, blobs and everything else between nodes, over UDP.
    #[serde(default)]
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
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConsensusSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Other nodes: `host:port` or a multiaddress. Dialed for ever. The others are found in the registry.
    pub peers: Vec<String>,
}

impl Default for ConsensusSettings {
    fn default() -> Self {
        Self { listen: everywhere(7001), peers: Vec::new() }
    }
}

/// How the rest of the network is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Addresses or names told to others in place of the address it listens on.
    pub advertise: Vec<HostPort>,
    /// Nodes to know from the start; they tell of the others.
    pub seeds: Vec<SeedSettings>,
    /// Connections that nodes outside the registry may have, to hand in transactions. 0 admits none.
    pub guests: usize,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self { listen: everywhere(7002), advertise: Vec::new(), seeds: Vec::new(), guests: 64 }
    }
}

/// A node to know from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeedSettings {
    /// Its key.
    pub key: PublicKey,
    /// Its UDP addresses or names, best first.
    pub addresses: Vec<HostPort>,
}

/// Why a text is no seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a seed: it takes KEY@ADDRESS, such as 7422...@203.0.113.4:7002")]
pub struct SeedError(String);

impl FromStr for SeedSettings {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('@').and_then(|(key, address)| Some((key.parse().ok()?, address.parse().ok()?)));
        let (key, address) = parsed.ok_or_else(|| SeedError(text.to_owned()))?;
        Ok(Self { key, addresses: vec![address] })
    }
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

fn default_name() -> String {
    "node".to_owned()
}

const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn default_api() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Another process has the folder.
    #[error("a node runs from {} already; stop it first, or name another folder", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
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
    /// The genesis of another chain.
    #[error("{path} has hash {found}, not {expected}")]
    Chain {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: GenesisHash,
        /// The hash it must have.
        expected: GenesisHash,
    },
    /// What the hash names is no genesis, or none for this version.
    #[error(
        "the document with hash {hash} is not a usable genesis: {reason}; is it the hash of a chain, and this version for it?"
    )]
    Document {
        /// The hash that was asked for.
        hash: GenesisHash,
        /// What is wrong.
        reason: DocumentError,
    },
    /// Others can read the node's key.
    #[error(
        "{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`, or mount the Secret with `defaultMode: 0400`"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Files that are not in the data folder itself.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// In place of `config.yaml`.
    pub config: Option<PathBuf>,
    /// In place of `genesis.json`.
    pub genesis: Option<PathBuf>,
    /// In place of `node.key`.
    pub key: Option<PathBuf>,
}

/// The files of a node.
#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
    elsewhere: Files,
    new_folder: NewFolder,
}

impl DataFolder {
    /// The data folder at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), elsewhere: Files::default(), new_folder: NewFolder::Waits }
    }

    /// The same, but if nobody can know what the key signed in another folder, it votes once the chain stands.
    pub fn voting_without_record(self, votes: bool) -> Self {
        let new_folder = if votes { NewFolder::VotesWhereTheChainStands } else { self.new_folder };
        Self { new_folder, ..self }
    }

    /// What is done where it is new.
    pub fn new_folder(&self) -> NewFolder {
        self.new_folder
    }

    /// The same, with files that lie elsewhere.
    pub fn with(self, elsewhere: Files) -> Self {
        Self { elsewhere, ..self }
    }

    fn file(&self, elsewhere: Option<&PathBuf>, name: &str) -> PathBuf {
        elsewhere.cloned().unwrap_or_else(|| self.join(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the folder for this process until the file is closed. The folder itself is locked: no file is left behind.
    ///
    /// # Errors
    /// When another process has it. Where a file system knows no locks, the storage's own lock is what there is.
    pub fn lock(&self) -> Result<Option<fs::File>, ConfigError> {
        let Ok(folder) = fs::File::open(&self.path) else { return Ok(None) };
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(fs::TryLockError::WouldBlock) => Err(ConfigError::InUse { path: self.path.clone() }),
            Err(fs::TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Reads `config.yaml`.
    pub fn config(&self) -> Result<NodeConfig, ConfigError> {
        let path = self.file(self.elsewhere.config.as_ref(), "config.yaml");
        let text = read(&path, Kind::CONFIGURATION)?;
        // An empty file says nothing, and everything has a default.
        let text = if text.trim().is_empty() { "{}" } else { &text };
        serde_yaml::from_str(text).map_err(|error| ConfigError::Malformed { path, reason: error.to_string() })
    }

    /// Reads and checks `genesis.json`.
    pub fn genesis(&self) -> Result<Arc<Genesis>, ConfigError> {
        let path = self.file(self.elsewhere.genesis.as_ref(), "genesis.json");
        let genesis: Genesis = serde_json::from_str(&read(&path, Kind::GENESIS)?)
            .map_err(|error| ConfigError::Malformed { path: path.clone(), reason: error.to_string() })?;
        genesis.check().map_err(|source| ConfigError::Genesis { path, source })?;
        Ok(Arc::new(genesis))
    }

    /// Reads the genesis, and refuses that of another chain.
    pub fn genesis_of(&self, expected: GenesisHash) -> Result<Arc<Genesis>, ConfigError> {
        let genesis = self.genesis()?;
        let found = genesis.hash();
        if found != expected {
            let path = self.file(self.elsewhere.genesis.as_ref(), "genesis.json");
            return Err(ConfigError::Chain { path, found, expected });
        }
        Ok(genesis)
    }

    /// Whether the folder has no `genesis.json` yet, and no other file is named in its place.
    pub fn lacks_genesis(&self) -> bool {
        self.elsewhere.genesis.is_none() && !self.join("genesis.json").exists()
    }

    /// Writes `genesis.json`: all of it, durably, or nothing.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep_genesis(&self, genesis: &Genesis) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let fresh = self.join("genesis.json.new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(serde_json::to_string_pretty(genesis)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, self.join("genesis.json"))?;
        fs::File::open(&self.path)?.sync_all()
    }

    /// Reads `node.key`.
    pub fn key(&self) -> Result<SecretKey, ConfigError> {
        let path = self.file(self.elsewhere.key.as_ref(), "node.key");
        let text = Zeroizing::new(read(&path, Kind::KEY)?);
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
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.join(name);
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(contents.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn read(path: &Path, kind: Kind) -> Result<String, ConfigError> {
    kind.text(path).map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            // The file is there, and is another than it should be.
            io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidData => {
                ConfigError::Malformed { path, reason: source.to_string() }
            }
            _ => ConfigError::Read { path, source },
        }
    })
}

fn check_private(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let mode = metadata.mode() & 0o777;
    if is_private(metadata.uid(), mode) {
        return Ok(());
    }
    Err(ConfigError::Permissions { path: path.to_owned(), mode })
}

/// Whether only the node can read a file of this owner and mode. What root owns, a group may read: so Kubernetes mounts
/// Secrets for a pod with an `fsGroup`, and a node that is not root could not read them otherwise. PostgreSQL asks the
/// same of its keys.
const fn is_private(owner: u32, mode: u32) -> bool {
    let others = if owner == 0 { 0o037 } else { 0o077 };
    mode & others == 0
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
            consensus: ConsensusSettings { listen, peers: vec!["127.0.0.1:1".to_owned()] },
            network: NetworkSettings { listen, ..NetworkSettings::default() },
            blobs: BlobSettings::default(),
            worker: WorkerSettings::default(),
        }
    }

    fn genesis() -> Genesis {
        Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new("test").unwrap(),
            time: Timestamp(1),
            fully_connected: false,
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

    #[test]
    fn a_key_is_private_if_only_the_node_reads_it() {
        for (owner, mode, private) in [
            (1000, 0o600, true),
            (1000, 0o400, true),
            (1000, 0o440, false),
            (0, 0o440, true),
            (0, 0o640, true),
            (0, 0o660, false),
            (0, 0o644, false),
            (0, 0o444, false),
        ] {
            assert_eq!(is_private(owner, mode), private, "owner {owner}, mode {mode:o}");
        }
    }

    #[test]
    fn files_may_lie_elsewhere_and_say_little() {
        let root = tempfile::tempdir().unwrap();
        let made = DataFolder::new(root.path().join("made"));
        made.create(&config(), &genesis(), &SecretKey::from_seed([7; 32])).unwrap();
        let text = root.path().join("config.yaml");
        fs::write(&text, "consensus: {peers: ['demo-0.demo:7001']}\n").unwrap();
        let files = Files { config: Some(text.clone()), genesis: None, key: Some(made.join("node.key")) };
        let folder = DataFolder::new(root.path().join("empty")).with(files);
        let read = folder.config().unwrap();
        assert_eq!(read.consensus.peers, ["demo-0.demo:7001"]);
        assert_eq!((read.consensus.listen.port(), read.network.listen.port()), (7001, 7002));
        assert_eq!(folder.key().unwrap().public(), made.key().unwrap().public());
        assert!(folder.genesis().unwrap_err().to_string().contains("empty/genesis.json"));
        fs::write(&text, "").unwrap();
        assert_eq!(folder.config().unwrap().name, "node");
    }

    fn config_texts() -> Vec<String> {
        let seed = SeedSettings { key: SecretKey::from_seed([8; 32]).public(), addresses: vec![config().api.into()] };
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
