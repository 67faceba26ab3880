//! Refuses NodeTiers that cannot be, and puts together what is planned from.

use super::{
    Error,
    dereference::{Found, OnChain, wallet_of, wanted},
    funds::Funds,
    node_keys::NodeKeys,
    plan::{Record, Seen, Situation},
};
use crate::{
    addresses::{self, NodePorts},
    chain::{is_ready, sum},
    context::Settings,
    names::{self, namespace_of},
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Service},
};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};
use valo_client::types::Node;
use valo_crds::{
    AddressType, ConsensusKeyReservation, ExternalAddress, ImagePullPolicy, Network, NodeTier, Role, Seed,
};
use valo_protocol::{Amount, GenesisHash, PublicKey, SecretKey, registry::NodeRole};

/// The annotation with which a user lets nodes go without draining them.
pub const LEAVE_NOW: &str = "valo.network/leave-now";
/// Seeds and peers in the configuration: a few are enough, they tell of the rest.
const TOLD: usize = 16;

/// A NodeTier that can be.
#[derive(Debug)]
pub struct Checked {
    /// Hash of the genesis, once there is one.
    pub genesis: Option<GenesisHash>,
    /// Why there is none, if there is none.
    pub waits: Option<Waits>,
    /// How the pods are run.
    pub pods: PodSettings,
    /// The keys of nodes.
    pub keys: NodeKeys,
    /// Nodes whose Secret lacks the label of the NodeTier.
    pub mislabelled: BTreeSet<i32>,
    /// The reservations of those keys, as this pass has read them, by ordinal.
    pub reservations: BTreeMap<i32, ConsensusKeyReservation>,
    /// Keys to be put into Secrets, by ordinal.
    pub fresh: BTreeMap<i32, SecretKey>,
    /// What is planned from.
    pub situation: Situation,
    /// What the nodes are on the chain, if they are anything and it is known.
    pub role: Option<NodeRole>,
    /// What was read of the chain, if a node answers.
    pub chain: Option<OnChain>,
    /// Why none does.
    pub silent: Option<String>,
    /// The voting power of each node, and what of it may be lost.
    pub power: Power,
    /// The Services by which the world reaches nodes, by pod.
    pub external: BTreeMap<String, Service>,
    /// The node ports by which the world dials nodes, by ordinal.
    pub node_ports: BTreeMap<i32, NodePorts>,
    /// The pods as they are.
    pub seen_pods: Vec<Pod>,
    /// The StatefulSet as it is.
    pub stateful_set: Option<StatefulSet>,
}

impl Checked {
    /// Whether the Network is there. Nothing is made before it is.
    pub fn has_network(&self) -> bool {
        self.waits.as_ref().is_none_or(|waits| waits.reason != NETWORK_MISSING)
    }
}

/// What a NodeTier waits for before it can have pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// There is no such Network: nothing is made for it.
pub const NETWORK_MISSING: &str = "NetworkMissing";

/// How the pods of a NodeTier are run, as its Network says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSettings {
    /// The image.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: ImagePullPolicy,
    /// Secrets with which it is pulled.
    pub pull_secrets: Vec<String>,
    /// How nodes of other clusters reach these.
    pub external: ExternalAddress,
    /// Whether all nodes of the chain are of this cluster, for all that is known: names of this cluster then mean the
    /// same to all of them.
    pub is_private: bool,
    /// Connections that each node keeps for nodes that are not registered, if that is said.
    pub guests: Option<i32>,
    /// Whether the HTTP API has a name of its own.
    pub has_ingress: bool,
    /// Whether nodes of elsewhere are dialed.
    pub joins: bool,
    /// Whether the nodes get the genesis from their seeds by its hash; else its ConfigMap is mounted.
    pub genesis_by_hash: bool,
    /// Consensus addresses to dial.
    pub peers: Vec<String>,
    /// Nodes to know from the start.
    pub seeds: Vec<Seed>,
}

/// Voting power, for what may be disrupted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Power {
    /// Of all validators of the chain.
    pub total: u64,
    /// Of the nodes of this NodeTier.
    pub own: Vec<u64>,
    /// Of other nodes of this cluster that are not ready.
    pub others_down: u64,
    /// How many NodeTiers of validators share what may be lost.
    pub sharers: u64,
}

