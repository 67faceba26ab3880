//! A chain with workers that act as real ones do: each block they read what is expected of them, and answer.

use crate::{
    Due, Effects,
    jobs::{Assignment, AssignmentState, fixture},
    testing::{Setup, TestChain, account, valo, wasm_tier},
};
use std::collections::BTreeMap;
use valo_protocol::{
    AccountNumber, Action, Amount, Digest, Hash, JobContract, SignedTransaction, Timestamp,
    bytes::BoundedVec,
    encoding::{Varint, encode},
    event::{Event, Fault, JobPhase},
    files::RunStatus,
    job::{Attempt, Input, JobId, ShardKey, Stage},
    proof::JobRecord,
    receipt::{Made, Outcome},
    registry::{NodeId, TierId},
    time::{Duration, Round},
    transaction::{AbstainEntry, AbstainReason, Answer, CommitEntry, RevealEntry, commitment},
};

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Character {
    /// Its work, so many milliseconds after the draw.
    Honest(u64),
    /// Answers what others of the same number answer too, and what is wrong.
    Liar(u8),
    /// Nothing.
    Silent,
    /// Commits and does not reveal.
    Mute,
    /// Commits to what it saw another commit to.
    Copycat,
    /// Commits to one answer and reveals another.
    Turncoat,
    /// Abstains.
    Abstains(AbstainReason),
    /// Its work, every other time; nothing else.
    Flaky,
}

impl Character {
    /// Whether it never breaks a rule.
    pub fn is_faultless(self) -> bool {
        matches!(self, Self::Honest(_) | Self::Abstains(_))
    }
}

/// A chain of one validator with workers in the tier `small`, one owner each.
pub struct Network {
    pub chain: TestChain,
    pub characters: BTreeMap<NodeId, Character>,
    /// Since when a worker has what it was drawn for.
    since: BTreeMap<(NodeId, ShardKey, Attempt), u64>,
    pub events: Vec<Event>,
    /// How programs end that are not to succeed.
    pub statuses: BTreeMap<ShardKey, RunStatus>,
}

/// The account that submits.
pub const ALICE: u64 = 0;
/// Fuel that every shard uses.
pub const FUEL: u64 = 500_000_000;

pub fn setup(workers: &[(Character, u16)]) -> Setup {
    let count = u32::try_from(workers.len()).unwrap();
    Setup {
        accounts: count + 1,
        validators: vec![10],
        tiers: vec![wasm_tier("small")],
        workers: workers.iter().map(|(_, slots)| (TierId(0), *slots)).collect(),
        ..Setup::default()
    }
}

impl Network {
    pub fn new(workers: &[Character]) -> Self {
        Self::with_slots(&workers.iter().map(|character| (*character, 2)).collect::<Vec<_>>())
    }

    pub fn with_slots(workers: &[(Character, u16)]) -> Self {
        Self::of(&setup(workers), workers.iter().map(|(character, _)| *character))
    }

    pub fn of(setup: &Setup, characters: impl IntoIterator<Item = Character>) -> Self {
        let characters = (1u32..).map(NodeId).zip(characters).collect();
        let (since, statuses) = (BTreeMap::new(), BTreeMap::new());
        Self { chain: TestChain::new(setup), characters, since, events: Vec::new(), statuses }
    }

    pub fn time(&self) -> Timestamp {
        self.chain.ledger.head().time
    }

    /// A contract that is over in time.
    pub fn contract(&self, stages: Vec<Stage>) -> JobContract {
        let deadline = self.time().after(Duration::from_seconds(3600));
        JobContract { deadline, budget: valo(50), ..fixture::contract(stages) }
    }

    pub fn submit(&mut self, contract: &JobContract) -> JobId {
        self.try_submit(contract).unwrap_or_else(|outcome| panic!("not submitted: {outcome:?}"))
    }

