//! ShardGroup: the sharding groups of the chain that nodes of this cluster are in, shown as objects.
//!
//! A projection: the Network's controller writes them from finalized state, undoes what others change, and takes away
//! what the chain has no more. Nothing is read back from them.

mod apply;
mod build;
mod dereference;

use crate::{
    Context,
    chain::{Chain, ChainError},
    cluster::ClusterError,
};
use valo_crds::{Network, NodeTier};

/// Why groups could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do something.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Shows the groups of a Network as they are now.
pub async fn project(context: &Context, network: &Network, chain: &Chain, tiers: &[NodeTier]) -> Result<(), Error> {
    let found = dereference::dereference(context, network, chain, tiers).await?;
    let prepared = build::build(network, &found, context.now());
    apply::apply(context, &found, prepared).await
}
