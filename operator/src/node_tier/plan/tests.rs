use super::*;
use crate::node_tier::funds;
use proptest::prelude::*;

fn valo(amount: u64) -> Amount {
    Amount::from_valo(amount).unwrap()
}

fn record(state: NodeState, stake: u64, unbonding: u64) -> Option<Record> {
    Some(Record { state, stake: valo(stake), unbonding: valo(unbonding) })
}

fn seen(ready: bool, record: Option<Record>) -> Seen {
    Seen { ready, record, ..Seen::default() }
}

fn active() -> Seen {
    seen(true, record(NodeState::Active, 100, 0))
}

fn situation(role: Role, wanted: i32, running: i32, nodes: Vec<Seen>) -> Situation {
    Situation {
        role,
        wanted,
        running,
        chain_answers: true,
        abandon: false,
        stake: valo(100),
        begun: 0,
        funds: Some(Funds::One(valo(100_000))),
        nodes: (0..).zip(nodes).collect(),
    }
}

/// Replicas and steps.
fn planned(situation: &Situation) -> (i32, Vec<(i32, Step)>) {
    let plan = plan(situation);
    (plan.replicas, plan.steps)
}

#[test]
fn a_wanted_node_starts_catches_up_registers_and_is_bonded() {
    let cases: Vec<(Seen, Vec<Step>)> = vec![
        (Seen::default(), vec![]),
        (seen(true, None), vec![Step::Register]),
        (seen(true, record(NodeState::Joining, 100, 0)), vec![]),
        (seen(true, record(NodeState::Joining, 60, 0)), vec![Step::Bond(valo(40))]),
        (active(), vec![]),
        (seen(false, record(NodeState::Active, 70, 0)), vec![Step::Bond(valo(30))]),
        (seen(true, record(NodeState::Active, 130, 0)), vec![Step::Unbond(valo(30))]),
        (seen(true, record(NodeState::Absent, 100, 0)), vec![]),
        (seen(true, record(NodeState::Draining, 100, 0)), vec![Step::Resume]),
        (seen(true, record(NodeState::Left, 0, 100)), vec![Step::Rebond(valo(100))]),
        (seen(true, record(NodeState::Left, 0, 90)), vec![Step::Rebond(valo(90))]),
        (seen(true, record(NodeState::Left, 0, 250)), vec![Step::Rebond(valo(100))]),
        (seen(true, record(NodeState::Jailed, 95, 0)), vec![]),
        (seen(true, record(NodeState::Tombstoned, 0, 95)), vec![]),
        (Seen { moved: true, ..active() }, vec![Step::Update]),
    ];
    for role in [Role::Worker, Role::Validator] {
        for (node, steps) in &cases {
            let expected = (1, steps.iter().map(|step| (0, *step)).collect());
            assert_eq!(planned(&situation(role, 1, 1, vec![node.clone()])), expected, "{node:?}");
        }
    }
}

#[test]
fn a_pod_goes_only_when_the_chain_has_let_its_node_go() {
    let cases = [
        (active(), 2, vec![(1, Step::Drain)]),
        (seen(false, record(NodeState::Joining, 100, 0)), 2, vec![(1, Step::Drain)]),
        (seen(false, record(NodeState::Absent, 100, 0)), 2, vec![(1, Step::Drain)]),
        (seen(true, record(NodeState::Draining, 100, 0)), 2, vec![]),
        (seen(true, record(NodeState::Left, 0, 100)), 1, vec![]),
        (seen(true, record(NodeState::Jailed, 95, 0)), 2, vec![(1, Step::Drain)]),
        (seen(true, record(NodeState::Tombstoned, 0, 95)), 1, vec![]),
        (seen(true, None), 1, vec![]),
    ];
    for (node, replicas, steps) in cases {
        let expected = (replicas, steps);
        assert_eq!(planned(&situation(Role::Worker, 1, 2, vec![active(), node.clone()])), expected, "{node:?}");
    }
}

