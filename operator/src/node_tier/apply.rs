//! Brings a NodeTier about: keys, Wallets, Services, policies; then the reservations of its keys; the StatefulSet last
//! of what is in the cluster; then what is asked of the chain.

use super::{
    Error, Hindrance,
    build::Prepared,
    dereference::{OnChain, wallet_of},
    external,
    plan::{Plan, Step},
    validate::{Checked, endpoints_of},
};
use crate::{
    Context,
    cluster::ClusterError,
    key_reservation::{self, Claim},
    keys,
    names::{self, FINALIZER, namespace_of, reference},
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Secret, Service},
};
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_crds::NodeTier;
use valo_protocol::{
    Action, Grant, PublicKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    registry::{Endpoints, NodeState},
};

/// For how long a grant is good: it is used at once.
const GRANT: u64 = 10 * 60 * 1000;

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// The keys of all nodes, those that were made just now included.
    pub keys: BTreeMap<i32, PublicKey>,
    /// What was planned.
    pub plan: Plan,
    /// How many pods the StatefulSet runs by now.
    pub replicas: i32,
    /// What could not be done.
    pub hindrances: Vec<Hindrance>,
    /// Whether the NodeTier is gone.
    pub is_over: bool,
}

/// Applies what was built, and carries out what was planned.
pub async fn apply(
    context: &Context,
    tier: &NodeTier,
    checked: &Checked,
    prepared: Prepared,
) -> Result<Applied, Error> {
    let Prepared {
        keys: secrets,
        wallets,
        config,
        headless,
        service,
        external: services,
        policy,
        budget,
        stateful_set,
        plan,
        outdated,
    } = prepared;
    let cluster = &context.cluster;
    let is_leaving = tier.metadata.deletion_timestamp.is_some();
    if !is_leaving {
        cluster.set_finalizer(tier, FINALIZER, true).await?;
    }
    let mut applied = Applied { keys: checked.keys.there.clone(), plan, ..Applied::default() };
    make_keys(context, tier, checked, &secrets, &mut applied).await?;
    for wallet in &wallets {
        cluster.apply(wallet).await?;
    }
    if !checked.situation.abandon && checked.has_network() {
        settle(cluster.apply(&config).await, is_leaving)?;
        settle(cluster.apply(&headless).await, is_leaving)?;
        settle(cluster.apply(&service).await, is_leaving)?;
        for service in &services {
            settle(external::apply(context, tier, service).await, is_leaving)?;
        }
        settle(cluster.apply(&policy).await, is_leaving)?;
        settle(cluster.apply(&budget).await, is_leaving)?;
    }
    if checked.situation.abandon {
        if let Some(running) = &checked.stateful_set {
            cluster.delete(running).await?;
        }
    } else if let Some(stateful_set) = stateful_set {
        run_pods(context, tier, checked, stateful_set, &mut applied).await?;
    } else {
        applied.replicas = checked.situation.running;
    }
    let is_kept = |service: &Service| services.iter().any(|kept| kept.name_any() == service.name_any());
    let may_go = checked.has_network() || checked.situation.abandon;
    for left in checked.external.values().filter(|left| may_go && !is_kept(left)) {
        cluster.delete(left).await?;
    }
    if let Some(name) = outdated {
        replace(context, tier, checked, &name).await?;
    }
    if let Some(chain) = &checked.chain {
        perform(context, tier, checked, chain, &mut applied).await?;
    }
    release_gone(context, tier, checked, &applied).await?;
    if is_leaving && applied.plan.is_over() {
        applied.is_over = end(context, tier, checked, &applied).await?;
    }
    Ok(applied)
}

/// Makes the Secrets of new nodes. One that is there under the name, whoever made it, holds the key of the node.
async fn make_keys(
    context: &Context,
    tier: &NodeTier,
    checked: &Checked,
    secrets: &[Secret],
    applied: &mut Applied,
) -> Result<(), Error> {
    let mut generated = Vec::new();
    for (secret, (ordinal, fresh)) in secrets.iter().zip(&checked.fresh) {
        let made = context.cluster.make_once(secret).await?;
        let key = keys::read(&made, keys::DATA_KEY)?.public();
        if key == fresh.public() {
            generated.push(made.name_any());
        }
        applied.keys.insert(*ordinal, key);
    }
    if !generated.is_empty() {
        let note = format!("keys of new nodes are in {}: back them up", generated.join(", "));
        context.tell(&reference(tier), "KeysGenerated", "Generate", note).await;
    }
    Ok(())
}