/// Checks a NodeTier.
pub fn validate(tier: &NodeTier, mut found: Found, settings: &Settings) -> Result<Checked, Error> {
    check_resources(tier)?;
    let pods = pod_settings(tier, &found, settings);
    let keys = NodeKeys::of(tier, &found.secrets)?;
    let node_ports = node_ports(tier, &pods.external, &keys.known(), &found);
    let wanted = wanted(tier);
    let has_none = |ordinal: &i32| *ordinal < wanted && !keys.lost.contains_key(ordinal) && found.network.is_some();
    let fresh: BTreeMap<i32, SecretKey> =
        std::mem::take(&mut found.fresh).into_iter().filter(|(ordinal, _)| has_none(ordinal)).collect();
    let status = found.network.as_ref().and_then(|network| network.status.as_ref());
    let genesis = status.and_then(|status| status.genesis_hash.as_ref()?.parse().ok());
    let name = &tier.spec.network_ref.name;
    let waits = match (&found.network, genesis) {
        (None, _) => {
            let message = format!("spec.networkRef.name: there is no Network {name}");
            Some(Waits { reason: NETWORK_MISSING, message })
        }
        (Some(_), None) => {
            Some(Waits { reason: "WaitingForNetwork", message: format!("Network {name} has no genesis yet") })
        }
        (Some(_), Some(_)) => None,
    };
    let role = role(tier, found.chain.as_ref())?;
    let running = found.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    let mut all: BTreeMap<i32, Seen> = BTreeMap::new();
    let known = keys.known();
    let highest = known.keys().next_back().map_or(0, |ordinal| ordinal.saturating_add(1));
    for ordinal in 0..highest.max(wanted).max(running) {
        let pod_name = names::pod(&tier.name_any(), ordinal);
        let pod = found.pods.iter().find(|pod| pod.name_any() == pod_name);
        let record = found.chain.as_ref().and_then(|chain| chain.records.get(&ordinal));
        let endpoints = endpoints_of(tier, &pods, &found.external, ordinal);
        let is_lost = keys.lost.contains_key(&ordinal);
        all.insert(ordinal, Seen { is_lost, ..seen(&endpoints, pod, record) });
    }
    let situation = Situation {
        role: tier.spec.role,
        wanted,
        running,
        chain_answers: found.chain.is_some() && !is_outdated(tier, found.chain.as_ref()),
        abandon: is_abandoned(tier, found.network.as_ref()),
        stake: stake(tier),
        begun: begun(tier, found.network.as_ref()),
        funds: funds(tier, &mut found, wanted),
        nodes: all,
    };
    let power = power(tier, &known, found.chain.as_ref(), &found.siblings);
    let Found { chain, silent, pods: seen_pods, stateful_set, external, mislabelled, reservations, .. } = found;
    Ok(Checked {
        genesis,
        waits,
        pods,
        keys,
        mislabelled,
        reservations,
        fresh,
        situation,
        role,
        chain,
        silent,
        power,
        external,
        node_ports,
        seen_pods,
        stateful_set,
    })
}

/// The node ports of Services that are there; of those that are gone the ones that others were told, by the chain or else
/// as seeds: they go on dialing them.
fn node_ports(
    tier: &NodeTier,
    external: &ExternalAddress,
    keys: &BTreeMap<i32, PublicKey>,
    found: &Found,
) -> BTreeMap<i32, NodePorts> {
    if external.type_ != AddressType::NodePort {
        return BTreeMap::new();
    }
    let status = found.network.as_ref().and_then(|network| network.status.as_ref());
    let seeds = status.map(|status| status.seeds.as_slice()).unwrap_or_default();
    let ports_of = |(ordinal, key): (&i32, &PublicKey)| {
        let ports = match found.external.get(&names::pod(&tier.name_any(), *ordinal)) {
            Some(service) => NodePorts::of(service),
            None => {
                let record = found.chain.as_ref().and_then(|chain| chain.records.get(ordinal));
                let endpoints = record.into_iter().flat_map(|record| &record.endpoints).map(String::as_str);
                let seed = seeds.iter().filter(|seed| seed.key == key.to_string()).flat_map(|seed| &seed.addresses);
                let seed: Vec<String> = seed.map(|address| format!("udp://{address}")).collect();
                let seed = NodePorts::told(external, seed.iter().map(String::as_str));
                NodePorts::told(external, endpoints).or(seed)
            }
        };
        (*ordinal, ports)
    };
    keys.iter().map(ports_of).collect()
}

