//! Nodes from outside join a running network with a fresh owner, take part, and leave with their stake.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use valo_client::Client;
use valo_e2e::{Network, User, repository};

/// A node that is no part of `valo dev`. Killed when dropped.
struct Outsider {
    process: Child,
    key: String,
    /// Its own API.
    endpoint: String,
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Outsider {
    /// Makes a data folder from the genesis and the addresses of all others, and starts the node.
    fn start(network: &Network, name: &str) -> anyhow::Result<Self> {
        let genesis = network.home().join("validator-0/genesis.json");
        let mut known = vec!["--genesis".to_owned(), genesis.to_string_lossy().into_owned()];
        for node in description(network)?["nodes"].as_array().context("no nodes")? {
            let text = |field: &str| node[field].as_str().unwrap_or_default().to_owned();
            if text("role") == "validator" {
                known.extend(["--peer".into(), text("consensus")]);
            }
            known.extend(["--seed".into(), format!("{}@{}", text("key"), text("network"))]);
        }
        Self::knowing(network, name, &known)
    }

    /// One that knows the hash of the genesis, and one node.
    fn by_hash(network: &Network, name: &str) -> anyhow::Result<Self> {
        let description = description(network)?;
        let hash = description["genesis"].as_str().context("no genesis")?.to_owned();
        let seed = &description["nodes"][0];
        let text = |field: &str| seed[field].as_str().unwrap_or_default();
        let seed = format!("{}@{}", text("key"), text("network"));
        Self::knowing(network, name, &["--genesis-hash".into(), hash, "--seed".into(), seed])
    }

    fn knowing(network: &Network, name: &str, known: &[String]) -> anyhow::Result<Self> {
        let home = network.path(name);
        // Free for the moment; the node takes them at once.
        let tcp = || -> anyhow::Result<String> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string()) };
        let (api, consensus) = (tcp()?, tcp()?);
        let udp = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let home_name = home.to_string_lossy();
        let init = ["init", "--home", &home_name, "--name", name, "--api", &api, "--consensus", &consensus];
        let init = init.into_iter().chain(["--network", &udp]).chain(known.iter().map(String::as_str));
        let made = network.json(&init.collect::<Vec<_>>())?;
        let key = made["key"].as_str().context("no key")?.to_owned();
        let log = fs::File::create(network.path(&format!("{name}.log")))?;
        let mut command: Command = network.command()?;
        command.arg("run").arg("--home").arg(&home).stdin(Stdio::null());
        let process = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { process, key, endpoint: format!("http://{api}") })
    }

    /// How far it is.
    fn height(&self, network: &User) -> anyhow::Result<u64> {
        let status = network.ask(Client::new(&self.endpoint)?.status());
        Ok(status.map_or(0, |status| status.height.0))
    }
}

/// What `valo dev` says that it runs, validators first.
fn description(network: &Network) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(network.home().join("dev.json"))?)?)
}

/// An owner that the chain has not seen before, with money of the user; its account.
fn owner(network: &Network, name: &str, money: &str) -> anyhow::Result<String> {
    network.succeed(&["key", "generate", name, "--plain"])?;
    let key = network.json(&["key", "show", name])?;
    let key = key["publicKey"].as_str().context("no key")?.to_owned();
    network.succeed(&["send", money, "--to", &key])?;
    Ok(key)
}

fn balance(network: &User, key: &str) -> anyhow::Result<f64> {
    let account = network.json(&["account", "show", key])?;
    let balance = account["balance"].as_str().context("no balance")?;
    Ok(balance.parse()?)
}

/// Where a node stands; none when it is gone.
fn state(network: &User, key: &str) -> anyhow::Result<Option<String>> {
    let nodes = network.json(&["node", "list"])?;
    let node = nodes.as_array().into_iter().flatten().find(|node| node["key"] == key).cloned();
    Ok(node.and_then(|node| node["state"].as_str().map(str::to_owned)))
}

fn is(network: &User, key: &str, wanted: &str) -> anyhow::Result<bool> {
    Ok(state(network, key)?.as_deref() == Some(wanted))
}

/// Grant by the owner, registration with the owner's money.
fn join(network: &Network, owner: &str, node: &str, role: &[&str]) -> anyhow::Result<()> {
    join_by(network, &[], owner, node, role)
}

/// The same, with the words that say by whose API.
fn join_by(network: &Network, by: &[&str], owner: &str, node: &str, role: &[&str]) -> anyhow::Result<()> {
    let file = network.path(&format!("{owner}.grant.json"));
    let file = file.to_string_lossy();
    let create = ["grant", "create", "--key", owner, "--node", node, "--file", &file];
    network.succeed(&[&create[..], role, by].concat())?;
    network.succeed(&["grant", "show", &file])?;
    let register = ["node", "register", "--key", owner, "--grant", &file, "--yes"];
    network.succeed(&[&register[..], by].concat())?;
    Ok(())
}

/// Has jobs computed until the owner of a worker is paid for one.
fn until_earned(network: &Network, owner: &str) -> anyhow::Result<()> {
    let before = balance(network, owner)?;
    // Three of the four workers of the tier are drawn for the second stage of each job.
    for _ in 0..6 {
        network.succeed(&["job", "submit", "examples/wordcount/job.yaml", "--watch", "--yes"])?;
        if balance(network, owner)? > before {
            return Ok(());
        }
    }
    bail!("the worker earned nothing in six jobs")
}

