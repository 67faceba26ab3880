//! Faults of validators: what each costs, and the way back.
//!
//! - **Signing twice**, proven by two signed statements in a block or by a transaction: a twentieth of the stake, what is
//!   unbonding included, and the key never takes part again.
//! - **Not signing** half of the downtime window: a thousandth, and jail. The window is watched in halves, in block time:
//!   from each block that a validator could have signed to the next, at most the longest step that is no pause of the
//!   chain. A block whose proposal it missed counts as not signed.
//!
//! What is taken goes to the pool of rewards. Either way the validator keeps its power until the epoch ends, since the set
//! cannot change before, but is passed over as proposer.

use super::{covers, let_in, set_state};
use crate::{
    Context, Failure, LedgerError, accounts,
    context::{add, subtract},
    head::GENESIS_KEY,
    store::{Store, Table},
    tables::{self, row_of, rows},
};
use std::collections::BTreeSet;
use valo_protocol::{
    AccountNumber, Amount, Height, Parameters, PublicKey, Timestamp,
    bytes::BoundedVec,
    encoding::{Varint, decode, encode},
    event::{Event, Offence},
    hash::GenesisHash,
    receipt::{BadEvidence, Made, Reason},
    registry::{NodeId, NodeRole, NodeState},
    state::{CHAIN_ROW, ChainRecord, Duty, EPOCHS_ROW, EpochStart, EpochStarts, NodeRecord, ValidatorRecord},
    time::Duration,
    vote::Evidence,
};

/// Of a thousand units of stake, what signing twice costs.
const DOUBLE_SIGN: u64 = 50;
/// Of a thousand units of stake, what it costs not to be there.
const DOWNTIME: u64 = 1;
/// The last height for which one that is out is passed over.
pub(crate) const OUT: Height = Height(u64::MAX);

/// Checks evidence against the state after `head`, signatures included; gives the node.
pub(crate) fn check(
    store: &dyn Store,
    genesis: &GenesisHash,
    head: Height,
    evidence: &Evidence,
) -> Result<Result<NodeId, BadEvidence>, LedgerError> {
    let (key, height) = (evidence.culprit(), evidence.height());
    // What is cheap comes first: anybody may send this.
    if height > head.next() {
        return Ok(Err(BadEvidence::Early(height)));
    }
    let Some((node, record)) = validator(store, &key)? else { return Ok(Err(BadEvidence::NoValidator(key))) };
    if record.state == NodeState::Tombstoned {
        return Ok(Err(BadEvidence::AlreadyPunished(key)));
    }
    let epochs: EpochStarts = row_of(store, Table::System, EPOCHS_ROW)?.unwrap_or_default();
    if epochs.starts.first().is_none_or(|start| height < start.height) {
        return Ok(Err(BadEvidence::Late(height)));
    }
    Ok(if evidence.verify(genesis) { Ok(node) } else { Err(BadEvidence::NoProof) })
}

/// Checks evidence in a transaction, before anything is known of the block that will have it.
pub(crate) fn check_submitted(
    store: &dyn Store,
    evidence: &Evidence,
) -> Result<Result<NodeId, BadEvidence>, LedgerError> {
    let genesis = store.get(Table::Meta, GENESIS_KEY)?.ok_or(LedgerError::Empty)?;
    let genesis: GenesisHash = decode("genesis hash", &genesis)?;
    check(store, &genesis, chain(store)?.height, evidence)
}

/// Where the chain is.
fn chain(store: &dyn Store) -> Result<ChainRecord, LedgerError> {
    row_of(store, Table::System, CHAIN_ROW)?.ok_or(LedgerError::Empty)
}

