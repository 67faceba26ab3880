//! Tests on a real Kubernetes (`tests/cluster/testbed`), from the outside: `kubectl` and `helm`, as users have them.
//!
//! A program and not `cargo test`, since the cluster has to come up before the first test and go after the last one,
//! also when one of them fails or somebody presses Ctrl-C. `make cluster-test` builds what it needs and starts it; it
//! takes the arguments of any Rust test: `valo-cluster-tests custom_resources --test-threads 1`.
//!
//! | variable | says |
//! | --- | --- |
//! | `VALO_IMAGES` | the folder that `images/build` has written |
//! | `VALO_NODES` | how many nodes; 3 unless said |
//! | `VALO_KEEP` | use the cluster that is up, and leave it and what failed on it to be looked at |
//!
//! A new test is a function of a [`Namespace`](harness::Namespace) in `tests/`, and one line below.

mod harness;
mod tests;
mod valo;

use harness::{Cluster, Suite};
use std::process::ExitCode;
use tests::{charts, custom_resources, drift, images, join, machines, testbed};

fn main() -> ExitCode {
    // Beside those that run alone nothing else does: they change what all others see, or stop what they use.
    let suite = Suite::new()
        .alone("custom_resources::are_accepted", custom_resources::are_accepted)
        .alone("custom_resources::refuse_wrong_objects", custom_resources::refuse_wrong_objects)
        .alone("custom_resources::list_explain_and_scale", custom_resources::list_explain_and_scale)
        .test("images::the_node_runs_restricted", images::the_node_runs_restricted)
        .test("images::a_network_computes_restricted", images::a_network_computes_restricted)
        .alone("charts::install_compute_and_leave", charts::install_compute_and_leave)
        .alone("charts::scale_there_and_back", charts::scale_there_and_back)
        .alone("charts::pods_are_killed", charts::pods_are_killed)
        .alone("join::a_stranger_works_earns_and_leaves", join::a_stranger_works_earns_and_leaves)
        .alone("drift::hands_are_undone", drift::hands_are_undone)
        .alone("drift::the_operator_is_away", drift::the_operator_is_away)
        .alone("drift::scaling_is_turned_round", drift::scaling_is_turned_round)
        .alone("machines::a_drain_leaves_a_quorum", machines::a_drain_leaves_a_quorum)
        .alone("machines::a_forced_pod_signs_with_nobody", machines::a_forced_pod_signs_with_nobody)
        .alone("machines::a_machine_is_lost_and_comes_back", machines::a_machine_is_lost_and_comes_back)
        .alone("machines::a_validator_loses_its_volume", machines::a_validator_loses_its_volume)
        .alone("machines::a_copied_key_stays_down", machines::a_copied_key_stays_down)
        .alone("testbed::a_node_loses_power_and_comes_back", testbed::a_node_loses_power_and_comes_back);
    suite.run(Cluster::up)
}
