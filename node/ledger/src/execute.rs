//! Execution of a block: from the state before to the state after, receipts and events, without touching either.

use crate::{
    BlockError, Context, Failure, LedgerError, actions, check,
    context::{add, subtract},
    fees,
    head::{Due, HEAD_KEY, Head},
    jobs,
    overlay::Overlay,
    registry,
    store::{Changes, Store, Table},
    tables::row_key,
    trees::{StagedTrees, Trees},
    validators,
};
use std::sync::Arc;
use valo_protocol::{
    AccountNumber, Amount, Block, Height, Parameters, Timestamp, WorkClock,
    encoding::encode,
    event::Event,
    hash::{BlockId, GenesisHash},
    receipt::{Made, Outcome, Receipt},
    state::{CHAIN_ROW, ChainRecord, SUPPLY_ROW, Supply},
    transaction::{Action, SignedTransaction},
    vrf,
};

/// What a block does. Whoever embeds the ledger writes `changes` to the store, in one atomic batch with
/// whatever else belongs to the block, and then gives this to [`Ledger::commit`](crate::Ledger::commit).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// Writes to the state, the head among them.
    pub changes: Changes,
    /// What became of each transaction, in order.
    pub receipts: Vec<Receipt>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The head after the block.
    pub head: Head,
    pub(crate) parent: BlockId,
    pub(crate) due: Due,
    pub(crate) trees: StagedTrees,
    pub(crate) params: Arc<Parameters>,
    pub(crate) supply: Supply,
}

/// What a block is executed on.
pub(crate) struct Base<'a> {
    pub store: &'a dyn Store,
    pub trees: &'a Trees,
    pub head: &'a Head,
    pub params: &'a Arc<Parameters>,
    pub supply: Supply,
    pub genesis: GenesisHash,
}

/// Executes a block that [`check`] accepts.
pub(crate) fn execute(base: &Base<'_>, block: &Block) -> Result<Effects, LedgerError> {
    let (head, header) = (base.head, &block.header);
    let refuse = |reason: BlockError| match reason {
        BlockError::Ledger(error) => error,
        reason => LedgerError::Block { height: header.height, reason: Box::new(reason) },
    };
    if header.height != head.height.next() || header.parent != head.block {
        return Err(refuse(BlockError::Parent { expected: head.block, found: header.parent }));
    }
    let output = check::randomness(head, header).map_err(refuse)?;
    let next_set = validators::next_set(base.store, base.params, head, header.time)?;

    let mut state = Overlay::new(base.store);
    let allowed = check::transactions(&mut state, base.params, block).map_err(refuse)?;
    let [before, _] = head.earlier_randomness;
    let mut ctx = Context {
        state,
        params: base.params.clone(),
        genesis: base.genesis,
        height: header.height,
        time: header.time,
        clock: clock(head, header.time, base.params),
        randomness: [vrf::chain(&head.randomness, &output), head.randomness, before],
        supply: base.supply,
        events: Vec::new(),
        validators: head.validators.clone(),
        next_validators: next_set.clone(),
    };
    let (last_commit, step) = (block.last_commit.as_ref(), base.params.longest_step());
    validators::record(&mut ctx.state, &mut ctx.events, head, header, last_commit, step)?;
    registry::punish_all(&mut ctx, &block.evidence)?;

    for signed in &block.transactions {
        ctx.supply.balances = subtract(ctx.supply.balances, signed.transaction.max_fee)?;
    }
    let mut receipts = Vec::with_capacity(block.transactions.len());
    let mut collected = Amount::ZERO;
    for ((index, signed), fee) in (0u32..).zip(&block.transactions).zip(allowed) {
        let (outcome, fee) = run(&mut ctx, signed, fee)?;
        collected = add(collected, fee)?;
        let transaction = signed.id(&base.genesis);
        receipts.push(Receipt { transaction, height: header.height, index, fee, outcome });
    }
    let owner = head.validators.get(&header.proposer).map(|validator| validator.owner);
    distribute(&mut ctx, owner, collected)?;
    jobs::end_of_block(&mut ctx)?;
    registry::end_of_block(&mut ctx)?;
    let duty_since = registry::judge_duty(&mut ctx, registry::duty_since(base.store)?)?;
    if next_set.is_some() {
        registry::note_epoch(&mut ctx)?;
    }
    finish(base, ctx, block, next_set, duty_since, receipts)
}

