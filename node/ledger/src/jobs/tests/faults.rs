//! Workers that break the rules: the result is right all the same, they pay for it, and nobody else does.

use super::workers::{ALICE, Character, FUEL, Network, setup, stage};
use crate::testing::{Setup, account, valo, wasm_tier};
use valo_protocol::{
    Action, Amount,
    event::{Event, Fault, JobFailure, JobPhase, ShardFailure},
    files::RunStatus,
    job::{Input, JobId, OnFailure, ShardIndex, ShardKey, StageIndex, Verification},
    registry::{NodeId, NodeState, Tier},
    transaction::AbstainReason,
};

const HONEST: Character = Character::Honest(100);
/// What a replica costs with the fuel that is used, and at its limit.
const PRICE: u64 = 10_000_000 * FUEL / 1_000_000_000;
const LIMIT: u64 = 2 * PRICE;

fn shard(job: JobId, shard: u32) -> ShardKey {
    ShardKey { job, stage: StageIndex(0), shard: ShardIndex(shard) }
}

fn units(amount: u64) -> Amount {
    Amount::from_units(amount)
}

/// How many chains are tried until a draw is as a test needs it.
const CHAINS: u32 = 16;

/// Runs a job of `shards` shards to its end.
fn run(workers: &[Character], shards: u32) -> (Network, JobId) {
    run_on(0, workers, shards)
}

/// The same on one of many chains, whose draws are others.
fn run_on(chain: u32, workers: &[Character], shards: u32) -> (Network, JobId) {
    let slots: Vec<_> = workers.iter().map(|character| (*character, 2)).collect();
    let setup = Setup { chain: format!("chain-{chain}"), ..setup(&slots) };
    let mut network = Network::of(&setup, workers.iter().copied());
    let contract = network.contract(vec![stage("one", Input::None, shards)]);
    let job = network.submit(&contract);
    network.finish(job);
    (network, job)
}

fn assert_right(network: &Network, job: JobId, shards: u32) {
    assert_eq!(network.phase(job), JobPhase::Final);
    for index in 0..shards {
        let key = shard(job, index);
        let verdict = network.chain.view().shard_verdict(key).unwrap().expect("a verdict");
        assert_eq!(verdict.result.answer, Some(network.truth(key)), "shard {key}");
    }
}

#[test]
fn a_liar_among_three_is_slashed_where_nobody_else_exists() {
    let (network, job) = run(&[HONEST, Character::Liar(1), HONEST], 3);
    assert_right(&network, job, 3);
    let fines = network.fines();
    assert_eq!(fines.len(), 1);
    let accepted = network.truth(shard(job, 0)).digest;
    assert!(fines[&NodeId(2)].contains(&(Fault::WrongAnswer { accepted }, units(25 * LIMIT))));
    assert_eq!(fines[&NodeId(2)].len(), 3);
    assert!(!network.pay().contains_key(&NodeId(2)));
    assert_eq!(network.pay()[&NodeId(1)], 3 * PRICE, "the others get the price, and nothing of the fine");
    // The answer could be used before the difference was settled, and explain can tell.
    let accepted = network.count(|event| matches!(event, Event::ShardAccepted { .. }));
    let escalated = network.count(|event| matches!(event, Event::ShardEscalated { replicas: 7, quorum: 5, .. }));
    assert_eq!((accepted, escalated), (6, 3), "provisional and for good");
}

/// With a liar's commitment there is a quorum of commitments, so the slow one is let go; when the answers differ, it is
/// the only one left to ask.
#[test]
fn who_was_let_go_is_asked_again_where_nobody_else_exists() {
    let (network, job) = run(&[HONEST, Character::Liar(1), Character::Honest(2000)], 2);
    assert_right(&network, job, 2);
    let let_go = network.count(|event| matches!(event, Event::LetGo { node: NodeId(3), .. }));
    assert_eq!(let_go, 2);
    let fines = network.fines();
    assert_eq!(fines.keys().collect::<Vec<_>>(), [&NodeId(2)], "only the liar pays");
    assert_eq!(network.pay()[&NodeId(3)], 2 * PRICE);
}