#[test]
fn a_validator_and_a_worker_join_from_outside_take_part_and_leave() -> anyhow::Result<()> {
    let network = Network::start(4, 7)?;

    let carol = owner(&network, "carol", "2000")?;
    let validator = Outsider::start(&network, "fifth")?;
    ensure!(state(&network, &validator.key)?.is_none(), "it only follows the chain");
    join(&network, "carol", &validator.key, &["--validator", "--stake", "900"])?;
    network.succeed(&["stake", "bond", "100", "--node", &validator.key, "--key", "carol"])?;
    // A gift is asked about.
    network.fail_with(&["stake", "bond", "1", "--node", &validator.key], "belongs to")?;
    network.wait("the fifth validator to be elected", |network| is(network, &validator.key, "active"))?;
    network.wait("a block that the fifth validator proposed", |network| {
        let blocks = network.json(&["block", "list"])?;
        Ok(blocks.as_array().into_iter().flatten().any(|block| block["proposer"] == validator.key.as_str()))
    })?;

    let dave = owner(&network, "dave", "500")?;
    let worker = Outsider::start(&network, "sixth")?;
    join(&network, "dave", &worker.key, &["--tier", "large", "--slots", "2"])?;
    network.wait("the worker to say that it is ready", |network| is(network, &worker.key, "active"))?;
    until_earned(&network, &dave)?;
    let earned = balance(&network, &dave)?;

    // Both leave; the stake is paid when it has been unbonding long enough.
    network.succeed(&["node", "drain", &validator.key, "--key", "carol"])?;
    network.succeed(&["node", "remove", &worker.key, "--key", "dave", "--within", "100"])?;
    network.wait("the stake of the worker", |network| Ok(balance(network, &dave)? > earned + 199.0))?;
    ensure!(state(&network, &worker.key)?.is_none(), "its row is free");
    network.wait("the stake of the validator", |network| Ok(balance(network, &carol)? > 1990.0))?;
    let height = network.height()?;
    network.wait("blocks with four validators", |network| Ok(network.height()? > height + 3))?;
    drop((validator, worker));
    Ok(())
}

#[test]
fn a_newcomer_registers_by_its_own_node_and_one_seed() -> anyhow::Result<()> {
    let network = Network::start(4, 7)?;
    let erin = owner(&network, "erin", "500")?;
    let worker = Outsider::by_hash(&network, "newcomer")?;
    // From here on the owner talks to nobody but the node that is not registered yet.
    let by = ["--endpoint", &worker.endpoint];
    network.wait("the newcomer to follow the chain", |network| {
        Ok(network.run(&[&["account", "show", &erin][..], &by].concat())?.status.success())
    })?;
    network.succeed(&["key", "generate", "frank", "--plain"])?;
    let frank = network.json(&["key", "show", "frank"])?;
    let frank = frank["publicKey"].as_str().context("no key")?;
    network.succeed(&[&["send", "20", "--to", frank, "--key", "erin"][..], &by].concat())?;
    ensure!(balance(&network, frank)? == 20.0, "the others have it too");
    join_by(&network, &by, "erin", &worker.key, &["--tier", "large", "--slots", "2"])?;
    network.succeed(&[&["stake", "bond", "10", "--node", &worker.key, "--key", "erin"][..], &by].concat())?;
    network.wait("the newcomer to say that it is ready", |network| is(network, &worker.key, "active"))?;
    // A job that all four workers of each tier have to answer: one that only hears of blocks by one other is often the last.
    let job = network.path("wordcount");
    ensure!(
        Command::new("cp").arg("-r").arg("examples/wordcount").arg(&job).current_dir(repository()).status()?.success()
    );
    let job = job.join("job.yaml");
    let text = fs::read_to_string(&job)?.replace("{replicas: 3, quorum: 2}", "{replicas: 4, quorum: 4}");
    fs::write(&job, text)?;
    let before = balance(&network, &erin)?;
    network.succeed(&["job", "submit", &job.to_string_lossy(), "--watch", "--yes"])?;
    network.wait("the newcomer to be paid", |network| Ok(balance(network, &erin)? > before))
}

#[test]
fn a_newcomer_with_a_hash_and_a_seed_soon_needs_its_seed_no_more() -> anyhow::Result<()> {
    let mut network = Network::start(4, 7)?;
    let newcomer = Outsider::by_hash(&network, "newcomer")?;
    network.wait("the newcomer to follow the chain", |network| Ok(newcomer.height(network)? > 0))?;
    // The registry of a chain from a genesis says of nobody where its consensus is.
    let log = network.path("newcomer.log");
    let started = Instant::now();
    network.wait("the four validators to say it", |_| {
        Ok(fs::read_to_string(&log)?.matches("said where its consensus is").count() >= 4)
    })?;
    ensure!(started.elapsed() < Duration::from_secs(5), "it took {} s", started.elapsed().as_secs());
    network.kill("validator-0")?;
    let height = newcomer.height(&network)?;
    network.wait("blocks that only the others can have told", |network| Ok(newcomer.height(network)? > height + 5))
}