/// Executes an action; what is not used of `max_fee` returns to the sender.
fn run(ctx: &mut Context<'_>, signed: &SignedTransaction, fee: Amount) -> Result<(Outcome, Amount), LedgerError> {
    let transaction = &signed.transaction;
    let point = ctx.begin();
    let outcome = match actions::apply(ctx, signed) {
        Ok(made) => {
            ctx.keep(point);
            Outcome::Done(made)
        }
        Err(Failure::Reason(reason)) => {
            ctx.undo(point);
            Outcome::Failed(reason)
        }
        Err(Failure::Fatal(error)) => return Err(error),
    };
    // A transfer to a key that has an account already does not weigh what making one would.
    let fee = match (&transaction.action, &outcome) {
        (Action::TransferToKey { .. }, Outcome::Done(Made::Nothing)) => {
            fee.saturating_sub(fees::Prices::of(&ctx.params).fee(0, ctx.params.weights.account))
        }
        _ => fee,
    };
    let unused = subtract(transaction.max_fee, fee)?;
    ctx.refund(transaction.sender, unused)?;
    Ok((outcome, fee))
}

/// A tenth of the fees for the proposer's owner, the rest for the pool of rewards.
fn distribute(ctx: &mut Context<'_>, owner: Option<AccountNumber>, fees: Amount) -> Result<(), LedgerError> {
    if fees.is_zero() {
        return Ok(());
    }
    ctx.supply.rewards = add(ctx.supply.rewards, fees)?;
    let share = fees.mul_div(1, 10).unwrap_or_default();
    if let Some(owner) = owner {
        ctx.pay_from_rewards(owner, share)?;
    }
    Ok(())
}

/// Writes what every block writes, checks that no money was made or lost, and computes the state root.
fn finish(
    base: &Base<'_>,
    mut ctx: Context<'_>,
    block: &Block,
    next_set: Option<Arc<valo_protocol::ValidatorSet>>,
    duty_since: Timestamp,
    receipts: Vec<Receipt>,
) -> Result<Effects, LedgerError> {
    let (head, header) = (base.head, &block.header);
    let (mut epoch, mut epoch_started) = (head.epoch, head.epoch_started);
    let mut validators = head.validators.clone();
    if let Some(next_set) = next_set {
        epoch = epoch.saturating_add(1);
        epoch_started = header.time;
        validators = next_set;
        ctx.emit(Event::EpochStarted { epoch, validators: validators.hash() });
    }
    // What this block changed beside the bookkeeping below waits for a header that carries its root.
    let supply = ctx.supply;
    let uncertified = supply != base.supply || changes_rows(ctx.state.written());

    let found = supply.sum().ok_or(LedgerError::Overflow("the supply"))?;
    if found != supply.total {
        return Err(LedgerError::Supply { height: header.height, expected: supply.total, found });
    }
    if supply != base.supply {
        ctx.state.put(Table::System, row_key(SUPPLY_ROW), encode(&supply));
    }
    let chain = ChainRecord {
        height: header.height,
        time: header.time,
        clock: ctx.clock,
        randomness: ctx.randomness,
        epoch,
        epoch_started,
        duty_since,
        validators: validators.hash(),
    };
    ctx.state.put(Table::System, row_key(CHAIN_ROW), encode(&chain));
    let skipped = validators::skipped(&ctx.state, &validators, header.height.next())?;
    let trees = base.trees.stage(ctx.state.written())?;
    let [randomness, before, before_that] = ctx.randomness;
    let head = Head {
        height: header.height,
        block: header.id(),
        time: header.time,
        clock: ctx.clock,
        randomness,
        earlier_randomness: [before, before_that],
        state_root: trees.root(),
        signers: head.validators.clone(),
        validators,
        skipped,
        epoch,
        epoch_started,
        uncertified,
    };
    ctx.state.put(Table::Meta, HEAD_KEY, head.to_bytes());
    let due = due(&ctx.state, &head, &ctx.params)?;
    let Context { state, params, events, .. } = ctx;
    let parent = block.header.parent;
    Ok(Effects { changes: state.into_changes(), receipts, events, head, parent, due, trees, params, supply })
}

/// Whether committed rows changed other than those that every block changes.
fn changes_rows(changes: &Changes) -> bool {
    changes.iter().any(|(table, _, _)| table.committed().is_some() && table != Table::Validators)
}

/// The clock in a block after `head`. Before the first block nothing was under way: it comes whenever it comes.
fn clock(head: &Head, time: Timestamp, params: &Parameters) -> WorkClock {
    match head.height {
        Height(0) => head.clock,
        _ => head.clock.after(time.since(head.time), params.longest_step()),
    }
}

/// When the block after `head` is due.
pub(crate) fn due(store: &dyn Store, head: &Head, params: &Parameters) -> Result<Due, LedgerError> {
    if head.uncertified || jobs::has_draws(store)? || registry::has_leaving(store)? {
        return Ok(Due::Now);
    }
    let idle = head.time.after(params.idle_interval);
    Ok(match jobs::next_deadline(store, head.clock)? {
        Some(deadline) if deadline <= head.time => Due::Now,
        Some(deadline) if deadline < idle => Due::At(deadline),
        _ => Due::Idle(idle),
    })
}