/// Refuses what no pod can be: more set aside for it than it may use.
fn check_resources(tier: &NodeTier) -> Result<(), Error> {
    // Who leaves needs no more pods: what is wrong with the spec must not hold its end up.
    if tier.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let resources = &tier.spec.resources;
    let (Some(requests), Some(limits)) = (&resources.requests, &resources.limits) else { return Ok(()) };
    let refused = |field, limit: &dyn Display| Err(Error::Field { field, reason: format!("the limit is {limit}") });
    if let (Some(request), Some(limit)) = (requests.cpu, limits.cpu)
        && request > limit
    {
        return refused("spec.resources.requests.cpu", &limit);
    }
    if let (Some(request), Some(limit)) = (requests.memory, limits.memory)
        && request > limit
    {
        return refused("spec.resources.requests.memory", &limit);
    }
    Ok(())
}

/// Whether what was read of the chain is from before a node was registered that is known to be: no pod is caught up, such as
/// when all read the chain anew. What such a pod does not know is not gone.
fn is_outdated(tier: &NodeTier, chain: Option<&OnChain>) -> bool {
    let Some(chain) = chain.filter(|chain| !chain.chain.status.node.ready) else { return false };
    let nodes = tier.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
    let registered = nodes.iter().filter(|node| node.state.as_ref().is_some_and(|state| state != "left"));
    let ordinal = |pod: &str| pod.strip_prefix(&tier.name_any())?.strip_prefix('-')?.parse::<i32>().ok();
    let mut ordinals = registered.filter_map(|node| ordinal(&node.pod));
    ordinals.any(|ordinal| !chain.records.contains_key(&ordinal))
}

/// How many nodes were paid for before anybody asks the chain: those of its genesis, and those that are known to have been
/// registered.
fn begun(tier: &NodeTier, network: Option<&Network>) -> i32 {
    let name = tier.name_any();
    let chain = network.and_then(|network| network.spec.chain.as_ref());
    let groups = chain.into_iter().flat_map(|chain| &chain.validators);
    let of_genesis =
        groups.filter(|group| group.node_tier.as_ref() == Some(&name)).map(|group| group.count.unwrap_or(1));
    let nodes = tier.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
    let registered = nodes.iter().filter(|node| node.state.is_some());
    let ordinals = registered.filter_map(|node| node.pod.strip_prefix(&name)?.strip_prefix('-')?.parse::<i32>().ok());
    of_genesis.chain(ordinals.map(|ordinal| ordinal.saturating_add(1))).max().unwrap_or(0)
}

/// What new nodes are paid from. A node that is behind does not know what wallets have.
fn funds(tier: &NodeTier, found: &mut Found, wanted: i32) -> Option<Funds> {
    let chain = found.chain.as_mut().filter(|chain| chain.chain.status.node.ready)?;
    let signers = chain.signers.get_mut();
    let balance = |name: Option<String>| signers.get(&name?).map(|signer| signer.account.balance);
    let stake = tier.spec.stake.as_ref()?;
    let Some(template) = &stake.wallet_template else {
        return Some(Funds::One(balance(wallet_of(tier, 0)).unwrap_or_default()));
    };
    let own = (0..wanted).filter_map(|ordinal| Some((ordinal, balance(wallet_of(tier, ordinal))?)));
    Some(Funds::Each { own: own.collect(), payer: found.payer?, amount: template.amount.0 })
}

/// What is bonded for each node.
pub fn stake(tier: &NodeTier) -> Amount {
    let Some(stake) = &tier.spec.stake else { return Amount::ZERO };
    let slots = u64::try_from(tier.spec.slots.unwrap_or(1)).unwrap_or(1);
    let per_slot = stake.per_slot.and_then(|amount| amount.0.checked_mul(slots));
    per_slot.or(stake.per_node.map(|amount| amount.0)).unwrap_or_default()
}

/// Nodes go without a word when the NodeTier is deleted with the Network that made the chain, or when the user said so.
fn is_abandoned(tier: &NodeTier, network: Option<&Network>) -> bool {
    let said = tier.annotations().get(LEAVE_NOW).is_some_and(|value| value == "true");
    let with_chain = match network {
        None => true,
        Some(network) => network.metadata.deletion_timestamp.is_some() && network.spec.chain.is_some(),
    };
    // No node of it has answered ever: nothing was registered through them, and nothing can be taken back.
    let never_ran = network.is_some_and(|network| {
        let status = network.status.as_ref();
        status.is_none_or(|status| status.genesis_hash.is_none() || status.height.is_none())
    });
    tier.metadata.deletion_timestamp.is_some() && (said || with_chain || never_ran)
}

