//! Networks of real processes for the end-to-end tests, and the command line as a user types it.
//!
//! One network runs at a time in a test binary, and `cargo test` runs one binary after the other: the windows of the
//! protocol (two seconds for reveals) are then the network's own affair, and not that of its neighbours.
//!
//! - [`User`]: a folder with keys and profiles, and `valo` in it
//! - [`Network`]: a user with `valo dev`; its nodes can be killed, held, and run again
//! - [`Node`]: a node by hand, with `valo run`
//! - [`Impostor`]: says to the chain what it likes, with the key of a worker
//! - [`Chain`]: what the blocks say was done

mod chain;
mod impostor;
mod network;
mod node;
pub mod programs;
mod user;

pub use chain::{Chain, Said, blocks};
pub use impostor::{Conduct, Impostor};
pub use network::Network;
pub use node::Node;
pub use user::User;

use anyhow::ensure;
use std::{path::PathBuf, process::Command, time::Duration};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often something without an event of its own is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The root of the repository: cargo runs tests in the folder of their package. Not known when they are compiled, since
/// clones may share what was built.
pub fn repository() -> PathBuf {
    std::path::absolute("../..").unwrap_or_else(|_| "../..".into())
}

fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status()?;
    ensure!(status.success(), "cannot signal process {process}");
    Ok(())
}
