//! The world: virtual time, the network between machines, and what goes wrong.

mod market;
mod two_faced;

use crate::{
    customer::Customer,
    genesis::{PAYERS, account, account_key, genesis, validator_key},
    joining,
    judge::Judge,
    log::Log,
    machine::{Local, Machine, Output, Step},
    random::Random,
    scenario::{Micros, SECOND, Scenario, Wipe},
    wire::Message,
    worker::Worker,
};
use malachitebft_core_types::Timeout;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};
use valo::{chain::MemoryDisk, worker::journal::AssignmentKey};
use valo_ledger::fees;
use valo_protocol::{
    AccountNumber, Action, Amount, Genesis, Height, PublicKey, SecretKey, SignedTransaction, Timestamp, Transaction,
    encoding::Varint,
};

/// How long the chain has to go on after the faults stopped.
const PATIENCE: Micros = 60 * SECOND;
/// Blocks that every node must finalize after the faults stopped.
const BLOCKS_AFTER: u64 = 4;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of everything that happened, in order.
    pub trace: String,
    /// Blocks.
    pub blocks: u64,
    /// Of these in a later round than the first.
    pub late: usize,
    /// The longest virtual time from a block to the next.
    pub longest: Micros,
    /// Transactions in blocks.
    pub transactions: usize,
    /// Proofs of faults found.
    pub faults: usize,
    /// Falls of nodes.
    pub falls: usize,
    /// Jobs that came to a result.
    pub accepted: usize,
    /// Jobs that failed.
    pub failed: usize,
    /// Times that stake was taken.
    pub slashed: usize,
    /// Accepted shards with a wrong answer, each by a quorum of liars.
    pub deceived: usize,
    /// Events.
    pub events: usize,
    /// Virtual time.
    pub time: Micros,
    /// Different validator sets that decided blocks.
    pub sets: usize,
    /// The node that lost its disk has signed something since.
    pub back: bool,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most of them are messages")]
enum Event {
    Deliver { from: usize, to: usize, message: Message },
    Local { node: usize, life: u64, local: Local },
    Timer { node: usize, life: u64, timeout: Timeout, token: u64 },
    Fall(usize),
    Rise(usize),
    Wipe { node: usize, guarded: bool },
    Tell,
    Pay,
    Look(usize),
    Computed { worker: usize, key: AssignmentKey, run: u64 },
    Move,
}

/// A run under way.
#[derive(Debug)]
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) keys: Vec<PublicKey>,
    owners: Vec<SecretKey>,
    queue: BinaryHeap<Reverse<(Micros, u64)>>,
    events: BTreeMap<u64, Event>,
    count: u64,
    now: Micros,
    random: Random,
    judge: Judge,
    trace: blake3::Hasher,
    nonces: BTreeMap<usize, u64>,
    open: Vec<SignedTransaction>,
    falls: usize,
    /// Who lost its disk, once it has.
    wiped: Option<usize>,
    back: bool,
    workers: Vec<Worker>,
    customers: Vec<Customer>,
}

