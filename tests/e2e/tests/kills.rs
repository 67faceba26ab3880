//! `kill -9` at any moment costs time and nothing else.

use anyhow::{Context, ensure};
use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};
use valo_client::{
    Client,
    types::{AssignmentState, Node, PageRequest, Shard},
};
use valo_e2e::{Chain, Network, blocks, programs, repository};
use valo_protocol::{
    Digest,
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    registry::NodeState,
    transaction::commitment,
};

const WORKER: &str = "worker-1";

/// All three have to agree, so that nothing goes on without the one that is killed; another is held still meanwhile,
/// so that reveals open only when we say so.
#[test]
fn a_worker_that_is_killed_at_any_moment_keeps_its_word() -> anyhow::Result<()> {
    let mut network = Network::of_tiers(1, 3, "small")?;
    let client = network.client("validator-0")?;
    let node = network.node(WORKER)?;
    let job = programs::primes(&network, 2, "  verification: {replicas: 3, quorum: 3}\n")?;
    network.hold("worker-2")?;
    network.succeed(&["job", "submit", &job, "--yes"])?;
    let states = |network: &Network| -> anyhow::Result<Vec<AssignmentState>> {
        let assignments = network.ask(client.assignments_of(node.id))?.assignments;
        Ok(assignments.into_iter().map(|assignment| assignment.state).collect())
    };
    let all = |states: Vec<AssignmentState>, wanted| states.len() == 2 && states.iter().all(|state| *state == wanted);

    // While it computes.
    network.wait("it to be drawn", |_| Ok(all(states(&network)?, AssignmentState::Assigned)))?;
    network.kill(WORKER)?;
    network.run_again(WORKER)?;
    // It has an answer, and may or may not have said so.
    let folder = network.folder(WORKER).join("worker/journal");
    network.wait("its first answer", |_| Ok(!journal(&folder)?.is_empty()))?;
    network.kill(WORKER)?;
    let decided = journal(&folder)?;
    network.run_again(WORKER)?;
    // It has committed to everything, and nobody revealed.
    network.wait("its commits", |_| Ok(all(states(&network)?, AssignmentState::Committed)))?;
    network.kill(WORKER)?;
    let committed = journal(&folder)?;
    ensure!(committed.len() == 2, "{committed:?}");
    ensure!(decided.iter().all(|(key, entry)| committed.get(key) == Some(entry)), "an answer was decided anew");
    network.run_again(WORKER)?;
    network.let_go_on("worker-2")?;
    network.wait("the job to be accepted", |user| Ok(matches!(user.phase(1)?.as_str(), "accepted" | "final")))?;
    // It is over.
    network.kill(WORKER)?;
    network.run_again(WORKER)?;
    network.wait("its journal to be empty", |_| Ok(journal(&folder)?.is_empty()))?;

    let mut chain = Chain::new(client.clone());
    chain.read(&network)?;
    let commits = chain.commits_of(node.account);
    ensure!(commits.len() == 2, "{commits:?}");
    let genesis = network.ask(client.status())?.genesis;
    for ((shard, attempt), entries) in commits {
        ensure!(entries.len() == 1, "committed more than once to {shard}: {entries:?}");
        let (digest, salt) = committed.get(&(shard, attempt)).context("committed to what the journal does not know")?;
        let promised = commitment(&genesis, shard, attempt, node.id, digest, salt);
        ensure!(entries[0].commitment == promised, "committed to something else for {shard}");
        let reveals = chain.reveals().filter(|(sender, entry)| *sender == node.account && entry.shard == shard);
        ensure!(reveals.count() == 1, "{shard} was not revealed once");
    }
    for name in ["worker-0", WORKER, "worker-2"] {
        let after = network.node(name)?;
        ensure!(after.stake == node.stake && after.state == NodeState::Active, "{after:?}");
    }
    let explained = network.json(&["job", "explain", "1"])?;
    ensure!(explained["slashed"] == "0", "{explained}");
    network.succeed(&["verify", "1"])?;
    Ok(())
}

/// What a journal promises: a digest, and the salt that hides it, for each assignment.
type Journal = BTreeMap<(ShardKey, Attempt), (Digest, [u8; 32])>;

/// Reads a journal. Its files are a checksum of 32 bytes, a tag, the digest, status and fuel, the salt.
fn journal(folder: &Path) -> anyhow::Result<Journal> {
    let mut entries = Journal::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let Ok(parts) = name.split('-').map(str::parse).collect::<Result<Vec<u32>, _>>() else { continue };
        let [job, stage, shard, attempt] = parts[..] else { continue };
        // It may have been forgotten since the folder was listed.
        let Ok(bytes) = fs::read(file.path()) else { continue };
        let digest =
            bytes.get(33..65).with_context(|| format!("the worker abstained: {:?}", bytes.get(32..)))?.try_into()?;
        let salt = bytes.last_chunk().context("a short entry")?;
        let shard =
            ShardKey { job: JobId(job.into()), stage: StageIndex(u8::try_from(stage)?), shard: ShardIndex(shard) };
        entries.insert((shard, Attempt(u8::try_from(attempt)?)), (Digest(digest), *salt));
    }
    Ok(entries)
}

