//! Joining and leaving: what owners, nodes and the chain would notice.

mod faults;
mod leaving;
mod random;
mod refusals;

use crate::testing::*;
use valo_protocol::{
    Action, Amount,
    event::Event,
    receipt::{Made, Outcome, Reason},
    registry::{NodeId, NodeRole, NodeState, TierId},
    time::{Duration, Round},
};

/// The first node beyond those of [`setup`], which are four validators and two workers.
const NEW: u32 = 6;
const WORKER: NodeRole = NodeRole::Worker { tier: TierId(0), slots: 2 };

fn setup() -> Setup {
    Setup {
        tiers: vec![wasm_tier("small")],
        workers: vec![(TierId(0), 1), (TierId(0), 1)],
        accounts: 10,
        ..Setup::default()
    }
}

fn chain() -> TestChain {
    TestChain::new(&setup())
}

/// Registers node [`NEW`] for account 7; its id.
fn join(chain: &mut TestChain, role: NodeRole, stake: u64) -> NodeId {
    let grant = chain.grant(7, NEW, role, valo(stake));
    match chain.one(account(7), Action::RegisterNode { grant }) {
        Outcome::Done(Made::Node(node)) => node,
        other => panic!("not registered: {other:?}"),
    }
}

fn state(chain: &TestChain, node: NodeId) -> NodeState {
    chain.node(node.0).state
}

fn failed(outcome: Outcome) -> Reason {
    match outcome {
        Outcome::Failed(reason) => reason,
        done => panic!("it did not fail: {done:?}"),
    }
}

#[test]
fn a_worker_joins_with_money_of_anybody_and_works_when_it_says_so() {
    let mut chain = chain();
    let (owner, payer) = (chain.balance(account(7)), chain.balance(account(8)));
    let grant = chain.grant(7, NEW, WORKER, valo(200));
    let transactions = chain.actions(account(8), [Action::RegisterNode { grant }]);
    let effects = chain.block(transactions);
    assert_eq!(effects.receipts[0].outcome, Outcome::Done(Made::Node(NodeId(NEW))));
    let spent = [valo(200), chain.ledger.params().account_fee, effects.receipts[0].fee];
    let spent = spent.into_iter().try_fold(Amount::ZERO, Amount::checked_add).unwrap();
    assert_eq!(chain.balance(account(8)), payer.checked_sub(spent).unwrap());
    assert_eq!(chain.balance(account(7)), owner, "the owner pays nothing");

    let record = chain.node(NEW);
    assert_eq!((record.state, record.owner, record.stake), (NodeState::Joining, account(7), valo(200)));
    assert_eq!(chain.view().node_by_key(&node_key(NEW).public()).unwrap().unwrap().0, NodeId(NEW));
    chain.next_epoch();
    assert_eq!(chain.node(NEW).state, NodeState::Joining, "it has said nothing yet");

    let own = chain.node_account(NEW);
    assert_eq!(chain.balance(own), Amount::ZERO);
    assert_eq!(chain.one(own, Action::Return), Outcome::Done(Made::Nothing), "free of charge");
    assert_eq!(chain.node(NEW).state, NodeState::Active);
}

#[test]
fn a_validator_joins_at_the_epoch_after_it_is_ready() {
    let mut chain = chain();
    let key = node_key(NEW).public();
    let node = join(&mut chain, NodeRole::Validator, 20);
    chain.next_epoch();
    assert_eq!(chain.ledger.head().validators.get(&key), None, "power that is not there would stop the chain");
    chain.one(chain.node_account(NEW), Action::Return);
    assert_eq!(state(&chain, node), NodeState::Joining);

    let epoch = chain.ledger.params().epoch;
    let block = chain.draft(Round(0), epoch, vec![]);
    let effects = chain.execute(&block);
    assert_eq!(block.header.next_validators, Some(chain.ledger.head().validators.hash()));
    assert_eq!(chain.ledger.head().validators.get(&key).map(|member| member.power), Some(20));
    assert_eq!(chain.ledger.head().signers.get(&key), None, "the old set certifies the last block of its epoch");
    let moved = Event::NodeStateChanged { node, owner: account(7), state: NodeState::Active };
    assert!(effects.events.contains(&moved));
    // From here on it proposes and signs like any other.
    let proposed = (0..60).filter(|_| {
        let proposer = chain.ledger.proposer(Round(0)).unwrap().key;
        chain.block(vec![]);
        proposer == key
    });
    assert!(proposed.count() > 5);
    let record = chain.view().validators().unwrap().into_iter().find(|(_, record)| record.key == key).unwrap().1;
    assert_eq!((record.blocks, record.signed), (59.into(), 59.into()));
}