/// In a namespace that is deleted nothing can be made any more: what leaves does without.
fn settle<T>(applied: Result<T, ClusterError>, is_leaving: bool) -> Result<(), ClusterError> {
    match applied {
        Err(error) if is_leaving && error.is_status(403) => Ok(()),
        applied => applied.map(drop),
    }
}

/// Applies the StatefulSet with as many pods as have their keys and hold their reservations.
async fn run_pods(
    context: &Context,
    tier: &NodeTier,
    checked: &Checked,
    mut stateful_set: StatefulSet,
    applied: &mut Applied,
) -> Result<(), Error> {
    let mut replicas = applied.plan.replicas;
    for ordinal in 0..applied.plan.replicas {
        let hindrance = match applied.keys.get(&ordinal) {
            // One that runs goes on: what it has mounted is still there.
            None if ordinal < checked.situation.running => continue,
            // It is lost: the status says so.
            None => {
                replicas = ordinal;
                break;
            }
            Some(key) => claimed(context, tier, checked, ordinal, key).await?,
        };
        if let Some(message) = hindrance {
            applied.hindrances.push(Hindrance::new(ordinal, "KeyReserved", message));
            replicas = ordinal;
            break;
        }
    }
    if let Some(spec) = &mut stateful_set.spec {
        spec.replicas = Some(replicas);
    }
    settle(context.cluster.apply(&stateful_set).await, tier.metadata.deletion_timestamp.is_some())?;
    applied.replicas = replicas;
    if replicas != checked.situation.running {
        let note = format!("{} pods, {} before", replicas, checked.situation.running);
        context.tell(&reference(tier), "Scaled", "Scale", note).await;
    }
    Ok(())
}

/// Replaces a pod that runs something else than what is asked for.
async fn replace(context: &Context, tier: &NodeTier, checked: &Checked, name: &str) -> Result<(), Error> {
    let Some(pod) = checked.seen_pods.iter().find(|pod| pod.name_any() == name) else { return Ok(()) };
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    context.cluster.delete(pod).await?;
    let note = format!("{name} starts anew with {}", checked.pods.image);
    context.tell(&reference(tier), "Replaced", "Roll", note).await;
    Ok(())
}

/// Why a pod may not run, if another holds its key.
async fn claimed(
    context: &Context,
    tier: &NodeTier,
    checked: &Checked,
    ordinal: i32,
    key: &PublicKey,
) -> Result<Option<String>, Error> {
    // Of every role: a node votes with the key of a validator, whatever its NodeTier calls it.
    let Some(genesis) = &checked.genesis else { return Ok(None) };
    let wanted = key_reservation::build(tier, ordinal, genesis, key);
    Ok(match key_reservation::claim(context, &wanted, checked.reservations.get(&ordinal)).await? {
        Claim::Ours => None,
        Claim::Of(holder) => Some(format!(
            "the key {key} is reserved for pod {} of NodeTier {} in namespace {}: two pods never sign with one key",
            holder.pod, holder.node_tier, holder.namespace
        )),
    })
}

/// Asks the chain for what was planned. What it refuses holds up that node only.
async fn perform(
    context: &Context,
    tier: &NodeTier,
    checked: &Checked,
    chain: &OnChain,
    applied: &mut Applied,
) -> Result<(), Error> {
    let mut signers = chain.signers.lock().await;
    for (ordinal, step) in applied.plan.steps.clone() {
        let wallet = wallet_of(tier, ordinal).unwrap_or_default();
        let pod = names::pod(&tier.name_any(), ordinal);
        let Some(signer) = signers.get_mut(&wallet) else {
            let message = format!("Wallet {wallet} has no account on the chain yet");
            applied.hindrances.push(Hindrance::new(ordinal, "WalletNotReady", message));
            continue;
        };
        let Some(action) = action(tier, checked, chain, signer, ordinal, step) else { continue };
        match signer.perform(context, action).await {
            Ok(_) => {
                let (reason, note) = told(step, &pod);
                context.tell(&reference(tier), reason, "Chain", note).await;
            }
            Err(error) => {
                let hindrance = Hindrance::of(ordinal, &error);
                let note = format!("{pod}: {}", hindrance.message);
                context.warn(&reference(tier), hindrance.reason, "Chain", note).await;
                applied.hindrances.push(hindrance);
            }
        }
    }
    Ok(())
}

