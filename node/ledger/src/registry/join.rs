//! Nodes come in: registration, what they offer, and their word that they are ready.

use super::{covers, expect, let_in, needed, own, set_state};
use crate::{
    Context, Failure, LedgerError, accounts,
    overlay::Overlay,
    store::Table,
    tables::{row_key, rows},
};
use valo_protocol::{
    AccountNumber, Amount, Height, PublicKey, Timestamp,
    bytes::BoundedVec,
    encoding::Varint,
    event::Event,
    grant::{Grant, SignedGrant},
    receipt::{Made, Reason},
    registry::{Admission, Endpoints, NodeId, NodeRole, NodeState},
    state::{NodeRecord, ValidatorRecord},
    validator::MAX_VALIDATORS,
};

/// The most nodes with a row.
const MAX_NODES: u64 = 65_536;

/// Brings a node in. The sender pays the stake and, for a key without an account, the fee of a new one.
pub(super) fn register(ctx: &mut Context<'_>, sender: AccountNumber, signed: &SignedGrant) -> Result<Made, Failure> {
    let grant = &signed.grant;
    check(ctx, signed)?;
    let known = accounts::account_of(&ctx.state, &grant.node)?;
    if let Some(account) = known
        && let Some(node) = ctx.node_of(account)?
    {
        return Err(Reason::AlreadyANode(node).into());
    }
    covers(ctx, grant.role, grant.stake)?;
    if known.is_none() {
        ctx.pay_to_rewards(sender, ctx.params().account_fee)?;
    }
    ctx.bond(sender, grant.stake)?;
    let account = match known {
        Some(account) => account,
        None => {
            let account = accounts::create(&mut ctx.state, grant.node, Amount::ZERO, None)?;
            ctx.emit(Event::AccountCreated { account, key: grant.node });
            account
        }
    };
    let record = NodeRecord {
        key: grant.node,
        account,
        owner: grant.owner,
        role: grant.role,
        state: NodeState::Joining,
        stake: grant.stake,
        locked: Amount::ZERO,
        busy: 0,
        unanswered: 0,
        validator: None,
        jailed_until: Timestamp(0),
        ready: false,
        unbonding: BoundedVec::default(),
        endpoints: grant.endpoints.clone(),
    };
    let row = ctx.state.fill_slot(&record)?;
    let node = NodeId(u32::try_from(row).map_err(|_| LedgerError::Overflow("rows of nodes"))?);
    set_node_of(ctx, account, Some(node))?;
    seat(ctx, node)?;
    let (owner, key, stake) = (grant.owner, grant.node, grant.stake);
    ctx.emit(Event::NodeRegistered { node, owner, key, account, stake });
    Ok(Made::Node(node))
}

/// Whether the owner permits it now, and the network has a place for it.
fn check(ctx: &Context<'_>, signed: &SignedGrant) -> Result<(), Failure> {
    let Grant { owner, node, role, expires, .. } = &signed.grant;
    let key = ctx.account(*owner)?.ok_or(Reason::NoAccount(*owner))?.key;
    if !signed.verify(ctx.genesis(), &key) {
        return Err(Reason::GrantSignature(*owner).into());
    }
    if ctx.time() > *expires {
        return Err(Reason::GrantExpired { expired: *expires, now: ctx.time() }.into());
    }
    if !node.is_usable() {
        return Err(Reason::UnusableKey.into());
    }
    match role {
        NodeRole::Validator => {
            let most = u64::try_from(MAX_VALIDATORS).unwrap_or(u64::MAX);
            if !has_room(ctx, Table::Validators, most)? {
                return Err(Reason::Full(format!("{most} validators are registered")).into());
            }
        }
        NodeRole::Worker { slots: 0, .. } => return Err(Reason::Slots.into()),
        NodeRole::Worker { tier, .. } => {
            let found = ctx.tier(*tier)?.ok_or(Reason::NoTierNumber(*tier))?;
            if matches!(&found.admission, Admission::Owners(owners) if !owners.contains(owner)) {
                return Err(Reason::NotAdmitted { tier: *tier, owner: *owner }.into());
            }
        }
    }
    if !has_room(ctx, Table::Nodes, MAX_NODES)? {
        return Err(Reason::Full(format!("{MAX_NODES} nodes are registered")).into());
    }
    Ok(())
}

/// Whether a table of rows that are used again takes one more.
fn has_room(ctx: &Context<'_>, table: Table, most: u64) -> Result<bool, LedgerError> {
    Ok(ctx.length(table)? < most || ctx.state.has_free_slot(table)?)
}

fn set_node_of(ctx: &mut Context<'_>, account: AccountNumber, node: Option<NodeId>) -> Result<(), LedgerError> {
    let mut record = ctx.expect_account(account)?;
    record.node = node;
    ctx.state.set_row(account.index(), &record);
    Ok(())
}

