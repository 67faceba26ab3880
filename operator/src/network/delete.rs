//! A Network goes when its nodes are gone: they need to know until then which chain they leave.

use super::Error;
use crate::{
    Context,
    names::{FINALIZER, namespace_of, reference},
};
use kube::ResourceExt;
use valo_crds::{Network, NodeTier};

/// Ends a Network, or waits; whether it is over.
pub async fn delete(context: &Context, network: &Network) -> Result<bool, Error> {
    let (namespace, name) = (namespace_of(network), network.name_any());
    let (tiers, malformed) = context.cluster.list_all::<NodeTier>(&namespace, "").await?;
    let tiers = tiers.iter().filter(|tier| tier.spec.network_ref.name == name).map(|tier| tier.name_any());
    // Nobody knows whose those are that cannot be read: their nodes may be of this chain.
    let waits: Vec<String> = tiers.chain(malformed).map(|tier| format!("NodeTier {tier}")).collect();
    if !waits.is_empty() {
        let note = format!("{} of this Network go first: delete them", waits.join(", "));
        context.tell(&reference(network), "Waiting", "Delete", note).await;
        return Ok(false);
    }
    context.cluster.set_finalizer(network, FINALIZER, false).await?;
    Ok(true)
}
