//! The chain stands still in the middle of a job, and everybody with it: no window passes meanwhile.

use super::workers::{Character, FUEL, Network, stage};
use crate::{Due, testing::valo};
use valo_protocol::{
    Amount, Duration, JobContract,
    event::{Event, JobFailure, JobPhase},
    job::{Input, JobId},
    registry::{NodeId, NodeState},
    time::Round,
};

const HOUR: Duration = Duration::from_seconds(3_600);

/// Three honest workers, one of which needs two seconds for everything, and a job for a day.
fn network() -> (Network, JobId) {
    let mut network = Network::new(&[Character::Honest(0), Character::Honest(0), Character::Honest(2_000)]);
    let contract = network.contract(vec![stage("one", Input::None, 2)]);
    let deadline = network.time().after(Duration(24 * HOUR.0));
    let job = network.submit(&JobContract { deadline, ..contract });
    (network, job)
}

/// Goes on until an event.
fn until(network: &mut Network, wanted: impl Fn(&Event) -> bool) {
    while network.count(&wanted) == 0 {
        network.block(vec![]);
    }
}

fn ends_well(mut network: Network, job: JobId) {
    assert_eq!(network.finish(job).phase, JobPhase::Final);
    assert!(network.fines().is_empty(), "{:?}", network.fines());
    for worker in 1..=3 {
        let record = network.chain.node(worker);
        assert_eq!((record.state, record.unanswered, record.stake), (NodeState::Active, 0, valo(200)), "{worker}");
    }
    let pay: Vec<u64> = network.pay().into_values().collect();
    assert_eq!(pay, [10_000_000 * FUEL / 1_000_000_000 * 2; 3], "all three worked, and were paid");
}

#[test]
fn after_the_draw() {
    let (mut network, job) = network();
    until(&mut network, |event| matches!(event, Event::ShardDrawn { .. }));
    network.pause(HOUR, Duration::from_seconds(30));
    ends_well(network, job);
}

#[test]
fn between_commits() {
    let (mut network, job) = network();
    until(&mut network, |event| matches!(event, Event::Committed { .. }));
    // The last of them is no straggler, although an hour has passed: nobody could commit in it.
    network.characters.values_mut().for_each(|character| *character = Character::Honest(0));
    network.pause(HOUR, Duration::from_seconds(30));
    ends_well(network, job);
}

#[test]
fn while_answers_are_revealed() {
    let (mut network, job) = network();
    network.characters.values_mut().for_each(|character| *character = Character::Honest(0));
    until(&mut network, |event| matches!(event, Event::RevealOpened { .. }));
    network.pause(HOUR, Duration::from_seconds(30));
    ends_well(network, job);
}

#[test]
fn whoever_does_not_come_back_in_time_is_treated_as_ever() {
    let (mut network, job) = network();
    network.characters.values_mut().for_each(|character| *character = Character::Honest(0));
    until(&mut network, |event| matches!(event, Event::RevealOpened { .. }));
    network.characters.insert(NodeId(1), Character::Mute);
    network.pause(HOUR, Duration::from_seconds(30));
    network.finish(job);
    assert_eq!(network.fines().into_keys().map(|node| node.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn the_deadline_of_a_job_is_by_the_time_of_day() {
    let (mut network, job) = network();
    until(&mut network, |event| matches!(event, Event::Committed { .. }));
    network.pause(Duration(25 * HOUR.0), Duration(0));
    // What was committed to is revealed and paid all the same.
    let record = network.finish(job);
    assert_eq!(record.phase, JobPhase::Failed(JobFailure::DeadlinePassed));
    assert!(record.paid > Amount::ZERO && network.fines().is_empty(), "{:?}", network.events);
}

#[test]
fn a_block_is_due_when_a_window_ends_by_the_clock_that_stood() {
    let (mut network, _) = network();
    until(&mut network, |event| matches!(event, Event::RevealOpened { .. }));
    network.characters.values_mut().for_each(|character| *character = Character::Silent);
    network.pause(Duration(10_000), Duration(0));
    // Blocks when they are due, and no others: each deadline is met in the block that was due for it.
    let is_slashed = |event: &Event| matches!(event, Event::Slashed { .. });
    let mut due = network.chain.ledger.due();
    while network.count(is_slashed) == 0 {
        due = network.chain.ledger.due();
        let step = match due {
            Due::Now => network.chain.ledger.params().min_interval,
            Due::At(moment) | Due::Idle(moment) => moment.since(network.time()),
        };
        let effects = network.chain.block_at(Round(0), step, vec![]);
        network.events.extend(effects.events);
    }
    assert!(matches!(due, Due::At(_)), "not merely in an idle block: {due:?}");
}
