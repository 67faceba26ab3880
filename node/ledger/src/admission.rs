//! Phase 1 of a block: which transactions may be in it at all.
//!
//! Against the state at the block's start, in order: every nonce is the next one, every `max_fee` covers the
//! fee and is covered by the balance together with those of the sender's earlier transactions, every message of
//! the protocol has something open, and bytes and weight stay within their limits.

use crate::{
    BlockError, LedgerError, accounts, fees,
    jobs::{self, MessageKind},
    overlay::Overlay,
    registry,
    store::Store,
};
use std::{collections::BTreeSet, sync::Arc};
use valo_protocol::{
    AccountNumber, Action, Amount, Parameters,
    block::MAX_BLOCK,
    encoding::Varint,
    job::{Attempt, ShardKey},
    receipt::{BadEvidence, Invalid, Reason},
    registry::{NodeId, NodeState},
    state::{AccountRecord, NodeRecord},
    transaction::{MAX_TRANSACTION, Transaction},
};

/// Why a transaction cannot be admitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The block is full for its kind.
    #[error("the {kind} limit of {limit} is reached")]
    Full {
        /// Bytes or weight.
        kind: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Not the transaction's fault.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<crate::StoreError> for Refusal {
    fn from(error: crate::StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl Refusal {
    pub(crate) fn into_block_error(self, index: u32) -> BlockError {
        match self {
            Self::Invalid(reason) => BlockError::Transaction { index, reason },
            Self::Full { kind, limit } => BlockError::Limit { kind, limit },
            Self::Ledger(error) => BlockError::Ledger(error),
        }
    }
}

/// One message of the protocol about one shard.
pub(crate) type Entry = (MessageKind, ShardKey, Attempt);

/// The entries of a message of the protocol; none for other actions, and for messages that are about a node itself.
fn entries(action: &Action) -> Vec<Entry> {
    match action {
        Action::Commit { entries } => {
            entries.iter().map(|entry| (MessageKind::Commit, entry.shard, entry.attempt)).collect()
        }
        Action::Reveal { entries } => {
            entries.iter().map(|entry| (MessageKind::Reveal, entry.shard, entry.attempt)).collect()
        }
        Action::Abstain { entries } => {
            entries.iter().map(|entry| (MessageKind::Abstain, entry.shard, entry.attempt)).collect()
        }
        Action::Transfer { .. }
        | Action::TransferToKey { .. }
        | Action::SubmitEvidence { .. }
        | Action::Unjail
        | Action::SubmitJob { .. }
        | Action::CancelJob { .. }
        | Action::Return
        | Action::RegisterNode { .. }
        | Action::UpdateNode { .. }
        | Action::Drain
        | Action::RemoveNode { .. }
        | Action::ResumeNode { .. }
        | Action::Bond { .. }
        | Action::Unbond { .. }
        | Action::Rebond { .. } => Vec::new(),
    }
}

/// Checks a transaction against its sender's account and nothing else; gives the fee.
fn check_sender(
    transaction: &Transaction,
    account: &AccountRecord,
    size: u64,
    params: &Parameters,
) -> Result<Amount, Refusal> {
    let max = u64::try_from(MAX_TRANSACTION).unwrap_or(u64::MAX);
    if size > max {
        return Err(Invalid::TooLarge { size, max }.into());
    }
    let (nonce, expected) = (transaction.nonce.0, account.nonce.0);
    if nonce < expected {
        return Err(Invalid::NonceUsed { nonce, expected }.into());
    }
    let fee = fees::fee(transaction, size, params);
    let allowed = transaction.max_fee;
    if allowed < fee {
        return Err(Invalid::FeeTooLow { allowed, needed: fee }.into());
    }
    let available = accounts::spendable(account, params.minimum_balance);
    if available < allowed {
        return Err(Invalid::CannotPayFee { available, needed: allowed }.into());
    }
    // Last, so that a gap says that nothing else is wrong and the transaction may be valid later.
    if nonce > expected {
        return Err(Invalid::NonceGap { nonce, expected }.into());
    }
    Ok(fee)
}

/// Checks that a message of the protocol has something open, entry by entry; gives the entries.
fn check_message(
    store: &dyn Store,
    params: &Parameters,
    transaction: &Transaction,
    account: &AccountRecord,
) -> Result<(NodeId, Vec<Entry>), Refusal> {
    if let Action::SubmitEvidence { evidence } = &transaction.action {
        let accused = registry::check_submitted_evidence(store, evidence)?;
        return Ok((accused.map_err(Invalid::BadEvidence)?, Vec::new()));
    }
    let node = account.node.ok_or(Invalid::NotANode(transaction.sender))?;
    if matches!(transaction.action, Action::Unjail) {
        let verdict = registry::can_unjail(store, node)?;
        verdict.map_err(|reason| Invalid::CannotUnjail(Box::new(reason)))?;
        return Ok((node, Vec::new()));
    }
    if matches!(transaction.action, Action::Return | Action::Drain) {
        let record: NodeRecord = crate::tables::expect_row(store, u64::from(node.0))?;
        if matches!(transaction.action, Action::Drain) {
            let verdict = registry::can_drain(store, params, node, &record)?;
            verdict.map_err(|reason| Invalid::CannotDrain(Box::new(reason)))?;
        } else if record.state != NodeState::Absent && (record.state != NodeState::Joining || record.ready) {
            return Err(Invalid::NotAbsent.into());
        }
        return Ok((node, Vec::new()));
    }
    let entries = entries(&transaction.action);
    let distinct: BTreeSet<&ShardKey> = entries.iter().map(|(_, shard, _)| shard).collect();
    if entries.is_empty() || distinct.len() != entries.len() {
        return Err(Invalid::Entries.into());
    }
    for (kind, shard, attempt) in &entries {
        if !jobs::is_open(store, node, *kind, *shard, *attempt)? {
            return Err(Invalid::NotOpen(*shard).into());
        }
    }
    Ok((node, entries))
}

/// Whether a transaction could be in the next block, its signature aside.
pub(crate) fn validity(
    store: &dyn Store,
    params: &Parameters,
    transaction: &Transaction,
    size: usize,
) -> Result<(), Refusal> {
    let account = sender(store, transaction.sender)?;
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    check_sender(transaction, &account, size, params)?;
    if transaction.action.is_protocol_message() {
        check_message(store, params, transaction, &account)?;
    }
    Ok(())
}

fn sender(store: &dyn Store, number: AccountNumber) -> Result<AccountRecord, Refusal> {
    Ok(crate::tables::row(store, number.index())?.ok_or(Invalid::NoSender(number))?)
}

/// Phase 1 under way: what has been admitted so far.
#[derive(Debug)]
pub(crate) struct Admission {
    params: Arc<Parameters>,
    max_bytes: u64,
    bytes: u64,
    weight: u64,
    /// Of these, what pays: at most three quarters of a block.
    paying_bytes: u64,
    paying_weight: u64,
    /// Messages of the protocol in this block, by node. `Return`, `Unjail` and `Drain` are recorded without entry.
    said: BTreeSet<(NodeId, Option<Entry>)>,
    /// Who is accused in this block, by transaction.
    accused: BTreeSet<NodeId>,
}

impl Admission {
    pub(crate) fn new(params: Arc<Parameters>) -> Self {
        // Certificate and evidence come on top, and the whole must stay readable whatever the parameters say.
        let readable = MAX_BLOCK.saturating_sub(MAX_BLOCK / 8);
        let max_bytes = params.block_bytes.min(u64::try_from(readable).unwrap_or(u64::MAX));
        Self {
            params,
            max_bytes,
            bytes: 0,
            weight: 0,
            paying_bytes: 0,
            paying_weight: 0,
            said: BTreeSet::new(),
            accused: BTreeSet::new(),
        }
    }

    /// Debits the fee and advances the nonce in `state`, which holds the state at the block's start and
    /// earlier admissions only; gives the fee, of which what `max_fee` is above returns in phase 2.
    pub(crate) fn admit(
        &mut self,
        state: &mut Overlay<'_>,
        transaction: &Transaction,
        size: usize,
    ) -> Result<Amount, Refusal> {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let mut account = sender(state, transaction.sender)?;
        let fee = check_sender(transaction, &account, size, &self.params)?;
        let room = self.room(transaction, size)?;
        if transaction.action.is_protocol_message() {
            let (node, entries) = check_message(state, &self.params, transaction, &account)?;
            if let Action::SubmitEvidence { evidence } = &transaction.action {
                if !self.accused.insert(node) {
                    return Err(Invalid::BadEvidence(BadEvidence::Twice(evidence.culprit())).into());
                }
            } else if entries.is_empty() && !self.said.insert((node, None)) {
                return Err(match transaction.action {
                    Action::Drain => Invalid::CannotDrain(Box::new(Reason::NodeIs(NodeState::Draining))).into(),
                    Action::Unjail => Invalid::CannotUnjail(Box::new(Reason::NodeIs(NodeState::Joining))).into(),
                    _ => Invalid::NotAbsent.into(),
                });
            }
            if let Some((_, shard, _)) = entries.iter().find(|entry| self.said.contains(&(node, Some(**entry)))) {
                return Err(Invalid::NotOpen(*shard).into());
            }
            self.said.extend(entries.into_iter().map(|entry| (node, Some(entry))));
        }
        account.balance = crate::context::subtract(account.balance, transaction.max_fee)?;
        account.nonce = Varint(account.nonce.0.checked_add(1).ok_or(LedgerError::Overflow("a nonce"))?);
        state.set_row(transaction.sender.index(), &account);
        [self.bytes, self.weight, self.paying_bytes, self.paying_weight] = room;
        Ok(fee)
    }

    /// The sums with this transaction, if it still fits.
    fn room(&self, transaction: &Transaction, size: u64) -> Result<[u64; 4], Refusal> {
        let weight = self.params.weights.of(&transaction.action);
        let within = |kind, sum: u64, more: u64, limit: u64| {
            sum.checked_add(more).filter(|sum| *sum <= limit).ok_or(Refusal::Full { kind, limit })
        };
        let (max_bytes, max_weight) = (self.max_bytes, self.params.block_weight);
        let bytes = within("bytes", self.bytes, size, max_bytes)?;
        let total = within("weight", self.weight, weight, max_weight)?;
        if transaction.action.is_protocol_message() {
            return Ok([bytes, total, self.paying_bytes, self.paying_weight]);
        }
        let paying = |limit: u64| limit.saturating_sub(limit / 4);
        let paying_bytes = within("bytes", self.paying_bytes, size, paying(max_bytes))?;
        let paying_weight = within("weight", self.paying_weight, weight, paying(max_weight))?;
        Ok([bytes, total, paying_bytes, paying_weight])
    }
}