#[test]
fn a_jury_of_fresh_owners_decides_and_is_paid_by_who_lost() {
    // Two liars who agree among nine honest: in some shards they are the majority of three at first.
    let mut workers = vec![HONEST; 9];
    workers.extend([Character::Liar(1), Character::Liar(1)]);
    let (network, job) = run(&workers, 60);
    assert_right(&network, job, 60);
    let overturned = network
        .events
        .iter()
        .any(|event| matches!(event, Event::ShardAccepted { shard, answer, .. } if *answer != network.truth(*shard)));
    assert!(overturned, "the seeds of this test give the liars a majority at least once");
    let fines = network.fines();
    assert_eq!(fines.keys().copied().collect::<Vec<_>>(), [NodeId(10), NodeId(11)]);
    assert!(
        fines
            .values()
            .flatten()
            .all(|(fault, amount)| { matches!(fault, Fault::WrongAnswer { .. }) && *amount == units(25 * LIMIT) })
    );
    // Jurors cost the submitter nothing: a shard costs no more than three replicas.
    assert!(network.record(job).paid <= units(60 * 3 * PRICE));
    assert!(network.pay().values().sum::<u64>() > 60 * 3 * PRICE, "and they were paid");
}

#[test]
fn half_against_half_slashes_nobody_and_pays_half() {
    let workers = [HONEST, HONEST, Character::Liar(1), Character::Liar(1)];
    let (network, job) = run(&workers, 1);
    let reason = ShardFailure::NoQuorum { owners: 4 };
    assert_eq!(network.phase(job), JobPhase::Failed(JobFailure::Shard { shard: shard(job, 0), reason }));
    assert!(network.fines().is_empty());
    assert_eq!(network.pay().into_values().collect::<Vec<_>>(), vec![PRICE / 2; 4]);
}

#[test]
fn who_commits_without_revealing_is_slashed_and_replaced() {
    let (network, job) = run(&[HONEST, Character::Mute, HONEST], 2);
    assert_right(&network, job, 2);
    assert_eq!(network.fines()[&NodeId(2)], vec![(Fault::NotRevealed, units(25 * LIMIT)); 2]);
    assert_eq!(network.pay().len(), 2);
    // With two that do not reveal, fresh owners take their places.
    let (network, job) = run(&[HONEST, Character::Mute, Character::Mute, HONEST, HONEST, HONEST], 6);
    assert_right(&network, job, 6);
    assert!(network.fines().keys().all(|node| matches!(node.0, 2 | 3)));
}

#[test]
fn a_copied_commitment_cannot_be_revealed() {
    let (network, job) = run(&[HONEST, Character::Copycat, Character::Honest(0)], 2);
    assert_right(&network, job, 2);
    let fines = network.fines();
    assert!(fines[&NodeId(2)].iter().all(|(fault, _)| *fault == Fault::NotRevealed));
    assert!(fines.len() == 1 && !network.pay().contains_key(&NodeId(2)));
    assert!(network.chain.view().node(NodeId(2)).unwrap().unwrap().stake < valo(200));
}

#[test]
fn another_answer_than_the_committed_one_is_refused() {
    use valo_protocol::receipt::{Outcome, Reason};
    let mut network = Network::new(&[HONEST, Character::Turncoat, HONEST]);
    let contract = network.contract(vec![stage("one", Input::None, 1)]);
    let job = network.submit(&contract);
    let mut mismatches = 0;
    while network.phase(job) != JobPhase::Final {
        let effects = network.block(vec![]);
        mismatches += effects
            .receipts
            .iter()
            .filter(|receipt| receipt.outcome == Outcome::Failed(Reason::CommitmentMismatch(shard(job, 0))))
            .count();
    }
    assert!(mismatches > 0);
    assert_right(&network, job, 1);
    assert_eq!(network.fines()[&NodeId(2)], vec![(Fault::NotRevealed, units(25 * LIMIT))]);
}

