//! `valo run` as a process: what an operator sees when it cannot start, and that the folder is free again at once.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::{
    fs,
    io::{self, BufRead, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use valo::node::{BlobSettings, ConsensusSettings, DataFolder, NetworkSettings, NodeConfig, WorkerSettings};
use valo_protocol::{
    AccountNumber, Amount, Genesis, Parameters, SecretKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    registry::NodeRole,
};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The folder of the one validator of a chain, whose consensus listens there, and everything else there.
fn folder(home: &Path, consensus: SocketAddr, network: SocketAddr) {
    let key = SecretKey::from_seed([7; 32]);
    let owner = SecretKey::from_seed([8; 32]);
    let account = GenesisAccount { key: owner.public(), balance: Amount::from_valo(1000).unwrap() };
    let node = GenesisNode {
        key: key.public(),
        owner: AccountNumber::default(),
        role: NodeRole::Validator,
        stake: Amount::from_valo(100).unwrap(),
    };
    let genesis = Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("test").unwrap(),
        time: Timestamp(1_700_000_000_000),
        fully_connected: true,
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(vec![account]).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(vec![node]).unwrap(),
    };
    let config = NodeConfig {
        name: "validator".to_owned(),
        api: ANY,
        consensus: ConsensusSettings { listen: consensus, peers: vec![] },
        network: NetworkSettings { listen: network, ..NetworkSettings::default() },
        blobs: BlobSettings::default(),
        worker: WorkerSettings::default(),
    };
    DataFolder::new(home).create(&config, &genesis, &key).unwrap();
}

fn valo(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_valo"));
    command.args(["run", "--home"]).arg(home).env_clear().env("VALO_HOME", home.join("user")).stdin(Stdio::null());
    command
}

