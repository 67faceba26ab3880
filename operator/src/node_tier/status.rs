//! Says what the nodes are, in the cluster and on the chain.

use super::{Error, apply::Applied, dereference::wallet_of, plan::Step, validate::Checked};
use crate::{
    Context,
    chain::sum,
    conditions::{Conditions, READY, holds, reason_of},
    names::{self, reference},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::{collections::BTreeSet, fmt};
use valo_contract::quantity::Money;
use valo_crds::{NodeStatus, NodeTier, NodeTierStatus, Role};
use valo_protocol::registry::NodeState;

/// The condition that nodes come or go.
pub const PROGRESSING: &str = "Progressing";
/// The condition that some node is not what it should be.
const DEGRADED: &str = "Degraded";

/// Writes the status. Whether everything is as it should be.
pub async fn report(context: &Context, tier: &NodeTier, checked: &Checked, applied: &Applied) -> Result<bool, Error> {
    let status = status(tier, checked, applied, context.now());
    let settled = holds(&status.conditions, READY) && !holds(&status.conditions, PROGRESSING);
    if applied.is_over {
        return Ok(settled);
    }
    context.cluster.apply_status(tier, tier.status.as_ref(), &status).await?;
    if let Some((reason, message)) = news(tier, checked, applied) {
        context.warn(&reference(tier), reason, "Report", message).await;
    }
    Ok(settled)
}

/// What is wrong since this pass, and in no event yet: it is told once, when it begins.
fn news(tier: &NodeTier, checked: &Checked, applied: &Applied) -> Option<(&'static str, String)> {
    let last = tier.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let (condition, reason, message) = match &checked.waits {
        Some(waits) if !checked.has_network() => (READY, waits.reason, waits.message.clone()),
        _ => {
            let worst = troubles(tier, checked, applied).into_iter().next().filter(|worst| !worst.is_told)?;
            (DEGRADED, worst.reason, worst.message)
        }
    };
    (reason_of(last, condition) != Some(reason)).then_some((reason, message))
}

/// The status of a NodeTier.
pub fn status(tier: &NodeTier, checked: &Checked, applied: &Applied, now: Timestamp) -> NodeTierStatus {
    let last = tier.status.clone().unwrap_or_default();
    let nodes = nodes(tier, checked, applied, &last);
    let count = |what: &dyn Fn(&NodeStatus) -> bool| {
        i32::try_from(nodes.iter().filter(|node| what(node)).count()).unwrap_or(i32::MAX)
    };
    let pods = i32::try_from(checked.seen_pods.len()).unwrap_or(i32::MAX);
    let ready = count(&|node| is_active(tier, node));
    let leaving = count(&|node| node.state.as_deref() == Some("draining"));
    let mut status = NodeTierStatus {
        observed_generation: tier.metadata.generation,
        replicas: pods,
        ready_replicas: ready,
        leaving,
        label_selector: Some(names::selector(&[(names::NODE_TIER, &tier.name_any())])),
        conditions: conditions(tier, checked, applied, &nodes, now),
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
    if checked.keys.lost.contains_key(&ordinal) {
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

/// Something that is wrong with nodes.
struct Trouble {
    /// In one word.
    reason: &'static str,
    /// In words.
    message: String,
    /// Nodes that go no further before somebody has mended it.
    holds_up: Vec<i32>,
    /// Whether it is in an event already.
    is_told: bool,
}

/// What is wrong, the worst first.
fn troubles(tier: &NodeTier, checked: &Checked, applied: &Applied) -> Vec<Trouble> {
    let name = tier.name_any();
    let pod = |ordinal: &i32| names::pod(&name, *ordinal);
    let mut all = Vec::new();
    let mut add = |reason, message: String, holds_up: Vec<i32>, is_told| {
        all.push(Trouble { reason, message, holds_up, is_told });
    };
    if !checked.keys.lost.is_empty() {
        let lost: Vec<i32> = checked.keys.lost.keys().copied().collect();
        let secrets: Vec<String> = lost.iter().map(|ordinal| names::node_key(&name, *ordinal)).collect();
        let message = format!("gone: Secret {}; restore it from a backup, no other key is made", secrets.join(", "));
        add("KeyLost", message, lost, false);
    }
    for hindrance in &applied.hindrances {
        let message = format!("{}: {}", pod(&hindrance.ordinal), hindrance.message);
        let holds_up = if hindrance.passes() { Vec::new() } else { vec![hindrance.ordinal] };
        add(hindrance.reason, message, holds_up, hindrance.is_told);
    }
    if !applied.plan.unpaid.is_empty() {
        let unpaid: Vec<i32> = applied.plan.unpaid.keys().copied().collect();
        let missing = sum(applied.plan.unpaid.values().copied());
        let nodes = if unpaid.len() == 1 { "1 node".to_owned() } else { format!("{} nodes", unpaid.len()) };
        let message = format!("needs {missing} VALO more for {nodes}: send it to Wallet {}", payer(tier));
        add("InsufficientFunds", message, unpaid, false);
    }
    for (state, reason, what) in [
        (NodeState::Tombstoned, "Tombstoned", "signed twice, so that its key never takes part again"),
        (NodeState::Jailed, "Jailed", "jailed for signing too few blocks"),
    ] {
        let records = checked.chain.iter().flat_map(|chain| &chain.records);
        let out: Vec<i32> = records.filter(|(_, record)| record.state == state).map(|(ordinal, _)| *ordinal).collect();
        if !out.is_empty() {
            let pods: Vec<String> = out.iter().map(pod).collect();
            add(reason, format!("{what}: {}", pods.join(", ")), out, false);
        }
    }
    if !checked.mislabelled.is_empty() {
        let secrets: Vec<String> = checked.mislabelled.iter().map(|of| names::node_key(&name, *of)).collect();
        let label = format!("{}={name}", names::NODE_TIER);
        let message = format!("Secret {} exists but lacks the label {label}: put it back", secrets.join(", "));
        add("KeyMislabelled", message, Vec::new(), false);
    }
    all
}

/// The wallet from which nodes are paid in the end.
fn payer(tier: &NodeTier) -> String {
    let stake = tier.spec.stake.as_ref();
    let template = stake.and_then(|stake| stake.wallet_template.as_ref());
    template.map(|template| template.fund_from.clone()).or_else(|| wallet_of(tier, 0)).unwrap_or_default()
}

/// How far the nodes are.
struct Counts {
    /// Nodes that there shall be.
    wanted: i32,
    /// Of those, active ones.
    active: i32,
    /// Others that are not gone yet.
    to_go: usize,
}

impl Counts {
    fn of(tier: &NodeTier, checked: &Checked, nodes: &[NodeStatus]) -> Self {
        let wanted = checked.situation.wanted;
        let kept = |ordinal: i32| names::pod(&tier.name_any(), ordinal);
        let kept: BTreeSet<String> = (0..wanted).map(kept).collect();
        let active = nodes.iter().filter(|node| kept.contains(&node.pod) && is_active(tier, node)).count();
        let is_here = |node: &NodeStatus| {
            let has_pod = checked.seen_pods.iter().any(|pod| pod.name_any() == node.pod);
            let on_chain = node.state.as_deref().is_some_and(|state| !matches!(state, "left" | "tombstoned"));
            has_pod || (on_chain && !checked.situation.abandon)
        };
        let to_go = nodes.iter().filter(|node| !kept.contains(&node.pod) && is_here(node)).count();
        Self { wanted, active: i32::try_from(active).unwrap_or(i32::MAX), to_go }
    }

    fn all_active(&self) -> bool {
        self.active >= self.wanted
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to_go = match self.to_go {
            0 => String::new(),
            1 => "1 node still to go".to_owned(),
            more => format!("{more} nodes still to go"),
        };
        match (self.wanted, self.to_go) {
            (0, 0) => formatter.write_str("scaled to zero: no nodes are asked for"),
            (0, _) => formatter.write_str(&to_go),
            (wanted, 0) => write!(formatter, "{} of {wanted} nodes are active", self.active),
            (wanted, _) => write!(formatter, "{} of {wanted} nodes are active, {to_go}", self.active),
        }
    }
}

/// Whether a node does what it is for.
fn is_active(tier: &NodeTier, node: &NodeStatus) -> bool {
    match tier.spec.role {
        Role::Full => node.ready,
        Role::Validator | Role::Worker => node.ready && node.state.as_deref() == Some("active"),
    }
}

fn conditions(
    tier: &NodeTier,
    checked: &Checked,
    applied: &Applied,
    nodes: &[NodeStatus],
    now: Timestamp,
) -> Vec<valo_crds::Condition> {
    let last = tier.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::from(last, tier.metadata.generation, now);
    let counts = Counts::of(tier, checked, nodes);
    let troubles = troubles(tier, checked, applied);
    let (ready, reason, message) = readiness(tier, checked, applied, &counts, &troubles);
    conditions.set(READY, ready, reason, message);
    let (progressing, reason, message) = progress(tier, checked, applied, &counts, &troubles);
    conditions.set(PROGRESSING, progressing, reason, message);
    match troubles.first() {
        Some(worst) => {
            let all: Vec<&str> = troubles.iter().map(|trouble| trouble.message.as_str()).collect();
            conditions.set(DEGRADED, true, worst.reason, all.join("; "));
        }
        None => conditions.set(DEGRADED, false, "AllWell", "nothing is wrong with any node"),
    }
    conditions.into_list()
}

/// The condition `Ready`. Where nodes are missing it names what somebody has to mend before what passes by itself.
fn readiness(
    tier: &NodeTier,
    checked: &Checked,
    applied: &Applied,
    counts: &Counts,
    troubles: &[Trouble],
) -> (bool, &'static str, String) {
    let with = |why: &str| format!("{counts}: {why}");
    if tier.metadata.deletion_timestamp.is_some() {
        return (false, "Leaving", format!("it is deleted: {counts}"));
    }
    if let Some(waits) = checked.waits.as_ref().filter(|_| !checked.has_network()) {
        return (false, waits.reason, waits.message.clone());
    }
    // Also while all are active: those whose keys are gone do not start again.
    if let Some(lost) = troubles.iter().find(|trouble| trouble.reason == "KeyLost") {
        return (false, lost.reason, with(&lost.message));
    }
    if let Some(waits) = &checked.waits {
        return (false, waits.reason, waits.message.clone());
    }
    match (counts.wanted, counts.to_go) {
        (0, 0) => return (true, "ScaledToZero", counts.to_string()),
        (0, _) => return (false, "Leaving", format!("it is scaled to zero: {counts}")),
        _ if counts.all_active() => return (true, "AllActive", counts.to_string()),
        _ => {}
    }
    if let Some(trouble) = troubles.iter().find(|trouble| !trouble.holds_up.is_empty()) {
        return (false, trouble.reason, with(&trouble.message));
    }
    match (&checked.silent, waits(tier, applied)) {
        (Some(silent), _) => (false, "ChainUnreachable", with(silent)),
        (None, Some(waits)) => (false, "NotAllActive", with(&waits)),
        (None, None) => (false, "NotAllActive", counts.to_string()),
    }
}

/// The condition `Progressing`: nodes come or go. What is held up does neither.
fn progress(
    tier: &NodeTier,
    checked: &Checked,
    applied: &Applied,
    counts: &Counts,
    troubles: &[Trouble],
) -> (bool, &'static str, String) {
    let wanted = counts.wanted;
    if let Some(waits) = &checked.waits
        && tier.metadata.deletion_timestamp.is_none()
    {
        return (false, waits.reason, waits.message.clone());
    }
    let comes_or_goes =
        !counts.all_active() || counts.to_go > 0 || !applied.plan.steps.is_empty() || applied.replicas != wanted;
    if !comes_or_goes {
        return (false, "Settled", counts.to_string());
    }
    let told = waits(tier, applied).map_or(counts.to_string(), |waits| format!("{counts}: {waits}"));
    if counts.to_go > 0 || applied.replicas > wanted {
        return (true, "ScalingDown", told);
    }
    let holds_up = |ordinal: i32| troubles.iter().find(|trouble| trouble.holds_up.contains(&ordinal));
    // No pod is started beyond one that cannot be.
    let mut starts = (0..applied.replicas.min(wanted)).filter(|ordinal| holds_up(*ordinal).is_none());
    let missing = |ordinal: &i32| {
        let has_step = applied.plan.steps.iter().any(|(of, _)| of == ordinal);
        has_step || checked.situation.nodes.get(ordinal).is_none_or(|seen| !seen.is_active(tier.spec.role))
    };
    let moves = starts.any(|ordinal| missing(&ordinal));
    match troubles.iter().find(|trouble| !trouble.holds_up.is_empty()) {
        Some(trouble) if !moves => (false, trouble.reason, format!("{counts}: {}", trouble.message)),
        _ => (true, "ScalingUp", told),
    }
}

/// What the first of the nodes that wait waits for.
fn waits(tier: &NodeTier, applied: &Applied) -> Option<String> {
    let (ordinal, what) = applied.plan.waits.iter().next()?;
    Some(format!("{} waits {what}", names::pod(&tier.name_any(), *ordinal)))
}