    pub fn try_submit(&mut self, contract: &JobContract) -> Result<JobId, Outcome> {
        let action = Action::SubmitJob { client_id: None, contract: contract.clone() };
        let transactions = self.chain.actions(account(ALICE), [action]);
        let effects = self.block(transactions);
        match effects.receipts[0].outcome.clone() {
            Outcome::Done(Made::Job(job)) => Ok(job),
            other => Err(other),
        }
    }

    /// The next block with these transactions and whatever the workers say.
    pub fn block(&mut self, transactions: Vec<SignedTransaction>) -> Effects {
        let mut all = transactions;
        let nodes: Vec<(NodeId, Character)> = self.characters.iter().map(|(node, kind)| (*node, *kind)).collect();
        for (node, character) in nodes {
            let actions = self.act(node, character);
            all.extend(self.chain.actions(self.chain.node_account(node.0), actions));
        }
        let after = self.next_block_in();
        let effects = self.chain.block_at(Round(0), after, all);
        self.events.extend(effects.events.iter().cloned());
        effects
    }

    /// Everything stands still for so long, and workers need `back` after the chain to come back.
    pub fn pause(&mut self, pause: Duration, back: Duration) {
        let up = self.characters.clone();
        self.characters.values_mut().for_each(|character| *character = Character::Silent);
        let mut step = pause;
        let until = self.time().after(pause).after(back);
        loop {
            let effects = self.chain.block_at(Round(0), step, vec![]);
            self.events.extend(effects.events);
            let left = until.since(self.time());
            if left == Duration(0) {
                break;
            }
            step = left.min(self.chain.ledger.params().idle_interval);
        }
        self.characters = up;
    }

    /// Blocks come as they are due, at least every 50 ms of the first second after something happened.
    fn next_block_in(&self) -> Duration {
        let least = self.chain.ledger.params().min_interval;
        let works = self.since.values().any(|since| self.time().0 < since + 3_000);
        match self.chain.ledger.due() {
            Due::At(moment) if !works => moment.since(self.time()).max(least),
            Due::Idle(moment) if !works => moment.since(self.time()).max(least),
            Due::Now | Due::At(_) | Due::Idle(_) => least,
        }
    }

    pub fn record(&self, job: JobId) -> JobRecord {
        self.chain.view().job(job).unwrap().expect("a job").0
    }

    pub fn phase(&self, job: JobId) -> JobPhase {
        self.record(job).phase
    }

    /// Goes on until a job is in a phase that `wanted` names.
    pub fn until(&mut self, job: JobId, wanted: impl Fn(JobPhase) -> bool) -> JobRecord {
        for _ in 0..4_000 {
            if wanted(self.phase(job)) {
                return self.record(job);
            }
            self.block(vec![]);
        }
        panic!(
            "job {job} is still {:?}; last: {:?}",
            self.phase(job),
            self.events.iter().rev().take(9).collect::<Vec<_>>()
        );
    }

    /// Goes on until a job is closed.
    pub fn finish(&mut self, job: JobId) -> JobRecord {
        for _ in 0..8_000 {
            let (record, location) = self.chain.view().job(job).unwrap().expect("a job");
            if matches!(location, crate::view::Location::Closed(_)) {
                return record;
            }
            self.block(vec![]);
        }
        let shards = self.chain.view().shards(ShardKey { job, ..ShardKey::default() }, 100).unwrap();
        let due = self.chain.ledger.due();
        panic!("job {job} does not end: {:?}, {due:?} at {}, {shards:#?}", self.record(job), self.time());
    }

    /// What honest workers answer.
    pub fn truth(&self, shard: ShardKey) -> Answer {
        let status = self.statuses.get(&shard).copied().unwrap_or(RunStatus::Exited(0));
        Answer { digest: Digest(Hash::of(b"truth", &[&encode(&shard)]).0), status, fuel: Varint(FUEL) }
    }

    fn lie(&self, shard: ShardKey, number: u8) -> Answer {
        Answer { digest: Digest(Hash::of(b"lie", &[&encode(&shard), &[number]]).0), ..self.truth(shard) }
    }

