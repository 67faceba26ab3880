//! The consensus engine behind a narrow boundary: a block goes in; a certificate and evidence come out.
//!
//! [Malachite](https://github.com/circlefin/malachite) runs as actors on tokio: votes, timeouts, its write-ahead
//! log, the network among validators, and the fetching of blocks for late nodes. It asks the application
//! what to propose and tells it what was decided; [`app`] answers from the node's [`Chain`](crate::chain::Chain)
//! on a thread of its own, one file for each group of messages.

mod app;
pub mod codec;
pub mod context;
mod engine;
pub mod evidence;
pub mod newcomer;
mod peers;
pub mod signed;
pub mod signing;
mod voting;

pub use app::proposed_value;
pub use engine::{AddressError, Config, Consensus, StartError, can_listen, peer_address, start};
pub use peers::Peers;
pub use voting::{NewFolder, Voting};

use malachitebft_core_types::LinearTimeouts;
use std::time::Duration;
use valo_ledger::Head;

/// How long validators wait in each step of a round. A dead proposer costs the propose timeout and the precommit
/// timeout: well under a second.
pub fn timeouts() -> LinearTimeouts {
    LinearTimeouts {
        propose: Duration::from_millis(250),
        propose_delta: Duration::from_millis(150),
        prevote: Duration::from_millis(100),
        prevote_delta: Duration::from_millis(100),
        precommit: Duration::from_millis(100),
        precommit_delta: Duration::from_millis(100),
        rebroadcast: Duration::from_millis(1000),
        max_timeout: Duration::from_secs(10),
    }
}

/// The validators of the height after `head`, as the engine draws proposers from them.
pub fn validators_after(head: &Head) -> context::ValidatorSet {
    context::ValidatorSet::new(head.validators.clone(), head.randomness, head.skipped.clone())
}
