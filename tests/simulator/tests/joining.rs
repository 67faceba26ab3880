//! Validators join and leave at epoch boundaries under faults: the promises of `seeds` hold all the while.

use valo_simulator::{Scenario, run_scenario};

#[test]
fn validators_join_and_leave_under_faults_and_agreement_holds() {
    let mut changed = 0;
    for seed in 1..=12 {
        let outcome = run_scenario(Scenario::joining(seed));
        println!("seed {seed}: {} blocks, {} validator sets, {} falls", outcome.blocks, outcome.sets, outcome.falls);
        changed += usize::from(outcome.sets > 2);
    }
    // Two come in and one goes: where the faults leave time for it.
    assert!(changed >= 6, "in {changed} of 12 runs the set changed twice");
}
