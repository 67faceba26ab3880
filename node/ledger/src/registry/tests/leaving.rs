//! Draining, leaving, and what becomes of the stake.

use super::*;
use crate::jobs::tests::workers::{Character, Network, stage};
use valo_protocol::{Amount, event::JobPhase, job::Input};

#[test]
fn an_idle_worker_leaves_at_once_its_stake_is_paid_and_its_row_used_again() {
    let mut chain = chain();
    let node = join(&mut chain, WORKER, 200);
    let own = chain.node_account(NEW);
    chain.one(own, Action::Return);
    assert_eq!(chain.one(own, Action::Drain), Outcome::Done(Made::Nothing));
    let record = chain.node(NEW);
    assert_eq!((record.state, record.stake, record.unbonding[0].amount), (NodeState::Left, Amount::ZERO, valo(200)));
    let before = chain.balance(account(7));
    let unbonding = chain.ledger.params().unbonding;
    let effects = chain.block_at(Round(0), unbonding, vec![]);
    assert!(effects.events.contains(&Event::StakePaid { node, owner: account(7), amount: valo(200) }));
    assert_eq!(chain.balance(account(7)), before.checked_add(valo(200)).unwrap());
    assert_eq!(chain.view().node(node).unwrap(), None);
    assert_eq!(chain.view().account(own).unwrap().unwrap().node, None);
    // Another takes the row; the key can come again, with the account that it has.
    let grant = chain.grant(5, NEW + 1, WORKER, valo(200));
    assert_eq!(chain.one(account(5), Action::RegisterNode { grant }), Outcome::Done(Made::Node(node)));
    let again = join(&mut chain, WORKER, 200);
    assert_ne!(again, node);
    assert_eq!(chain.node(again.0).account, own);
}

#[test]
fn a_validator_leaves_after_its_epoch_and_nobody_misses_it() {
    let mut chain = chain();
    let key = node_key(2).public();
    chain.one(account(2), Action::RemoveNode { node: NodeId(2) });
    assert_eq!(chain.node(2).state, NodeState::Draining);
    assert!(chain.ledger.head().validators.get(&key).is_some(), "till the epoch ends it votes");
    chain.next_epoch();
    assert_eq!(chain.ledger.head().validators.get(&key), None);
    assert_eq!(chain.node(2).state, NodeState::Draining, "it still signs for the last block of the epoch");
    chain.block(vec![]);
    assert_eq!(chain.node(2).state, NodeState::Left);
    chain.block(vec![]);
    assert_eq!(chain.view().validators().unwrap().len(), 3);
    // A newcomer takes its seat.
    join(&mut chain, NodeRole::Validator, 10);
    assert_eq!(chain.node(NEW).validator, Some(2));
    let unbonding = chain.ledger.params().unbonding;
    chain.block_at(Round(0), unbonding, vec![]);
    assert_eq!(chain.view().node(NodeId(2)).unwrap(), None);
}

#[test]
fn a_drain_can_be_stopped() {
    let mut chain = chain();
    chain.one(account(2), Action::RemoveNode { node: NodeId(2) });
    assert_eq!(chain.one(account(2), Action::ResumeNode { node: NodeId(2) }), Outcome::Done(Made::Nothing));
    assert_eq!(chain.node(2).state, NodeState::Active, "it never left the set");
    chain.next_epoch();
    assert_eq!(chain.ledger.head().validators.validators().len(), 4);
}

#[test]
fn one_that_has_left_comes_back_with_the_stake_that_is_still_unbonding() {
    let mut chain = chain();
    let node = join(&mut chain, NodeRole::Validator, 20);
    chain.one(account(7), Action::RemoveNode { node });
    assert_eq!(state(&chain, node), NodeState::Left);
    assert_eq!(failed(chain.one(account(7), Action::Bond { node, amount: valo(1) })), Reason::NodeIs(NodeState::Left));
    let little = Action::Rebond { node, amount: Amount::from_units(1) };
    assert!(matches!(failed(chain.one(account(7), little)), Reason::StakeTooLow { .. }));
    assert_eq!(chain.one(account(7), Action::Rebond { node, amount: valo(20) }), Outcome::Done(Made::Nothing));
    assert_eq!((state(&chain, node), chain.node(NEW).stake), (NodeState::Joining, valo(20)));
    chain.one(chain.node_account(NEW), Action::Return);
    chain.next_epoch();
    assert_eq!(state(&chain, node), NodeState::Active);
}

#[test]
fn a_worker_that_drains_finishes_what_it_has_and_its_stake_answers_till_that_is_final() {
    let mut network = Network::new(&[Character::Honest(100); 4]);
    let contract = network.contract(vec![stage("only", Input::None, 6)]);
    let job = network.submit(&contract);
    let busy = |network: &Network| (1..=4).find(|n| network.chain.node(*n).busy > 0);
    while busy(&network).is_none() {
        network.block(vec![]);
    }
    let leaving = busy(&network).unwrap();
    let drain = network.chain.actions(network.chain.node_account(leaving), [Action::Drain]);
    let drained_at = network.events.len();
    network.block(drain);
    assert_eq!(network.chain.node(leaving).state, NodeState::Draining);
    network.until(job, JobPhase::is_accepted);
    let record = network.chain.node(leaving);
    assert_eq!((record.state, record.busy), (NodeState::Draining, 0), "its work can still be disputed");
    assert!(!record.locked.is_zero());
    let drawn_later = network.events[drained_at..].iter().any(|event| match event {
        Event::ShardDrawn { drawn, .. } => drawn.iter().any(|drawn| drawn.node.0 == leaving),
        _ => false,
    });
    // Draws of the very block that took the message come after it.
    assert!(!drawn_later, "it was drawn again");
    network.finish(job);
    let record = network.chain.node(leaving);
    assert_eq!((record.state, record.stake), (NodeState::Left, Amount::ZERO));
    assert!(network.pay()[&NodeId(leaving)] > 0);
}
