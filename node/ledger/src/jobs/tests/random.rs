//! Random networks, contracts and characters, from fixed seeds. After every block the chain's own audit holds: money,
//! slots, stakes, escrows, and no shard without a next step. A seed that fails prints itself.

use super::workers::{ALICE, Character, Network, setup, stage};
use crate::testing::{Setup, account, valo};
use std::collections::BTreeSet;
use valo_protocol::{
    Action, Hash,
    event::{Event, Fault, JobPhase},
    job::{Input, OnFailure, ShardKey, StageIndex, Verification},
    proof::JobRecord,
    receipt::{Outcome, Reason},
    registry::{NodeId, NodeState},
    time::Duration,
    transaction::AbstainReason,
};

/// Numbers from a seed.
struct Dice(Hash);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = Hash::of(b"dice", &[&self.0.0]);
        u64::from_le_bytes(*self.0.0.first_chunk().unwrap()) % bound
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

fn character(dice: &mut Dice) -> Character {
    match dice.below(12) {
        0 => Character::Liar(1),
        1 => Character::Liar(dice.below(3) as u8),
        2 => Character::Silent,
        3 => Character::Mute,
        4 => Character::Copycat,
        5 => Character::Turncoat,
        6 => Character::Abstains(AbstainReason::Internal),
        7 => Character::Abstains(AbstainReason::CannotFetch),
        8 => Character::Flaky,
        _ => honest(dice),
    }
}

fn honest(dice: &mut Dice) -> Character {
    Character::Honest(dice.below(1_500))
}

struct Run {
    network: Network,
    records: Vec<JobRecord>,
    cancelled: bool,
    seed: u64,
}

/// A few jobs on a network whose workers are as `worker` makes them, each followed until it is closed.
fn run(seed: u64, mut worker: impl FnMut(&mut Dice, u64) -> Character, cancels: bool) -> Run {
    println!("seed {seed}");
    let mut dice = Dice(Hash::of(b"seed", &[&seed.to_le_bytes()]));
    let count = 3 + dice.below(10);
    let workers: Vec<(Character, u16)> =
        (0..count).map(|place| (worker(&mut dice, place), 1 + dice.below(3) as u16)).collect();
    let setup = Setup { chain: format!("seed-{seed}"), ..setup(&workers) };
    let mut network = Network::of(&setup, workers.iter().map(|(character, _)| *character));
    let (mut jobs, mut cancelled) = (Vec::new(), false);
    for _ in 0..1 + dice.below(3) {
        let shards = 1 + dice.below(5) as u32;
        let second = match dice.below(3) {
            0 => Input::Each { stage: StageIndex(0) },
            1 => Input::All { stage: StageIndex(0) },
            _ => Input::None,
        };
        let mut stages = vec![stage("one", Input::None, shards), stage("two", second, shards)];
        stages.truncate(1 + dice.below(2) as usize);
        for stage in &mut stages {
            stage.on_failure = dice.one_of(&[OnFailure::Fail, OnFailure::Continue, OnFailure::Retry(1)]);
        }
        let mut contract = network.contract(stages);
        let (replicas, quorum) = dice.one_of(&[(3, 2), (3, 2), (3, 3), (2, 2)]);
        contract.verification = Verification::Replicated { replicas, quorum };
        contract.tip = dice.one_of(&[valo(0), valo(1)]);
        let job = match network.try_submit(&contract) {
            Ok(job) => job,
            // Enough of them are absent by now.
            Err(Outcome::Failed(Reason::TooFewWorkers { .. })) => continue,
            Err(other) => panic!("seed {seed}: {other:?}"),
        };
        jobs.push(job);
        for _ in 0..dice.below(12) {
            network.block(vec![]);
        }
        if dice.below(3) == 0 {
            // Down together, for up to ten minutes; workers come back within the time that is left to them.
            let pause = 3_000 + dice.below(600_000);
            network.pause(Duration(pause), Duration(dice.below((pause - 1_600).min(55_000))));
        }
        if cancels && dice.below(3) == 0 && !network.phase(job).is_over() {
            let transactions = network.chain.actions(account(ALICE), [Action::CancelJob { job }]);
            network.block(transactions);
            cancelled = true;
        }
    }
    let records = jobs.into_iter().map(|job| network.finish(job)).collect();
    Run { network, records, cancelled, seed }
}

impl Run {
    fn faultless(&self) -> BTreeSet<NodeId> {
        let characters = self.network.characters.iter();
        characters.filter(|(_, character)| character.is_faultless()).map(|(node, _)| *node).collect()
    }

