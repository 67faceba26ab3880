//! What must stay true of the validators whatever owners ask for: somebody makes blocks, and those that are alive
//! are enough to make them.

use crate::{LedgerError, store::Store, tables, validators::elect_with};
use valo_protocol::{
    Parameters,
    receipt::Reason,
    registry::{NodeId, NodeRole},
    state::{NodeRecord, ValidatorRecord},
};

/// Whether the chain goes on after a change to a node. Alive are validators that missed no proposal since their last.
pub(super) fn keeps(
    store: &dyn Store,
    params: &Parameters,
    node: NodeId,
    change: impl Fn(&mut NodeRecord),
) -> Result<Result<(), Reason>, LedgerError> {
    let record: NodeRecord = tables::expect_row(store, u64::from(node.0))?;
    if record.role != NodeRole::Validator {
        return Ok(Ok(()));
    }
    let Some(before) = elect_with(store, params, |_, _| {})? else { return Ok(Ok(())) };
    let Some(own) = before.get(&record.key) else { return Ok(Ok(())) };
    let changed = elect_with(store, params, |id, record| {
        if id == node {
            change(record);
        }
    })?;
    let Some(after) = changed else { return Ok(Err(Reason::LastValidator)) };
    if after.get(&record.key).is_some_and(|member| member.power >= own.power) {
        return Ok(Ok(()));
    }
    let mut alive = 0u64;
    for (_, validator) in tables::rows::<ValidatorRecord>(store, 0, usize::MAX)? {
        if validator.misses == 0 {
            alive = alive.saturating_add(after.get(&validator.key).map_or(0, |member| member.power));
        }
    }
    if after.is_quorum(alive) {
        return Ok(Ok(()));
    }
    Ok(Err(Reason::QuorumAtRisk { alive, total: after.total_power() }))
}
