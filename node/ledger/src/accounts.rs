//! Accounts: how they are made and found, and the list of keys that proves which keys have none.
//!
//! Every account holds at least the minimum balance, but for one that was made for a node: it starts with nothing,
//! may stay so for ever (its messages are free), and is like any other from its first transfer on, which must
//! reach the minimum. So a balance is either zero or at least the minimum.

use crate::{
    LedgerError,
    context::add,
    overlay::Overlay,
    store::{Store, Table},
    tables,
};
use valo_protocol::{
    AccountNumber, Amount, PublicKey,
    encoding::Varint,
    receipt::Reason,
    registry::NodeId,
    state::{AccountRecord, KeyRecord, NodeRecord, SUPPLY_ROW, Supply},
};

/// The key of a public key in [`Table::AccountByKey`]: inverted, so that an ascending scan descends.
fn inverted(key: &PublicKey) -> [u8; 32] {
    key.0.map(|byte| !byte)
}

/// The row of the key itself, or of the next smaller one, in the list of keys.
pub fn key_at_or_below(store: &dyn Store, key: &PublicKey) -> Result<(u64, KeyRecord), LedgerError> {
    let found = store.scan(Table::AccountByKey, &inverted(key), 1)?.pop();
    let (_, index) = found.ok_or_else(|| LedgerError::corrupt("keys", "the head of the list is missing"))?;
    let index = tables::row_index(Table::AccountByKey, &index)?;
    Ok((index, tables::expect_row(store, index)?))
}

/// The account of a key.
pub fn account_of(store: &dyn Store, key: &PublicKey) -> Result<Option<AccountNumber>, LedgerError> {
    let Some(index) = store.get(Table::AccountByKey, &inverted(key))? else { return Ok(None) };
    let index = tables::row_index(Table::AccountByKey, &index)?;
    Ok(tables::expect_row::<KeyRecord>(store, index)?.account)
}

/// Starts the list of keys. The first thing in a new state.
pub(crate) fn start_keys(state: &mut Overlay<'_>) -> Result<(), LedgerError> {
    let head = KeyRecord { key: PublicKey::default(), account: None, next: PublicKey::default() };
    let index = state.append_row(&head)?;
    state.put(Table::AccountByKey, inverted(&head.key), tables::row_key(index).to_vec());
    Ok(())
}

/// Makes an account for a key that has none. The caller counts its balance.
pub(crate) fn create(
    state: &mut Overlay<'_>,
    key: PublicKey,
    balance: Amount,
    node: Option<NodeId>,
) -> Result<AccountNumber, LedgerError> {
    let (before, mut smaller) = key_at_or_below(state, &key)?;
    if smaller.key == key {
        return Err(LedgerError::corrupt("keys", format!("key {key} has an account already")));
    }
    let record = AccountRecord { key, nonce: Varint(0), balance, node };
    let number =
        AccountNumber::new(state.append_row(&record)?).map_err(|_| LedgerError::Overflow("account numbers"))?;
    let index = state.append_row(&KeyRecord { key, account: Some(number), next: smaller.next })?;
    smaller.next = key;
    state.set_row(before, &smaller);
    state.put(Table::AccountByKey, inverted(&key), tables::row_key(index).to_vec());
    Ok(number)
}

/// What an account can spend: everything above the minimum balance.
pub(crate) fn spendable(record: &AccountRecord, minimum: Amount) -> Amount {
    record.balance.saturating_sub(minimum)
}

/// The balance after spending `amount`, or why it cannot be spent.
pub(crate) fn spend(record: &AccountRecord, amount: Amount, minimum: Amount) -> Result<Amount, Reason> {
    let short = Reason::InsufficientBalance { available: record.balance, needed: amount, minimum };
    if amount > spendable(record, minimum) {
        return Err(short);
    }
    record.balance.checked_sub(amount).ok_or(short)
}

/// Counts all money from the rows. Slow: for tests and for `valo` to check a state, never for a block.
pub fn recount(store: &dyn Store) -> Result<Supply, LedgerError> {
    let kept: Supply = tables::row_of(store, Table::System, SUPPLY_ROW)?
        .ok_or_else(|| LedgerError::corrupt("system", "the supply is missing"))?;
    let mut counted =
        Supply { balances: Amount::ZERO, bonded: Amount::ZERO, unbonding: Amount::ZERO, escrows: Amount::ZERO, ..kept };
    for (_, account) in all::<AccountRecord>(store)? {
        counted.balances = add(counted.balances, account.balance)?;
    }
    for (_, node) in all::<NodeRecord>(store)? {
        counted.bonded = add(counted.bonded, node.stake)?;
        for part in &node.unbonding {
            counted.unbonding = add(counted.unbonding, part.amount)?;
        }
    }
    counted.escrows = crate::jobs::escrows(store)?;
    Ok(counted)
}

fn all<T: tables::DenseRecord>(store: &dyn Store) -> Result<Vec<(u64, T)>, LedgerError> {
    tables::rows(store, 0, usize::MAX)
}