    /// Everything that is true whoever works.
    fn check(&self) {
        let Self { network, seed, .. } = self;
        assert!(
            self.records.iter().all(|record| matches!(record.phase, JobPhase::Final | JobPhase::Failed(_))),
            "{seed}"
        );
        for node in network.characters.keys() {
            let record = network.chain.node(node.0);
            assert!(record.locked.is_zero() && record.busy == 0, "seed {seed}: node {node} still holds {record:?}");
        }
        assert!(network.chain.view().supply().unwrap().escrows.is_zero(), "seed {seed}");
        for node in self.faultless() {
            // Whoever keeps the rules loses nothing, unless the wrong answer had the votes.
            let fines = network.fines().remove(&node).unwrap_or_default();
            let outvoted = fines.iter().all(|(fault, _)| matches!(fault, Fault::WrongAnswer { .. }));
            assert!(outvoted, "seed {seed}: node {node} paid {fines:?}");
            assert_ne!(network.chain.node(node.0).state, NodeState::Jailed);
        }
        for record in &self.records {
            let all = ShardKey { job: record.job, ..ShardKey::default() };
            let verdicts = network.chain.view().shard_verdicts(all, usize::MAX).unwrap();
            if record.phase == JobPhase::Final {
                let results: Vec<_> = verdicts.iter().map(|verdict| verdict.result).collect();
                assert_eq!(record.results, Some(valo_protocol::proof::results_root(&results)), "seed {seed}");
                let shards: u32 = record.stages.iter().map(|stage| stage.shards).sum();
                assert_eq!(results.len(), shards as usize, "seed {seed}");
            }
        }
    }

    /// What is true when liars are fewer than any quorum.
    fn check_truth(&self) {
        let Self { network, seed, .. } = self;
        let mut settled = BTreeSet::new();
        for record in &self.records {
            let all = ShardKey { job: record.job, ..ShardKey::default() };
            for verdict in network.chain.view().shard_verdicts(all, usize::MAX).unwrap() {
                let shard = ShardKey { job: record.job, stage: verdict.result.stage, shard: verdict.result.shard };
                if let Some(answer) = verdict.result.answer {
                    assert_eq!(answer, network.truth(shard), "seed {seed}: shard {shard}");
                    settled.insert(shard);
                }
            }
        }
        let faultless = self.faultless();
        assert!(network.fines().keys().all(|node| !faultless.contains(node)), "seed {seed}: {:?}", network.fines());
        // Who lied in a shard that came to a result paid for it, and got nothing.
        let slashed: BTreeSet<(ShardKey, NodeId)> = network
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Slashed { shard, node, fault: Fault::WrongAnswer { .. }, .. } => Some((*shard, *node)),
                _ => None,
            })
            .collect();
        let closing: BTreeSet<_> =
            self.records.iter().filter(|record| record.phase != JobPhase::Final).map(|record| record.job).collect();
        // A shard that began anew after a failure forgot who answered it before.
        let failed: BTreeSet<ShardKey> = network
            .events
            .iter()
            .filter_map(|event| if let Event::ShardFailed { shard, .. } = event { Some(*shard) } else { None })
            .collect();
        for event in &network.events {
            match event {
                Event::Revealed { shard, node, answer, .. } if *answer != network.truth(*shard) => {
                    let excused = !settled.contains(shard) || closing.contains(&shard.job) || failed.contains(shard);
                    assert!(excused || slashed.contains(&(*shard, *node)), "seed {seed}: {node} lied in {shard}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn whoever_works_every_job_ends_and_every_coin_is_accounted_for() {
    for seed in 0..8 {
        run(seed, |dice, _| character(dice), true).check();
    }
}

#[test]
fn with_one_worker_of_any_character_results_are_right_and_only_faults_are_punished() {
    for seed in 1000..1008 {
        // The first worker is of any character, the others are honest.
        let run = run(seed, |dice, place| if place == 0 { character(dice) } else { honest(dice) }, false);
        run.check();
        run.check_truth();
        assert!(!run.cancelled);
        let enough = run.network.characters.len() > 3;
        let finals = run.records.iter().filter(|record| record.phase == JobPhase::Final).count();
        assert!(!enough || finals == run.records.len(), "seed {seed}: {:?}", run.records);
    }
}

#[test]
fn many_faults_but_fewer_liars_than_a_quorum_never_make_a_wrong_result() {
    for seed in 2000..2008 {
        let mut liars = 0;
        let run = run(
            seed,
            |dice, _| match character(dice) {
                Character::Liar(_) if liars > 0 => Character::Silent,
                Character::Liar(number) => {
                    liars += 1;
                    Character::Liar(number)
                }
                other => other,
            },
            true,
        );
        run.check();
        run.check_truth();
    }
}

#[test]
#[ignore = "minutes: `make test-long` runs it"]
fn hundreds_of_seeds() {
    for seed in 10_000..10_300 {
        run(seed, |dice, _| character(dice), true).check();
        let run = run(seed, |dice, place| if place == 0 { character(dice) } else { honest(dice) }, true);
        run.check();
        run.check_truth();
    }
}
