//! Typed reads of state, for the rules themselves, the API and the worker.

pub use crate::jobs::{Assignment, AssignmentState, Location, ShardVerdict};
use crate::{
    LedgerError, accounts,
    store::{Store, Table},
    tables::{self, DenseRecord, length, row, rows},
};
use valo_protocol::{
    AccountNumber, Parameters, PublicKey,
    registry::{NodeId, Tier, TierId},
    state::{
        AccountRecord, CHAIN_ROW, ChainRecord, KeyRecord, NodeRecord, PARAMETERS_ROW, SUPPLY_ROW, Supply,
        ValidatorRecord,
    },
};

/// Reads over a store: finalized state, a snapshot of it, or a block in execution.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(crate) store: &'a dyn Store,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("View")
    }
}

impl<'a> View<'a> {
    /// Reads over `store`.
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store }
    }

    /// The store.
    pub fn store(&self) -> &'a dyn Store {
        self.store
    }

    fn system<T: tables::Record>(&self, index: u64) -> Result<T, LedgerError> {
        let missing = || LedgerError::corrupt("system", format!("row {index}, the {}, is missing", T::WHAT));
        tables::row_of(self.store, Table::System, index)?.ok_or_else(missing)
    }

    /// The parameters in force.
    pub fn params(&self) -> Result<Parameters, LedgerError> {
        self.system(PARAMETERS_ROW)
    }

    /// Where all money is, pools among it.
    pub fn supply(&self) -> Result<Supply, LedgerError> {
        self.system(SUPPLY_ROW)
    }

    /// Where the chain is.
    pub fn chain(&self) -> Result<ChainRecord, LedgerError> {
        self.system(CHAIN_ROW)
    }

    /// How many rows a dense table has.
    pub fn length(&self, table: Table) -> Result<u64, LedgerError> {
        length(self.store, table)
    }

    /// An account.
    pub fn account(&self, number: AccountNumber) -> Result<Option<AccountRecord>, LedgerError> {
        row(self.store, number.index())
    }

    /// The account of a key.
    pub fn account_by_key(&self, key: &PublicKey) -> Result<Option<AccountNumber>, LedgerError> {
        accounts::account_of(self.store, key)
    }

    /// The row of a key in the list of keys, or of the next smaller one: it proves that the key has none.
    pub fn key_at_or_below(&self, key: &PublicKey) -> Result<(u64, KeyRecord), LedgerError> {
        accounts::key_at_or_below(self.store, key)
    }

    /// Accounts from a number on, at most `limit`.
    pub fn accounts(
        &self,
        from: AccountNumber,
        limit: usize,
    ) -> Result<Vec<(AccountNumber, AccountRecord)>, LedgerError> {
        let numbered = rows(self.store, from.index(), limit)?.into_iter();
        numbered
            .map(|(index, record)| {
                let number = AccountNumber::new(index).map_err(|_| LedgerError::corrupt("accounts", "a number"))?;
                Ok((number, record))
            })
            .collect()
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> Result<Option<NodeRecord>, LedgerError> {
        row(self.store, u64::from(node.0))
    }

    /// The node with a key.
    pub fn node_by_key(&self, key: &PublicKey) -> Result<Option<(NodeId, NodeRecord)>, LedgerError> {
        let Some(number) = self.account_by_key(key)? else { return Ok(None) };
        let Some(node) = self.account(number)?.and_then(|account| account.node) else { return Ok(None) };
        Ok(self.node(node)?.map(|record| (node, record)))
    }

    /// Nodes from an id on, at most `limit`.
    pub fn nodes(&self, from: NodeId, limit: usize) -> Result<Vec<(NodeId, NodeRecord)>, LedgerError> {
        self.numbered(u64::from(from.0), limit, |index| u32::try_from(index).ok().map(NodeId))
    }

    /// A tier.
    pub fn tier(&self, tier: TierId) -> Result<Option<Tier>, LedgerError> {
        row(self.store, u64::from(tier.0))
    }

    /// All tiers.
    pub fn tiers(&self) -> Result<Vec<(TierId, Tier)>, LedgerError> {
        self.numbered(0, usize::MAX, |index| u16::try_from(index).ok().map(TierId))
    }

    /// A tier by its name.
    pub fn tier_by_name(&self, name: &str) -> Result<Option<(TierId, Tier)>, LedgerError> {
        tier_by_name(self.store, name)
    }

    /// All validators there are, in the present set or not.
    pub fn validators(&self) -> Result<Vec<(u64, ValidatorRecord)>, LedgerError> {
        rows(self.store, 0, usize::MAX)
    }

    fn numbered<I, T: DenseRecord>(
        &self,
        from: u64,
        limit: usize,
        number: impl Fn(u64) -> Option<I>,
    ) -> Result<Vec<(I, T)>, LedgerError> {
        let rows = rows::<T>(self.store, from, limit)?.into_iter();
        rows.map(|(index, record)| {
            let number =
                number(index).ok_or_else(|| LedgerError::corrupt(T::TABLE.name(), "a row number is too large"))?;
            Ok((number, record))
        })
        .collect()
    }
}

pub(crate) fn tier_by_name(store: &dyn Store, name: &str) -> Result<Option<(TierId, Tier)>, LedgerError> {
    Ok(View::new(store).tiers()?.into_iter().find(|(_, tier)| &*tier.name == name))
}