/// Where the chain says that a node is reached; none while that is not known. A name of this cluster is another pod in
/// another cluster: it goes onto a chain that nobody else can be on, and nowhere else. Pods of one Network know each other by
/// their configuration.
pub fn endpoints_of(
    tier: &NodeTier,
    pods: &PodSettings,
    services: &BTreeMap<String, Service>,
    ordinal: i32,
) -> Option<Vec<String>> {
    let pod = names::pod(&tier.name_any(), ordinal);
    let at = match pods.external.type_ {
        AddressType::None if pods.is_private => addresses::inside(&namespace_of(tier), &tier.name_any(), &pod),
        AddressType::None => return Some(Vec::new()),
        AddressType::LoadBalancer | AddressType::NodePort => {
            services.get(&pod).and_then(|service| addresses::outside(&pods.external, ordinal, service))?
        }
    };
    Some(at.endpoints())
}

fn seen(endpoints: &Option<Vec<String>>, pod: Option<&Pod>, record: Option<&Node>) -> Seen {
    // The registry takes 128 characters; longer names are not told. What is not known now is not taken back.
    let fit = endpoints.as_ref().filter(|all| all.iter().all(|endpoint| endpoint.len() <= 128));
    Seen {
        ready: pod.is_some_and(is_ready),
        record: record.map(|node| Record {
            state: node.state,
            stake: node.stake,
            unbonding: sum(node.unbonding.iter().map(|part| part.amount)),
        }),
        moved: fit.is_some_and(|endpoints| record.is_some_and(|node| node.endpoints != *endpoints)),
        is_lost: false,
    }
}

