//! What the rules of every subject work with while a block is executed: state, block, money and events.
//!
//! Money moves only through the methods here, which keep the totals of [`Supply`] in step; a full recount
//! ([`crate::accounts::recount`]) must always give the same.

use crate::{
    LedgerError, accounts,
    overlay::Overlay,
    store::{Store, StoreError},
    tables,
};
use std::sync::Arc;
use valo_protocol::{
    AccountNumber, Amount, Hash, Height, Parameters, Timestamp, ValidatorSet, WorkClock,
    event::Event,
    hash::GenesisHash,
    receipt::Reason,
    registry::{NodeId, Tier, TierId},
    state::{AccountRecord, NodeRecord, Supply},
};

/// Why an action did not take effect: a reason for its receipt, or a fault that stops the node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The action failed; its receipt says why.
    #[error(transparent)]
    Reason(#[from] Reason),
    /// The node must stop.
    #[error(transparent)]
    Fatal(#[from] LedgerError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Fatal(error.into())
    }
}

/// A block in execution.
#[derive(Debug)]
pub struct Context<'a> {
    /// The state with the block's writes.
    pub state: Overlay<'a>,
    pub(crate) params: Arc<Parameters>,
    pub(crate) genesis: GenesisHash,
    pub(crate) height: Height,
    pub(crate) time: Timestamp,
    pub(crate) clock: WorkClock,
    pub(crate) randomness: [Hash; 3],
    pub(crate) supply: Supply,
    pub(crate) events: Vec<Event>,
    /// The validators of the block.
    pub(crate) validators: Arc<ValidatorSet>,
    /// Those of the next block, if the block is the last of its epoch.
    pub(crate) next_validators: Option<Arc<ValidatorSet>>,
}

/// A point to which a failed action returns.
#[derive(Debug)]
pub(crate) struct Savepoint {
    supply: Supply,
    events: usize,
}

impl<'a> Context<'a> {
    /// The parameters in force.
    pub fn params(&self) -> &Arc<Parameters> {
        &self.params
    }

    /// The chain.
    pub fn genesis(&self) -> &GenesisHash {
        &self.genesis
    }

    /// Height of the block.
    pub fn height(&self) -> Height {
        self.height
    }

    /// Time of the block.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// How far work time is behind the time of the block.
    pub fn clock(&self) -> WorkClock {
        self.clock
    }

    /// Time of the block by the clock that stands while the chain does: windows of shards are measured by it.
    pub fn work_time(&self) -> Timestamp {
        self.clock.work_time(self.time)
    }

    /// The block's own randomness, R_h. Known to nobody before the block: what entered in block h-2 is drawn with it.
    pub fn randomness(&self) -> Hash {
        self.randomness[0]
    }

    /// The randomness of this block or of one of the two before.
    pub fn randomness_of(&self, height: Height) -> Option<Hash> {
        let age = usize::try_from(self.height.0.checked_sub(height.0)?).ok()?;
        self.randomness.get(age).copied()
    }

    /// Tells that something happened.
    pub fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Where all money is.
    pub fn supply(&self) -> &Supply {
        &self.supply
    }

    /// An account.
    pub fn account(&self, number: AccountNumber) -> Result<Option<AccountRecord>, LedgerError> {
        self.state.row(number.index())
    }

