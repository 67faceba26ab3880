//! What is to be done next for the nodes of a tier: a pure function of what is wanted, what runs, and what the chain has
//! finalized.
//!
//! ```text
//!   wanted:    no pod -> starts -> caught up -> register -> joining -> active        bond what is missing
//!   unwanted:  active -> drain -> draining -> left -> the pod goes                   (its stake unbonds by itself)
//!   again:     draining -> resume            left -> rebond, the pod comes back
//! ```
//! Every pass starts from scratch, so each step can be the first after a restart; none is taken twice, since the chain
//! says what was taken. A pod goes only when the chain has let its node go, the highest ordinal first. What is not
//! known is never taken for gone: while the chain is silent nothing shrinks.
//!
//! No more nodes are begun than the wallet can pay for: a node that cannot be registered only holds a key, a pod and a
//! volume. One is begun without money, the first: what the wallet has is read from the chain, a network that joins reads
//! the chain through its own pods alone, and someone who looks for what is missing finds a node that waits. It is the first
//! of the tier and not one beyond those that are paid for, since that one could not be registered either, and while a
//! tier has others the chain is read through them. As long as nobody knows what the wallet has, only nodes that are
//! known to be paid for are begun besides: those of the genesis, and those that were registered before. What was begun
//! is never ended for lack of money.

use super::funds::{Funds, Paid};
use std::collections::BTreeMap;
use valo_crds::Role;
use valo_protocol::{Amount, registry::NodeState};

/// What is observed of a NodeTier.
#[derive(Debug, Clone)]
pub struct Situation {
    /// What the nodes do.
    pub role: Role,
    /// How many nodes there shall be.
    pub wanted: i32,
    /// How many pods the StatefulSet has been told to run.
    pub running: i32,
    /// Whether the chain answers. If it does not, records mean nothing.
    pub chain_answers: bool,
    /// Whether nodes go without a word to the chain: it ends with them, or the user said so.
    pub abandon: bool,
    /// What stands behind each node.
    pub stake: Amount,
    /// How many nodes were paid for before the chain answers: those of the genesis, and those that were registered.
    pub begun: i32,
    /// What new nodes are paid from, if that is known.
    pub funds: Option<Funds>,
    /// The nodes, by ordinal.
    pub nodes: BTreeMap<i32, Seen>,
}

/// What is observed of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether its pod is ready: it follows the chain.
    pub ready: bool,
    /// What the chain has of it; none if it is not registered.
    pub record: Option<Record>,
    /// Whether the addresses on the chain are not those it is reached at.
    pub moved: bool,
    /// Whether the Secret with its key is gone: it cannot start again.
    pub is_lost: bool,
}

impl Seen {
    /// Whether it does what it is for.
    pub fn is_active(&self, role: Role) -> bool {
        let on_chain = || self.record.as_ref().is_some_and(|record| record.state == NodeState::Active);
        self.ready && (role == Role::Full || on_chain())
    }
}

/// What the chain has of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub state: NodeState,
    /// Bonded for it.
    pub stake: Amount,
    /// On its way back to the owner.
    pub unbonding: Amount,
}

/// What the chain is asked for, signed by the owner of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Bring it in.
    Register,
    /// Add to its stake.
    Bond(Amount),
    /// Take from its stake.
    Unbond(Amount),
    /// Say where it is reached.
    Update,
    /// Let it finish and leave.
    Drain,
    /// Keep it after all.
    Resume,
    /// Put its stake back: it joins again.
    Rebond(Amount),
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many pods the StatefulSet shall run.
    pub replicas: i32,
    /// What the chain is asked for, in order, with the ordinal of the node.
    pub steps: Vec<(i32, Step)>,
    /// What nodes wait for, for people.
    pub waits: BTreeMap<i32, String>,
    /// Nodes that nobody can pay for, with what is missing for each.
    pub unpaid: BTreeMap<i32, Amount>,
}

impl Plan {
    /// Whether nothing is left of the tier: no pod is to run, and the chain expects nothing of any node.
    pub fn is_over(&self) -> bool {
        self.replicas == 0 && self.steps.is_empty() && self.waits.is_empty()
    }
}

/// Plans.
pub fn plan(situation: &Situation) -> Plan {
    let Situation { role, wanted, running, .. } = *situation;
    if situation.abandon {
        return Plan::default();
    }
    if role == Role::Full {
        return Plan { replicas: wanted, ..Plan::default() };
    }
    if !situation.chain_answers {
        let waits =
            if wanted < running { [(running - 1, "the chain to answer".to_owned())].into() } else { BTreeMap::new() };
        // The first node brings the chain about.
        let begun = situation.begun.max(1).min(wanted);
        return Plan { replicas: begun.max(running), waits, ..Plan::default() };
    }
    let mut plan = Plan::default();
    let mut funds = situation.funds.clone();
    for (ordinal, seen) in situation.nodes.range(..wanted) {
        let paid = funds.as_mut().map(|funds| funds.pay(*ordinal, cost(situation.stake, seen)));
        let is_begun = match paid {
            _ if *ordinal == 0 || *ordinal < running => true,
            Some(Paid::Now | Paid::Soon) => true,
            Some(Paid::Lacks(_)) => is_registered(seen),
            None => is_registered(seen) || *ordinal < situation.begun,
        };
        if is_begun {
            plan.replicas = ordinal.saturating_add(1);
        }
        match paid {
            Some(Paid::Lacks(missing)) if !is_registered(seen) => {
                plan.unpaid.insert(*ordinal, missing);
                plan.waits.insert(*ordinal, format!("for money: {missing} VALO are missing"));
            }
            Some(Paid::Soon) if !is_registered(seen) && seen.ready => {
                plan.waits.insert(*ordinal, "for its wallet to be filled".to_owned());
            }
            None if !is_begun => drop(plan.waits.insert(*ordinal, "to know what its wallet has".to_owned())),
            _ => stay(situation, *ordinal, seen, &mut plan),
        }
    }
    leave(situation, &mut plan);
    plan
}

