//! Phase 2 of a block: what each action does. An error undoes the action; the fee stays paid.

use crate::{Context, Failure, accounts, context::add, jobs, registry};
use valo_protocol::{
    AccountNumber, Action, Amount, PublicKey,
    event::Event,
    receipt::{Made, Reason},
    transaction::SignedTransaction,
};

/// Executes an action; gives what it made.
pub(crate) fn apply(ctx: &mut Context<'_>, signed: &SignedTransaction) -> Result<Made, Failure> {
    let sender = signed.transaction.sender;
    match &signed.transaction.action {
        Action::Transfer { to, amount } => transfer(ctx, sender, *to, *amount),
        Action::TransferToKey { key, amount } => transfer_to_key(ctx, sender, key, *amount),
        action @ (Action::SubmitJob { .. }
        | Action::CancelJob { .. }
        | Action::Commit { .. }
        | Action::Reveal { .. }
        | Action::Abstain { .. }) => jobs::apply(ctx, sender, action),
        Action::Return => registry::come_back(ctx, sender),
        action @ (Action::RegisterNode { .. }
        | Action::UpdateNode { .. }
        | Action::Drain
        | Action::SubmitEvidence { .. }
        | Action::Unjail
        | Action::RemoveNode { .. }
        | Action::ResumeNode { .. }
        | Action::Bond { .. }
        | Action::Unbond { .. }
        | Action::Rebond { .. }) => registry::apply(ctx, sender, action),
    }
}

fn transfer(ctx: &mut Context<'_>, from: AccountNumber, to: AccountNumber, amount: Amount) -> Result<Made, Failure> {
    let recipient = ctx.account(to)?.ok_or(Reason::NoAccount(to))?;
    // First what the sender has: it bounds every sum with an amount that anyone may have written.
    ctx.transfer(from, to, amount)?;
    let minimum = ctx.params.minimum_balance;
    // Only the account of a node that was never funded can be below; the transfer is undone.
    if add(recipient.balance, amount)? < minimum {
        return Err(Reason::BelowMinimum(minimum).into());
    }
    ctx.emit(Event::Transferred { from, to, amount });
    Ok(Made::Nothing)
}

fn transfer_to_key(
    ctx: &mut Context<'_>,
    from: AccountNumber,
    key: &PublicKey,
    amount: Amount,
) -> Result<Made, Failure> {
    if let Some(to) = accounts::account_of(&ctx.state, key)? {
        return transfer(ctx, from, to, amount);
    }
    let (minimum, fee) = (ctx.params.minimum_balance, ctx.params.account_fee);
    if !key.is_usable() {
        return Err(Reason::UnusableKey.into());
    }
    if amount < minimum {
        return Err(Reason::BelowMinimum(minimum).into());
    }
    // Both together, so that the reason names all that it takes.
    let payer = ctx.expect_account(from)?;
    let needed = amount.checked_add(fee).unwrap_or(Amount::from_units(u64::MAX));
    accounts::spend(&payer, needed, minimum)?;
    ctx.pay_to_rewards(from, fee)?;
    let to = accounts::create(&mut ctx.state, *key, Amount::ZERO, None)?;
    ctx.transfer(from, to, amount)?;
    ctx.emit(Event::AccountCreated { account: to, key: *key });
    ctx.emit(Event::Transferred { from, to, amount });
    Ok(Made::Account(to))
}