    fn act(&mut self, node: NodeId, character: Character) -> Vec<Action> {
        let assignments = self.chain.view().assignments(node).unwrap();
        let (mut commits, mut reveals, mut abstentions) = (Vec::new(), Vec::new(), Vec::new());
        for assignment in assignments {
            let now = self.time().0;
            let since = *self.since.entry((node, assignment.shard, assignment.attempt)).or_insert(now);
            let Assignment { shard, attempt, .. } = assignment;
            let ready = match character {
                Character::Honest(delay) => now >= since + delay,
                Character::Silent => false,
                Character::Flaky => (u64::from(attempt.0) + u64::from(shard.shard.0) + shard.job.0) % 2 == 0,
                _ => true,
            };
            if !ready {
                continue;
            }
            match (assignment.state, character) {
                (AssignmentState::Assigned { .. }, Character::Abstains(reason)) => {
                    abstentions.push(AbstainEntry { shard, attempt, reason });
                }
                (AssignmentState::Assigned { .. }, _) => {
                    if let Some(commitment) = self.commitment(node, character, shard, attempt) {
                        commits.push(CommitEntry { shard, attempt, commitment });
                    }
                }
                (AssignmentState::RevealOpen { .. }, Character::Mute) => {}
                (AssignmentState::RevealOpen { .. }, _) => {
                    let answer = match character {
                        Character::Turncoat => self.lie(shard, 99),
                        _ => self.answer(character, shard),
                    };
                    let salt = [7; 32];
                    reveals.push(RevealEntry { shard, attempt, answer, salt });
                }
                _ => {}
            }
        }
        let mut actions = Vec::new();
        if !commits.is_empty() {
            actions.push(Action::Commit { entries: BoundedVec::new(commits).unwrap() });
        }
        if !reveals.is_empty() {
            actions.push(Action::Reveal { entries: BoundedVec::new(reveals).unwrap() });
        }
        if !abstentions.is_empty() {
            actions.push(Action::Abstain { entries: BoundedVec::new(abstentions).unwrap() });
        }
        actions
    }

    fn answer(&self, character: Character, shard: ShardKey) -> Answer {
        match character {
            Character::Liar(number) => self.lie(shard, number),
            _ => self.truth(shard),
        }
    }

    fn commitment(&self, node: NodeId, character: Character, shard: ShardKey, attempt: Attempt) -> Option<Hash> {
        if character == Character::Copycat {
            let (_, record) = self.chain.view().shard(shard).unwrap().expect("a shard");
            return record.assignments.iter().find_map(|assignment| match assignment.state {
                valo_protocol::shard::MemberState::Committed { commitment, .. } => Some(commitment),
                _ => None,
            });
        }
        let answer = self.answer(character, shard);
        let genesis = self.chain.ledger.genesis_hash();
        Some(commitment(&genesis, shard, attempt, node, &answer.digest, &[7; 32]))
    }

    pub fn owner(node: NodeId) -> AccountNumber {
        account(u64::from(node.0))
    }

    /// Fines by node.
    pub fn fines(&self) -> BTreeMap<NodeId, Vec<(Fault, Amount)>> {
        let mut fines: BTreeMap<NodeId, Vec<(Fault, Amount)>> = BTreeMap::new();
        for event in &self.events {
            if let Event::Slashed { node, amount, fault, .. } = event {
                fines.entry(*node).or_default().push((*fault, *amount));
            }
        }
        fines
    }

    /// What was paid for shards, by node.
    pub fn pay(&self) -> BTreeMap<NodeId, u64> {
        let mut pay: BTreeMap<NodeId, u64> = BTreeMap::new();
        for event in &self.events {
            if let Event::Paid { node, amount, .. } = event {
                *pay.entry(*node).or_default() += amount.units();
            }
        }
        pay
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

/// A stage that takes a second at its limit; a replica costs 0.01 VALO at most, and half of that is used.
pub fn stage(name: &str, input: Input, shards: u32) -> Stage {
    fixture::stage(name, input, shards, 2 * FUEL)
}