/// Gives a validator a row among the validators.
pub(super) fn seat(ctx: &mut Context<'_>, node: NodeId) -> Result<(), LedgerError> {
    let mut record = ctx.expect_node(node)?;
    if record.role != NodeRole::Validator {
        return Ok(());
    }
    record.validator = Some(genesis_validator(&mut ctx.state, node, record.key)?);
    ctx.set_node(node, &record);
    Ok(())
}

/// Makes the row of a validator; gives its number.
pub(crate) fn genesis_validator(state: &mut Overlay<'_>, node: NodeId, key: PublicKey) -> Result<u32, LedgerError> {
    let record = ValidatorRecord {
        node,
        key,
        blocks: Varint(0),
        signed: Varint(0),
        misses: 0,
        skipped_until: Height(0),
        duty: Default::default(),
    };
    let index = state.fill_slot(&record)?;
    state.put(Table::ValidatorByKey, key.0, row_key(index).to_vec());
    u32::try_from(index).map_err(|_| LedgerError::Overflow("rows of validators"))
}

/// Takes the row of a validator back.
pub(super) fn unseat(ctx: &mut Context<'_>, record: &mut NodeRecord) {
    if let Some(index) = record.validator.take() {
        ctx.state.free_slot::<ValidatorRecord>(u64::from(index));
        ctx.state.delete(Table::ValidatorByKey, record.key.0);
    }
}

/// Forgets a node that has left and whose stake is paid. Its account stays, and is like any other.
pub(super) fn forget(ctx: &mut Context<'_>, node: NodeId, record: &NodeRecord) -> Result<(), LedgerError> {
    set_node_of(ctx, record.account, None)?;
    ctx.state.free_slot::<NodeRecord>(u64::from(node.0));
    Ok(())
}

/// Changes what a node offers.
pub(super) fn update(
    ctx: &mut Context<'_>,
    sender: AccountNumber,
    node: NodeId,
    slots: Option<u16>,
    endpoints: Option<&Endpoints>,
) -> Result<Made, Failure> {
    let mut record = expect(ctx, node)?;
    let is_itself = record.account == sender && slots.is_none();
    if !is_itself {
        record = own(ctx, sender, node)?;
    }
    if !matches!(record.state, NodeState::Joining | NodeState::Active | NodeState::Absent) {
        return Err(Reason::NodeIs(record.state).into());
    }
    if let Some(wanted) = slots {
        let NodeRole::Worker { tier, .. } = record.role else { return Err(Reason::Slots.into()) };
        let role = NodeRole::Worker { tier, slots: wanted };
        if wanted == 0 {
            return Err(Reason::Slots.into());
        }
        if wanted < record.busy {
            return Err(Reason::SlotsBusy { busy: record.busy }.into());
        }
        covers(ctx, role, record.stake)?;
        record.role = role;
    }
    if let Some(endpoints) = endpoints {
        record.endpoints = endpoints.clone();
    }
    let_in(ctx, node, &mut record)?;
    ctx.set_node(node, &record);
    ctx.emit(Event::NodeUpdated { node, owner: record.owner });
    Ok(Made::Nothing)
}

/// A node says that it is there: one that was absent is drawn again, one that joins may be let in.
pub(crate) fn come_back(ctx: &mut Context<'_>, account: AccountNumber) -> Result<Made, Failure> {
    let node = ctx.node_of(account)?.ok_or(Reason::NotANode(account))?;
    let mut record = ctx.expect_node(node)?;
    match record.state {
        NodeState::Absent => {
            record.state = NodeState::Active;
            ctx.emit(Event::NodeReturned { node });
        }
        NodeState::Joining if !record.ready => {
            record.ready = true;
            let_in(ctx, node, &mut record)?;
        }
        _ => return Err(Reason::NotAbsent.into()),
    }
    record.unanswered = 0;
    ctx.set_node(node, &record);
    Ok(Made::Nothing)
}

/// Validators that are elected take part from the next height on.
pub(super) fn enter_elected(ctx: &mut Context<'_>) -> Result<(), LedgerError> {
    let Some(next) = ctx.next_validators.clone() else { return Ok(()) };
    for (_, validator) in rows::<ValidatorRecord>(&ctx.state, 0, usize::MAX)? {
        let mut record = ctx.expect_node(validator.node)?;
        if record.state == NodeState::Joining && next.get(&record.key).is_some() {
            set_state(ctx, validator.node, &mut record, NodeState::Active);
            ctx.set_node(validator.node, &record);
        }
    }
    Ok(())
}

/// What of a node's stake its owner may take: what is neither locked nor needed.
pub(super) fn free_stake(ctx: &Context<'_>, record: &NodeRecord) -> Result<Amount, Failure> {
    let needed = needed(ctx, record.role)?;
    Ok(record.stake.saturating_sub(needed.max(record.locked)))
}