#[test]
fn workers_drain_together_and_validators_one_by_one() {
    let four = || vec![active(), active(), active(), active()];
    let drains = [(3, Step::Drain), (2, Step::Drain), (1, Step::Drain)];
    assert_eq!(planned(&situation(Role::Worker, 1, 4, four())), (4, drains.to_vec()));
    assert_eq!(planned(&situation(Role::Validator, 1, 4, four())), (4, vec![(3, Step::Drain)]));
    let mut one_drains = four();
    one_drains[3] = seen(true, record(NodeState::Draining, 100, 0));
    assert_eq!(planned(&situation(Role::Validator, 1, 4, one_drains.clone())), (4, vec![]));
    one_drains[3] = seen(true, record(NodeState::Left, 0, 100));
    assert_eq!(planned(&situation(Role::Validator, 1, 4, one_drains)), (3, vec![(2, Step::Drain)]));
}

#[test]
fn what_is_not_known_is_not_taken_for_gone() {
    let mut unknown = situation(Role::Worker, 1, 4, vec![Seen::default(); 4]);
    unknown.chain_answers = false;
    assert_eq!(planned(&unknown), (4, vec![]));
    assert!(!plan(&unknown).is_over());
    unknown.wanted = 6;
    assert_eq!(planned(&unknown), (4, vec![]), "nobody knows who pays for more");
}

#[test]
fn a_chain_that_ends_is_left_without_a_word() {
    let mut ending = situation(Role::Validator, 0, 4, vec![active(); 4]);
    ending.abandon = true;
    assert_eq!(planned(&ending), (0, vec![]));
    assert!(plan(&ending).is_over());
}

#[test]
fn full_nodes_come_and_go_as_they_are_asked() {
    assert_eq!(planned(&situation(Role::Full, 1, 3, vec![])), (1, vec![]));
}

#[test]
fn a_registration_that_came_late_is_undone() {
    // Scaled down between the submission and the block: no pod, yet the chain has the node.
    let late = situation(Role::Worker, 0, 0, vec![seen(false, record(NodeState::Joining, 100, 0))]);
    assert_eq!(planned(&late), (0, vec![(0, Step::Drain)]), "it needs no pod to leave");
    assert!(!plan(&late).is_over());
}

#[test]
fn what_is_paid_for_and_the_first_are_begun_before_the_chain_answers() {
    let silent = |wanted, running, begun| {
        let nodes = vec![Seen::default(); 8];
        let situation = Situation { chain_answers: false, begun, ..situation(Role::Worker, wanted, running, nodes) };
        plan(&situation).replicas
    };
    assert_eq!(silent(5, 0, 0), 1, "a tier that joins: the chain is read through it");
    assert_eq!(silent(5, 0, 4), 4, "four of the genesis");
    assert_eq!(silent(2, 0, 4), 2);
    assert_eq!(silent(5, 3, 0), 3, "what was begun goes on");
    assert_eq!(silent(0, 0, 0), 0);
}

