//! Four validators with real consensus engines and a real network on loopback: blocks flow, a dead validator
//! does not hold them up, and one that comes back catches up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a failure here is a failed test"
)]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::broadcast, time::timeout};
use valo::{
    chain::{BlockStore, FinalizedBlock, MemoryDisk, NoTransactions, Wake},
    consensus::{Config, Consensus, NewFolder, Peers, start},
    network::HostPort,
};
use valo_protocol::{
    AccountNumber, Amount, Genesis, Height, Parameters, SecretKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    proof::StateTable,
    registry::NodeRole,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The machines of a small network, running or not.
struct Network {
    genesis: Arc<Genesis>,
    machines: Vec<Machine>,
    folder: tempfile::TempDir,
}

struct Machine {
    key: SecretKey,
    listen: SocketAddr,
    disk: MemoryDisk,
    running: Option<Consensus>,
}

fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis().try_into().unwrap())
}

fn genesis(keys: &[SecretKey], parameters: Parameters) -> Genesis {
    let owner = SecretKey::from_seed([200; 32]);
    let accounts = vec![GenesisAccount { key: owner.public(), balance: Amount::from_valo(1000).unwrap() }];
    let nodes = keys.iter().map(|key| GenesisNode {
        key: key.public(),
        owner: AccountNumber::default(),
        role: NodeRole::Validator,
        stake: Amount::from_valo(100).unwrap(),
    });
    Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("test").unwrap(),
        time: clock(),
        fully_connected: true,
        parameters,
        accounts: BoundedVec::new(accounts).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(nodes.collect()).unwrap(),
    }
}

impl Network {
    /// Starts validators, and followers: nodes that vote on nothing.
    async fn start(validators: usize, followers: usize, parameters: Parameters) -> Self {
        let keys: Vec<SecretKey> =
            (0..validators + followers).map(|n| SecretKey::from_seed([n as u8 + 1; 32])).collect();
        let genesis = Arc::new(genesis(&keys[..validators], parameters));
        // The system chooses free ports, all at once so that they differ.
        let ports: Vec<TcpListener> =
            keys.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let machines = keys.into_iter().zip(&ports).map(|(key, port)| Machine {
            key,
            listen: port.local_addr().unwrap(),
            disk: MemoryDisk::with_genesis(&genesis).unwrap(),
            running: None,
        });
        let mut network =
            Self { genesis: genesis.clone(), machines: machines.collect(), folder: tempfile::tempdir().unwrap() };
        drop(ports);
        for machine in 0..network.machines.len() {
            network.run(machine).await;
        }
        network
    }

    async fn run(&mut self, index: usize) {
        let validators = self.machines.iter().take(self.genesis.nodes.len());
        let others = validators.enumerate().filter(|(other, _)| *other != index);
        let peers = others.map(|(_, machine)| machine.listen.to_string()).collect();
        self.run_with(index, peers).await;
    }

    /// The file of the engine's log.
    fn log(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("{index}")).join("votes")
    }

    async fn run_with(&mut self, index: usize, peers: Vec<String>) {
        self.run_in(index, peers, NewFolder::Votes).await;
    }

    async fn run_in(&mut self, index: usize, peers: Vec<String>, new_folder: NewFolder) {
        let log = self.log(index);
        let machine = &mut self.machines[index];
        let config = Config {
            genesis: self.genesis.clone(),
            key: machine.key.clone(),
            name: format!("v{index}"),
            listen: machine.listen,
            peers,
            signed: log.with_extension("signed"),
            new_folder,
            log,
        };
        let disk = machine.disk.clone();
        let started =
            start(config, disk.clone(), Arc::new(disk), Arc::new(NoTransactions), Wake::default()).await.unwrap();
        machine.running = Some(started);
    }

    async fn stop(&mut self, index: usize) {
        timeout(PATIENCE, self.machines[index].running.take().unwrap().stop()).await.unwrap();
    }

    async fn stop_all(&mut self) {
        for index in 0..self.machines.len() {
            if self.machines[index].running.is_some() {
                self.stop(index).await;
            }
        }
    }

    fn node(&self, index: usize) -> &Consensus {
        self.machines[index].running.as_ref().unwrap()
    }

    async fn reach(&self, index: usize, height: Height) {
        let mut head = self.node(index).handle().head();
        let reached = head.wait_for(|tip| tip.height >= height);
        timeout(PATIENCE, reached).await.expect("the chain stands still").unwrap();
    }

    fn height(&self, index: usize) -> Height {
        self.node(index).handle().head().borrow().height
    }
}

