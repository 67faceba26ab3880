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
//!   Scenario (seed) -> World -> events in order of time -> Machine: core + Chain + MemoryDisk + log
//!                        |                                     |
//!                        +---- Judge: agreement, validity, conservation, nobody signs twice
//! ```

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

pub mod judge;
pub mod log;
pub mod machine;
pub mod pool;
pub mod random;
pub mod scenario;
pub mod wire;
pub mod world;

pub use scenario::Scenario;
pub use world::{Outcome, World};

/// Runs one seed. Panics when something does not hold, and says how to run the seed again.
pub fn run(seed: u64) -> Outcome {
    let world = World::new(Scenario::of(seed));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    outcome.unwrap_or_else(|complaint| {
        eprintln!("seed {seed} failed; run it again with: VALO_SIM_SEED={seed} cargo test -p valo-simulator seeds");
        std::panic::resume_unwind(complaint)
    })
}