#[test]
fn no_more_nodes_are_begun_than_are_paid_for() {
    let tier = |purse: u64, running: i32, nodes: Vec<Seen>| {
        let wanted = i32::try_from(nodes.len()).unwrap();
        Situation { funds: Some(Funds::One(valo(purse))), ..situation(Role::Worker, wanted, running, nodes) }
    };
    let new = |count| vec![Seen::default(); count];
    let begun = |situation: &Situation| plan(situation).replicas;
    assert_eq!(begun(&tier(0, 0, new(50))), 1, "the first waits for money");
    assert_eq!(begun(&tier(450, 0, new(50))), 4);
    assert_eq!(begun(&tier(450, 7, new(50))), 7, "what was begun goes on");
    let scaled = |purse| {
        let mut nodes = vec![active(); 3];
        nodes.extend(new(47));
        tier(purse, 3, nodes)
    };
    assert_eq!(begun(&scaled(150)), 4);
    assert_eq!(begun(&scaled(20)), 3, "the chain is read through those that are there");
    let missing = plan(&scaled(150)).unpaid;
    assert_eq!(missing.len(), 46);
    let sum: u64 = missing.values().map(|amount| amount.units()).sum();
    assert_eq!(sum, valo(4550).units() + funds::RESERVE.units());
    // One that is up without money is not registered: the chain would refuse it at every pass.
    let poor = tier(20, 1, vec![seen(true, None)]);
    assert_eq!(planned(&poor), (1, vec![]));
    assert_eq!(plan(&poor).waits[&0], "for money: 80.1 VALO are missing");
    let rich = tier(101, 1, vec![seen(true, None)]);
    assert_eq!(planned(&rich), (1, vec![(0, Step::Register)]));
}

#[test]
fn nodes_that_have_a_stake_need_no_money() {
    let left = seen(false, record(NodeState::Left, 0, 100));
    let poor =
        Situation { funds: Some(Funds::One(Amount::ZERO)), ..situation(Role::Worker, 2, 1, vec![active(), left]) };
    assert_eq!(planned(&poor), (2, vec![(1, Step::Rebond(valo(100)))]));
    // Their pods are brought back whatever the wallet has, as after the StatefulSet was deleted.
    let all =
        Situation { funds: Some(Funds::One(Amount::ZERO)), ..situation(Role::Validator, 4, 0, vec![active(); 4]) };
    assert_eq!(planned(&all), (4, vec![]));
    let unknown = Situation { funds: None, ..all };
    assert_eq!(planned(&unknown), (4, vec![]));
}

/// Cluster and chain, just enough of them: what steps do, and what happens by itself.
#[derive(Debug, Clone, Default)]
struct World {
    running: i32,
    pods: BTreeMap<i32, bool>,
    records: BTreeMap<i32, Record>,
    purse: i64,
}

const MONEY: i64 = 10_000;
const NODES: i32 = 5;

impl World {
    fn observe(&self, role: Role, wanted: i32) -> Situation {
        let highest = NODES.max(wanted).max(self.running);
        let nodes = (0..highest).map(|ordinal| Seen {
            ready: self.pods.get(&ordinal).copied().unwrap_or(false),
            record: self.records.get(&ordinal).cloned(),
            ..Seen::default()
        });
        Situation { nodes: (0..).zip(nodes).collect(), ..situation(role, wanted, self.running, vec![]) }
    }

    /// The StatefulSet is told how many pods there are. A pod of a node that the chain still counts on never goes.
    fn scale(&mut self, replicas: i32) {
        for gone in replicas..self.running {
            let state = self.records.get(&gone).map(|record| record.state);
            assert!(matches!(state, None | Some(NodeState::Left)), "pod {gone} goes while the chain has it {state:?}");
            self.pods.remove(&gone);
        }
        for new in self.running..replicas {
            self.pods.insert(new, false);
        }
        self.running = replicas;
    }

    /// As the ledger does: what it would refuse is a fault of the plan.
    fn perform(&mut self, ordinal: i32, step: Step) {
        let whole = |amount: Amount| i64::try_from(amount.whole_valo()).unwrap();
        if step == Step::Register {
            assert!(!self.records.contains_key(&ordinal), "a node is registered twice");
            self.purse -= 100;
            self.records.insert(ordinal, record(NodeState::Joining, 100, 0).unwrap());
            return;
        }
        let record = self.records.get_mut(&ordinal).unwrap();
        match (step, record.state) {
            (Step::Drain, NodeState::Joining | NodeState::Active | NodeState::Absent) => {
                record.state = NodeState::Draining;
            }
            (Step::Resume, NodeState::Draining) => record.state = NodeState::Joining,
            (Step::Rebond(amount), NodeState::Left) => {
                record.unbonding = record.unbonding.checked_sub(amount).unwrap();
                record.stake = record.stake.checked_add(amount).unwrap();
                record.state = NodeState::Joining;
            }
            (Step::Bond(amount), NodeState::Joining | NodeState::Active | NodeState::Absent) => {
                self.purse -= whole(amount);
                record.stake = record.stake.checked_add(amount).unwrap();
            }
            (step, state) => panic!("the chain refuses {step:?} of a node that is {state:?}"),
        }
    }

