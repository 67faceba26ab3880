//! Says what the nodes are, in the cluster and on the chain.

use super::{Error, apply::Applied, dereference::wallet_of, plan::Step, validate::Checked};
use crate::{
    Context,
    chain::sum,
    conditions::{Conditions, READY, holds},
    names,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use valo_contract::quantity::Money;
use valo_crds::{NodeStatus, NodeTier, NodeTierStatus, Role};
use valo_protocol::registry::NodeState;

/// The condition that nodes come or go.
const PROGRESSING: &str = "Progressing";
/// The condition that some node is not what it should be.
const DEGRADED: &str = "Degraded";

/// Writes the status. Whether everything is as it should be.
pub async fn report(context: &Context, tier: &NodeTier, checked: &Checked, applied: &Applied) -> Result<bool, Error> {
    let status = status(tier, checked, applied, context.now());
    let settled = holds(&status.conditions, READY) && !holds(&status.conditions, PROGRESSING);
    if !applied.is_over {
        context.cluster.apply_status(tier, tier.status.as_ref(), &status).await?;
    }
    Ok(settled)
}

/// The status of a NodeTier.
pub fn status(tier: &NodeTier, checked: &Checked, applied: &Applied, now: Timestamp) -> NodeTierStatus {
    let last = tier.status.clone().unwrap_or_default();
    let nodes = nodes(tier, checked, applied, &last);
    let count = |what: &dyn Fn(&NodeStatus) -> bool| {
        i32::try_from(nodes.iter().filter(|node| what(node)).count()).unwrap_or(i32::MAX)
    };
    let is_active = |node: &NodeStatus| match tier.spec.role {
        Role::Full => node.ready,
        Role::Validator | Role::Worker => node.ready && node.state.as_deref() == Some("active"),
    };
    let pods = i32::try_from(checked.seen_pods.len()).unwrap_or(i32::MAX);
    let ready = count(&is_active);
    let leaving = count(&|node| node.state.as_deref() == Some("draining"));
    let mut status = NodeTierStatus {
        observed_generation: tier.metadata.generation,
        replicas: pods,
        ready_replicas: ready,
        leaving,
        label_selector: Some(names::selector(&[(names::NODE_TIER, &tier.name_any())])),
        conditions: conditions(tier, checked, applied, &last, ready, now),
        nodes,
        ..last
    };
    if let Some(chain) = &checked.chain {
        let active = chain.records.values().filter(|record| record.state == NodeState::Active);
        let slots = active.fold(0u32, |slots, record| slots.saturating_add(record.slots));
        status.slots = i32::try_from(slots).unwrap_or(i32::MAX);
        let staked = sum(chain.records.values().map(|record| record.stake));
        status.stake = (tier.spec.role != Role::Full).then_some(Money(staked));
    }
    status
}

fn nodes(tier: &NodeTier, checked: &Checked, applied: &Applied, last: &NodeTierStatus) -> Vec<NodeStatus> {
    let mut all = Vec::new();
    for (ordinal, seen) in &checked.situation.nodes {
        let pod = names::pod(&tier.name_any(), *ordinal);
        let before = last.nodes.iter().find(|node| node.pod == pod);
        let record = checked.chain.as_ref().and_then(|chain| chain.records.get(ordinal));
        let has_pod = checked.seen_pods.iter().any(|found| found.name_any() == pod);
        if *ordinal >= checked.situation.wanted && !has_pod && record.is_none() {
            continue;
        }
        // A key that was told once is told as long as the node is, also when its Secret is gone.
        let key = applied.keys.get(ordinal).map(ToString::to_string);
        let state = match &checked.chain {
            Some(_) if checked.situation.chain_answers => record.map(|record| record.state.to_string()),
            _ => before.and_then(|before| before.state.clone()),
        };
        all.push(NodeStatus {
            public_key: key.or_else(|| before.and_then(|before| before.public_key.clone())),
            id: record.map(|record| i64::from(record.id.0)).or_else(|| before.and_then(|before| before.id)),
            state,
            wallet: wallet_of(tier, *ordinal),
            stake: record.map(|record| Money(record.stake)).or_else(|| before.and_then(|before| before.stake)),
            ready: seen.ready,
            message: message(checked, applied, *ordinal, has_pod),
            pod,
        });
    }
    all
}

/// What a node waits for.
fn message(checked: &Checked, applied: &Applied, ordinal: i32, has_pod: bool) -> Option<String> {
    if checked.lost.contains(&ordinal) {
        return Some("its Secret is gone: restore it from a backup".to_owned());
    }
    if let Some(hindrance) = applied.hindrances.iter().find(|hindrance| hindrance.ordinal == ordinal) {
        return Some(hindrance.message.clone());
    }
    let step = applied.plan.steps.iter().find(|(of, _)| *of == ordinal).map(|(_, step)| *step);
    match step {
        Some(Step::Register) => return Some("registered just now".to_owned()),
        Some(Step::Drain) => return Some("drains since just now".to_owned()),
        _ => {}
    }
    if let Some(waits) = applied.plan.waits.get(&ordinal) {
        return Some(format!("waits {waits}"));
    }
    (!has_pod && ordinal < applied.replicas).then(|| "its pod starts".to_owned())
}

fn conditions(
    tier: &NodeTier,
    checked: &Checked,
    applied: &Applied,
    last: &NodeTierStatus,
    ready: i32,
    now: Timestamp,
) -> Vec<valo_crds::Condition> {
    let mut conditions = Conditions::from(&last.conditions, tier.metadata.generation, now);
    let wanted = checked.situation.wanted;
    let waits = applied
        .plan
        .waits
        .iter()
        .next()
        .map(|(ordinal, what)| format!("{} waits {what}", names::pod(&tier.name_any(), *ordinal)));
    let counts = format!("{ready} of {wanted} nodes are active");
    match (&checked.waits, &checked.silent) {
        (Some(waits), _) => conditions.set(READY, false, "WaitingForNetwork", waits.clone()),
        (None, _) if ready >= wanted => conditions.set(READY, true, "AllActive", counts.clone()),
        (None, Some(silent)) => conditions.set(READY, false, "ChainUnreachable", format!("{counts}: {silent}")),
        (None, None) => conditions.set(READY, false, "NotAllActive", counts.clone()),
    }
    let comes_or_goes = ready != wanted || !applied.plan.steps.is_empty() || applied.replicas != wanted;
    match comes_or_goes {
        true => {
            let reason = if applied.replicas > wanted { "ScalingDown" } else { "ScalingUp" };
            conditions.set(PROGRESSING, true, reason, waits.unwrap_or(counts));
        }
        false => conditions.set(PROGRESSING, false, "Settled", counts),
    }
    let lost: Vec<String> = checked.lost.iter().map(|ordinal| names::pod(&tier.name_any(), *ordinal)).collect();
    match (applied.hindrances.first(), lost.is_empty(), put_out(checked)) {
        (Some(hindrance), ..) => {
            let pod = names::pod(&tier.name_any(), hindrance.ordinal);
            conditions.set(DEGRADED, true, hindrance.reason, format!("{pod}: {}", hindrance.message));
        }
        (None, false, _) => {
            conditions.set(
                DEGRADED,
                true,
                "KeyLost",
                format!("the Secrets of {} are gone: restore them", lost.join(", ")),
            );
        }
        (None, true, Some((ordinal, NodeState::Tombstoned))) => {
            let pod = names::pod(&tier.name_any(), ordinal);
            let message =
                format!("{pod} signed twice: its key never takes part again, and what is left of its stake is paid");
            conditions.set(DEGRADED, true, "Tombstoned", message);
        }
        (None, true, Some((ordinal, _))) => {
            let pod = names::pod(&tier.name_any(), ordinal);
            conditions.set(DEGRADED, true, "Jailed", format!("{pod} is jailed: it signed too few blocks"));
        }
        (None, true, None) => conditions.set(DEGRADED, false, "AllWell", "every node is what it should be"),
    }
    conditions.into_list()
}

/// A node that was put out for a fault; the worse fault first.
fn put_out(checked: &Checked) -> Option<(i32, NodeState)> {
    let records = &checked.chain.as_ref()?.records;
    let found = |state| records.iter().find(|(_, record)| record.state == state).map(|(ordinal, _)| (*ordinal, state));
    found(NodeState::Tombstoned).or_else(|| found(NodeState::Jailed))
}