#[test]
fn a_silent_worker_is_let_go_and_after_a_while_not_drawn_any_more() {
    let (network, job) = run(&[HONEST, Character::Silent, HONEST], 8);
    assert_right(&network, job, 8);
    assert!(network.fines().is_empty(), "others were done long before it");
    assert_eq!(network.chain.node(2).state, NodeState::Absent);
    assert_eq!(network.count(|event| matches!(event, Event::NodeAbsent { node: NodeId(2) })), 1);
}

#[test]
fn who_neither_answers_nor_abstains_pays_twice_the_price() {
    // Two silent ones leave no quorum in sight: they have the whole window, and are then replaced.
    let workers = [HONEST, Character::Silent, Character::Silent, HONEST, HONEST];
    let missed_two = |chain| {
        let (network, job) = run_on(chain, &workers, 4);
        assert_right(&network, job, 4);
        let fines = network.fines();
        assert!(fines.keys().all(|node| matches!(node.0, 2 | 3)));
        assert!(fines.values().flatten().all(|fine| *fine == (Fault::Missed, units(2 * LIMIT))));
        let absent = *fines.iter().find(|(_, fines)| fines.len() >= 2)?.0;
        Some((network, absent))
    };
    let (mut network, absent) = (0..CHAINS).find_map(missed_two).expect("somebody missed two on one of them");
    assert_eq!(network.chain.node(absent.0).state, NodeState::Absent);
    // It says that it is back, and is drawn again.
    let back = network.chain.actions(network.chain.node_account(absent.0), [Action::Return]);
    network.block(back);
    assert_eq!(network.chain.node(absent.0).state, NodeState::Active);
    assert_eq!(network.chain.node(absent.0).unanswered, 0);
}

#[test]
fn abstaining_costs_nothing_and_others_take_over() {
    let slow = Character::Honest(1_000);
    let workers = [slow, Character::Abstains(AbstainReason::WallLimit), slow, slow];
    let drawn_in_its_place = |chain| {
        let (network, job) = run_on(chain, &workers, 6);
        assert_right(&network, job, 6);
        assert!(network.fines().is_empty());
        assert_eq!(network.chain.node(2).state, NodeState::Active);
        let abstained = network.count(|event| matches!(event, Event::Abstained { node: NodeId(2), .. }));
        let again = network.count(|event| matches!(event, Event::ShardDrawn { attempt, .. } if attempt.0 == 1));
        abstained > 0 && again > 0
    };
    assert!((0..CHAINS).any(drawn_in_its_place), "a fourth was drawn in its place on none of them");
}

/// Three answers of three, two shards, and of five nodes one that abstains from both: each shard holds two nodes and
/// wants one of the other's two.
#[test]
fn shards_that_want_each_others_nodes_do_not_wait_for_ever() {
    let workers = [Character::Abstains(AbstainReason::WallLimit), HONEST, HONEST, HONEST, HONEST].map(|one| (one, 1));
    // Only the slots are scarce, or the stake behind a slot as well: 25 times the price is all of it.
    for price in [wasm_tier("small").price, valo(4)] {
        let mut held = 0;
        for chain in 0..CHAINS {
            let tiers = vec![Tier { price, ..wasm_tier("small") }];
            let setup = Setup { chain: format!("chain-{chain}"), tiers, ..setup(&workers) };
            let mut network = Network::of(&setup, workers.iter().map(|(character, _)| *character));
            let mut contract = network.contract(vec![stage("one", Input::None, 2)]);
            contract.verification = Verification::Replicated { replicas: 3, quorum: 3 };
            let job = network.submit(&contract);
            network.finish(job);
            assert_eq!(network.phase(job), JobPhase::Final, "chain {chain}, price {price}");
            assert!(network.fines().is_empty());
            held += network.count(|event| matches!(event, Event::LetGo { .. }));
        }
        assert_eq!(held > 0, price == valo(4), "slots are free after the commit, stake is not");
    }
}

