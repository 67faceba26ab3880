//! What a NodeTier owns in the cluster, one builder for each kind.

mod budget;
mod config_map;
mod network_policy;
mod services;
mod stateful_set;
mod wallet;

use super::{
    plan::{Plan, plan},
    roll,
    validate::Checked,
};
use crate::{
    context::Settings,
    keys,
    names::{self, Labels, namespace_of},
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;
use valo_crds::{NodeTier, Role, Wallet};

/// What is to be brought into the cluster, in this order, and onto the chain.
#[derive(Debug)]
pub struct Prepared {
    /// New keys. Never overwritten, and owned by nobody.
    pub keys: Vec<Secret>,
    /// A Wallet for each node, if a template is given.
    pub wallets: Vec<Wallet>,
    /// The configuration that all nodes share.
    pub config: ConfigMap,
    /// The names of pods, whether they are ready or not.
    pub headless: Service,
    /// The HTTP API of the nodes that are ready.
    pub service: Service,
    /// What the world reaches each node by, if that is asked for.
    pub external: Vec<Service>,
    /// Who may talk to the nodes, and to whom they may.
    pub policy: NetworkPolicy,
    /// What may be disrupted.
    pub budget: PodDisruptionBudget,
    /// The pods; none before there is a genesis.
    pub stateful_set: Option<StatefulSet>,
    /// What is to be done next.
    pub plan: Plan,
    /// The pod to be replaced, if one is not what is asked for.
    pub outdated: Option<String>,
}

/// Builds it all.
pub fn build(tier: &NodeTier, checked: &Checked, settings: &Settings) -> Prepared {
    let plan = plan(&checked.situation);
    let namespace = namespace_of(tier);
    let network = &tier.spec.network_ref.name;
    let key_labels = [(names::COMPONENT, "node-key"), (names::NETWORK, network), (names::NODE_TIER, &tier.name_any())];
    // What is not begun has neither key nor wallet.
    let keys = checked.fresh.range(..plan.replicas).map(|(ordinal, key)| {
        keys::secret(&namespace, &names::node_key(&tier.name_any(), *ordinal), names::labels(&key_labels), key)
    });
    let stateful_set = checked.genesis.map(|genesis| stateful_set::build(tier, &checked.pods, genesis, plan.replicas));
    Prepared {
        keys: keys.collect(),
        wallets: wallet::build(
            tier,
            if checked.has_network() { plan.replicas.min(checked.situation.wanted) } else { 0 },
        ),
        config: config_map::build(tier, &checked.pods),
        headless: services::headless(tier),
        service: services::client(tier),
        external: services::external(tier, &checked.pods.external, plan.replicas, &checked.node_ports),
        policy: network_policy::build(tier, &checked.pods, settings),
        budget: budget::build(tier, &checked.power),
        stateful_set,
        outdated: outdated(tier, checked, &plan),
        plan,
    }
}

/// The pod to be replaced next. While nodes come or go, none is; those that wait for money, or for a chain that answers, do
/// neither.
fn outdated(tier: &NodeTier, checked: &Checked, plan: &Plan) -> Option<String> {
    let situation = &checked.situation;
    if plan.replicas != situation.running || plan.replicas > situation.wanted {
        return None;
    }
    let template = stateful_set::template(tier, &checked.pods);
    let name = tier.name_any();
    let members = roll::members(&name, &checked.seen_pods, stateful_set::TEMPLATE, &template);
    let running = usize::try_from(plan.replicas).unwrap_or(0);
    roll::next(&members, running, budget::may_be_down(tier, &checked.power)).map(|ordinal| names::pod(&name, ordinal))
}

/// The role as a label.
fn component(role: Role) -> &'static str {
    match role {
        Role::Validator => "validator",
        Role::Worker => "worker",
        Role::Full => "full",
    }
}

/// The labels of everything of a NodeTier, pods included.
fn labels(tier: &NodeTier) -> Labels {
    names::labels(&[
        (names::COMPONENT, component(tier.spec.role)),
        (names::NETWORK, &tier.spec.network_ref.name),
        (names::NODE_TIER, &tier.name_any()),
    ])
}

/// What selects the pods. It cannot change.
fn selector(tier: &NodeTier) -> Labels {
    [(names::NODE_TIER.to_owned(), tier.name_any())].into()
}

#[cfg(test)]
mod tests;
