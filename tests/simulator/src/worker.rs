//! A simulated worker: it reads what the chain asks of it from the finalized state of its validator, takes its time,
//! writes what it decided into its journal, and says what the real worker would say ([`valo::worker::due`]). Those
//! who break the rules do so on the way to it.

use crate::{
    market::{Character, WorkerPlan},
    pool,
    random::Random,
    scenario::Micros,
};
use std::collections::BTreeMap;
use valo::{
    chain::MemoryDisk,
    worker::{
        Me,
        due::{due, is_asked},
        journal::{AssignmentKey, Entry},
    },
};
use valo_ledger::{
    LedgerError, View,
    jobs::{Assignment, AssignmentState},
};
use valo_protocol::{
    Action, Amount, Digest, GenesisHash, Hash, SecretKey, SignedTransaction, Transaction, Varint,
    bytes::BoundedVec,
    encoding::encode,
    files::RunStatus,
    job::ShardKey,
    shard::MemberState,
    transaction::{AbstainReason, Answer, CommitEntry},
};

/// What every shard burns.
const FUEL: u64 = 4_000_000;

/// A worker.
#[derive(Debug)]
pub struct Worker {
    /// Who it is.
    pub plan: WorkerPlan,
    key: SecretKey,
    genesis: GenesisHash,
    /// What it decided: this survives a fall.
    journal: BTreeMap<AssignmentKey, Entry>,
    /// What it works on, each run with a number of its own.
    running: BTreeMap<AssignmentKey, u64>,
    runs: u64,
    said: Option<SignedTransaction>,
}

/// What comes of a look at the state.
#[derive(Debug, Default)]
pub struct Looked {
    /// Runs that begin: what for, their number, and how long they take.
    pub runs: Vec<(AssignmentKey, u64, Micros)>,
    /// What it says, or says again.
    pub says: Option<SignedTransaction>,
}

impl Worker {
    /// A worker that has done nothing yet.
    pub fn new(plan: WorkerPlan, key: SecretKey, genesis: GenesisHash) -> Self {
        Self { plan, key, genesis, journal: BTreeMap::new(), running: BTreeMap::new(), runs: 0, said: None }
    }

    /// The power went: runs and what was said are forgotten.
    pub fn fall(&mut self) {
        self.running.clear();
        self.said = None;
    }

    /// Holds what the chain asks of it against what it is doing, as the real worker does after every block.
    pub fn look(&mut self, disk: &MemoryDisk, random: &mut Random) -> Result<Looked, LedgerError> {
        let view = View::new(disk);
        let Some((node, record)) = view.node_by_key(&self.key.public())? else { return Ok(Looked::default()) };
        let nonce = view.account(record.account)?.map_or(0, |account| account.nonce.0);
        let (state, ready, jailed_until) = (record.state, record.ready, record.jailed_until);
        let me = Me { node, account: record.account, nonce, state, ready, jailed_until };
        let mut assignments = view.assignments(node)?;
        self.settle(&view, &assignments)?;
        let mut looked = Looked::default();
        if self.plan.character == Character::Silent {
            return Ok(looked);
        }
        for Assignment { shard, attempt, state, .. } in &assignments {
            let key = (*shard, *attempt);
            let wanted = matches!(state, AssignmentState::Assigned { .. }) && !self.journal.contains_key(&key);
            if wanted && !self.running.contains_key(&key) && self.running.len() < usize::from(self.plan.slots) {
                self.runs += 1;
                self.running.insert(key, self.runs);
                let (shortest, longest) = self.plan.pace;
                looked.runs.push((key, self.runs, random.between(shortest, longest)));
            }
        }
        if self.plan.character == Character::Mute {
            assignments.retain(|assignment| !matches!(assignment.state, AssignmentState::RevealOpen { .. }));
        }
        if self.said.as_ref().is_some_and(|said| said.transaction.nonce.0 != nonce || !pool::is_useful(disk, said)) {
            self.said = None;
        }
        if self.said.is_none() {
            let action = due(&self.genesis, &me, &assignments, |key| self.journal.get(key).copied());
            let action = match (action, self.plan.character) {
                (Some(Action::Commit { entries }), Character::Copycat) => copied(&view, &me, &entries)?,
                (action, _) => action,
            };
            self.said = action.map(|action| {
                let transaction =
                    Transaction { sender: me.account, nonce: Varint(nonce), max_fee: Amount::ZERO, action };
                transaction.sign(&self.genesis, &self.key)
            });
        }
        looked.says = self.said.clone();
        Ok(looked)
    }

    /// Stops runs and forgets decisions that the chain no longer asks for.
    fn settle(&mut self, view: &View<'_>, assignments: &[Assignment]) -> Result<(), LedgerError> {
        self.running.retain(|key, _| is_asked(assignments, key));
        let settled: Vec<_> = self.journal.keys().filter(|key| !is_asked(assignments, key)).copied().collect();
        for key in settled {
            if view.job(key.0.job)?.is_some() {
                self.journal.remove(&key);
            }
        }
        Ok(())
    }

    /// A run is over: what it came to is written down. Says whether it was still wanted.
    pub fn computed(&mut self, key: AssignmentKey, run: u64, random: &mut Random) -> bool {
        if self.running.get(&key) != Some(&run) {
            return false;
        }
        self.running.remove(&key);
        let entry = match self.plan.character {
            Character::Unable => Entry::Abstained(AbstainReason::Internal),
            character => {
                let salt = *blake3::hash(&random.draw().to_le_bytes()).as_bytes();
                let answer = match character {
                    Character::Liar(number) => lie(key.0, number),
                    _ => truth(key.0),
                };
                Entry::Answered { answer, salt }
            }
        };
        self.journal.entry(key).or_insert(entry);
        true
    }
}

/// The right answer: it follows from the shard alone.
pub fn truth(shard: ShardKey) -> Answer {
    let digest = Digest(Hash::of(b"truth", &[&encode(&shard)]).0);
    Answer { digest, status: RunStatus::Exited(0), fuel: Varint(FUEL) }
}

fn lie(shard: ShardKey, number: u8) -> Answer {
    Answer { digest: Digest(Hash::of(b"lie", &[&encode(&shard), &[number]]).0), ..truth(shard) }
}

/// A commit with what others committed to, as far as they have.
fn copied(view: &View<'_>, me: &Me, entries: &[CommitEntry]) -> Result<Option<Action>, LedgerError> {
    let mut copies = Vec::new();
    for entry in entries {
        let Some((_, shard)) = view.shard(entry.shard)? else { continue };
        let seen = shard.assignments.iter().find_map(|assignment| match assignment.state {
            MemberState::Committed { commitment, .. } if assignment.node != me.node => Some(commitment),
            _ => None,
        });
        copies.extend(seen.map(|commitment| CommitEntry { commitment, ..*entry }));
    }
    Ok(BoundedVec::new(copies).ok().filter(|entries| !entries.is_empty()).map(|entries| Action::Commit { entries }))
}
