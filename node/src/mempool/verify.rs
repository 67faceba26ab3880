//! The verifying threads: from bytes to transactions in the pool.
//!
//! ```text
//!  API, flood --> queue --> [ read, hash | known? | cheap checks | batch of signatures | pool ] --> answers
//!                bounded     \________ one thread takes all that waits, up to a batch ________/
//! ```
//! A thread takes what has gathered and no more: a single transaction on an idle node is not kept waiting for others,
//! and under load batches fill by themselves.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use valo_protocol::{
    AccountNumber, Amount, TransactionId,
    keys::{Signed, verify_batch},
    receipt::Invalid,
};

use super::{
    Accepted, Rejection, Shared,
    pool::Dropped,
    state::SenderAccount,
    transaction::{ParsedTransaction, VerifiedTransaction, rate},
};

/// Signatures verified together. Beyond this a batch gains little and others wait longer.
pub(super) const BATCH: usize = 512;

/// What the threads are asked for.
#[derive(Debug)]
pub(super) enum Work {
    /// Transactions to verify, from one caller.
    Judge {
        items: Vec<Bytes>,
        reply: oneshot::Sender<Vec<Result<Accepted, Rejection>>>,
        /// The room these bytes take, given back with the work.
        permit: OwnedSemaphorePermit,
    },
    /// A block was finalized: what came too early before it is judged again.
    Recheck,
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Self::Judge { items, .. } => items.len(),
            Self::Recheck => 0,
        }
    }
}

/// One item on its way.
#[derive(Debug)]
enum Step {
    Read(Box<ParsedTransaction>),
    Done(Result<Accepted, Rejection>),
}

/// A transaction that only lacks its signature's verification.
struct Candidate {
    /// Which item of the batch.
    item: usize,
    account: SenderAccount,
    rate: u64,
}

/// Runs until all senders of work are gone.
pub(super) fn run(shared: &Shared, queue: &std::sync::Mutex<mpsc::Receiver<Work>>) {
    loop {
        let mut batch = Vec::new();
        {
            // Threads take turns: one waits for work, the others for the turn.
            let mut queue = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(first) = queue.blocking_recv() else { return };
            let mut items = first.len();
            batch.push(first);
            while items < BATCH
                && let Ok(next) = queue.try_recv()
            {
                items = items.saturating_add(next.len());
                batch.push(next);
            }
        }
        process(shared, batch);
    }
}

fn process(shared: &Shared, batch: Vec<Work>) {
    let mut lengths = Vec::with_capacity(batch.len());
    let mut callers = Vec::with_capacity(batch.len());
    let mut items = Vec::new();
    let mut recheck = false;
    for work in batch {
        match work {
            Work::Judge { items: mut of_one, reply, permit } => {
                lengths.push(of_one.len());
                callers.push((reply, permit));
                items.append(&mut of_one);
            }
            Work::Recheck => recheck = true,
        }
    }
    // First, since it may be what a window that closes soon waits for.
    if recheck {
        judge_again(shared, Instant::now());
    }
    let mut answers = judge(shared, items).into_iter();
    for ((reply, permit), length) in callers.into_iter().zip(lengths) {
        drop(permit);
        // A caller that stopped waiting is not told.
        let _ = reply.send(answers.by_ref().take(length).collect());
    }
}

/// Judges again what came too early. What is taken now is passed on, since nobody else passed it on from here.
fn judge_again(shared: &Shared, now: Instant) {
    let held = shared.early().take(now);
    if held.is_empty() {
        return;
    }
    let answers = judge(shared, held.iter().map(|held| held.bytes.clone()).collect());
    let (mut taken, mut still_early) = (Vec::new(), Vec::new());
    for (held, answer) in held.into_iter().zip(answers) {
        match answer {
            Ok(Accepted { new: true, .. }) => taken.push(held.bytes),
            Ok(_) => {}
            Err(reason) if reason.awaits_block() => still_early.push(held),
            Err(reason) => tracing::debug!(from = ?held.from, %reason, "held a transaction that came early, in vain"),
        }
    }
    shared.early().put_back(still_early);
    shared.metrics.early.inc_by(u64::try_from(taken.len()).unwrap_or(u64::MAX));
    shared.publish(taken);
}