#[test]
fn a_validator_that_is_killed_again_and_again_catches_up() -> anyhow::Result<()> {
    const VALIDATOR: &str = "validator-2";
    let mut network = Network::of_tiers(4, 3, "small")?;
    let client = network.client("validator-0")?;
    let job = programs::primes(&network, 2, "")?;
    for number in 1..=3u64 {
        network.succeed(&["job", "submit", &job, "--yes"])?;
        network.kill(VALIDATOR)?;
        let height = network.ask(client.status())?.height;
        network.wait("blocks without it", |user| Ok(user.ask(client.status())?.height.0 > height.0 + 2))?;
        network.run_again(VALIDATOR)?;
        network
            .wait("the job to be accepted", |user| Ok(matches!(user.phase(number)?.as_str(), "accepted" | "final")))?;
    }
    let height = network.ask(client.status())?.height;
    let other = network.client(VALIDATOR)?;
    network.wait("it to catch up", |user| Ok(user.ask(other.status())?.height >= height))?;
    let (ours, theirs) = (blocks(&network, &client, height.0)?, blocks(&network, &other, height.0)?);
    ensure!(u64::try_from(ours.len())? == height.0, "{} blocks up to height {height}", ours.len());
    ensure!(ours == theirs, "the blocks differ");
    // It signs again: its height goes on with everybody's.
    network.wait("it to go on", |user| Ok(user.ask(other.status())?.height.0 > height.0 + 2))?;
    Ok(())
}

/// Longer than any window of the job below.
const PAUSE: Duration = Duration::from_secs(12);

/// Everybody dies twice: when two of three have committed, and when all have and reveals are open. All three have to
/// agree, and the chain is back before its workers are.
#[test]
fn when_everything_is_killed_at_once_the_job_goes_on_and_nobody_is_fined() -> anyhow::Result<()> {
    let validators = ["validator-0", "validator-1", "validator-2", "validator-3"];
    let workers = ["worker-0", WORKER, "worker-2"];
    let everything = [&workers[..], &validators[..]].concat();
    let mut network = Network::of_tiers(4, 3, "small")?;
    let before: Vec<Node> = workers.iter().map(|name| network.node(name)).collect::<anyhow::Result<_>>()?;
    let job = programs::primes(&network, 2, "  verification: {replicas: 3, quorum: 3}\n")?;
    network.hold("worker-2")?;
    network.succeed(&["job", "submit", &job, "--yes"])?;
    // `valo dev` ends with the last of its nodes: from then on they are asked by their address. Each question has a client of
    // its own, since connections went down with the node.
    let endpoint = network.client("validator-0")?.endpoint().to_owned();
    let states = |network: &Network| -> anyhow::Result<Vec<AssignmentState>> {
        let client = Client::new(&endpoint)?;
        let mut states = Vec::new();
        for node in &before {
            let assignments = network.ask(client.assignments_of(node.id))?.assignments;
            states.extend(assignments.into_iter().map(|assignment| assignment.state));
        }
        Ok(states)
    };
    let power_cut = |network: &mut Network, running: &[&str]| -> anyhow::Result<()> {
        running.iter().try_for_each(|name| network.kill(name))?;
        thread::sleep(PAUSE);
        Ok(())
    };
    let count = |states: &[AssignmentState], wanted| states.iter().filter(|state| **state == wanted).count();
    network.wait("two to have committed", |_| Ok(count(&states(&network)?, AssignmentState::Committed) == 4))?;
    power_cut(&mut network, &everything)?;
    // The two that committed stay away, so that reveals stay open.
    validators.iter().chain(&["worker-2"]).try_for_each(|name| network.run_again(name))?;
    network.wait("reveals to be open", |_| Ok(count(&states(&network)?, AssignmentState::RevealOpen) >= 4))?;
    power_cut(&mut network, &everything[2..])?;
    validators.iter().chain(&workers).try_for_each(|name| network.run_again(name))?;
    network.wait("the job to be accepted", |user| {
        let status = user.json(&["job", "status", "1", "--endpoint", &endpoint])?;
        Ok(matches!(status["phase"].as_str(), Some("accepted" | "final")))
    })?;
    for before in &before {
        let after = network.ask(Client::new(&endpoint)?.node(before.key))?;
        ensure!((after.stake, after.state) == (before.stake, NodeState::Active), "{after:?}");
    }
    let explained = network.json(&["job", "explain", "1", "--endpoint", &endpoint])?;
    ensure!(explained["slashed"] == "0", "{explained}");
    Ok(())
}

/// Who reads the outputs of an earlier stage asks those that computed them; two of the three say nothing any more, their
/// connections are still there.
#[test]
fn outputs_are_fetched_from_whoever_is_alive() -> anyhow::Result<()> {
    let network = Network::of_tiers(1, 6, "small,large")?;
    let client = network.client("validator-0")?;
    // Dealt over the tiers in turn.
    let (small, large) = (["worker-0", "worker-2", "worker-4"], ["worker-1", "worker-3", "worker-5"]);
    large.iter().try_for_each(|name| network.hold(name))?;
    let job = repository().join("examples/wordcount/job.yaml").display().to_string();
    network.succeed(&["job", "submit", &job, "--yes"])?;
    network.wait("the first stage to be over and the second to be drawn", |user| {
        let shards = user.ask(client.job_shards(JobId(1), &PageRequest::default()))?.items;
        let drawn = |shard: &Shard| shard.stage == StageIndex(1) && shard.assignments.len() == 3;
        Ok(shards.iter().any(drawn))
    })?;
    small[..2].iter().try_for_each(|name| network.hold(name))?;
    large.iter().try_for_each(|name| network.let_go_on(name))?;
    network.wait("the job to be accepted", |user| Ok(matches!(user.phase(1)?.as_str(), "accepted" | "final")))?;
    small[..2].iter().try_for_each(|name| network.let_go_on(name))?;
    let explained = network.json(&["job", "explain", "1"])?;
    ensure!(explained["slashed"] == "0", "{explained}");
    for name in large {
        let node = network.node(name)?;
        ensure!(node.state == NodeState::Active, "{name}: {node:?}");
    }
    Ok(())
}
