//! The worker's loop: holds what the chain asks of this node against what it is doing.

use super::{
    ChainAccess, ChainError,
    due::{due, is_asked},
    journal::{AssignmentKey, Entry, Journal, JournalError},
    run::{Executor, Outcome},
};
use crate::pulse::Pulse;
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use valo_ledger::jobs::{Assignment, AssignmentState};
use valo_protocol::{
    Amount, GenesisHash, SecretKey, SignedTransaction, Transaction, Varint, job::JobId, transaction::AbstainReason,
};

/// Why the worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its journal cannot be written: it must not say anything more.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The chain's state cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Everything the loop owns.
#[derive(Debug)]
pub struct Duty<C> {
    /// The chain.
    pub chain: Arc<C>,
    /// Runs assignments.
    pub executor: Executor<C>,
    /// What was decided.
    pub journal: Journal,
    /// The node's key: signs messages.
    pub key: SecretKey,
    /// Which chain this is.
    pub genesis: GenesisHash,
    /// Assignments run at a time.
    pub slots: usize,
    /// The last message, until it is final or refused: it is sent again as it is, since another could not take its nonce.
    pub said: Option<SignedTransaction>,
    /// Whether its loop turns.
    pub pulse: Pulse,
}

struct Running {
    task: tokio::task::Id,
    cancel: CancellationToken,
}

/// Runs the worker until `stop`. Returns early only when it can no longer work safely.
pub async fn start<C: ChainAccess>(mut duty: Duty<C>, stop: CancellationToken) -> Result<(), WorkerError> {
    let mut heights = duty.chain.heights();
    let mut running: BTreeMap<AssignmentKey, Running> = BTreeMap::new();
    let mut runs: JoinSet<(AssignmentKey, Outcome)> = JoinSet::new();
    let mut messages: JoinSet<Result<(), ChainError>> = JoinSet::new();
    loop {
        let turn = duty.pulse.turn();
        duty.reconcile(&mut running, &mut runs, &mut messages)?;
        drop(turn);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(finished) = runs.join_next_with_id() => match finished {
                Ok((_, (key, outcome))) => {
                    running.remove(&key);
                    duty.decide(key, outcome)?;
                }
                Err(failure) => {
                    // A panic in a run is this machine's failure, and would come again: it says so instead of an answer.
                    error!(%failure, "a run broke down");
                    let broken = running.iter().find(|(_, run)| run.task == failure.id()).map(|(key, _)| *key);
                    if let Some(key) = broken {
                        running.remove(&key);
                        duty.decide(key, Outcome::Abstain(AbstainReason::Internal))?;
                    }
                }
            },
            Some(sent) = messages.join_next() => {
                match sent {
                    Ok(Err(ChainError::Waiting)) => {}
                    Ok(Err(refused)) => {
                        duty.said = None;
                        debug!(%refused, "will look again at the next block");
                        wait_for_block(&mut heights, &stop).await;
                    }
                    Ok(Ok(())) | Err(_) => duty.said = None,
                }
            },
            changed = heights.changed() => if changed.is_err() { break },
        }
    }
    for run in running.values() {
        run.cancel.cancel();
    }
    runs.shutdown().await;
    Ok(())
}

async fn wait_for_block(heights: &mut watch::Receiver<valo_protocol::Height>, stop: &CancellationToken) {
    tokio::select! {
        _ = heights.changed() => {}
        () = stop.cancelled() => {}
    }
}

impl<C: ChainAccess> Duty<C> {
    /// One pass: start what is new, stop what is no longer wanted, say what is due.
    fn reconcile(
        &mut self,
        running: &mut BTreeMap<AssignmentKey, Running>,
        runs: &mut JoinSet<(AssignmentKey, Outcome)>,
        messages: &mut JoinSet<Result<(), ChainError>>,
    ) -> Result<(), WorkerError> {
        let Some(me) = self.chain.me()? else { return Ok(()) };
        let assignments = self.chain.assignments(me.node)?;
        self.settle(&assignments, running)?;
        for assignment in &assignments {
            let key = (assignment.shard, assignment.attempt);
            let wanted = matches!(assignment.state, AssignmentState::Assigned { .. });
            if wanted && self.journal.get(&key).is_none() && !running.contains_key(&key) && running.len() < self.slots {
                let cancel = CancellationToken::new();
                info!(shard = %assignment.shard, attempt = %assignment.attempt, "assigned");
                let run = self.executor.clone().run(*assignment, cancel.clone());
                let task = runs.spawn(async move { (key, run.await) }).id();
                running.insert(key, Running { task, cancel });
            }
        }
        // One message at a time, built on the last finalized state: a refused one never leaves a gap in the nonces
        // that would hold up a later one, such as a reveal whose window is closing.
        if messages.is_empty() {
            let nonce = Varint(me.nonce);
            if self.said.as_ref().is_some_and(|said| said.transaction.nonce != nonce) {
                self.said = None;
            }
            if self.said.is_none() {
                let decided = |key: &AssignmentKey| self.journal.get(key);
                self.said = due(&self.genesis, &me, &assignments, decided).map(|action| {
                    let transaction = Transaction { sender: me.account, nonce, max_fee: Amount::ZERO, action };
                    transaction.sign(&self.genesis, &self.key)
                });
            }
            if let Some(message) = self.said.clone() {
                let submission = self.chain.submit(message);
                messages.spawn(async move { submission.await.map(|_| ()) });
            }
        }
        Ok(())
    }

    /// Cancels runs and forgets decisions that the chain no longer asks for.
    fn settle(
        &mut self,
        assignments: &[Assignment],
        running: &mut BTreeMap<AssignmentKey, Running>,
    ) -> Result<(), WorkerError> {
        let asked = |key: &AssignmentKey| is_asked(assignments, key);
        for (key, run) in running.iter() {
            if !asked(key) {
                run.cancel.cancel();
            }
        }
        let settled: Vec<AssignmentKey> = self.journal.keys().filter(|key| !asked(key)).collect();
        for key in settled {
            // A job that the state does not know yet is one that it has not caught up to.
            if self.is_known(key.0.job)? {
                self.journal.forget(&key)?;
            }
        }
        Ok(())
    }

    fn is_known(&self, job: JobId) -> Result<bool, ChainError> {
        Ok(self.chain.job(job)?.is_some())
    }

    /// Records the outcome of a run, with a fresh salt, before anything is said.
    fn decide(&mut self, key: AssignmentKey, outcome: Outcome) -> Result<(), WorkerError> {
        let entry = match outcome {
            Outcome::Answer(answer) => match fresh_salt() {
                Some(salt) => Entry::Answered { answer, salt },
                None => Entry::Abstained(AbstainReason::Internal),
            },
            Outcome::Abstain(reason) => Entry::Abstained(reason),
            Outcome::Cancelled => return Ok(()),
        };
        if let Entry::Abstained(reason) = entry {
            warn!(shard = %key.0, %reason, "cannot answer");
        }
        self.journal.record(key, entry)?;
        Ok(())
    }
}

fn fresh_salt() -> Option<[u8; 32]> {
    let mut salt = [0u8; 32];
    getrandom::fill(&mut salt).ok()?;
    Some(salt)
}