/// Judges items and puts the good ones into the pool. One answer for each, in order.
pub(super) fn judge(shared: &Shared, items: Vec<Bytes>) -> Vec<Result<Accepted, Rejection>> {
    let mut steps: Vec<Step> = items
        .into_iter()
        .map(|bytes| match ParsedTransaction::read(bytes, &shared.genesis) {
            Ok(parsed) => Step::Read(Box::new(parsed)),
            Err(error) => Step::Done(Err(error.into())),
        })
        .collect();
    settle_known(shared, &mut steps);
    let version = shared.version();
    let candidates = check(shared, &mut steps);
    let valid = verify(&steps, &candidates);
    let mut verified = Vec::with_capacity(candidates.len());
    for (candidate, valid) in candidates.into_iter().zip(valid) {
        let Some(step) = steps.get_mut(candidate.item) else { continue };
        let Step::Read(parsed) = std::mem::replace(step, Step::Done(Err(Rejection::Stopping))) else { continue };
        if valid {
            verified.push((candidate.item, parsed.into_verified(candidate.rate), candidate.account));
        } else {
            let sender = parsed.signed().transaction.sender;
            *step = Step::Done(Err(Invalid::Signature(sender).into()));
        }
    }
    insert(shared, &mut steps, verified, version);
    steps
        .into_iter()
        .map(|step| match step {
            Step::Done(answer) => answer,
            Step::Read(_) => Err(Rejection::Stopping),
        })
        .collect()
}

/// Answers those that wait already, and repetitions within the batch.
fn settle_known(shared: &Shared, steps: &mut [Step]) {
    let pool = shared.pool();
    for step in steps {
        if let Step::Read(parsed) = step
            && pool.contains(&parsed.id())
        {
            *step = Step::Done(Ok(Accepted { id: parsed.id(), new: false }));
        }
    }
}

/// All checks but the signature: they are cheap.
fn check(shared: &Shared, steps: &mut [Step]) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(steps.len());
    let mut senders: HashMap<AccountNumber, Option<SenderAccount>> = HashMap::new();
    for (item, step) in steps.iter_mut().enumerate() {
        let Step::Read(parsed) = step else { continue };
        match check_one(shared, parsed, &mut senders) {
            Ok((account, rate)) => candidates.push(Candidate { item, account, rate }),
            Err(reason) => *step = Step::Done(settle_final(shared, parsed, reason)),
        }
    }
    candidates
}

fn check_one(
    shared: &Shared,
    parsed: &ParsedTransaction,
    senders: &mut HashMap<AccountNumber, Option<SenderAccount>>,
) -> Result<(SenderAccount, u64), Rejection> {
    let sender = parsed.signed().transaction.sender;
    let account = match senders.get(&sender) {
        Some(account) => *account,
        None => {
            let account = shared.state.sender(sender).map_err(|error| Rejection::State(error.to_string()))?;
            senders.insert(sender, account);
            account
        }
    };
    let account = account.ok_or(Invalid::NoSender(sender))?;
    let validity = shared.state.validity(parsed.signed(), parsed.size());
    match validity.map_err(|error| Rejection::State(error.to_string()))? {
        // The pool holds those that come early.
        Ok(()) | Err(Invalid::NonceGap { .. }) => {}
        Err(invalid) => return Err(invalid.into()),
    }
    let cost = shared.state.cost(parsed.signed(), parsed.size());
    let cost = cost.map_err(|error| Rejection::State(error.to_string()))?;
    if cost.weight > cost.max_weight {
        return Err(Rejection::TooHeavy { weight: cost.weight, max: cost.max_weight });
    }
    let transaction = &parsed.signed().transaction;
    let max_fee = transaction.max_fee;
    // One that comes early is not checked for this by the chain yet.
    if !transaction.action.is_protocol_message() && max_fee.units() < cost.units {
        return Err(Invalid::FeeTooLow { allowed: max_fee, needed: Amount::from_units(cost.units) }.into());
    }
    Ok((account, rate(max_fee.units(), cost.units)))
}

