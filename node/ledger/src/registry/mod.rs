//! The registry: nodes come in by their owners' grants, stand behind their work with stake, and leave.
//!
//! ```text
//!                      ready, bonded (worker) or elected (validator)
//!   register --> joining ------------------------------------> active <--> absent
//!                   ^  \                                          |           |
//!            rebond |   \--- remove --> draining <--- drain, remove ----------+
//!                   |                      |   \--- resume --> joining, and active again at once if it can
//!                   |                      | nothing to do, nothing locked, in no validator set
//!                   +-------- left <-------+
//!                               | all stake paid: the row is free
//!
//!   active validator -- signed too little --> jailed -- its time is over, unjail --> joining
//!   validator -- signed twice --> tombstoned: its stake is paid, its row stays, so that its key never comes back
//! ```
//! What changes at an epoch's end or when a node has nothing left to do is done at the end of a block
//! ([`leave::end_of_block`]), a bounded amount of it; stake is paid when its deadline comes ([`stake::pay`]).

mod audit;
mod faults;
mod join;
mod leave;
mod quorum;
mod stake;

#[cfg(test)]
mod tests;

pub use audit::audit;
pub(crate) use faults::{
    OUT, can_unjail, check as check_evidence, check_all as check_all_evidence,
    check_submitted as check_submitted_evidence, credit, duty_since, judge_duty, note_epoch, punish_all,
};
pub(crate) use join::{come_back, genesis_validator};
pub(crate) use leave::{can_drain, consider, end_of_block, has_leaving};
pub(crate) use stake::{pay, take_unbonding};

use crate::{Context, Failure, LedgerError};
use valo_protocol::{
    AccountNumber, Action, Amount,
    event::Event,
    receipt::{Made, Reason},
    registry::{NodeId, NodeRole, NodeState},
    state::NodeRecord,
};

/// Executes an action about nodes. Whatever it did is undone when it fails.
pub(crate) fn apply(ctx: &mut Context<'_>, sender: AccountNumber, action: &Action) -> Result<Made, Failure> {
    match action {
        Action::RegisterNode { grant } => join::register(ctx, sender, grant),
        Action::UpdateNode { node, slots, endpoints } => join::update(ctx, sender, *node, *slots, endpoints.as_ref()),
        Action::Drain => leave::drain(ctx, sender),
        Action::SubmitEvidence { evidence } => faults::submit(ctx, evidence),
        Action::Unjail => faults::unjail(ctx, sender),
        Action::RemoveNode { node } => leave::remove(ctx, sender, *node),
        Action::ResumeNode { node } => leave::resume(ctx, sender, *node),
        Action::Bond { node, amount } => stake::bond(ctx, sender, *node, *amount),
        Action::Unbond { node, amount } => stake::unbond(ctx, sender, *node, *amount),
        Action::Rebond { node, amount } => stake::rebond(ctx, sender, *node, *amount),
        _ => Err(Reason::Full("this is no action about nodes".to_owned()).into()),
    }
}

/// A node.
fn expect(ctx: &Context<'_>, node: NodeId) -> Result<NodeRecord, Failure> {
    Ok(ctx.node(node)?.ok_or(Reason::NoNode(node))?)
}

/// A node of the sender.
fn own(ctx: &Context<'_>, sender: AccountNumber, node: NodeId) -> Result<NodeRecord, Failure> {
    let record = expect(ctx, node)?;
    if record.owner != sender {
        return Err(Reason::NotYourNode(node).into());
    }
    Ok(record)
}

/// The stake that a node answers with at least.
fn needed(ctx: &Context<'_>, role: NodeRole) -> Result<Amount, Failure> {
    match role {
        NodeRole::Validator => Ok(ctx.params().min_validator_stake),
        NodeRole::Worker { tier, slots } => {
            let found = ctx.tier(tier)?.ok_or(Reason::NoTierNumber(tier))?;
            // Beyond all money there is, it is out of reach all the same.
            Ok(found.stake_per_slot.checked_mul(u64::from(slots)).unwrap_or(Amount::from_units(u64::MAX)))
        }
    }
}

/// Checks that a stake is enough for a role.
fn covers(ctx: &Context<'_>, role: NodeRole, stake: Amount) -> Result<(), Failure> {
    let needed = needed(ctx, role)?;
    if stake < needed {
        return Err(Reason::StakeTooLow { stake, needed }.into());
    }
    Ok(())
}

/// Moves a node on and says so. The caller writes the record.
fn set_state(ctx: &mut Context<'_>, node: NodeId, record: &mut NodeRecord, state: NodeState) {
    record.state = state;
    ctx.emit(Event::NodeStateChanged { node, owner: record.owner, state });
}

/// Lets a joining node in, as soon as it may: a worker when it is ready and bonded, a validator when it is in the set.
/// The caller writes the record.
fn let_in(ctx: &mut Context<'_>, node: NodeId, record: &mut NodeRecord) -> Result<(), LedgerError> {
    if record.state != NodeState::Joining || !record.ready {
        return Ok(());
    }
    let may_enter = match record.role {
        NodeRole::Validator => ctx.validators.get(&record.key).is_some(),
        NodeRole::Worker { tier, slots } => {
            let per_slot = ctx.tier(tier)?.map(|tier| tier.stake_per_slot);
            let needed = per_slot.and_then(|stake| stake.checked_mul(u64::from(slots)));
            needed.is_some_and(|needed| record.stake >= needed)
        }
    };
    if may_enter {
        set_state(ctx, node, record, NodeState::Active);
    }
    Ok(())
}
