//! The groups of the chain with nodes of this cluster, and what shows them already.

use super::Error;
use crate::{
    Context,
    chain::{Chain, ChainError},
    names::{self, namespace_of},
};
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_client::types::Group;
use valo_crds::{Network, NodeTier, ShardGroup};
use valo_protocol::registry::NodeId;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The present epoch.
    pub epoch: u64,
    /// Groups with a node of this cluster.
    pub groups: Vec<Group>,
    /// The owners of their members, by node.
    pub owners: BTreeMap<NodeId, String>,
    /// The pods of this cluster's nodes.
    pub pods: BTreeMap<NodeId, String>,
    /// The objects that there are.
    pub shown: Vec<ShardGroup>,
}

/// Asks for it all.
pub async fn dereference(
    context: &Context,
    network: &Network,
    chain: &Chain,
    tiers: &[NodeTier],
) -> Result<Found, Error> {
    let own = names::selector(&[(names::NETWORK, &network.name_any())]);
    let shown = context.cluster.list(&namespace_of(network), &own).await?;
    let nodes = tiers.iter().filter_map(|tier| tier.status.as_ref()).flat_map(|status| &status.nodes);
    let pods: BTreeMap<NodeId, String> =
        nodes.filter_map(|node| Some((NodeId(u32::try_from(node.id?).ok()?), node.pod.clone()))).collect();
    let mut found = Found { epoch: chain.status.epoch, shown, pods, ..Found::default() };
    // Without a worker there is nothing to show, and nothing to ask.
    if found.pods.is_empty() {
        return Ok(found);
    }
    let groups = chain.client.groups().await.map_err(ChainError::from)?.items;
    found.groups =
        groups.into_iter().filter(|group| group.nodes.iter().any(|node| found.pods.contains_key(node))).collect();
    for group in &found.groups {
        for node in &group.nodes {
            let record = crate::chain::found(chain.client.node(*node).await).map_err(ChainError::from)?;
            found.owners.extend(record.map(|record| (*node, record.owner.to_string())));
        }
    }
    Ok(found)
}