/// What the nodes are on the chain.
fn role(tier: &NodeTier, chain: Option<&OnChain>) -> Result<Option<NodeRole>, Error> {
    let name = match (tier.spec.role, &tier.spec.tier) {
        (Role::Full, _) => return Ok(None),
        (Role::Validator, _) => return Ok(Some(NodeRole::Validator)),
        (Role::Worker, name) => name.clone().unwrap_or_default(),
    };
    // Who leaves registers nothing: what is wrong with the spec must not hold its end up.
    let Some(chain) = chain.filter(|_| tier.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let found = chain.tiers.iter().find(|tier| *tier.tier.name == *name);
    let Some(found) = found else {
        let known: Vec<&str> = chain.tiers.iter().map(|tier| &*tier.tier.name).collect();
        let reason = format!("the chain has no tier `{name}`; it has: {}", known.join(", "));
        return Err(Error::Field { field: "spec.tier", reason });
    };
    let slots = u16::try_from(tier.spec.slots.unwrap_or(1)).unwrap_or(u16::MAX);
    let needed = found.tier.stake_per_slot.checked_mul(u64::from(slots)).unwrap_or(Amount::from_units(u64::MAX));
    if stake(tier) < needed {
        let reason = format!("a slot of tier `{name}` takes {} VALO", found.tier.stake_per_slot);
        return Err(Error::Field { field: "spec.stake.perSlot", reason });
    }
    Ok(Some(NodeRole::Worker { tier: found.id, slots }))
}

fn pod_settings(tier: &NodeTier, found: &Found, settings: &Settings) -> PodSettings {
    let spec = found.network.as_ref().map(|network| &network.spec);
    let join = spec.and_then(|spec| spec.join.as_ref());
    let namespace = namespace_of(tier);
    let (mut peers, mut seeds) = (Vec::new(), Vec::new());
    for sibling in found.siblings.iter().filter(|sibling| sibling.spec.role == Role::Validator) {
        let name = sibling.name_any();
        for ordinal in 0..sibling.spec.replicas {
            let pod = names::pod(&name, ordinal);
            let at = addresses::inside(&namespace, &name, &pod);
            let nodes = sibling.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
            let key = nodes.iter().find(|node| node.pod == pod).and_then(|node| node.public_key.clone());
            peers.push(at.consensus);
            seeds.extend(key.map(|key| Seed { key, addresses: vec![at.network] }));
        }
    }
    peers.truncate(TOLD);
    seeds.truncate(TOLD);
    peers.extend(join.into_iter().flat_map(|join| join.peers.iter().map(|peer| peer.0.clone())));
    seeds.extend(join.into_iter().flat_map(|join| join.seeds.iter().cloned()));
    PodSettings {
        image: spec
            .and_then(|spec| spec.image.clone())
            .or_else(|| found.stateful_set.as_ref().and_then(running_image))
            .unwrap_or_else(|| settings.node_image.clone()),
        pull_policy: spec.map(|spec| spec.image_pull_policy).unwrap_or_default(),
        pull_secrets: spec
            .map(|spec| spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect())
            .unwrap_or_default(),
        external: spec.map(|spec| spec.external_address.clone()).unwrap_or_default(),
        is_private: spec.is_some_and(|spec| {
            let founds = spec.chain.as_ref();
            founds.is_some_and(|chain| chain.validators.iter().all(|group| group.node_tier.is_some()))
        }),
        guests: spec.and_then(|spec| spec.guests),
        has_ingress: spec.is_some_and(|spec| spec.ingress.is_some()),
        joins: join.is_some(),
        genesis_by_hash: found.network.as_ref().is_some_and(crate::network::is_by_hash),
        peers,
        seeds,
    }
}

/// The image that the nodes run. Another release of the operator has another default, and restarts nobody with it.
fn running_image(stateful_set: &StatefulSet) -> Option<String> {
    stateful_set.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.clone()
}

/// The voting power that this cluster may lose. Before the chain answers, all validators weigh the same.
fn power(tier: &NodeTier, keys: &BTreeMap<i32, PublicKey>, chain: Option<&OnChain>, siblings: &[NodeTier]) -> Power {
    let own: BTreeSet<String> = keys.values().map(PublicKey::to_string).collect();
    let sharing = siblings.iter().filter(|sibling| {
        let is_other = sibling.name_any() != tier.name_any();
        sibling.spec.role == Role::Validator && !(is_other && copies(sibling, &own))
    });
    let sharers = u64::try_from(sharing.clone().count()).unwrap_or(1).max(1);
    let Some(chain) = chain else {
        let count = sharing.fold(0u64, |sum, tier| sum.saturating_add(u64::try_from(tier.spec.replicas).unwrap_or(0)));
        let own = usize::try_from(tier.spec.replicas).unwrap_or(0);
        return Power { total: count, own: vec![1; own], others_down: 0, sharers };
    };
    let power_of = |key: &PublicKey| {
        let validators = &chain.validators.validators;
        validators.iter().find(|validator| validator.key == *key).map_or(0, |validator| validator.power)
    };
    let others = sharing.filter(|sibling| sibling.name_any() != tier.name_any());
    let down = others.filter_map(|sibling| sibling.status.as_ref()).flat_map(|status| &status.nodes);
    // One with a key of ours runs here, or is counted here.
    let down = down.filter(|node| !node.ready && !node.public_key.as_ref().is_some_and(|key| own.contains(key)));
    let down = down.filter_map(|node| node.public_key.as_ref()?.parse().ok());
    Power {
        total: chain.validators.total_power,
        own: keys.values().map(power_of).collect(),
        others_down: down.fold(0, |sum: u64, key: PublicKey| sum.saturating_add(power_of(&key))),
        sharers,
    }
}

/// Whether a tier has nothing but keys of another one: two pods never sign with one key, so its own never run.
fn copies(tier: &NodeTier, keys: &BTreeSet<String>) -> bool {
    let nodes = tier.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
    let mut known = nodes.iter().filter_map(|node| node.public_key.as_ref()).peekable();
    known.peek().is_some() && known.all(|key| keys.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chain::Chain, testing};
    use serde_json::json;
    use valo_client::{Client, types::Validators};

    #[test]
    fn a_copied_key_takes_no_power_from_those_who_have_it() {
        let tier = |name: &str, keys: &[u8], ready: bool| -> NodeTier {
            let nodes = keys.iter().enumerate().map(|(ordinal, seed)| {
                json!({
                    "pod": format!("{name}-{ordinal}"), "ready": ready,
                    "publicKey": SecretKey::from_seed([*seed; 32]).public(),
                })
            });
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "valo"},
                "spec": {"networkRef": {"name": "demo"}, "role": "validator", "replicas": keys.len()},
                "status": {"nodes": nodes.collect::<Vec<_>>()},
            }))
            .unwrap()
        };
        let keys: BTreeMap<i32, PublicKey> =
            (0u8..3).map(|seed| (i32::from(seed), SecretKey::from_seed([seed; 32]).public())).collect();
        let mut chain = on_chain(true, BTreeMap::new());
        chain.validators.total_power = 40;
        chain.validators.validators = (0u8..4)
            .map(|seed| {
                let key = SecretKey::from_seed([seed; 32]).public();
                serde_json::from_value(json!({"key": key, "power": 10, "owner": "00000001", "skipped": false})).unwrap()
            })
            .collect();
        let own = tier("v", &[0, 1, 2], true);
        let counted = |sibling: NodeTier| {
            let power = power(&own, &keys, Some(&chain), &[own.clone(), sibling]);
            (power.others_down, power.sharers)
        };
        assert_eq!(counted(tier("copy", &[2], false)), (0, 1), "its pod never runs");
        assert_eq!(counted(tier("other", &[3], false)), (10, 2));
        assert_eq!(counted(tier("both", &[2, 3], false)), (10, 2), "only what is its own is down");
        assert_eq!(counted(tier("new", &[], false)), (0, 2), "nothing is known of it yet");
    }

    fn on_chain(ready: bool, records: BTreeMap<i32, Node>) -> OnChain {
        let zero = "00".repeat(32);
        let status = json!({
            "chain": "demo", "genesis": zero, "version": "1", "height": 0, "block": zero, "time": 0, "stateRoot": zero,
            "epoch": 0, "validators": 1, "totalPower": 1,
            "node": {"key": zero, "ready": ready, "peers": 0, "pendingTransactions": 0, "uptime": 0},
        });
        let client = Client::new("http://127.0.0.1:1").unwrap();
        let chain = Chain { client, status: serde_json::from_value(status).unwrap() };
        let validators: Validators =
            serde_json::from_value(json!({"height": 1, "hash": zero, "totalPower": 0, "validators": []})).unwrap();
        OnChain { chain, signers: Default::default(), records, tiers: Vec::new(), validators }
    }

    /// Where the chain says that the first node of a tier is, by how its Network came about and is reached.
    fn told(network: serde_json::Value, services: serde_json::Value) -> Option<Vec<String>> {
        let network: Network = serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "Network", "metadata": {"name": "demo"}, "spec": network,
        }))
        .unwrap();
        let tier: NodeTier = serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "NodeTier", "metadata": {"name": "v", "namespace": "valo"},
            "spec": {"networkRef": {"name": "demo"}, "role": "validator", "replicas": 1},
        }))
        .unwrap();
        let services: BTreeMap<String, Service> = serde_json::from_value(services).unwrap();
        let found = Found { network: Some(network), external: services.clone(), ..Found::default() };
        let settings = Settings { node_image: String::new(), namespace: String::new() };
        endpoints_of(&tier, &pod_settings(&tier, &found, &settings), &services, 0)
    }

    #[test]
    fn names_of_a_cluster_go_onto_no_chain_of_others() {
        let own = json!({"validators": [{"nodeTier": "v", "stake": "1000"}]});
        let shared = json!({"validators": [
            {"nodeTier": "v", "stake": "1000"}, {"publicKey": "ab".repeat(32), "ownerKey": "cd".repeat(32), "stake": "1000"},
        ]});
        let join = json!({"genesisHash": "ab".repeat(32), "seeds": [{"key": "cd".repeat(32)}]});
        let ports = json!({"type": "NodePort", "hosts": ["203.0.113.4"]});
        let service = json!({"v-0": {"spec": {"ports": [
            {"name": "consensus", "port": 7001, "nodePort": 30701}, {"name": "network", "port": 7002, "nodePort": 30702},
        ]}}});
        let list = |all: &[&str]| Some(all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());

        let inside = list(&["tcp://v-0.v-nodes.valo.svc:7001", "udp://v-0.v-nodes.valo.svc:7002"]);
        assert_eq!(told(json!({"chain": own}), json!({})), inside);
        assert_eq!(told(json!({"chain": shared}), json!({})), list(&[]), "validators of elsewhere read it too");
        assert_eq!(told(json!({"join": join}), json!({})), list(&[]));
        let outside = list(&["tcp://203.0.113.4:30701", "udp://203.0.113.4:30702"]);
        for network in
            [json!({"chain": own, "externalAddress": ports}), json!({"join": join, "externalAddress": ports})]
        {
            assert_eq!(told(network.clone(), service.clone()), outside);
            assert_eq!(told(network, json!({})), None, "not known yet");
        }
    }

    #[test]
    fn nodes_of_a_network_that_never_answered_go_without_a_word() {
        let tier: NodeTier = serde_json::from_value(json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "NodeTier",
            "metadata": {"name": "v", "namespace": "valo", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"networkRef": {"name": "mine"}, "role": "worker", "tier": "small", "replicas": 1},
        }))
        .unwrap();
        let network = |status: serde_json::Value| -> Network {
            serde_json::from_value(json!({
                "apiVersion": "valo.network/v1alpha1", "kind": "Network", "metadata": {"name": "mine"},
                "spec": {"join": {"genesisHash": "ab".repeat(32), "seeds": [{"key": "cd".repeat(32)}]}}, "status": status,
            }))
            .unwrap()
        };
        let hash = "ab".repeat(32);
        assert!(is_abandoned(&tier, Some(&network(json!({"genesisHash": hash})))), "its seeds never answered");
        assert!(!is_abandoned(&tier, Some(&network(json!({"genesisHash": hash, "height": 7})))), "it drains");
    }

    #[test]
    fn what_is_not_known_now_is_not_taken_back() {
        let record = testing::node(json!({"endpoints": ["tcp://203.0.113.4:30701"]}));
        let moved = |endpoints: Option<Vec<String>>| seen(&endpoints, None, Some(&record)).moved;
        assert!(!moved(None), "a load balancer that lost its address");
        assert!(!moved(Some(vec!["tcp://203.0.113.4:30701".to_owned()])));
        assert!(moved(Some(Vec::new())), "reached through others only, by will");
        assert!(!moved(Some(vec!["a".repeat(129)])), "the registry does not take it");
    }

    #[test]
    fn what_the_api_server_cannot_refuse_is_told_by_its_field() {
        let small = json!({
            "id": 0, "nodes": 1, "owners": 1, "slots": 1, "busy": 0,
            "tier": {
                "name": "small", "runtime": "wasm", "milliCpu": 1000, "memory": 1, "stakePerSlot": "100", "price": "1",
                "fuelPerSecond": 1,
            },
        });
        let refused = |tier: &NodeTier| {
            let tiers = vec![serde_json::from_value(small.clone()).unwrap()];
            let chain = Some(OnChain { tiers, ..on_chain(true, BTreeMap::new()) });
            let settings = Settings { node_image: String::new(), namespace: String::new() };
            validate(tier, Found { chain, ..Found::default() }, &settings).err().map(|error| error.to_string())
        };
        assert_eq!(refused(&testing::read(valo_resources_tests::yaml(valo_resources_tests::WORKERS))), None);
        for (case, tier, says) in testing::wrong::<NodeTier>() {
            let said = refused(&tier).unwrap_or_default();
            assert!(said.starts_with(&says), "{case}: {said}");
        }
    }

    #[test]
    fn what_a_node_behind_does_not_know_is_not_gone() {
        let tier = |state: Option<&str>| -> NodeTier {
            let node = json!({"pod": "v-0", "state": state, "ready": false});
            serde_json::from_value(json!({
                "apiVersion": "valo.network/v1alpha1", "kind": "NodeTier", "metadata": {"name": "v"},
                "spec": {"networkRef": {"name": "demo"}, "role": "validator", "replicas": 0},
                "status": {"nodes": [node]},
            }))
            .unwrap()
        };
        let answers = |state, ready, records| {
            let found = Found { chain: Some(on_chain(ready, records)), ..Found::default() };
            let settings = Settings { node_image: String::new(), namespace: String::new() };
            validate(&tier(state), found, &settings).unwrap().situation.chain_answers
        };
        let known = || BTreeMap::from([(0, testing::node(json!({})))]);
        assert!(!answers(Some("active"), false, BTreeMap::new()), "it reads the chain anew");
        assert!(answers(Some("active"), true, BTreeMap::new()), "its row is free");
        assert!(answers(Some("active"), false, known()));
        assert!(answers(Some("left"), false, BTreeMap::new()));
        assert!(answers(None, false, BTreeMap::new()), "a newcomer that never caught up may go");
    }
}