    /// An account that must exist.
    pub fn expect_account(&self, number: AccountNumber) -> Result<AccountRecord, LedgerError> {
        self.state.expect_row(number.index())
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> Result<Option<NodeRecord>, LedgerError> {
        self.state.row(u64::from(node.0))
    }

    /// A node that must exist.
    pub fn expect_node(&self, node: NodeId) -> Result<NodeRecord, LedgerError> {
        self.state.expect_row(u64::from(node.0))
    }

    /// Writes a node. Stake moves only through [`Self::slash`].
    pub fn set_node(&mut self, node: NodeId, record: &NodeRecord) {
        self.state.set_row(u64::from(node.0), record);
    }

    /// The node whose own account this is.
    pub fn node_of(&self, account: AccountNumber) -> Result<Option<NodeId>, LedgerError> {
        Ok(self.account(account)?.and_then(|record| record.node))
    }

    /// A tier.
    pub fn tier(&self, tier: TierId) -> Result<Option<Tier>, LedgerError> {
        self.state.row(u64::from(tier.0))
    }

    /// A tier by its name.
    pub fn tier_by_name(&self, name: &str) -> Result<Option<(TierId, Tier)>, LedgerError> {
        crate::view::tier_by_name(&self.state, name)
    }

    /// All nodes, in order of their ids.
    pub fn nodes(&self) -> Result<Vec<(NodeId, NodeRecord)>, LedgerError> {
        crate::view::View::new(&self.state).nodes(NodeId(0), usize::MAX)
    }

    /// Reads beyond the typed ones.
    pub fn store(&self) -> &dyn Store {
        &self.state
    }

    /// Pays into an account from outside of all accounts: the caller takes it from where it was.
    fn add_balance(&mut self, to: AccountNumber, amount: Amount) -> Result<(), LedgerError> {
        let mut record = self.expect_account(to)?;
        record.balance = add(record.balance, amount)?;
        self.state.set_row(to.index(), &record);
        self.supply.balances = add(self.supply.balances, amount)?;
        Ok(())
    }

    /// Takes from an account, leaving the minimum balance: the caller puts it elsewhere.
    fn take_balance(&mut self, from: AccountNumber, amount: Amount) -> Result<(), Failure> {
        let mut record = self.expect_account(from)?;
        record.balance = accounts::spend(&record, amount, self.params.minimum_balance)?;
        self.state.set_row(from.index(), &record);
        self.supply.balances = subtract(self.supply.balances, amount)?;
        Ok(())
    }

    /// Returns what was set aside for a fee and not used.
    pub(crate) fn refund(&mut self, to: AccountNumber, amount: Amount) -> Result<(), LedgerError> {
        if amount.is_zero() {
            return Ok(());
        }
        self.add_balance(to, amount)
    }

    /// Moves money between accounts. Events are the caller's.
    pub fn transfer(&mut self, from: AccountNumber, to: AccountNumber, amount: Amount) -> Result<(), Failure> {
        self.take_balance(from, amount)?;
        Ok(self.add_balance(to, amount)?)
    }

    /// Moves money from an account into the pool of rewards.
    pub fn pay_to_rewards(&mut self, from: AccountNumber, amount: Amount) -> Result<(), Failure> {
        self.take_balance(from, amount)?;
        self.supply.rewards = add(self.supply.rewards, amount)?;
        Ok(())
    }

    /// Moves money from an account into escrow. The job's record must say so too.
    pub fn fund_escrow(&mut self, from: AccountNumber, amount: Amount) -> Result<(), Failure> {
        self.take_balance(from, amount)?;
        self.supply.escrows = add(self.supply.escrows, amount)?;
        Ok(())
    }

    /// Moves money from escrow to an account. The job's record must say so too.
    pub fn pay_from_escrow(&mut self, to: AccountNumber, amount: Amount) -> Result<(), LedgerError> {
        self.supply.escrows = subtract(self.supply.escrows, amount)?;
        self.add_balance(to, amount)
    }

    /// Moves money from escrow into the pool of rewards. The job's record must say so too.
    pub fn escrow_to_rewards(&mut self, amount: Amount) -> Result<(), LedgerError> {
        self.supply.escrows = subtract(self.supply.escrows, amount)?;
        self.supply.rewards = add(self.supply.rewards, amount)?;
        Ok(())
    }

    /// Moves money from an account into stake. The node's record must say so too.
    pub(crate) fn bond(&mut self, from: AccountNumber, amount: Amount) -> Result<(), Failure> {
        self.take_balance(from, amount)?;
        self.supply.bonded = add(self.supply.bonded, amount)?;
        Ok(())
    }

    /// Stake is on its way back to its owner. The node's record must say so too.
    pub(crate) fn unbond(&mut self, amount: Amount) -> Result<(), LedgerError> {
        self.supply.bonded = subtract(self.supply.bonded, amount)?;
        self.supply.unbonding = add(self.supply.unbonding, amount)?;
        Ok(())
    }

    /// What was on its way back is stake again. The node's record must say so too.
    pub(crate) fn rebond(&mut self, amount: Amount) -> Result<(), LedgerError> {
        self.supply.unbonding = subtract(self.supply.unbonding, amount)?;
        self.supply.bonded = add(self.supply.bonded, amount)?;
        Ok(())
    }

    /// Pays stake whose time has come. The node's record must say so too.
    pub(crate) fn pay_unbonded(&mut self, to: AccountNumber, amount: Amount) -> Result<(), LedgerError> {
        self.supply.unbonding = subtract(self.supply.unbonding, amount)?;
        self.add_balance(to, amount)
    }

    /// Takes stake of a node into the pool of rewards, and of what is unbonding what that does not cover; gives how much
    /// there was to take. What is locked is lowered to what is left.
    pub fn slash(&mut self, node: NodeId, amount: Amount) -> Result<Amount, LedgerError> {
        let mut record = self.expect_node(node)?;
        let bonded = amount.min(record.stake);
        record.stake = subtract(record.stake, bonded)?;
        record.locked = record.locked.min(record.stake);
        let missing = subtract(amount, bonded)?;
        let unbonding = crate::registry::take_unbonding(self, node, &mut record, missing)?;
        self.set_node(node, &record);
        self.supply.bonded = subtract(self.supply.bonded, bonded)?;
        self.supply.unbonding = subtract(self.supply.unbonding, unbonding)?;
        let taken = add(bonded, unbonding)?;
        self.supply.rewards = add(self.supply.rewards, taken)?;
        Ok(taken)
    }

    /// Moves stake into the pool of rewards. The node's record must say so too.
    pub(crate) fn stake_to_rewards(&mut self, bonded: Amount, unbonding: Amount) -> Result<(), LedgerError> {
        self.supply.bonded = subtract(self.supply.bonded, bonded)?;
        self.supply.unbonding = subtract(self.supply.unbonding, unbonding)?;
        self.supply.rewards = add(self.supply.rewards, add(bonded, unbonding)?)?;
        Ok(())
    }

    /// Pays an account out of the pool of rewards, as far as it reaches; gives how much.
    pub fn pay_from_rewards(&mut self, to: AccountNumber, amount: Amount) -> Result<Amount, LedgerError> {
        let paid = amount.min(self.supply.rewards);
        self.supply.rewards = subtract(self.supply.rewards, paid)?;
        self.add_balance(to, paid)?;
        Ok(paid)
    }

    /// From here on what is done can be undone.
    pub(crate) fn begin(&mut self) -> Savepoint {
        self.state.begin();
        Savepoint { supply: self.supply, events: self.events.len() }
    }

    /// Keeps what was done since the point.
    pub(crate) fn keep(&mut self, _point: Savepoint) {
        self.state.keep();
    }

    /// Undoes everything since the point.
    pub(crate) fn undo(&mut self, point: Savepoint) {
        self.state.undo();
        self.supply = point.supply;
        self.events.truncate(point.events);
    }

    /// Lengths of dense tables.
    pub fn length(&self, table: crate::Table) -> Result<u64, LedgerError> {
        tables::length(&self.state, table)
    }
}

pub(crate) fn add(a: Amount, b: Amount) -> Result<Amount, LedgerError> {
    a.checked_add(b).ok_or(LedgerError::Overflow("a sum of money"))
}

pub(crate) fn subtract(a: Amount, b: Amount) -> Result<Amount, LedgerError> {
    a.checked_sub(b).ok_or(LedgerError::Overflow("a difference of money"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Setup, TestChain, account, valo, wasm_tier};
    use valo_protocol::{bytes::BoundedVec, job::JobId, registry::Unbonding};

    fn in_block<T>(test: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let chain = TestChain::new(&Setup {
            tiers: vec![wasm_tier("small")],
            workers: vec![(TierId(0), 2)],
            ..Setup::default()
        });
        let mut ctx = Context {
            state: Overlay::new(chain.ledger.store()),
            params: chain.ledger.params().clone(),
            genesis: chain.ledger.genesis_hash(),
            height: Height(5),
            time: Timestamp(1),
            clock: WorkClock::default(),
            randomness: [Hash([5; 32]), Hash([4; 32]), Hash([3; 32])],
            supply: chain.view().supply().unwrap(),
            events: Vec::new(),
            validators: chain.ledger.head().validators.clone(),
            next_validators: None,
        };
        let result = test(&mut ctx);
        assert_eq!(ctx.supply.sum(), Some(ctx.supply.total));
        result
    }

    #[test]
    fn what_is_undone_leaves_money_rows_and_events_as_they_were() {
        in_block(|ctx| {
            ctx.fund_escrow(account(1), valo(3)).unwrap();
            ctx.emit(Event::Refunded { job: JobId(1), account: account(1), amount: valo(3) });
            let (rows, supply, events) = (ctx.state.written().clone(), ctx.supply, ctx.events.clone());
            let point = ctx.begin();
            ctx.pay_from_escrow(account(2), valo(1)).unwrap();
            ctx.transfer(account(1), account(3), valo(7)).unwrap();
            ctx.slash(NodeId(4), valo(9)).unwrap();
            ctx.emit(Event::Refunded { job: JobId(2), account: account(1), amount: valo(3) });
            ctx.undo(point);
            assert_eq!((ctx.state.written(), ctx.supply, &ctx.events), (&rows, supply, &events));
        });
    }

    #[test]
    fn money_moves_between_accounts_escrow_stake_and_pool() {
        in_block(|ctx| {
            ctx.fund_escrow(account(1), valo(30)).unwrap();
            assert!(matches!(
                ctx.fund_escrow(account(1), valo(970)),
                Err(Failure::Reason(Reason::InsufficientBalance { .. }))
            ));
            ctx.pay_from_escrow(account(2), valo(10)).unwrap();
            ctx.escrow_to_rewards(valo(5)).unwrap();
            assert!(ctx.pay_from_escrow(account(2), valo(16)).is_err(), "more than all escrows hold");
            assert_eq!(ctx.slash(NodeId(4), valo(150)), Ok(valo(150)));
            assert_eq!(ctx.slash(NodeId(4), valo(150)), Ok(valo(50)), "no more than there is");
            assert_eq!(ctx.pay_from_rewards(account(3), valo(1_000)), Ok(valo(205)), "as far as the pool reaches");
            let balance = |n| ctx.account(account(n)).unwrap().unwrap().balance;
            assert_eq!([balance(1), balance(2), balance(3)], [valo(970), valo(1010), valo(1205)]);
            assert_eq!(ctx.supply.escrows, valo(15));
            assert_eq!(ctx.supply.rewards, Amount::ZERO);
        });
    }

    #[test]
    fn what_is_unbonding_is_slashed_when_stake_does_not_cover_it() {
        in_block(|ctx| {
            let mut record = ctx.expect_node(NodeId(4)).unwrap();
            let part = |amount, until| Unbonding { amount: valo(amount), until: Timestamp(until) };
            record.unbonding = BoundedVec::new(vec![part(30, 7), part(50, 8)]).unwrap();
            record.stake = valo(120);
            ctx.set_node(NodeId(4), &record);
            ctx.unbond(valo(80)).unwrap();
            assert_eq!(ctx.slash(NodeId(4), valo(180)), Ok(valo(180)));
            let record = ctx.expect_node(NodeId(4)).unwrap();
            assert_eq!((record.stake, &record.unbonding[..]), (Amount::ZERO, &[part(20, 7)][..]));
            assert_eq!(ctx.slash(NodeId(4), valo(180)), Ok(valo(20)));
            assert_eq!((ctx.supply.bonded, ctx.supply.unbonding), (valo(40), Amount::ZERO));
        });
    }

    #[test]
    fn randomness_reaches_back_two_blocks() {
        in_block(|ctx| {
            let of = |height| ctx.randomness_of(Height(height));
            assert_eq!(of(5), Some(ctx.randomness()));
            assert_eq!([of(4), of(3)], [Some(Hash([4; 32])), Some(Hash([3; 32]))]);
            assert_eq!([of(2), of(6)], [None, None]);
        });
    }
}