#[test]
fn what_nobody_can_fetch_fails_at_the_submitters_cost() {
    let (network, job) = run(&[Character::Abstains(AbstainReason::CannotFetch); 4], 2);
    let JobPhase::Failed(JobFailure::Shard { reason, .. }) = network.phase(job) else { panic!() };
    assert_eq!(reason, ShardFailure::Unavailable);
    assert!(network.pay().is_empty() && network.fines().is_empty());
    // One of three that can fetch it is paid half.
    let cannot = Character::Abstains(AbstainReason::CannotFetch);
    let (network, _) = run(&[cannot, cannot, Character::Honest(0)], 1);
    assert_eq!(network.pay().into_iter().collect::<Vec<_>>(), [(NodeId(3), PRICE / 2)]);
}

#[test]
fn a_program_that_fails_everywhere_is_paid_and_the_contract_says_what_follows() {
    let status = RunStatus::Exited(3);
    let run = |on_failure| {
        let mut network = Network::new(&[HONEST; 3]);
        let mut first = stage("one", Input::None, 3);
        first.on_failure = on_failure;
        let second = stage("two", Input::Each { stage: StageIndex(0) }, 3);
        let contract = network.contract(vec![first, second]);
        let job = JobId(1);
        network.statuses.insert(shard(job, 1), status);
        assert_eq!(network.submit(&contract), job);
        network.finish(job);
        network
    };
    let failed =
        JobPhase::Failed(JobFailure::Shard { shard: shard(JobId(1), 1), reason: ShardFailure::Status(status) });
    let network = run(OnFailure::Fail);
    assert_eq!(network.phase(JobId(1)), failed);
    let paid = |wanted: ShardKey| move |event: &Event| matches!(event, Event::Paid { shard, amount, .. } if *shard == wanted && amount.units() == PRICE);
    assert_eq!(network.count(paid(shard(JobId(1), 1))), 3, "the work is paid");

    let network = run(OnFailure::Retry(2));
    assert_eq!(network.phase(JobId(1)), failed);
    assert_eq!(network.count(paid(shard(JobId(1), 1))), 9, "three times");
    let attempts =
        network.count(|event| matches!(event, Event::ShardDrawn { shard: key, .. } if *key == shard(JobId(1), 1)));
    assert_eq!(attempts, 3);

    let network = run(OnFailure::Continue);
    assert_eq!(network.phase(JobId(1)), JobPhase::Final);
    let record = network.record(JobId(1));
    assert_eq!((record.stages[0].accepted, record.stages[0].failed, record.stages[1].accepted), (2, 1, 3));
    let verdict = network.chain.view().shard_verdict(shard(JobId(1), 1)).unwrap().unwrap();
    assert_eq!((verdict.result.answer, verdict.holders), (None, vec![]));
}

#[test]
fn stake_that_was_lost_answers_for_nothing() {
    // A liar with one slot has less and less free stake; it is passed over for that, and says so.
    let mut network = Network::with_slots(&[(HONEST, 2), (Character::Liar(1), 1), (HONEST, 2), (HONEST, 2)]);
    let mut dear = stage("one", Input::None, 12);
    dear.program = valo_protocol::job::Program::Wasm {
        module: Default::default(),
        args: Default::default(),
        // 0.01 VALO a 10^9, 25-fold: 50 of the 100 VALO behind a slot.
        fuel: valo_protocol::Varint(200_000_000_000),
    };
    let mut contract = network.contract(vec![dear]);
    contract.budget = valo(200);
    let job = network.submit(&contract);
    network.finish(job);
    assert_right(&network, job, 12);
    let fines = network.fines();
    assert!(fines.len() == 1 && fines[&NodeId(2)].len() <= 2);
    assert!(fines[&NodeId(2)].iter().all(|(_, amount)| *amount == valo(50)));
    use valo_protocol::event::PassedOver;
    assert!(network.count(|event| matches!(event, Event::ShardDrawn { passed_over, .. } if passed_over.contains(&(NodeId(2), PassedOver::Stake)))) > 0);
    assert!(network.chain.balance(account(ALICE)) < valo(1000));
}
