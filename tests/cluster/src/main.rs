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

use harness::{Cluster, Suite};
use std::process::ExitCode;
use tests::{custom_resources, images};

fn main() -> ExitCode {
    let suite = Suite::new()
        // Changes what all others see, or stops what they use: nothing runs beside it.
        .alone(
            "custom_resources::definitions_and_samples_are_accepted",
            custom_resources::definitions_and_samples_are_accepted,
        )
        .alone("custom_resources::wrong_objects_are_refused", custom_resources::wrong_objects_are_refused)
        .alone(
            "custom_resources::kubectl_lists_explains_and_scales",
            custom_resources::kubectl_lists_explains_and_scales,
        )
        .test("images::the_node_runs_restricted", images::the_node_runs_restricted);
    suite.run(Cluster::up)
}