/// The action of a step.
fn action(
    tier: &NodeTier,
    checked: &Checked,
    chain: &OnChain,
    signer: &crate::chain::Signer,
    ordinal: i32,
    step: Step,
) -> Option<Action> {
    let node = chain.records.get(&ordinal).map(|record| record.id);
    let endpoints = || endpoints(&endpoints_of(tier, &checked.pods, &checked.external, ordinal).unwrap_or_default());
    Some(match step {
        Step::Register => {
            let status = &chain.chain.status;
            let grant = Grant {
                owner: signer.account.number,
                node: *checked.keys.there.get(&ordinal)?,
                role: checked.role?,
                stake: checked.situation.stake,
                endpoints: endpoints(),
                expires: Timestamp(status.time.0.saturating_add(GRANT)),
            };
            Action::RegisterNode { grant: grant.sign(&status.genesis, signer.key()) }
        }
        Step::Bond(amount) => Action::Bond { node: node?, amount },
        Step::Unbond(amount) => Action::Unbond { node: node?, amount },
        Step::Update => Action::UpdateNode { node: node?, slots: None, endpoints: Some(endpoints()) },
        Step::Drain => Action::RemoveNode { node: node? },
        Step::Resume => Action::ResumeNode { node: node? },
        Step::Rebond(amount) => Action::Rebond { node: node?, amount },
    })
}

/// Addresses as the registry takes them; none if they are too long for it.
fn endpoints(addresses: &[String]) -> Endpoints {
    let all: Result<Vec<_>, _> = addresses.iter().map(BoundedString::new).collect();
    all.ok().and_then(|all| BoundedVec::new(all).ok()).unwrap_or_default()
}

/// A step that was taken, as an event tells it.
fn told(step: Step, pod: &str) -> (&'static str, String) {
    match step {
        Step::Register => ("Registered", format!("{pod} is registered, and joins when it says that it is ready")),
        Step::Bond(amount) => ("Bonded", format!("{amount} VALO more stand behind {pod}")),
        Step::Unbond(amount) => ("Unbonded", format!("{amount} VALO of {pod} are unbonding")),
        Step::Update => ("Moved", format!("the chain knows where {pod} is reached")),
        Step::Drain => ("Draining", format!("{pod} takes nothing new, finishes what it has, and leaves")),
        Step::Resume => ("Resumed", format!("{pod} stays after all")),
        Step::Rebond(amount) => ("Rebonded", format!("{amount} VALO of {pod} are put back: it joins again")),
    }
}

/// Gives back the keys of pods that are proved absent.
async fn release_gone(context: &Context, tier: &NodeTier, checked: &Checked, applied: &Applied) -> Result<(), Error> {
    let Some(genesis) = &checked.genesis else { return Ok(()) };
    let may_go = checked.situation.chain_answers || checked.situation.abandon;
    let known = applied.keys.iter().chain(&checked.keys.lost);
    for (ordinal, key) in known.filter(|(ordinal, _)| **ordinal >= applied.plan.replicas) {
        let record = checked.chain.as_ref().and_then(|chain| chain.records.get(ordinal));
        let is_out = |state| matches!(state, NodeState::Left | NodeState::Tombstoned);
        let is_free = record.is_none_or(|record| is_out(record.state)) || checked.situation.abandon;
        // What the StatefulSet was told before this pass, so that its controller has had time to act on it.
        let was_told = *ordinal >= checked.situation.running;
        let pod: Option<Pod> =
            context.cluster.get(&namespace_of(tier), &names::pod(&tier.name_any(), *ordinal)).await?;
        if may_go && is_free && was_told && pod.is_none() {
            key_reservation::release(context, &key_reservation::build(tier, *ordinal, genesis, key)).await?;
        }
    }
    Ok(())
}

/// Ends a NodeTier that nothing is left of. Whether it is.
async fn end(context: &Context, tier: &NodeTier, checked: &Checked, applied: &Applied) -> Result<bool, Error> {
    let namespace = namespace_of(tier);
    let own = names::selector(&[(names::NODE_TIER, &tier.name_any())]);
    let pods: Vec<Pod> = context.cluster.list(&namespace, &own).await?;
    if applied.replicas > 0 || checked.situation.running > 0 || !pods.is_empty() {
        return Ok(false);
    }
    key_reservation::release_all(context, tier).await?;
    if !applied.keys.is_empty() {
        let volumes = if tier.spec.storage.retain { " and the volumes" } else { "" };
        let note = format!("the Secrets with the keys{volumes} stay; delete them when the stake is paid");
        context.tell(&reference(tier), "Kept", "Delete", note).await;
    }
    context.cluster.set_finalizer(tier, FINALIZER, false).await?;
    Ok(true)
}
