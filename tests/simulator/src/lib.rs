//! Validators in seeded virtual time: the real consensus core, the real chain, the real ledger; the network, the
//! clocks, the disks and the faults are simulated.
//!
//! Everything that happens follows from the seed: the same seed gives the same trace. Messages are late, lost and
//! reordered; the network splits; nodes crash between any two steps, lose what was in memory and come back
//! from their disk and their log; clocks differ; one validator may sign two things where it may sign one.
//! At every step the [`judge`] holds the chain to what must always be true, and when the faults stop, the
//! chain must go on.
//!
//! ```text
//!   Scenario (seed) -> World -> events in order of time -> Machine: core + Chain + MemoryDisk + log + pool
//!      |                 |                                    |  ^
//!      +-- Market        |                    finalized state |  | transactions, over the simulated network
//!                        |                                    v  |
//!                        |                                  Worker: journal + due() -- Customer: orders
//!                        +---- Judge: agreement, validity, conservation, nobody signs twice; jobs
//! ```
//!
//! **Jobs** ([`market`]). In two seeds of three there are one or two tiers of five to seven workers, each of its own
//! owner, and one to four jobs of one to three stages, some with a small budget, a short deadline, or cancelled. A
//! [`worker`] reads the finalized state of one validator, looks again after each of its blocks, takes a drawn time for
//! each run, writes its answer into a journal, and says what the real worker would say
//! ([`valo::worker::due`]), again until it is final. It falls with its validator and keeps its journal
//! alone. Up to three of a tier lie (each for itself or all the same), are silent, commit and do not reveal, copy a
//! commitment, work too slowly, or abstain.
//!
//! What the judge holds of jobs ([`judge`]), at every block that is final:
//! - the ledger's own audit: slots, stakes and escrows are what shards hold, and no shard is without a next step;
//! - behind an accepted answer are a quorum and two thirds of all that were revealed since the shard last began
//!   anew, counted from the events; a wrong one takes a quorum of liars among those drawn;
//! - an honest worker never loses stake for an answer that is right, and where network and machines are well from the
//!   start (every fourth seed), it loses none for anything but being outvoted;
//! - a job fails by its deadline only when that has passed;
//! - after the faults every job ends, in a time that follows from how many shards there are
//!   ([`market::Market::longest`]), and then no escrow, no slot and no stake is held any more;
//! - where all is well from the start and at most one worker of each tier is not honest, every job that nothing
//!   stands in the way of has a result.

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

pub mod customer;
pub mod genesis;
pub mod joining;
pub mod judge;
pub mod log;
pub mod machine;
pub mod market;
pub mod pool;
pub mod random;
pub mod scenario;
pub mod wire;
pub mod worker;
pub mod world;

pub use scenario::Scenario;
pub use world::{Outcome, World};

/// Runs one seed. Panics when something does not hold, and says how to run the seed again.
pub fn run(seed: u64) -> Outcome {
    run_scenario(Scenario::of(seed))
}

/// Runs a scenario.
pub fn run_scenario(scenario: Scenario) -> Outcome {
    let seed = scenario.seed;
    let world = World::new(scenario);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    outcome.unwrap_or_else(|complaint| {
        eprintln!("seed {seed} failed; again: VALO_SIM_SEED={seed} cargo test --workspace --test seeds seeds");
        std::panic::resume_unwind(complaint)
    })
}
