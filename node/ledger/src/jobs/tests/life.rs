use super::workers::{ALICE, Character, FUEL, Network, stage};
use crate::{
    jobs::Location,
    testing::{account, valo},
};
use valo_protocol::{
    Amount,
    event::{Event, JobPhase},
    job::{Input, JobId, ShardIndex, ShardKey, StageIndex},
    proof::results_root,
    registry::NodeId,
};

const HONEST: Character = Character::Honest(100);

/// Half of the limit of 10^9 fuel at 0.01 VALO.
const PRICE: u64 = 10_000_000 * FUEL / 1_000_000_000;

#[test]
fn a_job_of_two_stages_is_drawn_answered_paid_and_final() {
    let mut network = Network::new(&[HONEST; 6]);
    let contract = network
        .contract(vec![stage("first", Input::None, 4), stage("second", Input::Each { stage: StageIndex(0) }, 4)]);
    let before = network.chain.balance(account(ALICE));
    let submitted = network.chain.ledger.head().height.0 + 1;
    let job = network.submit(&contract);
    assert_eq!(job, JobId(1));
    let record = network.until(job, JobPhase::is_accepted);

    // The first draws are made with the randomness of the block after the next.
    let first_draw = network.events.iter().find_map(|event| match event {
        Event::ShardDrawn { seed_height, .. } => Some(seed_height.0),
        _ => None,
    });
    assert_eq!(first_draw, Some(submitted + 2));
    // Every shard ran on three nodes of different owners, and all three were paid.
    assert_eq!(network.count(|event| matches!(event, Event::ShardDrawn { drawn, .. } if drawn.len() == 3)), 8);
    let pay = network.pay();
    assert_eq!(pay.values().sum::<u64>(), 24 * PRICE);
    for (node, pay) in pay {
        assert_eq!(
            network.chain.balance(Network::owner(node)),
            valo(1000).checked_add(Amount::from_units(pay)).unwrap()
        );
    }
    // The record says what is in it.
    let view = network.chain.view();
    let results = view.shard_results(job).unwrap();
    assert_eq!(results.len(), 8);
    assert!(results.iter().all(|result| {
        let shard = ShardKey { job, stage: result.stage, shard: result.shard };
        result.answer == Some(network.truth(shard))
    }));
    assert_eq!(record.results, Some(results_root(&results)));
    let holders =
        view.shard_verdict(ShardKey { job, stage: StageIndex(1), shard: ShardIndex(3) }).unwrap().unwrap().holders;
    assert_eq!(holders.len(), 3);
    // Until it is final, stake answers for it.
    assert!((1..=6).any(|node| !network.chain.node(node).locked.is_zero()));

    let record = network.finish(job);
    assert_eq!(record.phase, JobPhase::Final);
    assert!((1..=6).all(|node| network.chain.node(node).locked.is_zero()));
    assert_eq!(record.paid.units(), 24 * PRICE);
    let after = network.chain.balance(account(ALICE));
    assert!(before.units() - after.units() >= 24 * PRICE, "it was paid for");
    assert!(before.units() - after.units() < 24 * PRICE + 1_000_000, "and the rest came back");
    assert_eq!(network.chain.view().job(job).unwrap().unwrap().1, Location::Closed(0));
    assert!(network.fines().is_empty());
}

#[test]
fn shards_flow_through_stages_one_by_one_and_gathering_waits_for_all() {
    // One slow worker among three: shards it has hold up only themselves and the gathering stage.
    let mut network = Network::with_slots(&[(HONEST, 1), (HONEST, 1), (HONEST, 1)]);
    let contract = network.contract(vec![
        stage("map", Input::None, 3),
        stage("each", Input::Each { stage: StageIndex(0) }, 3),
        stage("all", Input::All { stage: StageIndex(1) }, 1),
    ]);
    let job = network.submit(&contract);
    network.until(job, JobPhase::is_accepted);
    let place = |wanted: &dyn Fn(&Event) -> bool| network.events.iter().position(wanted).unwrap();
    let started =
        |stage: u8| place(&|event| matches!(event, Event::StageStarted { stage: StageIndex(s), .. } if *s == stage));
    let completed =
        |stage: u8| place(&|event| matches!(event, Event::StageCompleted { stage: StageIndex(s), .. } if *s == stage));
    assert!(started(1) < completed(0), "the second stage starts with its first shard");
    assert!(started(2) > completed(1), "the third when all of the second is there");
    assert!(network.count(|event| matches!(event, Event::ShardWaiting { .. })) > 0, "with one slot each, shards wait");
}

#[test]
fn the_same_client_id_never_makes_a_second_job() {
    use valo_protocol::{
        Action,
        receipt::{Made, Outcome},
    };
    let mut network = Network::new(&[HONEST; 3]);
    let contract = network.contract(vec![stage("one", Input::None, 1)]);
    let action = Action::SubmitJob { client_id: Some([1; 16]), contract };
    let made = |network: &mut Network| {
        let transactions = network.chain.actions(account(ALICE), [action.clone()]);
        network.block(transactions).receipts[0].outcome.clone()
    };
    assert_eq!(made(&mut network), Outcome::Done(Made::Job(JobId(1))));
    let before = network.chain.view().supply().unwrap().escrows;
    assert_eq!(made(&mut network), Outcome::Done(Made::ExistingJob(JobId(1))));
    assert_eq!(network.chain.view().supply().unwrap().escrows, before);
    network.finish(JobId(1));
    assert_eq!(made(&mut network), Outcome::Done(Made::ExistingJob(JobId(1))), "also when it is closed");
}

#[test]
fn a_tip_is_shared_by_the_accepted_shards() {
    let mut network = Network::new(&[HONEST; 3]);
    let mut contract = network.contract(vec![stage("one", Input::None, 2)]);
    contract.tip = valo(6);
    let job = network.submit(&contract);
    let record = network.finish(job);
    assert_eq!(network.pay().into_values().collect::<Vec<_>>(), vec![2 * PRICE + 2_000_000_000; 3]);
    assert_eq!(record.paid.units(), 6 * PRICE + 6_000_000_000);
}

#[test]
fn rows_of_closed_jobs_are_used_again() {
    let mut network = Network::new(&[HONEST; 3]);
    for round in 1..=3 {
        let contract = network.contract(vec![stage("one", Input::None, 2)]);
        let job = network.submit(&contract);
        assert_eq!(job, JobId(round));
        network.finish(job);
    }
    let view = network.chain.view();
    assert_eq!(view.length(crate::Table::Jobs).unwrap(), 1);
    assert_eq!(view.length(crate::Table::Shards).unwrap(), 2);
    assert_eq!(view.length(crate::Table::Results).unwrap(), 3);
    assert_eq!(view.jobs(JobId(2), 10).unwrap().len(), 2);
    assert_eq!(view.jobs_of(account(ALICE), JobId(1), 2).unwrap().len(), 2);
    assert!(view.assignments(NodeId(1)).unwrap().is_empty());
}
