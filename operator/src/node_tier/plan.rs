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
        return Plan { replicas: wanted.max(running), steps: Vec::new(), waits };
    }
    let mut plan = Plan { replicas: wanted, ..Plan::default() };
    for (ordinal, seen) in &situation.nodes {
        if *ordinal < wanted {
            stay(situation, *ordinal, seen, &mut plan);
        }
    }
    leave(situation, &mut plan);
    plan
}

/// A node that shall be there.
fn stay(situation: &Situation, ordinal: i32, seen: &Seen, plan: &mut Plan) {
    let wanted = situation.stake;
    let Some(record) = &seen.record else {
        match seen.ready {
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
