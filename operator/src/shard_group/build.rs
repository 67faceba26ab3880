//! The objects, with their status.

use super::dereference::Found;
use crate::{
    conditions::{Conditions, READY},
    names, owned,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeSet;
use valo_client::types::Group;
use valo_crds::{GroupMember, LocalReference, Network, ShardGroup, ShardGroupSpec, ShardGroupStatus};
use valo_protocol::registry::NodeId;

/// Builds an object for each group, with its status beside it.
pub fn build(network: &Network, found: &Found, now: Timestamp) -> Vec<(ShardGroup, ShardGroupStatus)> {
    found.groups.iter().map(|group| one(network, found, group, now)).collect()
}

fn one(network: &Network, found: &Found, group: &Group, now: Timestamp) -> (ShardGroup, ShardGroupStatus) {
    let name = format!("{}-{}-{}", network.name_any(), group.tier_name, group.index);
    let spec = ShardGroupSpec {
        network_ref: LocalReference { name: network.name_any() },
        tier: group.tier_name.to_string(),
        index: group.index.into(),
    };
    let mut object = ShardGroup::new(&name, spec);
    let labels = [(names::COMPONENT, "shard-group"), (names::NETWORK, &network.name_any())];
    object.metadata = owned::metadata(network, name.clone(), names::labels(&labels));

    let member = |node: NodeId| GroupMember {
        id: i64::from(node.0),
        owner: found.owners.get(&node).cloned().unwrap_or_default(),
        pod: found.pods.get(&node).cloned(),
    };
    let nodes: Vec<GroupMember> = group.nodes.iter().map(|node| member(*node)).collect();
    let owners: BTreeSet<&String> = nodes.iter().map(|node| &node.owner).collect();
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let shown = found.shown.iter().find(|shown| shown.name_any() == name);
    let last = shown.and_then(|shown| shown.status.as_ref()).map(|status| status.conditions.as_slice());
    let generation = shown.and_then(|shown| shown.metadata.generation);
    let mut conditions = Conditions::from(last.unwrap_or_default(), generation, now);
    conditions.set(READY, true, "Read", format!("as the chain has it in epoch {}", found.epoch));
    let status = ShardGroupStatus {
        observed_generation: generation,
        epoch: i64::try_from(found.epoch).ok(),
        members: count(nodes.len()),
        local_members: count(nodes.iter().filter(|node| node.pod.is_some()).count()),
        owners: count(owners.len()),
        nodes,
        conditions: conditions.into_list(),
    };
    (object, status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_is_shown_with_its_owners_and_the_pods_of_here() {
        let network: Network = serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "Network",
            "metadata": {"name": "demo", "namespace": "valo", "uid": "n-1"}, "spec": {},
        }))
        .unwrap();
        let group = json!({"tier": 0, "tierName": "small", "index": 1, "nodes": [4, 5, 6]});
        let found = Found {
            epoch: 7,
            groups: vec![serde_json::from_value(group).unwrap()],
            owners: [(NodeId(4), "a".to_owned()), (NodeId(5), "b".to_owned()), (NodeId(6), "b".to_owned())].into(),
            pods: [(NodeId(5), "workers-0".to_owned())].into(),
            shown: vec![],
        };
        let built = build(&network, &found, "2026-01-01T00:00:00Z".parse().unwrap());
        insta::assert_yaml_snapshot!(built);
    }
}
