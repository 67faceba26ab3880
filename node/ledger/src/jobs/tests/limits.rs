//! Money, time and bounds: refusals, budgets, deadlines, cancellation, and bounded work a block.

use super::workers::{ALICE, Character, FUEL, Network, setup, stage};
use crate::{
    Due, Table,
    testing::{account, reason, valo},
};
use valo_protocol::{
    Action, Amount, Duration, JobContract, Varint,
    event::{Event, JobFailure, JobPhase},
    job::{Input, JobId, Program},
    params::Disjoint,
    receipt::{Outcome, Reason},
    registry::NodeId,
};

const HONEST: Character = Character::Honest(100);
const PRICE: u64 = 10_000_000 * FUEL / 1_000_000_000;
const LIMIT: u64 = 2 * PRICE;

fn refusal(network: &mut Network, contract: &JobContract) -> Reason {
    let supply = network.chain.view().supply().unwrap();
    let action = Action::SubmitJob { client_id: None, contract: contract.clone() };
    let transactions = network.chain.actions(account(ALICE), [action]);
    let effects = network.block(transactions);
    assert_eq!(network.chain.view().supply().unwrap().escrows, supply.escrows, "nothing was taken");
    reason(&effects.receipts[0]).expect("a refusal").clone()
}

#[test]
fn contracts_that_cannot_be_carried_out_are_refused_with_a_reason() {
    let mut network = Network::new(&[HONEST; 3]);
    let good = network.contract(vec![stage("one", Input::None, 2)]);
    let with = |change: &dyn Fn(&mut JobContract)| {
        let mut contract = good.clone();
        change(&mut contract);
        contract
    };
    let with_stage = |change: &dyn Fn(&mut valo_protocol::job::Stage)| {
        let mut one = stage("one", Input::None, 2);
        change(&mut one);
        JobContract { stages: valo_protocol::bytes::BoundedVec::new(vec![one]).unwrap(), ..good.clone() }
    };
    let now = network.time();
    let mut refused = |contract: &JobContract| refusal(&mut network, contract);
    assert!(matches!(refused(&with(&|c| c.deadline = now)), Reason::Deadline { .. }));
    assert!(matches!(
        refused(&with(&|c| c.deadline = now.after(Duration::from_seconds(8 * 86_400)))),
        Reason::Deadline { .. }
    ));
    assert!(matches!(refused(&with(&|c| c.stages = Default::default())), Reason::Contract(_)));
    let five = valo_protocol::job::Verification::Replicated { replicas: 5, quorum: 3 };
    assert_eq!(
        refused(&with(&|c| c.verification = five)),
        Reason::TooFewWorkers { tier: super::super::fixture::text("small"), available: 3, needed: 5 }
    );
    let needed = Amount::from_units(3 * LIMIT);
    assert_eq!(
        refused(&with(&|c| c.budget = Amount::from_units(3 * LIMIT - 1))),
        Reason::BudgetTooSmall { budget: Amount::from_units(3 * LIMIT - 1), needed }
    );
    assert!(matches!(refused(&with(&|c| c.tip = c.budget)), Reason::BudgetTooSmall { .. }));
    assert!(matches!(refused(&with(&|c| c.budget = valo(5000))), Reason::InsufficientBalance { .. }));
    assert!(matches!(refused(&with_stage(&|s| s.tier = super::super::fixture::text("none"))), Reason::NoTier(_)));
    assert!(matches!(refused(&with_stage(&|s| s.memory = 1 << 30)), Reason::TierTooSmall { .. }));
    assert!(matches!(
        refused(&with_stage(&|s| {
            s.program = Program::Container {
                image: super::super::fixture::text(&format!("a@sha256:{}", "0".repeat(64))),
                command: Default::default(),
                seconds: 1,
                milli_cpu: 1,
            };
        })),
        Reason::WrongRuntime(_)
    ));
    // 25 times 0.01 VALO for each 10^9 fuel: 400 of these are the stake of 100 VALO behind a slot.
    let fuel = |fuel: u64| {
        with_stage(&move |s| {
            s.program = Program::Wasm { module: Default::default(), args: Default::default(), fuel: Varint(fuel) };
        })
    };
    assert!(matches!(refused(&fuel(400_000_000_001)), Reason::ShardTooDear { .. }));
    assert_eq!(network.submit(&fuel(400_000_000_000)), JobId(1), "at the limit it is taken");
}