impl World {
    /// A world at rest.
    pub fn new(scenario: Scenario) -> Self {
        let validators = scenario.stakes.len() + scenario.newcomers;
        let keys: Vec<SecretKey> = (0..validators).map(validator_key).collect();
        let genesis = Arc::new(genesis(&scenario));
        let judge = Judge::new(&scenario, genesis.hash());
        let machines = (0..)
            .zip(&keys)
            .map(|(index, key)| Machine {
                index,
                key: key.clone(),
                disk: MemoryDisk::with_genesis(&genesis).unwrap_or_else(|error| panic!("{error}")),
                log: Log::default(),
                newcomer: None,
                live: None,
                life: 0,
            })
            .collect();
        Self {
            keys: keys.iter().map(SecretKey::public).collect(),
            random: Random::new(scenario.seed ^ 0x5eed),
            workers: market::workers(&scenario, genesis.hash()),
            customers: market::customers(&scenario, genesis.hash()),
            scenario,
            genesis,
            machines,
            owners: (0..PAYERS).map(account_key).collect(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            count: 0,
            now: 0,
            judge,
            trace: blake3::Hasher::new(),
            nonces: BTreeMap::new(),
            open: Vec::new(),
            falls: 0,
            wiped: None,
            back: false,
        }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Outcome {
        for node in 0..self.machines.len() {
            self.at(self.now, Event::Rise(node));
        }
        for (start, end, node) in self.scenario.falls.clone() {
            self.at(start, Event::Fall(node));
            self.at(end, Event::Rise(node));
        }
        if let Some(Wipe { start, end, node, guarded }) = self.scenario.wipe {
            self.at(start, Event::Fall(node));
            self.at(end, Event::Wipe { node, guarded });
        }
        self.at(SECOND / 5, Event::Tell);
        if let Some(pause) = SECOND.checked_div(self.scenario.transactions) {
            self.at(pause, Event::Pay);
        }
        if self.scenario.newcomers > 0 {
            self.at(SECOND / 3, Event::Move);
        }
        let mut goal = None;
        let mut events = 0;
        while let Some(Reverse((time, id))) = self.queue.pop() {
            self.now = time;
            events += 1;
            if time > self.scenario.calm {
                let goal = *goal.get_or_insert(Height(self.judge.height().0 + BLOCKS_AFTER));
                let arrived = self.machines.iter().all(|machine| machine.height().is_some_and(|height| height >= goal));
                if arrived && self.jobs_are_over() {
                    break;
                }
                let heights: Vec<_> = self.machines.iter().map(Machine::height).collect();
                self.judge.hold(arrived || time < self.scenario.calm + PATIENCE, || {
                    format!("liveness: all is well, but the nodes are at {heights:?} and not at {goal}")
                });
                self.judge
                    .hold(time < self.scenario.calm + self.scenario.market.longest(), || self.jobs_that_do_not_end());
            }
            if let Some(event) = self.events.remove(&id) {
                self.happen(event);
            }
        }
        self.settled();
        Outcome {
            accepted: self.judge.jobs.accepted,
            failed: self.judge.jobs.failed,
            slashed: self.judge.jobs.slashed,
            deceived: self.judge.jobs.deceived,
            trace: self.trace.finalize().to_hex().to_string(),
            blocks: self.judge.height().0,
            late: self.judge.late,
            longest: self.judge.longest,
            transactions: self.judge.transactions,
            faults: self.judge.faults,
            falls: self.falls,
            events,
            time: self.now,
            sets: self.judge.sets(),
            back: self.back,
        }
    }

    fn at(&mut self, time: Micros, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((time, self.count)));
        self.events.insert(self.count, event);
    }

    fn is_calm(&self) -> bool {
        self.now >= self.scenario.calm
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                self.step(to, |machine, step| machine.receive(step, from, message));
            }
            Event::Local { node, life, local } => {
                if self.machines[node].life == life {
                    self.step(node, |machine, step| machine.local(step, local));
                }
            }
            Event::Timer { node, life, timeout, token } => {
                if self.machines[node].life == life {
                    self.step(node, |machine, step| machine.timer(step, timeout, token));
                }
            }
            Event::Fall(node) => self.fall(node),
            Event::Rise(node) => {
                if self.machines[node].live.is_none() {
                    let genesis = self.genesis.clone();
                    self.step(node, |machine, step| machine.rise(&genesis, step));
                    self.wake_workers(node);
                }
            }
            Event::Wipe { node, guarded } => {
                self.fall(node);
                let (genesis, clock) = (self.genesis.clone(), self.clock(node));
                self.machines[node].wipe(&genesis, clock, guarded);
                self.wiped = Some(node);
                self.happen(Event::Rise(node));
            }
            Event::Tell => {
                for node in 0..self.machines.len() {
                    if let Some(height) = self.machines[node].height() {
                        self.send(node, &Message::Status(height));
                    }
                }
                self.ask_customers();
                self.at(self.now + SECOND / 4, Event::Tell);
            }
            Event::Pay => self.pay(),
            Event::Look(worker) => self.look(worker),
            Event::Computed { worker, key, run } => self.computed(worker, key, run),
            Event::Move => joining::step(self),
        }
    }

    fn fall(&mut self, node: usize) {
        if self.machines[node].live.is_some() {
            self.falls += 1;
            self.machines[node].fall(&mut self.random);
            for worker in self.workers.iter_mut().filter(|worker| worker.plan.machine == node) {
                worker.fall();
            }
        }
    }

    fn clock(&self, node: usize) -> Timestamp {
        Timestamp(self.genesis.time.0 + self.scenario.skew[node] + self.now / 1000)
    }

    fn step(&mut self, node: usize, action: impl FnOnce(&mut Machine, &mut Step<'_>)) {
        let mut step = Step {
            now: self.now,
            clock: self.clock(node),
            sudden_falls: if self.is_calm() { 0 } else { self.scenario.sudden_falls },
            random: &mut self.random,
            outputs: Vec::new(),
        };
        action(&mut self.machines[node], &mut step);
        let outputs = step.outputs;
        for output in outputs {
            self.output(node, output);
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        let life = self.machines[node].life;
        match output {
            Output::Send(message) => self.send(node, &message),
            Output::SendTo(to, message) => self.send_to(node, to, message),
            Output::Stream(stream) => self.stream(node, stream),
            Output::Published(message) => {
                self.back |= self.wiped == Some(node);
                self.published(node, &message);
            }
            Output::Local(local) => {
                let pause = self.random.between(0, 3000);
                self.at(self.now + pause, Event::Local { node, life, local });
            }
            Output::Timer(timeout, token, wait) => {
                self.at(self.now + wait, Event::Timer { node, life, timeout, token });
            }
            Output::Finalized(block, state) => {
                self.trace.update(&self.now.to_le_bytes()).update(&[node as u8]).update(block.id.as_bytes());
                let genesis = self.genesis.hash();
                for signed in &block.block.transactions {
                    let id = signed.id(&genesis);
                    self.open.retain(|open| open.id(&genesis) != id);
                }
                let disk = self.machines[node].disk.clone();
                self.judge.finalized(self.now, node, &block, state, &disk);
                self.wake_workers(node);
                let clock = self.clock(node);
                if let Some(newcomer) = &mut self.machines[node].newcomer
                    && newcomer.sees(block.block.header.time, clock)
                {
                    self.machines[node].newcomer = None;
                    self.start_again(node);
                }
            }
            Output::Faults(faults) => self.judge.faults(&self.keys, &faults),
            Output::Fell => self.start_again(node),
        }
    }

    fn start_again(&mut self, node: usize) {
        self.fall(node);
        let pause = self.random.between(1, 500) * 1000;
        self.at(self.now + pause, Event::Rise(node));
    }

    fn send(&mut self, from: usize, message: &Message) {
        for to in 0..self.machines.len() {
            if to != from {
                self.send_to(from, to, message.clone());
            }
        }
    }

    fn send_to(&mut self, from: usize, to: usize, message: Message) {
        let lost = !self.is_calm() && self.random.chance(self.scenario.loss);
        if lost || !self.scenario.connected(from, to, self.now) {
            return;
        }
        let delay = self.random.between(200, self.scenario.max_delay);
        self.trace.update(&[from as u8, to as u8]).update(&delay.to_le_bytes());
        self.at(self.now + delay, Event::Deliver { from, to, message });
    }

    /// Looks again in a while at who joins and leaves.
    pub(crate) fn move_again(&mut self) {
        self.at(self.now + SECOND / 5, Event::Move);
    }

    /// A transaction of whoever has an account, from where it was entered to all.
    pub(crate) fn enter(&mut self, sender: AccountNumber, nonce: u64, action: Action, key: &SecretKey) {
        let mut transaction = Transaction { sender, nonce: Varint(nonce), max_fee: Amount::ZERO, action };
        transaction.max_fee = fees::fee(&transaction, 400, &self.genesis.parameters);
        let signed = transaction.sign(&self.genesis.hash(), key);
        let entry = self.random.index(self.machines.len());
        if let Some(live) = &self.machines[entry].live {
            live.pool.add(signed.clone());
        }
        self.send(entry, &Message::Transaction(signed));
    }

    /// Somebody pays somebody; what is not in a block yet is sent again.
    fn pay(&mut self) {
        let sender = self.random.index(PAYERS);
        let to = self.random.index(PAYERS);
        let amount = Amount::from_units(self.random.between(1, 1_000_000_000));
        let action = if self.random.chance(900) {
            Action::Transfer { to: account(to), amount }
        } else {
            let key = SecretKey::from_seed([self.random.below(250) as u8; 32]).public();
            Action::TransferToKey { key, amount }
        };
        let nonce = self.nonces.entry(sender).or_default();
        let mut transaction =
            Transaction { sender: account(sender), nonce: Varint(*nonce), max_fee: Amount::ZERO, action };
        *nonce += 1;
        transaction.max_fee = fees::fee(&transaction, 300, &self.genesis.parameters);
        self.open.push(transaction.sign(&self.genesis.hash(), &self.owners[sender]));
        for signed in self.open.clone().into_iter().rev().take(20) {
            let entry = self.random.index(self.machines.len());
            if let Some(live) = &self.machines[entry].live {
                live.pool.add(signed.clone());
            }
            self.send(entry, &Message::Transaction(signed));
        }
        let pause = SECOND.checked_div(self.scenario.transactions).unwrap_or(SECOND);
        self.at(self.now + pause, Event::Pay);
    }
}
