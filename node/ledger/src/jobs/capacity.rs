//! Slots and stake of nodes: what a shard takes of them, and gives back.
//!
//! A slot is taken from the draw until the node committed, abstained or is let go: a shard may wait long for another
//! node, and one that has done its work must not be kept from other work meanwhile. Stake of 25 times the price of
//! the shard is locked from the draw until the shard's own dispute window is over, or the node's part in it: were it
//! until the job's, a job larger than the stake of its tier could never come to an end.

use super::{pricing, state::node_shard_key};
use crate::{
    Context, LedgerError,
    context::{add, subtract},
    registry,
    store::Table,
    tables::row_key,
};
use valo_protocol::{
    Amount,
    event::{Event, Fault},
    registry::{NodeId, NodeState},
    shard::{MemberState, ShardAssignment, ShardRecord},
    state::NodeRecord,
};

/// A node that let a window pass; see [`NodeRecord::unanswered`].
const LET_A_WINDOW_PASS: u8 = 2;
/// A node that was let go because others were done long before it.
const LET_GO: u8 = 1;
/// A node is absent from this on.
const ABSENT: u8 = 4;

/// A node takes a shard into a free slot.
pub(crate) fn take(
    ctx: &mut Context<'_>,
    slot: u64,
    shard: &ShardRecord,
    assignment: &ShardAssignment,
) -> Result<(), LedgerError> {
    let mut node = ctx.expect_node(assignment.node)?;
    node.busy = node.busy.checked_add(1).ok_or(LedgerError::Overflow("slots of a node"))?;
    node.locked = add(node.locked, assignment.locked)?;
    ctx.set_node(assignment.node, &node);
    ctx.state.put(Table::NodeShards, node_shard_key(assignment.node, shard.key), row_key(slot).to_vec());
    Ok(())
}

fn change(
    ctx: &mut Context<'_>,
    id: NodeId,
    change: impl FnOnce(&mut NodeRecord) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let mut node = ctx.expect_node(id)?;
    change(&mut node)?;
    ctx.set_node(id, &node);
    registry::consider(ctx, id)
}

fn vacate(node: &mut NodeRecord) -> Result<(), LedgerError> {
    node.busy = node.busy.checked_sub(1).ok_or(LedgerError::Overflow("slots of a node"))?;
    Ok(())
}

/// The node committed or is done with the shard: its slot is free. Its stake stays locked.
pub(crate) fn free_slot(ctx: &mut Context<'_>, node: NodeId) -> Result<(), LedgerError> {
    change(ctx, node, vacate)
}

/// The node answered or abstained.
pub(crate) fn heard(ctx: &mut Context<'_>, node: NodeId) -> Result<(), LedgerError> {
    change(ctx, node, |node| {
        node.unanswered = 0;
        Ok(())
    })
}

/// The node neither answered nor abstained.
fn unheard(ctx: &mut Context<'_>, id: NodeId, weight: u8) -> Result<(), LedgerError> {
    let mut is_absent = false;
    change(ctx, id, |node| {
        node.unanswered = node.unanswered.saturating_add(weight);
        is_absent = node.unanswered >= ABSENT && node.state == NodeState::Active;
        if is_absent {
            node.state = NodeState::Absent;
        }
        Ok(())
    })?;
    if is_absent {
        ctx.emit(Event::NodeAbsent { node: id });
    }
    Ok(())
}

/// Stake behind an assignment is free again.
pub(crate) fn unlock(ctx: &mut Context<'_>, assignment: &mut ShardAssignment) -> Result<(), LedgerError> {
    let locked = std::mem::take(&mut assignment.locked);
    if locked.is_zero() {
        return Ok(());
    }
    change(ctx, assignment.node, |node| {
        node.locked = subtract(node.locked, locked)?;
        Ok(())
    })
}

/// Takes stake behind an assignment, and frees the rest; gives what was taken.
pub(crate) fn slash(
    ctx: &mut Context<'_>,
    shard: &ShardRecord,
    assignment: &mut ShardAssignment,
    amount: Amount,
    fault: Fault,
) -> Result<Amount, LedgerError> {
    let amount = amount.min(assignment.locked);
    unlock(ctx, assignment)?;
    let amount = ctx.slash(assignment.node, amount)?;
    let (node, owner) = (assignment.node, assignment.owner);
    ctx.emit(Event::Slashed { shard: shard.key, node, owner, amount, fault });
    Ok(amount)
}

/// Nothing more is expected of a node for a shard.
pub(crate) fn forget(ctx: &mut Context<'_>, shard: &ShardRecord, node: NodeId) -> Result<(), LedgerError> {
    ctx.state.delete(Table::NodeShards, node_shard_key(node, shard.key));
    registry::consider(ctx, node)
}

/// A node that works lets the window pass.
pub(crate) fn missed(ctx: &mut Context<'_>, shard: &mut ShardRecord, place: usize) -> Result<(), LedgerError> {
    let Some(mut assignment) = shard.assignments.get(place).copied() else { return Ok(()) };
    assignment.state = MemberState::Missed;
    free_slot(ctx, assignment.node)?;
    forget(ctx, shard, assignment.node)?;
    ctx.emit(Event::Missed { shard: shard.key, attempt: assignment.attempt, node: assignment.node });
    let fine = pricing::times(shard.limit_price, pricing::MISSED);
    slash(ctx, shard, &mut assignment, fine, Fault::Missed)?;
    unheard(ctx, assignment.node, LET_A_WINDOW_PASS)?;
    put_back(shard, place, assignment);
    Ok(())
}

/// A node that works, or has committed, is let go. `late`: because others were done long before it.
pub(crate) fn let_go(
    ctx: &mut Context<'_>,
    shard: &mut ShardRecord,
    place: usize,
    late: bool,
) -> Result<(), LedgerError> {
    let Some(mut assignment) = shard.assignments.get(place).copied() else { return Ok(()) };
    if assignment.state.has_slot() {
        free_slot(ctx, assignment.node)?;
    }
    assignment.state = MemberState::LetGo;
    forget(ctx, shard, assignment.node)?;
    unlock(ctx, &mut assignment)?;
    ctx.emit(Event::LetGo { shard: shard.key, attempt: assignment.attempt, node: assignment.node });
    if late {
        unheard(ctx, assignment.node, LET_GO)?;
    }
    put_back(shard, place, assignment);
    Ok(())
}

/// A node that committed lets the window for reveals pass.
pub(crate) fn not_revealed(ctx: &mut Context<'_>, shard: &mut ShardRecord, place: usize) -> Result<(), LedgerError> {
    let Some(mut assignment) = shard.assignments.get(place).copied() else { return Ok(()) };
    assignment.state = MemberState::NotRevealed;
    forget(ctx, shard, assignment.node)?;
    let fine = assignment.locked;
    slash(ctx, shard, &mut assignment, fine, Fault::NotRevealed)?;
    put_back(shard, place, assignment);
    Ok(())
}

/// Frees all stake behind a shard.
pub(crate) fn release(ctx: &mut Context<'_>, shard: &mut ShardRecord) -> Result<(), LedgerError> {
    let mut assignments = std::mem::take(&mut shard.assignments);
    for assignment in &mut assignments {
        unlock(ctx, assignment)?;
        forget(ctx, shard, assignment.node)?;
    }
    shard.assignments = assignments;
    Ok(())
}

pub(crate) fn put_back(shard: &mut ShardRecord, place: usize, assignment: ShardAssignment) {
    if let Some(entry) = shard.assignments.get_mut(place) {
        *entry = assignment;
    }
}