fn trace() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// The times between `count` blocks as a follower sees them, in milliseconds, sorted; and how many of the blocks
/// took more than one round.
async fn gaps(blocks: &mut broadcast::Receiver<Arc<FinalizedBlock>>, count: usize) -> (Vec<f64>, usize) {
    let (mut gaps, mut late) = (Vec::new(), 0);
    let mut last: Option<Instant> = None;
    while gaps.len() < count {
        let block = timeout(PATIENCE, blocks.recv()).await.expect("the chain stands still").unwrap();
        if let Some(last) = last.replace(Instant::now()) {
            gaps.push(last.elapsed().as_secs_f64() * 1e3);
        }
        late += usize::from(block.certificate.round.0 > 0);
    }
    gaps.sort_by(f64::total_cmp);
    (gaps, late)
}

fn report(what: &str, gaps: &[f64], late: usize) {
    let at = |part: f64| gaps[((gaps.len() - 1) as f64 * part) as usize];
    println!(
        "{what}: {} blocks, gaps in ms: p10 {:.0}, p50 {:.0}, p90 {:.0}, p99 {:.0}, max {:.0}; {late} in a later round",
        gaps.len(),
        at(0.1),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_of_four_holds_nothing_up_and_catches_up_when_it_is_back() {
    trace();
    let mut network = Network::start(4, 1, Parameters::preset(Preset::Dev)).await;
    for machine in 0..5 {
        network.reach(machine, Height(2)).await;
    }
    let mut blocks = network.node(0).handle().subscribe();
    let (idle, _) = (cpu(), Instant::now());
    let began = Instant::now();
    let (all, late) = gaps(&mut blocks, 8).await;
    let used = (cpu() - idle).as_secs_f64() / began.elapsed().as_secs_f64() / 5.0;
    report("four of four, idle", &all, late);
    println!("idle CPU of a node: {:.1} % of a core", used * 100.0);

    // A row nobody changed is proven at once; a light client accepts it.
    let proof = network.node(0).handle().proof(StateTable::Accounts, 0).await.unwrap().unwrap();
    let validators = network.genesis.validators().unwrap();
    assert_eq!(proof.verify(&network.genesis.hash(), &validators), Ok(()));
    assert_eq!(network.node(0).handle().proof(StateTable::Accounts, 1 << 30).await.unwrap(), None);

    network.stop(3).await;
    let mut blocks = network.node(0).handle().subscribe();
    let mut followed = network.node(4).handle().subscribe();
    let ((dead, late), (seen, _)) = tokio::join!(gaps(&mut blocks, 20), gaps(&mut followed, 20));
    // How late they may be is held in virtual time, by the simulator.
    report("three of four", &dead, late);
    report("three of four, as a follower sees it", &seen, late);

    let missed = network.height(0);
    network.run(3).await;
    network.reach(3, missed).await;
    let here = network.height(0);
    network.reach(3, Height(here.0 + 3)).await;
    for height in 1..=here.0 {
        let blocks: Vec<_> = network
            .machines
            .iter()
            .map(|machine| machine.disk.decided(Height(height)).unwrap().unwrap().0.header.id())
            .collect();
        assert!(blocks.iter().all(|block| *block == blocks[0]), "nodes disagree at height {height}");
    }
    network.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_at_once_go_on_from_where_they_were() {
    trace();
    let parameters = Parameters {
        idle_interval: valo_protocol::Duration(60),
        min_interval: valo_protocol::Duration(10),
        ..Parameters::preset(Preset::Dev)
    };
    let mut network = Network::start(4, 0, parameters).await;
    network.reach(0, Height(20)).await;
    let mut blocks = network.node(1).handle().subscribe();
    let (busy, late) = gaps(&mut blocks, 50).await;
    report("four of four, a block every 60 ms", &busy, late);
    network.stop_all().await;
    let heights: Vec<_> = network.machines.iter().map(|machine| machine.disk.earliest().unwrap()).collect();
    assert!(heights.iter().all(|height| *height == Some(Height(1))));
    for machine in 0..4 {
        network.run(machine).await;
    }
    network.reach(0, Height(100)).await;
    network.stop_all().await;
}

fn quick() -> Parameters {
    Parameters {
        idle_interval: valo_protocol::Duration(60),
        min_interval: valo_protocol::Duration(10),
        ..Parameters::preset(Preset::Dev)
    }
}

/// The addresses of validators as the registry would have them: by name.
fn registered(network: &Network, machines: impl IntoIterator<Item = usize>) -> Peers {
    let entry = |index: usize| {
        let machine = &network.machines[index];
        (machine.key.public(), vec![HostPort::Name("localhost".to_owned(), machine.listen.port())])
    };
    machines.into_iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_one_peer_finds_the_others_by_the_registry_and_names_that_do_not_resolve_disturb_nobody() {
    trace();
    let mut network = Network::start(4, 1, quick()).await;
    network.reach(0, Height(5)).await;
    // The fourth validator comes back with new peers: the name of one, and one that has no address yet.
    network.stop(3).await;
    let first = format!("localhost:{}", network.machines[0].listen.port());
    network.run_with(3, vec!["not-yet.invalid:7001".to_owned(), first]).await;
    network.node(3).registry().send_replace(registered(&network, 0..3));
    // The follower knows nobody but by the registry.
    network.stop(4).await;
    network.run_with(4, Vec::new()).await;
    network.node(4).registry().send_replace(registered(&network, 0..4));
    // The one that the fourth was given is gone, and with it the connections of those that knew only it.
    network.stop(0).await;
    let here = network.height(1);
    network.reach(3, Height(here.0 + 5)).await;
    network.reach(4, Height(here.0 + 5)).await;
    network.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validators_that_lose_their_logs_contradict_nothing_that_they_signed() {
    trace();
    let mut network = Network::start(4, 0, quick()).await;
    for round in 1..4u64 {
        network.reach(0, Height(round * 10)).await;
        network.stop_all().await;
        for machine in 0..4 {
            std::fs::remove_file(network.log(machine)).unwrap();
            network.run(machine).await;
        }
    }
    network.reach(0, Height(40)).await;
    network.stop_all().await;
    for machine in 0..4 {
        // What a validator said twice would be here in two ways.
        let text = std::fs::read_to_string(network.log(machine).with_extension("signed")).unwrap();
        let steps = text.lines().skip(1).map(|line| line.split(' ').take(3).collect::<Vec<_>>());
        let mut steps: Vec<_> = steps.collect();
        let all = steps.len();
        steps.sort();
        steps.dedup();
        assert_eq!(steps.len(), all, "machine {machine}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_whose_state_is_lost_does_not_vote_until_it_is_where_it_signed() {
    trace();
    let mut network = Network::start(4, 0, quick()).await;
    network.reach(3, Height(20)).await;
    network.stop(3).await;
    let signed = network.log(3).with_extension("signed");
    let before = std::fs::read_to_string(&signed).unwrap();
    network.machines[3].disk = MemoryDisk::with_genesis(&network.genesis).unwrap();
    std::fs::remove_file(network.log(3)).unwrap();
    network.run(3).await;
    let again = timeout(PATIENCE, network.node(3).voting().starts_again()).await.unwrap();
    assert!(again.contains("may vote from height"), "{again}");
    assert_eq!(std::fs::read_to_string(&signed).unwrap(), before, "it signed nothing on the way");
    network.stop(3).await;
    network.run(3).await;
    let here = network.height(0);
    network.reach(3, Height(here.0 + 10)).await;
    network.stop_all().await;
    assert!(std::fs::read_to_string(&signed).unwrap().len() > before.len(), "it votes again");
}
