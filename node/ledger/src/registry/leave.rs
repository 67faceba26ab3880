//! Nodes leave: they drain, and are gone when nothing is expected of them any more.

use super::{
    faults::{self, returning_state},
    join::{enter_elected, forget, unseat},
    let_in, own, quorum, set_state, stake,
};
use crate::{
    Context, Failure, LedgerError,
    store::{Store, Table},
    tables::{self, rows},
};
use valo_protocol::{
    AccountNumber, Parameters,
    receipt::{Made, Reason},
    registry::{NodeId, NodeRole, NodeState},
    state::{NodeRecord, ValidatorRecord},
};

/// The most nodes that leave in a block.
const MAX_LEAVING: usize = 256;

/// A node says that it leaves.
pub(super) fn drain(ctx: &mut Context<'_>, account: AccountNumber) -> Result<Made, Failure> {
    let node = ctx.node_of(account)?.ok_or(Reason::NotANode(account))?;
    start(ctx, node)
}

/// The owner takes a node out.
pub(super) fn remove(ctx: &mut Context<'_>, sender: AccountNumber, node: NodeId) -> Result<Made, Failure> {
    own(ctx, sender, node)?;
    start(ctx, node)
}

/// Why a node cannot start to drain, if it cannot.
pub(crate) fn can_drain(
    store: &dyn Store,
    params: &Parameters,
    node: NodeId,
    record: &NodeRecord,
) -> Result<Result<(), Reason>, LedgerError> {
    if !matches!(record.state, NodeState::Joining | NodeState::Active | NodeState::Absent | NodeState::Jailed) {
        return Ok(Err(Reason::NodeIs(record.state)));
    }
    quorum::keeps(store, params, node, |record| record.state = NodeState::Draining)
}

fn start(ctx: &mut Context<'_>, node: NodeId) -> Result<Made, Failure> {
    let mut record = ctx.expect_node(node)?;
    can_drain(&ctx.state, ctx.params(), node, &record)??;
    // Who was not there has to say that it is before it is let in again.
    record.ready = record.state == NodeState::Active;
    set_state(ctx, node, &mut record, NodeState::Draining);
    ctx.set_node(node, &record);
    consider(ctx, node)?;
    Ok(Made::Nothing)
}

/// The owner keeps a node that is draining.
pub(super) fn resume(ctx: &mut Context<'_>, sender: AccountNumber, node: NodeId) -> Result<Made, Failure> {
    let mut record = own(ctx, sender, node)?;
    if record.state != NodeState::Draining {
        return Err(Reason::NodeIs(record.state).into());
    }
    ctx.state.delete(Table::Leaving, node.0.to_be_bytes());
    record.state = returning_state(&record, ctx.time());
    if record.state == NodeState::Joining {
        faults::let_propose(ctx, &record)?;
    }
    let_in(ctx, node, &mut record)?;
    if record.state != NodeState::Active {
        let state = record.state;
        set_state(ctx, node, &mut record, state);
    }
    ctx.set_node(node, &record);
    Ok(Made::Nothing)
}

/// Whether a node that goes, by its will or for a fault, has nothing left to do but to be in validator sets.
pub(super) fn is_idle(store: &dyn Store, node: NodeId, record: &NodeRecord) -> Result<bool, LedgerError> {
    let goes = match record.state {
        NodeState::Draining => true,
        // It is gone when its seat is.
        NodeState::Tombstoned => record.validator.is_some(),
        _ => false,
    };
    if !goes || record.busy > 0 || !record.locked.is_zero() {
        return Ok(false);
    }
    let prefix = node.0.to_be_bytes();
    let shard = store.scan(Table::NodeShards, &prefix, 1)?.pop();
    Ok(!shard.is_some_and(|(key, _)| key.starts_with(&prefix)))
}

/// Marks a node that may have nothing left to do: the end of the block looks at it.
pub(crate) fn consider(ctx: &mut Context<'_>, node: NodeId) -> Result<(), LedgerError> {
    let Some(record) = ctx.node(node)? else { return Ok(()) };
    let is_expected = record.role == NodeRole::Validator && ctx.validators.get(&record.key).is_some();
    if !is_expected && is_idle(&ctx.state, node, &record)? {
        ctx.state.put(Table::Leaving, node.0.to_be_bytes(), Vec::new());
    }
    Ok(())
}

/// Whether a node waits to leave, so that a block is due at once.
pub(crate) fn has_leaving(store: &dyn Store) -> Result<bool, LedgerError> {
    Ok(!store.scan(Table::Leaving, &[], 1)?.is_empty())
}

/// Lets in who was elected, and lets go who has nothing left to do.
pub(crate) fn end_of_block(ctx: &mut Context<'_>) -> Result<(), LedgerError> {
    if ctx.next_validators.is_some() {
        enter_elected(ctx)?;
        release_outvoted(ctx)?;
    }
    for (key, _) in ctx.state.scan(Table::Leaving, &[], MAX_LEAVING)? {
        let id = key.as_slice().try_into().map(u32::from_be_bytes);
        let node = NodeId(id.map_err(|_| LedgerError::corrupt(Table::Leaving.name(), "a key is not a node"))?);
        if go(ctx, node)? {
            ctx.state.delete(Table::Leaving, key);
        }
    }
    Ok(())
}

/// Draining validators that are not in the next set have one more certificate to sign: they go after the next block.
fn release_outvoted(ctx: &mut Context<'_>) -> Result<(), LedgerError> {
    let Some(next) = ctx.next_validators.clone() else { return Ok(()) };
    for (_, validator) in rows::<ValidatorRecord>(&ctx.state, 0, usize::MAX)? {
        let record: NodeRecord = tables::expect_row(&ctx.state, u64::from(validator.node.0))?;
        if next.get(&record.key).is_none() && is_idle(&ctx.state, validator.node, &record)? {
            ctx.state.put(Table::Leaving, validator.node.0.to_be_bytes(), Vec::new());
        }
    }
    Ok(())
}

/// A node is gone, if it may; whether it need not be looked at again.
fn go(ctx: &mut Context<'_>, node: NodeId) -> Result<bool, LedgerError> {
    let Some(mut record) = ctx.node(node)? else { return Ok(true) };
    let is_next = ctx.next_validators.as_ref().is_some_and(|set| set.get(&record.key).is_some());
    if is_next || !is_idle(&ctx.state, node, &record)? {
        return Ok(true);
    }
    if ctx.validators.get(&record.key).is_some() {
        return Ok(ctx.next_validators.is_none());
    }
    unseat(ctx, &mut record);
    record.ready = false;
    if record.state != NodeState::Tombstoned {
        set_state(ctx, node, &mut record, NodeState::Left);
    }
    let stake = record.stake;
    if !stake.is_zero() {
        stake::start_unbonding(ctx, node, &mut record, stake)?;
    }
    ctx.set_node(node, &record);
    forget_if_paid(ctx, node, &record)?;
    Ok(true)
}

/// Frees the row of a node that has left, when nothing of its stake is left either.
pub(super) fn forget_if_paid(ctx: &mut Context<'_>, node: NodeId, record: &NodeRecord) -> Result<(), LedgerError> {
    if record.state == NodeState::Left && record.stake.is_zero() && record.unbonding.is_empty() {
        forget(ctx, node, record)?;
    }
    Ok(())
}