#[test]
fn only_the_strongest_are_elected() {
    let mut chain = TestChain::new(&Setup {
        parameters: valo_protocol::Parameters { max_validators: 4, ..setup().parameters },
        ..setup()
    });
    let node = join(&mut chain, NodeRole::Validator, 5);
    chain.one(chain.node_account(NEW), Action::Return);
    chain.next_epoch();
    assert_eq!(state(&chain, node), NodeState::Joining, "too weak");
    assert_eq!(chain.one(account(8), Action::Bond { node, amount: valo(10) }), Outcome::Done(Made::Nothing));
    chain.next_epoch();
    assert_eq!(state(&chain, node), NodeState::Active);
    let head = chain.ledger.head();
    assert_eq!((head.validators.validators().len(), head.validators.total_power()), (4, 45));
}

#[test]
fn slots_follow_stake() {
    let mut chain = chain();
    let node = join(&mut chain, WORKER, 200);
    let update = |slots| Action::UpdateNode { node, slots: Some(slots), endpoints: None };
    let low = Reason::StakeTooLow { stake: valo(200), needed: valo(300) };
    assert_eq!(failed(chain.one(account(7), update(3))), low);
    chain.one(account(7), Action::Bond { node, amount: valo(100) });
    assert_eq!(chain.one(account(7), update(3)), Outcome::Done(Made::Nothing));
    let unbond = Action::Unbond { node, amount: valo(100) };
    assert_eq!(failed(chain.one(account(7), unbond.clone())), Reason::StakeInUse { available: Amount::ZERO });
    chain.one(account(7), update(1));
    assert_eq!(chain.one(account(7), unbond), Outcome::Done(Made::Nothing));
    let record = chain.node(node.0);
    assert_eq!((record.stake, record.unbonding[0].amount), (valo(200), valo(100)));
    assert_eq!(record.role, NodeRole::Worker { tier: TierId(0), slots: 1 });
}

#[test]
fn unbonded_stake_is_slashable_till_it_is_paid_and_can_be_put_back() {
    let mut chain = chain();
    let node = join(&mut chain, NodeRole::Validator, 50);
    chain.one(account(7), Action::Unbond { node, amount: valo(30) });
    let before = chain.balance(account(7));
    let until = chain.node(node.0).unbonding[0].until;
    assert_eq!(until, chain.ledger.head().time.after(chain.ledger.params().unbonding));
    assert_eq!(chain.view().supply().unwrap().unbonding, valo(30));

    let too_much = Action::Rebond { node, amount: valo(31) };
    assert_eq!(failed(chain.one(account(7), too_much)), Reason::NotUnbonding { available: valo(30) });
    chain.one(account(7), Action::Rebond { node, amount: valo(10) });
    assert_eq!((chain.node(node.0).stake, chain.node(node.0).unbonding[0].amount), (valo(30), valo(20)));

    // The block is due at the moment, and pays.
    let wait = until.since(chain.ledger.head().time);
    chain.block_at(Round(0), Duration(wait.0 - 1), vec![]);
    assert_eq!(chain.node(node.0).unbonding.len(), 1);
    let paid = chain.block_at(Round(0), Duration(1), vec![]);
    assert!(paid.events.contains(&Event::StakePaid { node, owner: account(7), amount: valo(20) }));
    assert!(chain.balance(account(7)) > before);
    assert_eq!(chain.node(node.0).unbonding.len(), 0);
    assert_eq!(chain.view().supply().unwrap().unbonding, Amount::ZERO);
}
