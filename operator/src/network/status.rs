//! Says where the chain of a Network stands, from what is finalized.

use super::{Error, apply::Applied, validate::Checked};
use crate::{
    Context, addresses,
    chain::{API_PORT, is_ready},
    conditions::{Conditions, READY},
    names::{self, namespace_of},
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};
use valo_crds::{AddressType, ConsensusPeer, Network, NetworkStatus, NodeStatus, NodeTier, Role, Seed};

/// The condition that the genesis is there and the right one.
pub const GENESIS: &str = "Genesis";
/// The condition that the chain makes blocks.
pub const PROGRESSING: &str = "Progressing";
/// Seeds and peers that are told to others: a few are enough, they tell of the rest.
const TOLD: usize = 8;

/// Writes the status. Whether everything is as it should be.
pub async fn report(context: &Context, network: &Network, checked: &Checked, applied: &Applied) -> Result<bool, Error> {
    let status = status(network, checked, applied, context.now());
    let settled = crate::conditions::holds(&status.conditions, READY);
    let was_ready = network.status.as_ref().is_some_and(|last| crate::conditions::holds(&last.conditions, READY));
    context.cluster.apply_status(network, network.status.as_ref(), &status).await?;
    if settled && !was_ready {
        let note = format!("the nodes follow the chain, at height {}", status.height.unwrap_or_default());
        context.tell(&names::reference(network), "Ready", "Report", note).await;
    }
    Ok(settled)
}

/// The status of a Network.
pub fn status(network: &Network, checked: &Checked, applied: &Applied, now: Timestamp) -> NetworkStatus {
    let last = network.status.clone().unwrap_or_default();
    let mut conditions = Conditions::from(&last.conditions, network.metadata.generation, now);
    match (&checked.genesis, applied.genesis) {
        (Ok(_), Some(hash)) => conditions.set(GENESIS, true, "Made", format!("the chain is {hash}")),
        (Ok(_), None) => conditions.set(GENESIS, false, "Waiting", "the genesis is not in the cluster yet"),
        (Err(waits), _) => conditions.set(GENESIS, false, "Waiting", waits.0.clone()),
    }
    let (ready, reason, message) = readiness(checked);
    conditions.set(READY, ready, reason, message.clone());
    let makes_blocks = ready && last.height.is_none_or(|height| height <= height_of(checked).unwrap_or(0));
    let (reason, message) = match (makes_blocks, ready) {
        (true, _) => ("MakesBlocks", message),
        (false, true) => ("NotCaughtUp", "the node that answers is behind the one that was asked last".to_owned()),
        (false, false) => (reason, message),
    };
    conditions.set(PROGRESSING, makes_blocks, reason, message);
    let (seeds, peers) = told(network, checked);
    let mut status = NetworkStatus {
        observed_generation: network.metadata.generation,
        chain: checked.genesis.as_ref().ok().map(|genesis| genesis.chain.to_string()).or(last.chain.clone()),
        genesis_hash: applied.genesis.or(checked.by_hash).map(|hash| hash.to_string()).or(last.genesis_hash.clone()),
        api: Some(format!("http://{}.{}.svc:{API_PORT}", names::api(&network.name_any()), namespace_of(network))),
        seeds,
        peers,
        conditions: conditions.into_list(),
        ..last
    };
    // What was read last stays while the chain is silent.
    if let Some(chain) = &checked.chain {
        let found = &chain.status;
        status.height = height_of(checked);
        let moment = i64::try_from(found.time.0).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
        status.block_time = moment.map(Time);
        status.epoch = i64::try_from(found.epoch).ok();
        status.validators = i32::try_from(found.validators).ok();
        status.total_power = i64::try_from(found.total_power).ok();
    }
    status.voting_power_at_risk = at_risk(checked).or(status.voting_power_at_risk);
    status
}

fn height_of(checked: &Checked) -> Option<i64> {
    checked.chain.as_ref().and_then(|chain| i64::try_from(chain.status.height.0).ok())
}

fn readiness(checked: &Checked) -> (bool, &'static str, String) {
    if let (Err(waits), None) = (&checked.genesis, checked.by_hash) {
        return (false, "WaitingForGenesis", waits.0.clone());
    }
    match &checked.chain {
        None => {
            let why = checked.silent.clone().unwrap_or_else(|| "the nodes start".to_owned());
            (false, "ChainUnreachable", why)
        }
        Some(chain) => match chain.behind() {
            None => (true, "FollowsChain", "nodes of this cluster follow the chain".to_owned()),
            Some(why) => (false, "NotCaughtUp", format!("no node of this cluster is caught up: {why}")),
        },
    }
}