/// Whether the chain has a node, with a stake or with one that can be put back.
fn is_registered(seen: &Seen) -> bool {
    let is_free = |record: &Record| record.state == NodeState::Left && record.unbonding.is_zero();
    seen.record.as_ref().is_some_and(|record| !is_free(record))
}

/// What a node takes from its wallet until all of its stake is there. That of one that was put out is not filled up.
fn cost(stake: Amount, seen: &Seen) -> Amount {
    match &seen.record {
        Some(record) => match record.state {
            NodeState::Jailed | NodeState::Tombstoned => Amount::ZERO,
            NodeState::Left => stake.saturating_sub(record.unbonding),
            _ => stake.saturating_sub(record.stake),
        },
        None => stake,
    }
}

/// A node that shall be there.
fn stay(situation: &Situation, ordinal: i32, seen: &Seen, plan: &mut Plan) {
    let wanted = situation.stake;
    let Some(record) = &seen.record else {
        match seen.ready {
            // No stake goes behind what cannot start again.
            _ if seen.is_lost => drop(plan.waits.insert(ordinal, "for its key".to_owned())),
            true => plan.steps.push((ordinal, Step::Register)),
            false => drop(plan.waits.insert(ordinal, "to catch up, before it registers".to_owned())),
        }
        return;
    };
    let missing = wanted.saturating_sub(record.stake);
    match record.state {
        NodeState::Draining => plan.steps.push((ordinal, Step::Resume)),
        NodeState::Left if !record.unbonding.is_zero() => {
            // More than was bonded cannot be put back; what is missing then is bonded when it has joined.
            plan.steps.push((ordinal, Step::Rebond(missing.min(record.unbonding))));
        }
        NodeState::Left => drop(plan.waits.insert(ordinal, "the chain to forget that it left".to_owned())),
        NodeState::Jailed => drop(plan.waits.insert(ordinal, "its jail to be over".to_owned())),
        NodeState::Tombstoned => {
            drop(plan.waits.insert(ordinal, "nothing: it signed twice, and its key never takes part again".to_owned()));
        }
        NodeState::Joining | NodeState::Active | NodeState::Absent => {
            if seen.moved {
                plan.steps.push((ordinal, Step::Update));
            }
            let surplus = record.stake.saturating_sub(wanted);
            if !missing.is_zero() {
                plan.steps.push((ordinal, Step::Bond(missing)));
            } else if !surplus.is_zero() {
                plan.steps.push((ordinal, Step::Unbond(surplus)));
            }
            match record.state {
                NodeState::Joining => drop(plan.waits.insert(ordinal, "to be let in by the chain".to_owned())),
                NodeState::Absent => drop(plan.waits.insert(ordinal, "to say that it is back".to_owned())),
                _ => {}
            }
        }
    }
}

/// Nodes that shall go, the highest ordinal first. Workers drain together: each finishes what it has. Of validators
/// one drains at a time, so that the set shrinks by one an epoch at most by our hand.
fn leave(situation: &Situation, plan: &mut Plan) {
    let is_validator = situation.role == Role::Validator;
    let mut under_way = false;
    for (ordinal, seen) in situation.nodes.iter().rev().filter(|(ordinal, _)| **ordinal >= situation.wanted) {
        let state = seen.record.as_ref().map(|record| record.state);
        match state {
            None | Some(NodeState::Left | NodeState::Tombstoned) => continue,
            Some(NodeState::Draining) => {
                drop(plan.waits.insert(*ordinal, "to finish what it has, and leave".to_owned()))
            }
            Some(NodeState::Joining | NodeState::Active | NodeState::Absent | NodeState::Jailed)
                if is_validator && under_way =>
            {
                plan.waits.insert(*ordinal, "for the validator before it to leave".to_owned());
            }
            Some(NodeState::Joining | NodeState::Active | NodeState::Absent | NodeState::Jailed) => {
                plan.steps.push((*ordinal, Step::Drain));
            }
        }
        under_way = true;
        // Its pod stays until the chain has let it go; so do those below it. One that runs no more is not started.
        plan.replicas = plan.replicas.max(ordinal.saturating_add(1).min(situation.running));
    }
}

#[cfg(test)]
mod tests;
