//! What is true of the registry after every block, counted from the rows: for tests, simulations and `valo` to
//! check a state.

use super::leave;
use crate::{
    LedgerError,
    jobs::Deadline,
    store::{Store, Table},
    tables::{self, row_index, rows},
};
use std::collections::BTreeSet;
use valo_protocol::{
    Timestamp,
    registry::{NodeId, NodeRole, NodeState},
    state::{AccountRecord, NodeRecord, ValidatorRecord},
};

fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), LedgerError> {
    if holds { Ok(()) } else { Err(LedgerError::corrupt("nodes", reason())) }
}

/// Checks that nodes, their accounts and the rows of validators name each other, that all stake that is unbonding has its
/// moment, and that who may leave is marked. Slow: it reads everything.
pub fn audit(store: &dyn Store) -> Result<(), LedgerError> {
    let mut moments = moments(store)?;
    let mut seats = BTreeSet::new();
    let mut accounts = BTreeSet::new();
    for (row, record) in rows::<NodeRecord>(store, 0, usize::MAX)? {
        let node = NodeId(u32::try_from(row).map_err(|_| LedgerError::Overflow("rows of nodes"))?);
        let account: AccountRecord = tables::expect_row(store, record.account.index())?;
        ensure(account.node == Some(node) && account.key == record.key, || {
            format!("account {} is not that of node {node}", record.account)
        })?;
        accounts.insert(record.account);
        let has_left = record.state == NodeState::Left;
        let takes_seat = record.role == NodeRole::Validator && !has_left;
        // One that was tombstoned has it until it is in no set any more.
        let may_lack_it = record.state == NodeState::Tombstoned && record.stake.is_zero();
        ensure(record.validator.is_some() == takes_seat || may_lack_it, || {
            format!("node {node} and its seat do not fit")
        })?;
        if let Some(seat) = record.validator {
            check_seat(store, node, &record, seat)?;
            seats.insert(u64::from(seat));
        }
        for part in &record.unbonding {
            ensure(moments.remove(&(part.until, node)) && !part.amount.is_zero(), || {
                format!("stake of node {node} that is unbonding has no moment")
            })?;
        }
        ensure(record.unbonding.is_sorted_by(|a, b| a.until < b.until), || {
            format!("node {node} unbonds out of order")
        })?;
        let is_over = has_left && record.stake.is_zero() && record.unbonding.is_empty();
        ensure(!is_over, || format!("node {node} is gone and has a row"))?;
        ensure(!has_left || (record.stake.is_zero() && record.busy == 0), || format!("node {node} left too early"))?;
        let is_marked = store.get(Table::Leaving, &node.0.to_be_bytes())?.is_some();
        let may_go = record.role != NodeRole::Validator && leave::is_idle(store, node, &record)?;
        ensure(is_marked || !may_go, || format!("node {node} may leave and is not marked"))?;
    }
    ensure(moments.is_empty(), || format!("{moments:?} belong to no stake"))?;
    for (row, validator) in rows::<ValidatorRecord>(store, 0, usize::MAX)? {
        ensure(seats.contains(&row), || format!("validator {} has a seat and no node", validator.key))?;
    }
    for (number, account) in rows::<AccountRecord>(store, 0, usize::MAX)? {
        let is_known = valo_protocol::AccountNumber::new(number).is_ok_and(|number| accounts.contains(&number));
        ensure(account.node.is_none() || is_known, || format!("account {number} is that of no node"))?;
    }
    Ok(())
}

fn check_seat(store: &dyn Store, node: NodeId, record: &NodeRecord, seat: u32) -> Result<(), LedgerError> {
    let validator: ValidatorRecord = tables::expect_row(store, u64::from(seat))?;
    let found = store.get(Table::ValidatorByKey, &record.key.0)?;
    let found = found.map(|bytes| row_index(Table::ValidatorByKey, &bytes)).transpose()?;
    ensure(validator.node == node && validator.key == record.key && found == Some(u64::from(seat)), || {
        format!("node {node} and row {seat} of the validators do not fit")
    })
}

fn moments(store: &dyn Store) -> Result<BTreeSet<(Timestamp, NodeId)>, LedgerError> {
    let mut moments = BTreeSet::new();
    for (key, _) in store.scan(Table::Deadlines, &[], usize::MAX)? {
        if let (until, Deadline::Unbonding(node)) = Deadline::parse(&key)? {
            moments.insert((until, node));
        }
    }
    Ok(moments)
}
