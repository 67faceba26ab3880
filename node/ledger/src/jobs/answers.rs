//! What workers say: commits, reveals, abstentions, and that they are back.
//!
//! A message changes only its sender's own part, so that all messages of a block find the shard as it was at
//! the block's start; what follows from them is done at the end of the block. A commit therefore still counts in the
//! first block after its window, whose end closes it.

use super::{MessageKind, capacity, state};
use crate::{Context, Failure, LedgerError, store::Store};
use valo_protocol::{
    AccountNumber,
    event::Event,
    job::{Attempt, ShardKey},
    receipt::{Made, Reason},
    registry::NodeId,
    shard::{MemberState, ShardPhase, ShardRecord},
    transaction::{AbstainEntry, CommitEntry, RevealEntry, commitment},
};

/// Whether a node may say this about a shard.
pub(crate) fn is_open(
    store: &dyn Store,
    node: NodeId,
    kind: MessageKind,
    shard: ShardKey,
    attempt: Attempt,
) -> Result<bool, LedgerError> {
    Ok(state::shard(store, shard)?.is_some_and(|(_, record)| place(&record, node, kind, attempt).is_some()))
}

/// The place of a node that may say this.
fn place(shard: &ShardRecord, node: NodeId, kind: MessageKind, attempt: Attempt) -> Option<usize> {
    let place = shard.assignments.iter().position(|other| other.node == node && other.attempt == attempt)?;
    let state = shard.assignments.get(place)?.state;
    let open = match kind {
        MessageKind::Commit | MessageKind::Abstain => shard.phase == ShardPhase::Open && state == MemberState::Assigned,
        MessageKind::Reveal => {
            matches!(shard.phase, ShardPhase::Revealing { .. }) && matches!(state, MemberState::Committed { .. })
        }
    };
    open.then_some(place)
}

fn sender(ctx: &Context<'_>, account: AccountNumber) -> Result<NodeId, Failure> {
    Ok(ctx.node_of(account)?.ok_or(Reason::NotANode(account))?)
}

/// A shard as a message finds it.
struct Open {
    slot: u64,
    shard: ShardRecord,
    place: usize,
}

fn open(
    ctx: &Context<'_>,
    node: NodeId,
    kind: MessageKind,
    shard: ShardKey,
    attempt: Attempt,
) -> Result<Open, Failure> {
    let (slot, record) = state::shard(&ctx.state, shard)?.ok_or(Reason::NotOpen(shard))?;
    let place = place(&record, node, kind, attempt).ok_or(Reason::NotOpen(shard))?;
    Ok(Open { slot, shard: record, place })
}

/// Writes what the sender of a message did.
fn record(ctx: &mut Context<'_>, open: Open, state: MemberState) {
    let Open { slot, shard: before, place } = open;
    let mut after = before.clone();
    if let Some(assignment) = after.assignments.get_mut(place) {
        assignment.state = state;
    }
    state::save_shard(ctx, slot, &before, &after);
}

pub(crate) fn commit(ctx: &mut Context<'_>, account: AccountNumber, entries: &[CommitEntry]) -> Result<Made, Failure> {
    let node = sender(ctx, account)?;
    for CommitEntry { shard, attempt, commitment } in entries {
        let found = open(ctx, node, MessageKind::Commit, *shard, *attempt)?;
        let at = ctx.work_time();
        record(ctx, found, MemberState::Committed { commitment: *commitment, at });
        capacity::free_slot(ctx, node)?;
        ctx.emit(Event::Committed { shard: *shard, attempt: *attempt, node });
    }
    capacity::heard(ctx, node)?;
    Ok(Made::Nothing)
}

/// An answer that is not the one committed to is refused, and the node may still reveal the right one until the
/// window closes. A copied commitment has no answer that fits it: the id of its node is hashed into it.
pub(crate) fn reveal(ctx: &mut Context<'_>, account: AccountNumber, entries: &[RevealEntry]) -> Result<Made, Failure> {
    let node = sender(ctx, account)?;
    for RevealEntry { shard, attempt, answer, salt } in entries {
        let found = open(ctx, node, MessageKind::Reveal, *shard, *attempt)?;
        let expected = commitment(ctx.genesis(), *shard, *attempt, node, &answer.digest, salt);
        let state = found.shard.assignments.get(found.place).map(|assignment| assignment.state);
        if !matches!(state, Some(MemberState::Committed { commitment, .. }) if commitment == expected) {
            return Err(Reason::CommitmentMismatch(*shard).into());
        }
        record(ctx, found, MemberState::Revealed { answer: *answer });
        ctx.emit(Event::Revealed { shard: *shard, attempt: *attempt, node, answer: *answer });
    }
    Ok(Made::Nothing)
}

pub(crate) fn abstain(
    ctx: &mut Context<'_>,
    account: AccountNumber,
    entries: &[AbstainEntry],
) -> Result<Made, Failure> {
    let node = sender(ctx, account)?;
    for AbstainEntry { shard, attempt, reason } in entries {
        let found = open(ctx, node, MessageKind::Abstain, *shard, *attempt)?;
        let Open { slot, shard: before, place } = found;
        let mut after = before.clone();
        if let Some(assignment) = after.assignments.get_mut(place) {
            assignment.state = MemberState::Abstained { reason: *reason };
            capacity::unlock(ctx, assignment)?;
        }
        capacity::free_slot(ctx, node)?;
        capacity::forget(ctx, &after, node)?;
        state::save_shard(ctx, slot, &before, &after);
        ctx.emit(Event::Abstained { shard: *shard, attempt: *attempt, node, reason: *reason });
    }
    capacity::heard(ctx, node)?;
    Ok(Made::Nothing)
}