#[test]
fn only_its_submitter_cancels_a_job_and_only_while_it_runs() {
    let mut network = Network::new(&[HONEST; 3]);
    let contract = network.contract(vec![stage("one", Input::None, 2)]);
    let job = network.submit(&contract);
    let cancel = |network: &mut Network, who: u64, job: JobId| {
        let transactions = network.chain.actions(account(who), [Action::CancelJob { job }]);
        network.block(transactions).receipts[0].outcome.clone()
    };
    assert_eq!(cancel(&mut network, ALICE, JobId(9)), Outcome::Failed(Reason::NoJob(JobId(9))));
    assert_eq!(cancel(&mut network, 1, job), Outcome::Failed(Reason::NotYourJob(job)));
    network.until(job, JobPhase::is_accepted);
    assert_eq!(cancel(&mut network, ALICE, job), Outcome::Failed(Reason::JobOver(job)));
    network.finish(job);
    assert_eq!(cancel(&mut network, ALICE, job), Outcome::Failed(Reason::JobOver(job)));
}

#[test]
fn a_job_cancelled_before_its_draw_costs_nothing() {
    let mut network = Network::new(&[HONEST; 3]);
    let contract = network.contract(vec![stage("one", Input::None, 2)]);
    let job = network.submit(&contract);
    let transactions = network.chain.actions(account(ALICE), [Action::CancelJob { job }]);
    network.block(transactions);
    let record = network.finish(job);
    assert_eq!(record.phase, JobPhase::Failed(JobFailure::Cancelled));
    assert_eq!(record.paid, Amount::ZERO);
    assert_eq!(network.count(|event| *event == Event::Refunded { job, account: account(ALICE), amount: valo(50) }), 1);
    for _ in 0..5 {
        network.block(vec![]);
    }
    assert_eq!(network.count(|event| matches!(event, Event::ShardDrawn { .. })), 0);
    assert!(matches!(network.chain.ledger.due(), Due::Idle(_)), "nothing is left to do");
}

#[test]
fn cancelling_takes_no_pay_from_work_that_was_committed() {
    // Two have committed when the submitter cancels; the slow third is let go.
    let mut network = Network::new(&[Character::Honest(0), Character::Honest(0), Character::Honest(60_000)]);
    let contract = network.contract(vec![stage("one", Input::None, 1)]);
    let job = network.submit(&contract);
    while network.count(|event| matches!(event, Event::Committed { .. })) < 2 {
        network.block(vec![]);
    }
    let transactions = network.chain.actions(account(ALICE), [Action::CancelJob { job }]);
    network.block(transactions);
    assert_eq!(network.phase(job), JobPhase::Failed(JobFailure::Cancelled));
    let record = network.finish(job);
    assert_eq!(record.phase, JobPhase::Failed(JobFailure::Cancelled));
    assert_eq!(network.pay().into_iter().collect::<Vec<_>>(), [(NodeId(1), PRICE), (NodeId(2), PRICE)]);
    assert!(network.fines().is_empty());
    assert_eq!(network.chain.node(3).unanswered, 0, "it is no fault of the third");
}

#[test]
fn the_deadline_ends_a_job() {
    let mut network = Network::new(&[Character::Honest(60_000); 3]);
    let mut contract = network.contract(vec![stage("one", Input::None, 2)]);
    contract.deadline = network.time().after(Duration(2_000));
    let job = network.submit(&contract);
    let record = network.finish(job);
    assert_eq!(record.phase, JobPhase::Failed(JobFailure::DeadlinePassed));
    assert!(record.phase_since > contract.deadline);
    assert!(record.phase_since.since(contract.deadline) < Duration(200), "at once");
    assert!(network.fines().is_empty() && network.pay().is_empty());
}

#[test]
fn a_budget_below_the_limits_of_all_shards_places_fewer_at_a_time() {
    // For two shards at their limit, where four would fit the slots: as half of the limit is used, it lasts for all four.
    let mut network = Network::with_slots(&[(HONEST, 4), (HONEST, 4), (HONEST, 4)]);
    let mut contract = network.contract(vec![stage("one", Input::None, 4)]);
    contract.budget = Amount::from_units(2 * 3 * LIMIT + 3 * PRICE);
    let job = network.submit(&contract);
    let mut most = 0;
    while !network.phase(job).is_over() {
        network.block(vec![]);
        most = most.max(network.chain.node(1).busy);
    }
    assert_eq!(most, 2);
    assert_eq!(network.phase(job), JobPhase::Accepted);
}

