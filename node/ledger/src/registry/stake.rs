//! Stake: bonded, unbonded, put back, paid.

use super::{
    covers, expect,
    faults::returning_state,
    join::{free_stake, seat},
    leave::forget_if_paid,
    let_in, own, quorum, set_state,
};
use crate::{
    Context, Failure, LedgerError,
    context::{add, subtract},
    jobs::Deadline,
};
use valo_protocol::{
    AccountNumber, Amount, Timestamp,
    bytes::BoundedVec,
    event::Event,
    receipt::{Made, Reason},
    registry::{MAX_UNBONDING, NodeId, NodeState, Unbonding},
    state::NodeRecord,
};

/// Whoever pays, it is the owner's.
pub(super) fn bond(
    ctx: &mut Context<'_>,
    sender: AccountNumber,
    node: NodeId,
    amount: Amount,
) -> Result<Made, Failure> {
    let mut record = expect(ctx, node)?;
    some(amount)?;
    if matches!(record.state, NodeState::Draining | NodeState::Left | NodeState::Tombstoned) {
        return Err(Reason::NodeIs(record.state).into());
    }
    ctx.bond(sender, amount)?;
    record.stake = add(record.stake, amount)?;
    let_in(ctx, node, &mut record)?;
    ctx.set_node(node, &record);
    ctx.emit(Event::Bonded { node, owner: record.owner, amount });
    Ok(Made::Nothing)
}

/// The owner takes free stake: what neither answers for work nor is the least that the node takes.
pub(super) fn unbond(
    ctx: &mut Context<'_>,
    sender: AccountNumber,
    node: NodeId,
    amount: Amount,
) -> Result<Made, Failure> {
    let mut record = own(ctx, sender, node)?;
    some(amount)?;
    if !matches!(record.state, NodeState::Joining | NodeState::Active | NodeState::Absent) {
        return Err(Reason::NodeIs(record.state).into());
    }
    let available = free_stake(ctx, &record)?;
    if amount > available {
        return Err(Reason::StakeInUse { available }.into());
    }
    let left = subtract(record.stake, amount)?;
    quorum::keeps(&ctx.state, ctx.params(), node, |record| record.stake = left)??;
    // The last place is kept for the rest of the stake when the node leaves.
    if record.unbonding.len() >= MAX_UNBONDING.saturating_sub(1) {
        return Err(Reason::TooManyUnbondings.into());
    }
    start_unbonding(ctx, node, &mut record, amount)?;
    ctx.set_node(node, &record);
    Ok(Made::Nothing)
}

/// Stake is on its way back to the owner. The caller writes the record.
pub(super) fn start_unbonding(
    ctx: &mut Context<'_>,
    node: NodeId,
    record: &mut NodeRecord,
    amount: Amount,
) -> Result<(), LedgerError> {
    let until = ctx.time().after(ctx.params().unbonding);
    record.stake = subtract(record.stake, amount)?;
    let mut parts = std::mem::take(&mut record.unbonding).into_inner();
    match parts.last_mut().filter(|part| part.until == until) {
        Some(part) => part.amount = add(part.amount, amount)?,
        None => parts.push(Unbonding { amount, until }),
    }
    set_parts(record, parts)?;
    ctx.unbond(amount)?;
    Deadline::Unbonding(node).set(&mut ctx.state, until);
    ctx.emit(Event::Unbonded { node, owner: record.owner, amount, until });
    Ok(())
}

fn set_parts(record: &mut NodeRecord, parts: Vec<Unbonding>) -> Result<(), LedgerError> {
    record.unbonding = BoundedVec::new(parts).map_err(|_| LedgerError::Overflow("parts of a stake"))?;
    Ok(())
}

fn some(amount: Amount) -> Result<(), Reason> {
    if amount.is_zero() { Err(Reason::NoAmount) } else { Ok(()) }
}

/// The owner puts back what is unbonding, the latest first. A node that has left joins again.
pub(super) fn rebond(
    ctx: &mut Context<'_>,
    sender: AccountNumber,
    node: NodeId,
    amount: Amount,
) -> Result<Made, Failure> {
    let mut record = own(ctx, sender, node)?;
    some(amount)?;
    if record.state == NodeState::Tombstoned {
        return Err(Reason::NodeIs(record.state).into());
    }
    let mut available = Amount::ZERO;
    for part in &record.unbonding {
        available = add(available, part.amount)?;
    }
    if amount > available {
        return Err(Reason::NotUnbonding { available }.into());
    }
    if record.state == NodeState::Left {
        covers(ctx, record.role, add(record.stake, amount)?)?;
    }
    take_unbonding(ctx, node, &mut record, amount)?;
    ctx.rebond(amount)?;
    record.stake = add(record.stake, amount)?;
    if record.state == NodeState::Left {
        let state = returning_state(&record, ctx.time());
        set_state(ctx, node, &mut record, state);
        ctx.set_node(node, &record);
        seat(ctx, node)?;
        record = ctx.expect_node(node)?;
    }
    let_in(ctx, node, &mut record)?;
    ctx.set_node(node, &record);
    ctx.emit(Event::Rebonded { node, owner: record.owner, amount });
    Ok(Made::Nothing)
}

/// Takes from what is unbonding, the latest first; gives how much there was to take. The caller moves the money, and
/// writes the record.
pub(crate) fn take_unbonding(
    ctx: &mut Context<'_>,
    node: NodeId,
    record: &mut NodeRecord,
    amount: Amount,
) -> Result<Amount, LedgerError> {
    let mut parts = std::mem::take(&mut record.unbonding).into_inner();
    let mut missing = amount;
    while let Some(mut part) = parts.pop() {
        let taken = missing.min(part.amount);
        missing = subtract(missing, taken)?;
        part.amount = subtract(part.amount, taken)?;
        if !part.amount.is_zero() {
            parts.push(part);
            break;
        }
        Deadline::Unbonding(node).clear(&mut ctx.state, part.until);
    }
    set_parts(record, parts)?;
    subtract(amount, missing)
}

/// Pays the owner what has been unbonding long enough. The deadline that says so has come.
pub(crate) fn pay(ctx: &mut Context<'_>, node: NodeId, deadline: Timestamp) -> Result<(), LedgerError> {
    Deadline::Unbonding(node).clear(&mut ctx.state, deadline);
    let Some(mut record) = ctx.node(node)? else { return Ok(()) };
    let (due, parts): (Vec<Unbonding>, Vec<Unbonding>) =
        record.unbonding.iter().partition(|part| part.until == deadline);
    set_parts(&mut record, parts)?;
    ctx.set_node(node, &record);
    for part in due {
        ctx.pay_unbonded(record.owner, part.amount)?;
        ctx.emit(Event::StakePaid { node, owner: record.owner, amount: part.amount });
    }
    forget_if_paid(ctx, node, &record)
}
