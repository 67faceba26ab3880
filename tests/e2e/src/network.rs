//! `valo dev` and its user.

use crate::{LOOK, Node, PATIENCE, User, signal};
use anyhow::{Context, bail};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Instant,
};
use valo_client::{Client, types};
use valo_protocol::{PublicKey, SecretKey};

/// A running network with a user of its own. Stopped, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Network {
    dev: Option<Child>,
    /// Nodes that run again after they were killed.
    again: BTreeMap<String, Node>,
    user: User,
}

impl Deref for Network {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

impl Network {
    /// Starts a new network of two tiers and waits until it answers.
    pub fn start(validators: u32, workers: u32) -> anyhow::Result<Self> {
        Self::of_tiers(validators, workers, "small,large")
    }

    /// Starts a new network and waits until it answers. Every worker has slots for four shards.
    pub fn of_tiers(validators: u32, workers: u32, tiers: &str) -> anyhow::Result<Self> {
        let mut network = Self { dev: None, again: BTreeMap::new(), user: User::new()? };
        let shape = [validators.to_string(), workers.to_string()];
        let shape = ["--validators", &shape[0], "--workers", &shape[1], "--tiers", tiers, "--slots", "4"];
        network.dev(&shape)?;
        Ok(network)
    }

    /// Starts the network of the folder again after [`Network::stop`].
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.dev(&[])
    }

    fn dev(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let log = fs::File::create(self.path("dev.log"))?;
        let mut command = self.command()?;
        command.arg("dev").arg("--home").arg(self.home()).args(arguments);
        self.dev = Some(command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?);
        self.wait("the network to answer", |user| Ok(user.run(&["account", "show"])?.status.success()))
    }

    /// Stops the network as Ctrl-C does, and waits for its end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.again.clear();
        let Some(mut dev) = self.dev.take() else { return Ok(()) };
        signal("INT", dev.id())?;
        let deadline = Instant::now() + PATIENCE;
        while dev.try_wait()?.is_none() {
            if Instant::now() > deadline {
                dev.kill()?;
                bail!("the network did not stop within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Where the network keeps everything.
    pub fn home(&self) -> PathBuf {
        self.path("network")
    }

    /// The data folder of a node.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    fn member(&self, name: &str) -> anyhow::Result<Value> {
        let description: Value = serde_json::from_str(&fs::read_to_string(self.home().join("dev.json"))?)?;
        let nodes = description["nodes"].as_array().context("dev.json lists no nodes")?;
        nodes.iter().find(|node| node["name"] == name).cloned().with_context(|| format!("there is no node {name}"))
    }

    /// A client of a node's API.
    pub fn client(&self, name: &str) -> anyhow::Result<Client> {
        let member = self.member(name)?;
        Ok(Client::new(&format!("http://{}", member["api"].as_str().context("a node without an API")?))?)
    }

    /// The key of a node.
    pub fn key(&self, name: &str) -> anyhow::Result<PublicKey> {
        Ok(self.member(name)?["key"].as_str().context("a node without a key")?.parse()?)
    }

    /// The secret key of a node, from its data folder.
    pub fn secret_key(&self, name: &str) -> anyhow::Result<SecretKey> {
        let mut seed = [0u8; 32];
        let text = fs::read_to_string(self.folder(name).join("node.key"))?;
        hex::decode_to_slice(text.trim(), &mut seed)?;
        Ok(SecretKey::from_seed(seed))
    }

    /// A node as the chain has it.
    pub fn node(&self, name: &str) -> anyhow::Result<types::Node> {
        let (client, key) = (self.client("validator-0")?, self.key(name)?);
        Ok(self.ask(client.node(key))?)
    }

    /// The process of a node.
    pub fn process(&self, name: &str) -> anyhow::Result<u32> {
        if let Some(node) = self.again.get(name) {
            return Ok(node.process());
        }
        let pid = self.member(name)?["pid"].as_u64().with_context(|| format!("{name} does not run"))?;
        Ok(u32::try_from(pid)?)
    }

    /// Kills a node as a power cut would, and waits until it is gone.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        if let Some(node) = self.again.remove(name) {
            return node.kill();
        }
        let process = self.process(name)?;
        signal("KILL", process)?;
        let gone = PathBuf::from(format!("/proc/{process}"));
        self.wait("a killed node to be gone", |_| Ok(!Path::exists(&gone)))
    }

    /// Runs a killed node again, as `valo dev` says how, and waits until it serves.
    pub fn run_again(&mut self, name: &str) -> anyhow::Result<()> {
        let node = Node::run(&self.user, &self.folder(name))?;
        self.again.insert(name.to_owned(), node);
        Ok(())
    }

    /// Holds a node still: it keeps what it has, and does nothing until [`Network::let_go_on`].
    pub fn hold(&self, name: &str) -> anyhow::Result<()> {
        signal("STOP", self.process(name)?)
    }

    /// Ends [`Network::hold`].
    pub fn let_go_on(&self, name: &str) -> anyhow::Result<()> {
        signal("CONT", self.process(name)?)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
    }
}
