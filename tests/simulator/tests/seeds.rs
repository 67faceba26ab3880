//! Runs of many seeds. `VALO_SIM_SEED=7` runs one seed; `VALO_SIM_SECONDS=3600` runs for an hour, and
//! `VALO_SIM_FIRST=1000` starts elsewhere.

#![allow(clippy::expect_used, reason = "a failure here is a failed test")]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use valo_simulator::{Outcome, Scenario, run, run_scenario};

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[test]
fn seeds() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    if let Some(seed) = setting("VALO_SIM_SEED") {
        println!("{:?}", Scenario::of(seed));
        println!("{:?}", run(seed));
        return;
    }
    let time = Duration::from_secs(setting("VALO_SIM_SECONDS").unwrap_or(40));
    let next = AtomicU64::new(setting("VALO_SIM_FIRST").unwrap_or(1));
    let began = Instant::now();
    let work = || {
        let mut outcomes = Vec::new();
        while began.elapsed() < time {
            outcomes.push(run(next.fetch_add(1, Ordering::Relaxed)));
        }
        outcomes
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a seed failed")).collect()
    });
    let sum = |part: fn(&Outcome) -> u64| outcomes.iter().map(part).sum::<u64>();
    println!(
        "{} seeds: agreement, validity, conservation and liveness held; {} blocks ({} in a later round), \
         {} transactions, {} falls, {} faults proven, {} jobs accepted, {} failed, {} shards deceived by a quorum of \
         liars, stake taken {} times, {} events, {} virtual seconds in {} s",
        outcomes.len(),
        sum(|outcome| outcome.blocks),
        sum(|outcome| outcome.late as u64),
        sum(|outcome| outcome.transactions as u64),
        sum(|outcome| outcome.falls as u64),
        sum(|outcome| outcome.faults as u64),
        sum(|outcome| outcome.accepted as u64),
        sum(|outcome| outcome.failed as u64),
        sum(|outcome| outcome.deceived as u64),
        sum(|outcome| outcome.slashed as u64),
        sum(|outcome| outcome.events as u64),
        sum(|outcome| outcome.time) / 1_000_000,
        began.elapsed().as_secs()
    );
    // A simulation in which nothing goes wrong shows nothing.
    assert!(outcomes.len() < 20 || (sum(|outcome| outcome.late as u64) > 0 && sum(|outcome| outcome.falls as u64) > 0));
    assert!(outcomes.len() < 20 || sum(|outcome| outcome.faults as u64) > 0);
    let (accepted, failed) = (sum(|outcome| outcome.accepted as u64), sum(|outcome| outcome.failed as u64));
    assert!(outcomes.len() < 20 || (accepted > 0 && failed > 0 && sum(|outcome| outcome.slashed as u64) > 0));
}

/// In virtual time: that of a machine that is busy with something else says nothing.
#[test]
fn with_one_dead_of_four_no_block_is_later_than_one_and_a_half_seconds() {
    let outcomes: Vec<Outcome> = (1..=8).map(|seed| run_scenario(Scenario::one_dead(seed))).collect();
    let longest = outcomes.iter().map(|outcome| outcome.longest).max();
    let sum = |part: fn(&Outcome) -> u64| outcomes.iter().map(part).sum::<u64>();
    let (blocks, late) = (sum(|outcome| outcome.blocks), sum(|outcome| outcome.late as u64));
    println!("one dead of four: {blocks} blocks, {late} in a later round, longest gap {longest:?} microseconds");
    // The dead one had its turn: it was waited for.
    assert!(late > 0);
    assert!(longest < Some(1_500_000), "{longest:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 11, 12] {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(3).trace, run(11).trace);
}
