//! A validator that loses its disk, and with it what it knew of its own votes, amid the faults of `seeds`.

use std::panic::catch_unwind;
use valo_simulator::{Scenario, World, run_scenario};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=16;

#[test]
fn a_validator_without_its_disk_contradicts_nothing_and_votes_again() {
    let mut back = 0;
    for seed in SEEDS {
        let outcome = run_scenario(Scenario::wiped(seed, true));
        println!("seed {seed}: {} blocks, {} falls, votes again: {}", outcome.blocks, outcome.falls, outcome.back);
        assert_eq!(outcome.faults, 0);
        back += usize::from(outcome.back);
    }
    assert!(back >= 14, "in {back} of 16 runs it voted again");
}

/// What the other test holds is not so by itself.
#[test]
fn one_that_votes_at_once_contradicts_itself() {
    let contradicts = |seed: &u64| {
        let complaint = catch_unwind(|| World::new(Scenario::wiped(*seed, false)).run()).err();
        let complaint = complaint.and_then(|complaint| complaint.downcast::<String>().ok()).unwrap_or_default();
        println!("seed {seed}: {complaint}");
        complaint.contains("signed two different things") || complaint.contains("an honest node is accused")
    };
    assert!(SEEDS.filter(contradicts).count() > 0, "nobody noticed");
}
