//! Network: one chain, as nodes of this cluster see it.
//!
//! A new chain starts when the keys of its validators and the wallets of its genesis are there: the genesis is built
//! from them and the spec alone, so that every pass builds the same, and its hash goes into the status. From then on
//! nothing but a genesis of that hash is believed. A chain to join is named by its hash from the start.

mod apply;
mod build;
mod delete;
mod dereference;
mod genesis;
mod status;
mod validate;

use crate::{
    Context,
    chain::ChainError,
    cluster::ClusterError,
    controller::{AGAIN, Kind, Problem, SOON, Steps},
    shard_group,
};
use kube::runtime::controller::Action;
use std::sync::Arc;
use valo_contract::chain::DescriptionError;
use valo_crds::Network;

pub use genesis::{DOCUMENT, GenesisProblem};

/// Why a pass over a Network fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do something.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Its groups could not be shown.
    #[error("cannot show the sharding groups")]
    Groups(#[from] shard_group::Error),
    /// What the spec describes is no chain.
    #[error("spec.chain")]
    Description(#[from] DescriptionError),
    /// What the spec refers to does not fit.
    #[error(transparent)]
    Genesis(#[from] GenesisProblem),
}

impl Problem for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "ClusterError",
            Self::Chain(_) | Self::Groups(shard_group::Error::Chain(_)) => "ChainUnreachable",
            Self::Groups(shard_group::Error::Cluster(_)) => "ClusterError",
            Self::Description(_) => "Invalid",
            Self::Genesis(problem) => problem.reason(),
        }
    }
}

/// Whether nodes get the genesis from their seeds: all that is known of it is its hash.
pub fn is_by_hash(network: &Network) -> bool {
    network.spec.join.as_ref().is_some_and(|join| join.genesis_ref.is_none())
}

impl Kind for Network {
    const CONTROLLER: &'static str = "network";
    type Problem = Error;

    fn denies(reason: &str) -> &'static [&'static str] {
        match reason {
            "GenesisMismatch" | "GenesisMalformed" => &[status::GENESIS, status::PROGRESSING],
            _ => &[],
        }
    }

    async fn reconcile(network: Arc<Self>, context: Arc<Context>) -> Result<Action, Error> {
        let steps = Steps::of::<Self>(&context);
        if network.metadata.deletion_timestamp.is_some() {
            if steps.run("delete", delete::delete(&context, &network)).await? {
                return Ok(Action::await_change());
            }
            // Those that leave are followed to the end.
            let found = steps.run("dereference", dereference::dereference(&context, &network)).await?;
            // What is wrong with the spec is no news any more.
            if let Ok(checked) = validate::validate(&network, found) {
                let applied = apply::Applied::before(&network);
                steps.run("status", status::report(&context, &network, &checked, &applied)).await?;
            }
            return Ok(Action::requeue(SOON));
        }
        let found = steps.run("dereference", dereference::dereference(&context, &network)).await?;
        let checked = validate::validate(&network, found)?;
        let prepared = build::build(&network, &checked);
        let applied = steps.run("apply", apply::apply(&context, &network, prepared)).await?;
        if let Some(chain) = &checked.chain {
            steps.run("groups", shard_group::project(&context, &network, chain, &checked.tiers)).await?;
        }
        let settled = steps.run("status", status::report(&context, &network, &checked, &applied)).await?;
        Ok(Action::requeue(if settled { AGAIN } else { SOON }))
    }
}
