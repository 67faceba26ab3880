//! Workers that break the rules: the result is right all the same, they pay for it, and nobody else does.
//!
//! The tier has four workers and a shard takes three: with eight shards the one at fault is as good as certainly drawn,
//! and one who is let go for being slow can be replaced. Those of its shards for which it was too late itself are left
//! out of the count; at least one has to be there.

use anyhow::{Context, ensure};
use std::{collections::BTreeMap, fs};
use valo_client::types::Standing;
use valo_e2e::{Conduct, Impostor, Network, programs};
use valo_protocol::{
    Amount,
    event::Fault,
    receipt::Reason,
    registry::{NodeId, NodeState},
};

const SHARDS: u32 = 8;
const WORKERS: [&str; 4] = ["worker-0", "worker-1", "worker-2", "worker-3"];
const FAULTY: &str = "worker-2";
/// 25 times the price of 10^9 fuel in tier `small`.
const FINE: Amount = Amount::from_units(25 * 50_000_000);

#[test]
fn faulty_workers_pay_for_it_and_results_stay_right() -> anyhow::Result<()> {
    let mut network = Network::of_tiers(1, 4, "small")?;
    let job = programs::primes(&network, SHARDS, "")?;
    network.succeed(&["job", "submit", &job, "--watch", "--yes"])?;
    let undisturbed = results(&network, 1)?;
    ensure!(!undisturbed.is_empty(), "there is no result");
    network.kill(FAULTY)?;
    // Who is silent is absent in the end: each of the others begins with a return.
    for (number, conduct) in (2u64..).zip([Conduct::Silent, Conduct::Lies, Conduct::Mute, Conduct::Copies]) {
        broken(&network, &job, number, conduct).with_context(|| format!("{conduct:?}, job {number}"))?;
        ensure!(results(&network, number)? == undisturbed, "{conduct:?}: another result");
        network.succeed(&["verify", &number.to_string()])?;
    }
    // What was behind the shards is free again once they are final.
    network.wait("stake to be free", |_| {
        let nodes: anyhow::Result<Vec<_>> = WORKERS.iter().map(|name| network.node(name)).collect();
        Ok(nodes?.iter().all(|node| node.locked.is_zero()))
    })?;
    // It comes back, and is one of four again.
    network.run_again(FAULTY)?;
    network.wait("the worker to be back", |_| Ok(network.node(FAULTY)?.state == NodeState::Active))?;
    let whole = programs::primes(&network, SHARDS, "  verification: {replicas: 4, quorum: 4}\n")?;
    network.succeed(&["job", "submit", &whole, "--watch", "--yes"])?;
    ensure!(results(&network, 6)? == undisturbed, "another result after the return");
    Ok(())
}

/// Runs a job in which one worker behaves so, and looks at who paid for it.
fn broken(network: &Network, job: &str, number: u64, conduct: Conduct) -> anyhow::Result<()> {
    let before = stakes(network)?;
    let mut impostor = Impostor::of(network, FAULTY, conduct)?;
    network.succeed(&["job", "submit", job, "--yes"])?;
    network.wait("the job to be accepted", |user| {
        impostor.act()?;
        let phase = user.phase(number)?;
        ensure!(!phase.starts_with("failed"), "{}", user.succeed(&["job", "explain", &number.to_string()])?);
        Ok(matches!(phase.as_str(), "accepted" | "final"))
    })?;
    let faults = told(network, &impostor, number, conduct)?;
    if conduct == Conduct::Copies {
        let mismatches = impostor.refusals.iter().filter(|reason| matches!(reason, Reason::CommitmentMismatch(_)));
        ensure!(mismatches.count() > 0, "a copied reveal was not refused: {:?}", impostor.refusals);
    }
    let after = stakes(network)?;
    let fine = FINE.checked_mul(faults).context("too much")?;
    for (node, before) in before {
        let lost = before.checked_sub(after[&node]).context("stake grew")?;
        let expected = if node == impostor.node { fine } else { Amount::ZERO };
        ensure!(lost == expected, "node {node} lost {lost} VALO of stake, not {expected}");
    }
    Ok(())
}

/// What `explain` has to say of it, as data and in words. Gives the number of faults that are fined.
fn told(network: &Network, impostor: &Impostor<'_>, number: u64, conduct: Conduct) -> anyhow::Result<u64> {
    let (mut drawn, mut faults) = (0, 0);
    for part in impostor.explanation(number)?.shards.iter().flat_map(|shard| &shard.answers) {
        if part.node != impostor.node {
            let fair = matches!(part.standing, Standing::Agreed | Standing::LetGo) && part.slashed.is_zero();
            ensure!(fair, "an honest worker: {part:?}");
            continue;
        }
        drawn += 1;
        ensure!(part.paid.is_zero(), "paid for nothing: {part:?}");
        if part.committed.is_none() {
            ensure!(part.standing == Standing::LetGo && part.slashed.is_zero(), "too late: {part:?}");
            continue;
        }
        faults += 1;
        let as_documented = match conduct {
            Conduct::Lies => {
                part.standing == Standing::Differed && matches!(part.fault, Some(Fault::WrongAnswer { .. }))
            }
            Conduct::Mute | Conduct::Copies => {
                part.standing == Standing::NotRevealed && part.fault == Some(Fault::NotRevealed)
            }
            Conduct::Silent => false,
        };
        ensure!(as_documented && part.slashed == FINE, "the faulty one: {part:?}");
    }
    ensure!(drawn > 0, "it was never drawn");
    ensure!(faults > 0 || conduct == Conduct::Silent, "it was too late for every one of its {drawn} shards");
    let text = network.succeed(&["job", "explain", &number.to_string()])?;
    let (words, times) = match conduct {
        Conduct::Lies => ("its answer is not the accepted one", faults),
        Conduct::Mute | Conduct::Copies => ("it committed and did not reveal", faults),
        Conduct::Silent => ("was let go without penalty", drawn),
    };
    let about = format!("node {} of", impostor.node);
    let lines = text.lines().filter(|line| line.contains(&about) && line.contains(words));
    let fined = lines.clone().filter(|line| line.contains("lost 1.25 VALO of stake")).count();
    ensure!(u64::try_from(lines.count())? == times, "not {times} times `{words}` in:\n{text}");
    ensure!(u64::try_from(fined)? == faults, "not {faults} fines in:\n{text}");
    Ok(faults)
}

fn stakes(network: &Network) -> anyhow::Result<BTreeMap<NodeId, Amount>> {
    WORKERS.iter().map(|name| network.node(name).map(|node| (node.id, node.stake))).collect()
}

/// The files of a result.
fn results(network: &Network, job: u64) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let folder = network.path(&format!("result-{job}"));
    network.succeed(&["job", "result", &job.to_string(), "--out", &folder.to_string_lossy()])?;
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.clone()];
    while let Some(open) = folders.pop() {
        for entry in fs::read_dir(open)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    files.insert(path.strip_prefix(&folder)?.display().to_string(), fs::read(&path)?);
                }
            }
        }
    }
    Ok(files)
}
