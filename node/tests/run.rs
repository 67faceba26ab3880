//! `valo run` as a process: what an operator sees when it cannot start, and that the folder is free again at once.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};
use valo::node::{BlobSettings, ConsensusSettings, DataFolder, NetworkSettings, NodeConfig, WorkerSettings};
use valo_protocol::{
    AccountNumber, Amount, Genesis, Parameters, SecretKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    registry::NodeRole,
};

/// The folder of the one validator of a chain, whose consensus listens there.
fn folder(home: &Path, consensus: SocketAddr) {
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
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(vec![account]).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(vec![node]).unwrap(),
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = NodeConfig {
        name: "validator".to_owned(),
        api: any,
        consensus: ConsensusSettings { listen: consensus, peers: vec![], fully_connected: true },
        network: NetworkSettings { listen: any, advertise: vec![], seeds: vec![] },
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
    folder(&home, address);

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