/// Part of the voting power that is of this cluster and does not take part now.
fn at_risk(checked: &Checked) -> Option<String> {
    let validators = checked.validators.as_ref()?;
    let ready: BTreeMap<String, bool> = checked.pods.iter().map(|pod| (pod.name_any(), is_ready(pod))).collect();
    let nodes = without_copies(&checked.tiers, &checked.pods);
    let down: Vec<&str> = nodes
        .into_iter()
        .map(|(_, node)| node)
        .filter(|node| !ready.get(&node.pod).copied().unwrap_or(false))
        .filter_map(|node| node.public_key.as_deref())
        .collect();
    let power: u64 = validators
        .validators
        .iter()
        .filter(|validator| down.contains(&validator.key.to_string().as_str()))
        .fold(0, |sum, validator| sum.saturating_add(validator.power));
    // In tenths of a percent, rounded up: it is never told smaller than it is.
    let thousandths = u128::from(power).saturating_mul(1000).div_ceil(u128::from(validators.total_power.max(1)));
    Some(format!("{}.{}%", thousandths / 10, thousandths % 10))
}

/// The nodes that tiers tell of, but for those without a pod whose key that of another one has: two pods never sign with
/// one key, so they do not run, and are reached nowhere.
fn without_copies<'a>(tiers: &'a [NodeTier], pods: &[Pod]) -> Vec<(&'a NodeTier, &'a NodeStatus)> {
    let nodes = |tier: &'a NodeTier| tier.status.iter().flat_map(|status| &status.nodes).map(move |node| (tier, node));
    let has_pod = |node: &NodeStatus| pods.iter().any(|pod| pod.name_any() == node.pod);
    let running: BTreeSet<&str> = tiers
        .iter()
        .flat_map(nodes)
        .filter(|(_, node)| has_pod(node))
        .filter_map(|(_, node)| node.public_key.as_deref())
        .collect();
    let is_copy =
        |node: &NodeStatus| !has_pod(node) && node.public_key.as_deref().is_some_and(|key| running.contains(key));
    tiers.iter().flat_map(nodes).filter(|(_, node)| !is_copy(node)).collect()
}

/// What others put into `spec.join`.
fn told(network: &Network, checked: &Checked) -> (Vec<Seed>, Vec<ConsensusPeer>) {
    let (mut seeds, mut peers) = (Vec::new(), Vec::new());
    for (tier, node) in without_copies(&checked.tiers, &checked.pods) {
        let Some(key) = &node.public_key else { continue };
        let ordinal = node.pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()).unwrap_or(0);
        let external = &network.spec.external_address;
        let outside = checked.external.get(&node.pod);
        let outside = outside.and_then(|service| addresses::outside(external, ordinal, service));
        let last = network.status.iter().flat_map(|status| &status.seeds).find(|seed| seed.key == *key);
        // What is not known for a moment, as while a Service is made anew, is not taken back.
        let kept = last.filter(|_| outside.is_none() && external.type_ != AddressType::None);
        let inside = || addresses::inside(&namespace_of(network), &tier.name_any(), &node.pod);
        let addresses = outside.unwrap_or_else(inside);
        if seeds.len() < TOLD {
            let seed = || Seed { key: key.clone(), addresses: vec![addresses.network.clone()] };
            seeds.push(kept.cloned().unwrap_or_else(seed));
        }
        if tier.spec.role == Role::Validator && peers.len() < TOLD {
            peers.push(ConsensusPeer(addresses.consensus));
        }
    }
    (seeds, peers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_with_a_copied_key_is_nowhere() {
        let tier = |name: &str, keys: &[&str]| -> NodeTier {
            let nodes = keys
                .iter()
                .enumerate()
                .map(|(ordinal, key)| json!({"pod": format!("{name}-{ordinal}"), "publicKey": key}));
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "valo"},
                "spec": {"networkRef": {"name": "demo"}, "role": "validator", "replicas": keys.len()},
                "status": {"nodes": nodes.collect::<Vec<_>>()},
            }))
            .unwrap()
        };
        let pod = |name: &str| -> Pod { serde_json::from_value(json!({"metadata": {"name": name}})).unwrap() };
        // The first one of the copies comes before what it copies; the second one is its own.
        let tiers = [tier("copy", &["b", "c"]), tier("v", &["a", "b"])];
        let pods = |pods: &[&str]| {
            let pods: Vec<Pod> = pods.iter().map(|name| pod(name)).collect();
            without_copies(&tiers, &pods).into_iter().map(|(_, node)| node.pod.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(pods(&["v-0", "v-1"]), ["copy-1", "v-0", "v-1"]);
        assert_eq!(pods(&["v-0"]), ["copy-0", "copy-1", "v-0", "v-1"], "neither runs: nobody knows whose it is");
    }
}