/// A used nonce may be the transaction's own: sent again after it was final, it is as good as taken.
fn settle_final(shared: &Shared, parsed: &ParsedTransaction, reason: Rejection) -> Result<Accepted, Rejection> {
    if matches!(reason, Rejection::Invalid(Invalid::NonceUsed { .. }))
        && let Ok(Some(_)) = shared.state.receipt(&parsed.id())
    {
        return Ok(Accepted { id: parsed.id(), new: false });
    }
    if reason.concerns_id() {
        shared.outcomes().rejected(parsed.id(), reason.clone(), Instant::now());
    }
    Err(reason)
}

fn verify(steps: &[Step], candidates: &[Candidate]) -> Vec<bool> {
    let signed: Vec<Signed<'_>> = candidates
        .iter()
        .filter_map(|candidate| match steps.get(candidate.item) {
            Some(Step::Read(parsed)) => Some(Signed {
                key: candidate.account.key,
                message: parsed.message(),
                signature: parsed.signed().signature,
            }),
            _ => None,
        })
        .collect();
    signed.chunks(BATCH).flat_map(verify_batch).collect()
}

/// Puts verified transactions into the pool and tells whoever has to know.
fn insert(
    shared: &Shared,
    steps: &mut [Step],
    mut verified: Vec<(usize, Arc<VerifiedTransaction>, SenderAccount)>,
    version: u64,
) {
    if verified.is_empty() {
        return;
    }
    let now = Instant::now();
    let mut refused: Vec<(TransactionId, Rejection)> = Vec::new();
    let mut dropped: Vec<Dropped> = Vec::new();
    let mut accepted = Vec::with_capacity(verified.len());
    let mut ready = false;
    {
        let mut pool = shared.pool();
        if shared.version() != version {
            // A block was finalized since the senders were looked up; what they say may be outdated, and the pool would
            // not hear of it again. Looked up anew, under the lock that the next block has to wait for.
            for (_, transaction, account) in &mut verified {
                if let Ok(Some(present)) = shared.state.sender(transaction.sender()) {
                    *account = present;
                }
            }
        }
        for (item, transaction, account) in verified {
            let id = transaction.id();
            let new = !pool.contains(&id);
            let answer = match pool.add(transaction, account.sender, now) {
                Ok(added) => {
                    ready |= added.ready;
                    dropped.extend(added.dropped);
                    accepted.push(id);
                    Ok(Accepted { id, new })
                }
                Err(reason) => {
                    refused.push((id, reason.clone()));
                    Err(reason)
                }
            };
            if let Some(step) = steps.get_mut(item) {
                *step = Step::Done(answer);
            }
        }
    }
    {
        let mut outcomes = shared.outcomes();
        for id in &accepted {
            outcomes.accepted(id);
        }
        for (id, reason) in refused {
            if reason.concerns_id() {
                outcomes.rejected(id, reason, now);
            }
        }
        for (transaction, reason) in dropped {
            outcomes.rejected(transaction.id(), reason, now);
        }
    }
    shared.metrics.accepted.inc_by(u64::try_from(accepted.len()).unwrap_or(u64::MAX));
    if ready {
        shared.wake.wake();
    }
}

/// Puts one transaction into the pool as if it had been verified at an earlier version of the state.
#[cfg(test)]
pub(super) fn insert_for_test(
    shared: &Shared,
    parsed: ParsedTransaction,
    account: SenderAccount,
    version: u64,
) -> Vec<Result<Accepted, Rejection>> {
    let mut steps = vec![Step::Done(Err(Rejection::Stopping))];
    insert(shared, &mut steps, vec![(0, parsed.into_verified(1000), account)], version);
    let done = |step| match step {
        Step::Done(answer) => Some(answer),
        Step::Read(_) => None,
    };
    steps.into_iter().filter_map(done).collect()
}