#[test]
fn an_exhausted_budget_pays_the_work_done_and_says_so() {
    let mut network = Network::new(&[HONEST; 3]);
    let mut contract = network.contract(vec![stage("one", Input::None, 4)]);
    contract.budget = Amount::from_units(2 * 3 * LIMIT);
    let job = network.submit(&contract);
    let record = network.finish(job);
    assert_eq!(record.phase, JobPhase::Failed(JobFailure::BudgetExhausted));
    // 12 half limits are there; when 9 of them are paid, the rest covers no shard at its limit.
    assert_eq!(record.paid.units(), 9 * PRICE);
    assert_eq!(network.pay().values().sum::<u64>(), 9 * PRICE);
}

#[test]
fn a_jury_that_escrow_does_not_cover_slashes_nobody() {
    let mut network = Network::new(&[HONEST, HONEST, Character::Liar(1), HONEST, HONEST, HONEST, HONEST]);
    // Enough for the three replicas, not for four more.
    let mut contract = network.contract(vec![stage("one", Input::None, 1)]);
    contract.budget = Amount::from_units(3 * LIMIT);
    let mut lied = false;
    for _ in 0..12 {
        let job = network.submit(&contract);
        let record = network.finish(job);
        assert_eq!(record.phase, JobPhase::Final, "the majority's answer");
        lied |=
            network.count(|event| matches!(event, Event::ShardAccepted { differed, .. } if !differed.is_empty())) > 0;
    }
    assert!(lied && network.fines().is_empty());
    assert!(!network.pay().contains_key(&NodeId(3)));
}

#[test]
fn a_network_of_one_owner_draws_different_nodes() {
    let workers = [(HONEST, 2), (HONEST, 2), (HONEST, 2)];
    let mut one_owner = setup(&workers);
    one_owner.accounts = 1;
    one_owner.parameters.disjoint = Disjoint::Node;
    let mut network = Network::of(&one_owner, [HONEST; 3]);
    let contract = network.contract(vec![stage("one", Input::None, 2)]);
    let job = network.submit(&contract);
    network.finish(job);
    assert_eq!(network.phase(job), JobPhase::Final);
    // The same network that asks for different owners has too few.
    one_owner.parameters.disjoint = Disjoint::Owner;
    let mut network = Network::of(&one_owner, [HONEST; 3]);
    assert!(matches!(refusal(&mut network, &contract), Reason::TooFewWorkers { available: 1, needed: 3, .. }));
}

#[test]
fn small_jobs_are_served_beside_large_ones() {
    let mut network = Network::with_slots(&[(HONEST, 2), (HONEST, 2), (HONEST, 2)]);
    let large = network.contract(vec![stage("one", Input::None, 200)]);
    let small = network.contract(vec![stage("one", Input::None, 2)]);
    let large = network.submit(&large);
    let small = network.submit(&small);
    network.until(small, JobPhase::is_accepted);
    let progress = network.record(large).stages[0];
    assert!(progress.accepted < 30, "{progress:?}");
    network.until(large, JobPhase::is_accepted);
}

#[test]
fn work_of_a_block_is_bounded_and_goes_on_in_the_next() {
    let slots = 1_200;
    let mut network = Network::with_slots(&[(HONEST, slots), (HONEST, slots), (HONEST, slots)]);
    let mut contract = network.contract(vec![stage("one", Input::None, 2_400)]);
    contract.budget = valo(100);
    // Blocks this large are for this test only: nobody answers, the job is cancelled when all is placed.
    for character in network.characters.values_mut() {
        *character = Character::Silent;
    }
    let one = network.submit(&contract);
    let two = network.submit(&contract);
    let mut most = 0;
    for _ in 0..8 {
        let effects = network.block(vec![]);
        most = most.max(effects.events.iter().filter(|event| matches!(event, Event::ShardDrawn { .. })).count());
    }
    let placed = |network: &Network, job| network.record(job).stages[0].placed;
    assert_eq!(placed(&network, one) + placed(&network, two), u32::from(slots), "all slots are taken");
    assert!(most <= super::super::place::MAX_DRAWS);
    let transactions =
        network.chain.actions(account(ALICE), [Action::CancelJob { job: one }, Action::CancelJob { job: two }]);
    network.block(transactions);
    network.finish(one);
    network.finish(two);
    assert_eq!(network.chain.view().length(Table::Shards).unwrap(), u64::from(slots));
}