/// A node that is killed when a test fails before it stopped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_port_in_use_is_one_error_and_leaves_the_folder_usable() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("node");
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = other.local_addr().unwrap();
    folder(&home, address, ANY);

    let output = valo(&home).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let errors: Vec<&str> = text.lines().filter(|line| line.to_lowercase().contains("error")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(errors[0].starts_with(&format!("error: cannot listen on {address} for consensus: ")), "{text}");
    assert!(!text.contains("panicked") && !text.contains('\u{1b}'), "{text}");

    drop(other);
    let mut node = Running(valo(&home).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(node.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("serves at http://127.0.0.1:"), "{line}");
    let pid = node.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(node.0.wait().unwrap().code(), Some(0), "it stops in order");
}

/// The files of a node as they are mounted into a pod, and an empty folder.
fn mount() -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let made = root.join("made");
    folder(&made, ANY, ANY);
    let config = "\
        api: 127.0.0.1:0\n\
        consensus: {listen: '127.0.0.1:0', peers: ['demo-1.demo.invalid:7001', 'localhost:1']}\n\
        network:\n  listen: 127.0.0.1:0\n  seeds:\n  - {key: KEY, addresses: ['demo-1.demo.invalid:7002']}\n";
    let seed = SecretKey::from_seed([9; 32]).public().to_string();
    fs::write(root.join("config.yaml"), config.replace("KEY", &seed)).unwrap();
    for file in ["genesis.json", "node.key"] {
        fs::copy(made.join(file), root.join(file)).unwrap();
    }
    fs::set_permissions(root.join("node.key"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::create_dir(root.join("data")).unwrap();
    temporary
}

/// The command of the pod.
fn pod(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_valo"));
    command.args(["run", "--name", "demo-0", "--home"]).arg(root.join("data"));
    for (flag, file) in [("--config", "config.yaml"), ("--genesis", "genesis.json"), ("--node-key", "node.key")] {
        command.arg(flag).arg(root.join(file));
    }
    // No home; what lies where a user's profiles would be is none of its business.
    command.env_clear().env("VALO_HOME", root).stdin(Stdio::null());
    command
}

/// Where a node serves, once it does.
fn serves(node: &mut Running) -> String {
    let mut line = String::new();
    BufReader::new(node.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (_, address) = line.trim().split_once("http://").unwrap_or_else(|| panic!("{line}"));
    address.to_owned()
}

fn get(address: &str, path: &str) -> String {
    try_get(address, path).unwrap()
}

fn try_get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn terminate(node: &Running) {
    assert!(Command::new("kill").args(["-TERM", &node.0.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_node_starts_in_a_pod_from_mounted_files_and_writes_its_volume_only() {
    let root = mount();
    let mut node = Running(pod(root.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let address = serves(&mut node);
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/v1/status").contains(r#""state":"active""#));
    terminate(&node);
    assert_eq!(node.0.wait().unwrap().code(), Some(0), "it stops in order");
    let mut names: Vec<_> =
        fs::read_dir(root.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "consensus.log", "db", "signed.log", "worker"]);
    let mut outside: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    outside.sort();
    assert_eq!(outside, ["config.yaml", "data", "genesis.json", "made", "node.key"]);
}

#[test]
fn a_second_node_of_a_folder_is_refused_as_that() {
    let root = mount();
    let mut node = Running(pod(root.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let address = serves(&mut node);
    // With the port of the first, which is what its configuration says.
    let config = fs::read_to_string(root.path().join("config.yaml")).unwrap();
    fs::write(root.path().join("config.yaml"), config.replace("api: 127.0.0.1:0", &format!("api: {address}"))).unwrap();
    let output = pod(root.path()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap_or_default();
    let folder = root.path().join("data").display().to_string();
    assert_eq!(last, format!("error: a node runs from {folder} already; stop it first, or name another folder"));
    terminate(&node);
    assert_eq!(node.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_node_that_is_told_to_stop_while_it_starts_stops_and_starts_again() {
    let root = mount();
    for _ in 0..2 {
        let mut node = Running(pod(root.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        // In the middle of its start.
        let mut log = BufReader::new(node.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(log.any(|line| line.contains("network bound")), "it ended by itself");
        terminate(&node);
        let rest: Vec<String> = log.collect();
        let ended = node.0.wait().unwrap();
        assert_eq!(ended.code(), Some(0), "{ended}: {rest:?}");
    }
    let mut node = Running(pod(root.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    // Its folder was made by a process before it, which may have voted: it follows, sees that the chain has not begun, and
    // starts again under the same process id to vote.
    let address = serves(&mut node);
    until(&address, "/v1/blocks/1", |answer| answer.starts_with("HTTP/1.1 200"));
    until(&address, "/healthz", |answer| answer.starts_with("HTTP/1.1 200"));
}

#[test]
fn what_another_start_does_not_mend_ends_with_code_3() {
    let root = mount();
    let mut node = Running(pod(root.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    serves(&mut node);
    terminate(&node);
    node.0.wait().unwrap();
    let refused = |command: &mut Command, reason: &str| {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let last = text.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("error: ") && last.contains(reason), "{text}");
        assert_eq!(output.status.code(), Some(3), "{text}");
    };
    let hash = "0".repeat(64);
    refused(pod(root.path()).args(["--genesis-hash", &hash]), &format!("not {hash}"));
    let key = root.path().join("node.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&mut pod(root.path()), "defaultMode: 0400");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "01".repeat(32)).unwrap();
    refused(&mut pod(root.path()), "cannot be used with another key");
}

/// Until a node answers so. What has no event of its own is looked at.
fn until(address: &str, path: &str, wanted: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // Nobody is there while it starts again.
        let answer = try_get(address, path).unwrap_or_else(|error| error.to_string());
        if wanted(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{path} stays {answer}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_newcomer_with_a_hash_and_a_seed_waits_for_the_seed_and_follows_the_chain() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    // Free for the moment; the nodes take them soon.
    let tcp = || TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let (consensus, network, api) = (tcp(), UdpSocket::bind(ANY).unwrap().local_addr().unwrap(), tcp().to_string());
    let validator = root.join("validator");
    folder(&validator, consensus, network);
    let genesis = DataFolder::new(&validator).genesis().unwrap();
    let hash = genesis.hash().to_string();
    let key = SecretKey::from_seed([7; 32]).public();
    let seed = format!("{key}@{network}");
    fs::write(
        root.join("config.yaml"),
        format!("api: {api}\nconsensus: {{listen: '127.0.0.1:0'}}\nnetwork: {{listen: '127.0.0.1:0'}}\n"),
    )
    .unwrap();
    fs::write(root.join("node.key"), "0a".repeat(32)).unwrap();
    fs::set_permissions(root.join("node.key"), fs::Permissions::from_mode(0o400)).unwrap();
    let newcomer = |more: &[&str]| {
        let mut command = valo(&root.join("data"));
        for file in ["config", "node-key"] {
            command
                .arg(format!("--{file}"))
                .arg(root.join(file.replace("-key", ".key").replace("config", "config.yaml")));
        }
        let spawned = command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running(spawned.unwrap())
    };
    let init = |home: &str, hash: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_valo"));
        command.args(["init", "--genesis-hash", hash, "--seed", &seed, "--network", "127.0.0.1:0", "--home"]);
        command.arg(root.join(home)).env_clear().env("VALO_HOME", root.join("user")).stdin(Stdio::null());
        command.output().unwrap()
    };

    // The seed is not there yet: the newcomer lives, and says what it waits for.
    let joins = ["--genesis-hash", &hash, "--seed", &seed];
    let mut node = newcomer(&joins);
    let mut log = BufReader::new(node.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains(&format!("waits for the genesis of {hash} from its seeds"))));
    std::thread::spawn(move || log.for_each(drop));
    assert!(get(&api, "/healthz").starts_with("HTTP/1.1 200"));
    let reason = format!("waits for the genesis of {hash} from its seeds; no seed gave the genesis of {hash}: ");
    let reason = format!("{reason}{} at {network}: node {key} did not answer within 3000 ms", key.short());
    until(&api, "/readyz", |answer| answer.starts_with("HTTP/1.1 503") && answer.contains(&reason));
    // Told to stop, it stops, and the next one waits anew.
    terminate(&node);
    assert_eq!(node.0.wait().unwrap().code(), Some(0), "it stops in order");
    let mut node = newcomer(&joins);

    let mut chain = Running(valo(&validator).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    serves(&mut chain);
    assert_eq!(serves(&mut node), api);
    until(&api, "/readyz", |answer| answer.starts_with("HTTP/1.1 200"));
    assert_eq!(*DataFolder::new(root.join("data")).genesis().unwrap(), *genesis);

    let made = init("made", &hash);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(*DataFolder::new(root.join("made")).genesis().unwrap(), *genesis);
    let other = "0".repeat(64);
    let refused = init("other", &other);
    let said = String::from_utf8(refused.stderr).unwrap();
    let answer = format!("{} at {network}: it is a node of another chain, {hash}", key.short());
    assert_eq!(said, format!("error: no seed gave the genesis of {other}: {answer}\n"));
    assert_eq!((refused.status.code(), root.join("other").exists()), (Some(1), false));

    // What it has it needs nobody for.
    for running in [&mut node, &mut chain] {
        terminate(running);
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
    }
    assert_eq!(serves(&mut newcomer(&["--genesis-hash", &hash])), api);
}