/// Checks what a block carries: as [`check`], and one proof for each validator.
pub(crate) fn check_all(
    store: &dyn Store,
    genesis: &GenesisHash,
    head: Height,
    evidence: &[Evidence],
) -> Result<Result<(), BadEvidence>, LedgerError> {
    let mut seen = BTreeSet::new();
    for fault in evidence {
        if !seen.insert(fault.culprit()) {
            return Ok(Err(BadEvidence::Twice(fault.culprit())));
        }
        if let Err(reason) = check(store, genesis, head, fault)? {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

/// The registered validator with a key.
fn validator(store: &dyn Store, key: &PublicKey) -> Result<Option<(NodeId, NodeRecord)>, LedgerError> {
    let Some(account) = accounts::account_of(store, key)? else { return Ok(None) };
    let account: valo_protocol::state::AccountRecord = tables::expect_row(store, account.index())?;
    let Some(node) = account.node else { return Ok(None) };
    let record: NodeRecord = tables::expect_row(store, u64::from(node.0))?;
    Ok((record.role == NodeRole::Validator).then_some((node, record)))
}

/// Punishes whoever the evidence of a block proves to have signed twice. [`check_all`] has accepted it.
pub(crate) fn punish_all(ctx: &mut Context<'_>, evidence: &[Evidence]) -> Result<(), LedgerError> {
    for fault in evidence {
        if let Some((node, _)) = validator(&ctx.state, &fault.culprit())? {
            tombstone(ctx, node, fault.height())?;
        }
    }
    Ok(())
}

/// Evidence by transaction. Phase 1 has checked it; what the block itself carried may have come first.
pub(super) fn submit(ctx: &mut Context<'_>, evidence: &Evidence) -> Result<Made, Failure> {
    let key = evidence.culprit();
    let (node, record) = validator(&ctx.state, &key)?.ok_or(Reason::BadEvidence(BadEvidence::NoValidator(key)))?;
    if record.state == NodeState::Tombstoned {
        return Err(Reason::BadEvidence(BadEvidence::AlreadyPunished(key)).into());
    }
    tombstone(ctx, node, evidence.height())?;
    Ok(Made::Node(node))
}

fn tombstone(ctx: &mut Context<'_>, node: NodeId, height: Height) -> Result<(), LedgerError> {
    take(ctx, node, DOUBLE_SIGN, Offence::DoubleSign { height })?;
    let mut record = ctx.expect_node(node)?;
    record.ready = false;
    set_state(ctx, node, &mut record, NodeState::Tombstoned);
    pass_over(ctx, &record, OUT)?;
    ctx.set_node(node, &record);
    super::consider(ctx, node)
}

/// Takes so many thousandths of a stake, bonded and unbonding, into the pool of rewards.
fn take(ctx: &mut Context<'_>, node: NodeId, thousandths: u64, offence: Offence) -> Result<(), LedgerError> {
    let mut record = ctx.expect_node(node)?;
    let share = |amount: Amount| amount.mul_div(thousandths, 1000).unwrap_or(amount);
    let bonded = share(record.stake);
    record.stake = subtract(record.stake, bonded)?;
    let mut unbonding = Amount::ZERO;
    let mut parts = std::mem::take(&mut record.unbonding).into_inner();
    for part in &mut parts {
        let taken = share(part.amount);
        part.amount = subtract(part.amount, taken)?;
        unbonding = add(unbonding, taken)?;
    }
    record.unbonding = BoundedVec::new(parts).map_err(|_| LedgerError::Overflow("parts of a stake"))?;
    ctx.set_node(node, &record);
    ctx.stake_to_rewards(bonded, unbonding)?;
    ctx.emit(Event::Punished { node, owner: record.owner, amount: add(bonded, unbonding)?, offence });
    Ok(())
}

/// Sets until when a validator is passed over as proposer.
fn pass_over(ctx: &mut Context<'_>, record: &NodeRecord, until: Height) -> Result<(), LedgerError> {
    let Some(row) = record.validator.map(u64::from) else { return Ok(()) };
    let mut validator: ValidatorRecord = ctx.state.expect_row(row)?;
    validator.skipped_until = until;
    validator.duty = Default::default();
    ctx.state.set_row(row, &validator);
    Ok(())
}

/// Lets a validator that was out propose again.
pub(super) fn let_propose(ctx: &mut Context<'_>, record: &NodeRecord) -> Result<(), LedgerError> {
    let Some(row) = record.validator.map(u64::from) else { return Ok(()) };
    let validator: ValidatorRecord = ctx.state.expect_row(row)?;
    if validator.skipped_until == OUT {
        pass_over(ctx, record, Height(0))?;
    }
    Ok(())
}

/// Credits a validator with the time from a block to the next.
pub(crate) fn credit(record: &mut ValidatorRecord, step: Duration, has_signed: bool) {
    let [_, present] = &mut record.duty;
    present.expected = Varint(present.expected.0.saturating_add(step.0));
    if has_signed {
        present.signed = Varint(present.signed.0.saturating_add(step.0));
    }
}

/// Half of the time over which a validator is watched.
fn half(params: &Parameters) -> Duration {
    Duration((params.downtime_window.0 / 2).max(1))
}

/// When half of a window is over, jails who signed less than half of the last two halves. Gives when the present half
/// began. One that was not a validator for most of the window is not judged yet.
pub(crate) fn judge_duty(ctx: &mut Context<'_>, since: Timestamp) -> Result<Timestamp, LedgerError> {
    let half = half(ctx.params());
    if ctx.time().since(since) < half {
        return Ok(since);
    }
    for (row, mut validator) in rows::<ValidatorRecord>(&ctx.state, 0, usize::MAX)? {
        let [earlier, present] = validator.duty;
        let expected = earlier.expected.0.saturating_add(present.expected.0);
        let signed = earlier.signed.0.saturating_add(present.signed.0);
        validator.duty = [present, Duty::default()];
        ctx.state.set_row(row, &validator);
        let was_away = signed < expected / 2 && expected > half.0;
        let record = ctx.expect_node(validator.node)?;
        if was_away && record.state == NodeState::Active {
            jail(ctx, validator.node, Offence::Downtime { expected, signed })?;
        }
    }
    Ok(ctx.time())
}

fn jail(ctx: &mut Context<'_>, node: NodeId, offence: Offence) -> Result<(), LedgerError> {
    take(ctx, node, DOWNTIME, offence)?;
    let mut record = ctx.expect_node(node)?;
    record.jailed_until = ctx.time().after(ctx.params().jail);
    record.ready = false;
    set_state(ctx, node, &mut record, NodeState::Jailed);
    pass_over(ctx, &record, OUT)?;
    ctx.set_node(node, &record);
    Ok(())
}

/// Where a node stands that comes back to the registry at `now`: jail is not shortened by leaving.
pub(super) fn returning_state(record: &NodeRecord, now: Timestamp) -> NodeState {
    if record.jailed_until > now { NodeState::Jailed } else { NodeState::Joining }
}

/// Why a validator cannot be let in again after the last block, if it cannot.
pub(crate) fn can_unjail(store: &dyn Store, node: NodeId) -> Result<Result<(), Reason>, LedgerError> {
    let record: NodeRecord = tables::expect_row(store, u64::from(node.0))?;
    Ok(is_over(&record, chain(store)?.time))
}

/// Whether the jail of a validator is over.
fn is_over(record: &NodeRecord, now: Timestamp) -> Result<(), Reason> {
    match record.state {
        NodeState::Jailed if record.jailed_until > now => Err(Reason::JailedUntil { until: record.jailed_until, now }),
        NodeState::Jailed => Ok(()),
        state => Err(Reason::NodeIs(state)),
    }
}

/// A jailed validator is back. It says so itself, and so is ready.
pub(super) fn unjail(ctx: &mut Context<'_>, account: AccountNumber) -> Result<Made, Failure> {
    let node = ctx.node_of(account)?.ok_or(Reason::NotANode(account))?;
    let mut record = ctx.expect_node(node)?;
    is_over(&record, ctx.time())?;
    covers(ctx, record.role, record.stake)?;
    record.ready = true;
    set_state(ctx, node, &mut record, NodeState::Joining);
    let_propose(ctx, &record)?;
    let_in(ctx, node, &mut record)?;
    ctx.set_node(node, &record);
    Ok(Made::Node(node))
}

/// Notes when an epoch began, and forgets those that are too long ago to be punished in.
pub(crate) fn note_epoch(ctx: &mut Context<'_>) -> Result<(), LedgerError> {
    let epochs: EpochStarts = row_of(&ctx.state, Table::System, EPOCHS_ROW)?.unwrap_or_default();
    let mut starts = epochs.starts.into_inner();
    starts.push(EpochStart { height: ctx.height().next(), time: ctx.time() });
    // The first that is kept is the one under way when the unbonding time began.
    let ended = |next: &EpochStart| ctx.time().since(next.time) >= ctx.params().unbonding;
    let over = starts.iter().skip(1).take_while(|next| ended(next)).count();
    let most = valo_protocol::state::MAX_EPOCHS_KEPT;
    starts.drain(..over.max(starts.len().saturating_sub(most)));
    let starts = BoundedVec::new(starts).map_err(|_| LedgerError::Overflow("epochs kept"))?;
    ctx.state.put(Table::System, tables::row_key(EPOCHS_ROW), encode(&EpochStarts { starts }));
    Ok(())
}

/// When the present half of the downtime window began.
pub(crate) fn duty_since(store: &dyn Store) -> Result<Timestamp, LedgerError> {
    Ok(chain(store)?.duty_since)
}
