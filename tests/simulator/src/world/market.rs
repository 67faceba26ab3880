//! Workers and customers in the world: when they look at the state, and how what they say travels.

use super::{Event, World};
use crate::{
    customer::{Customer, Standing},
    genesis::{PAYERS, account, account_key, worker_key},
    market::CUSTOMERS,
    scenario::Scenario,
    wire::Message,
    worker::Worker,
};
use valo::worker::journal::AssignmentKey;
use valo_ledger::{LedgerError, View};
use valo_protocol::{GenesisHash, SignedTransaction, Timestamp, event::JobPhase, job::ShardKey, registry::NodeId};

pub(super) fn workers(scenario: &Scenario, genesis: GenesisHash) -> Vec<Worker> {
    let plans = scenario.market.workers.iter().enumerate();
    plans.map(|(index, plan)| Worker::new(plan.clone(), worker_key(index), genesis)).collect()
}

pub(super) fn customers(scenario: &Scenario, genesis: GenesisHash) -> Vec<Customer> {
    let of = |customer: usize| {
        let own = scenario.market.orders.iter().filter(|order| order.customer == customer).cloned().collect();
        let (machine, number) = (customer % scenario.stakes.len(), PAYERS + customer);
        Customer::new(own, machine, account(number), account_key(number), genesis)
    };
    (0..CUSTOMERS).map(of).collect()
}

impl World {
    /// Workers look at the state soon after their validator has a new one.
    pub(super) fn wake_workers(&mut self, node: usize) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].plan.machine == node {
                let pause = self.random.between(0, 20_000);
                self.at(self.now + pause, Event::Look(worker));
            }
        }
    }

    pub(super) fn look(&mut self, worker: usize) {
        let node = self.workers[worker].plan.machine;
        if self.machines[node].live.is_none() {
            return;
        }
        let disk = self.machines[node].disk.clone();
        let looked = self.workers[worker].look(&disk, &mut self.random);
        let looked = self.readable(looked);
        for (key, run, time) in looked.runs {
            self.at(self.now + time, Event::Computed { worker, key, run });
        }
        if let Some(message) = looked.says {
            self.submit(node, &message);
        }
    }

    pub(super) fn computed(&mut self, worker: usize, key: AssignmentKey, run: u64) {
        if self.workers[worker].computed(key, run, &mut self.random) {
            self.look(worker);
        }
    }

    pub(super) fn ask_customers(&mut self) {
        let clock = Timestamp(self.genesis.time.0 + self.now / 1000);
        for customer in 0..self.customers.len() {
            let node = self.customers[customer].machine;
            if self.machines[node].live.is_none() {
                continue;
            }
            let disk = self.machines[node].disk.clone();
            let says = self.customers[customer].look(&disk, self.now, clock);
            if let Some(message) = self.readable(says) {
                self.submit(node, &message);
            }
        }
    }

    /// Hands a transaction to a node, which passes it on.
    fn submit(&mut self, node: usize, transaction: &SignedTransaction) {
        let message = Message::Transaction(transaction.clone());
        self.send(node, &message);
        self.step(node, |machine, step| machine.receive(step, node, message));
    }

    fn readable<T>(&self, result: Result<T, LedgerError>) -> T {
        result.unwrap_or_else(|error| self.judge.fail(&format!("a state cannot be read: {error}")))
    }

    pub(super) fn jobs_are_over(&self) -> bool {
        self.judge.jobs.open.is_empty() && self.customers.iter().all(Customer::is_done)
    }

    pub(super) fn jobs_that_do_not_end(&self) -> String {
        let standings: Vec<&Standing> =
            self.customers.iter().flat_map(|customer| &customer.orders).map(|(_, standing)| standing).collect();
        let open = &self.judge.jobs.open;
        let mut text = format!("all is well, but jobs {open:?} do not end; orders stand at {standings:?}");
        let Some(machine) = self.machines.iter().max_by_key(|machine| machine.height()) else { return text };
        let view = View::new(&machine.disk);
        for job in open {
            let shards = self.readable(view.shards(ShardKey { job: *job, ..ShardKey::default() }, usize::MAX));
            for shard in shards.into_iter().filter(|shard| !shard.phase.is_over()) {
                let members: Vec<_> = shard.assignments.iter().map(|member| (member.node.0, member.state)).collect();
                let (key, phase, queued) = (shard.key, shard.phase, shard.queued);
                text.push_str(&format!("\n  shard {key} is {phase:?}, queued {queued:?}, with {members:?}"));
            }
        }
        for (node, record) in self.readable(view.nodes(NodeId::default(), usize::MAX)) {
            let place = (node.0 as usize).checked_sub(self.machines.len());
            if let Some(worker) = place.and_then(|place| self.workers.get(place)) {
                let (character, tier) = (worker.plan.character, worker.plan.tier);
                let (state, busy, slots) = (record.state, record.busy, worker.plan.slots);
                text.push_str(&format!(
                    "\n  worker {node} of tier {tier}, {character:?}, is {state:?} with {busy} of {slots} slots taken"
                ));
            }
        }
        text
    }

    /// Everything is over: nothing is held any more, and where it was promised there are results.
    pub(super) fn settled(&self) {
        let Some(machine) = self.machines.iter().max_by_key(|machine| machine.height()) else { return };
        if let Err(complaint) = self.judge.jobs.finished(&machine.disk) {
            self.judge.fail(&complaint);
        }
        if !(self.scenario.peaceful && self.scenario.market.is_sound()) {
            return;
        }
        let view = View::new(&machine.disk);
        for (order, standing) in self.customers.iter().flat_map(|customer| &customer.orders) {
            let Standing::Taken(job) = standing else { continue };
            let phase = self.readable(view.job(*job)).map(|(record, _)| record.phase);
            self.judge.hold(!order.plain || phase == Some(JobPhase::Final), || {
                format!("all is well and nearly all workers are honest, but job {job} ended as {phase:?}")
            });
        }
    }
}