    /// One thing that happens by itself.
    fn happen(&mut self, ordinal: i32, what: u8) {
        if let Some(ready) = self.pods.get_mut(&ordinal) {
            *ready = what != 0;
        }
        let up = self.pods.get(&ordinal).copied().unwrap_or(false);
        let Some(record) = self.records.get_mut(&ordinal) else { return };
        match (record.state, what) {
            (NodeState::Joining, 1..) if up => record.state = NodeState::Active,
            (NodeState::Active, 0) => record.state = NodeState::Absent,
            (NodeState::Absent, 1..) if up => record.state = NodeState::Active,
            (NodeState::Draining, 2) => {
                record.state = NodeState::Left;
                (record.unbonding, record.stake) = (record.stake, Amount::ZERO);
            }
            (NodeState::Left, 3) => {
                self.purse += i64::try_from(record.unbonding.whole_valo()).unwrap();
                self.records.remove(&ordinal);
            }
            _ => {}
        }
    }

    /// A pass that is cut off after some steps, as by a kill of the operator. Whether it was a whole one.
    fn pass(&mut self, role: Role, wanted: i32, cut: usize) -> bool {
        let plan = plan(&self.observe(role, wanted));
        if cut == 0 {
            return false;
        }
        self.scale(plan.replicas);
        for (ordinal, step) in plan.steps.iter().take(cut - 1) {
            self.perform(*ordinal, *step);
        }
        plan.steps.len() < cut
    }

    fn money(&self) -> i64 {
        let bound = self.records.values().map(|record| record.stake.whole_valo() + record.unbonding.whole_valo());
        self.purse + i64::try_from(bound.sum::<u64>()).unwrap()
    }
}

proptest! {
    /// However it is scaled, whatever happens meanwhile, wherever the operator is killed: no pod goes too early, the
    /// chain refuses nothing, no money is lost, and in the end there is what was wanted.
    #[test]
    fn it_ends_where_it_was_wanted(
        is_validator: bool,
        moves in proptest::collection::vec((0..=NODES, 0..4usize, 0..NODES, 0..4u8), 1..60),
        last in 0..=NODES,
    ) {
        let role = if is_validator { Role::Validator } else { Role::Worker };
        let mut world = World { purse: MONEY, ..World::default() };
        let mut wanted = 0;
        for (number, (to, cut, ordinal, what)) in moves.into_iter().enumerate() {
            if number % 4 == 0 {
                wanted = to;
            }
            world.pass(role, wanted, cut);
            world.happen(ordinal, what);
            prop_assert_eq!(world.money(), MONEY);
        }
        for _ in 0..40 {
            world.pass(role, last, usize::MAX);
            for ordinal in 0..NODES {
                // Ready, or let in, or gone; never absent, and no stake is paid yet.
                let what = if world.pods.contains_key(&ordinal) { 1 } else { 2 };
                world.happen(ordinal, what);
                world.happen(ordinal, 2);
            }
        }
        prop_assert_eq!(world.running, last);
        let active: Vec<i32> = (0..NODES).filter(|node| {
            world.records.get(node).is_some_and(|record| record.state == NodeState::Active && record.stake == valo(100))
        }).collect();
        prop_assert_eq!(active, (0..last).collect::<Vec<_>>());
        prop_assert_eq!(world.money(), MONEY);
        prop_assert!(plan(&world.observe(role, last)).steps.is_empty());
    }
}
