//! Everything that is refused, with its reason.

use super::*;
use valo_protocol::{
    bytes::BoundedVec,
    receipt::Invalid,
    registry::{Admission, Tier},
};

fn register(chain: &mut TestChain, change: impl FnOnce(&mut valo_protocol::Grant)) -> Reason {
    let mut grant = chain.grant(7, NEW, WORKER, valo(200)).grant;
    change(&mut grant);
    let grant = grant.sign(&chain.ledger.genesis_hash(), &account_key(7));
    failed(chain.one(account(8), Action::RegisterNode { grant }))
}

#[test]
fn a_grant_must_hold() {
    let closed = Admission::Owners(BoundedVec::new(vec![account(1)]).unwrap());
    let closed = Tier { admission: closed, ..wasm_tier("closed") };
    let mut chain = TestChain::new(&Setup { tiers: vec![wasm_tier("small"), closed], ..setup() });
    let now = chain.ledger.head().time;
    let other = account(6);
    assert_eq!(register(&mut chain, |grant| grant.owner = other), Reason::GrantSignature(other));
    let nobody = account(4_000);
    assert_eq!(register(&mut chain, |grant| grant.owner = nobody), Reason::NoAccount(nobody));
    let reason = register(&mut chain, |grant| grant.expires = now);
    assert!(matches!(reason, Reason::GrantExpired { expired, .. } if expired == now));
    assert_eq!(register(&mut chain, |grant| grant.node = Default::default()), Reason::UnusableKey);
    let taken = node_key(4).public();
    assert_eq!(register(&mut chain, |grant| grant.node = taken), Reason::AlreadyANode(NodeId(4)));
    let role = |tier, slots| NodeRole::Worker { tier: TierId(tier), slots };
    assert_eq!(register(&mut chain, |grant| grant.role = role(0, 0)), Reason::Slots);
    assert_eq!(register(&mut chain, |grant| grant.role = role(9, 1)), Reason::NoTierNumber(TierId(9)));
    let closed = Reason::NotAdmitted { tier: TierId(1), owner: account(7) };
    assert_eq!(register(&mut chain, |grant| grant.role = role(1, 1)), closed);
    let low = Reason::StakeTooLow { stake: valo(200), needed: valo(300) };
    assert_eq!(register(&mut chain, |grant| grant.role = role(0, 3)), low);
    let reason = register(&mut chain, |grant| grant.stake = valo(100_000));
    assert!(matches!(reason, Reason::InsufficientBalance { .. }));
    // A grant for another chain.
    let grant = chain.grant(7, NEW, WORKER, valo(200)).grant;
    let grant = grant.sign(&valo_protocol::GenesisHash([9; 32]), &account_key(7));
    assert_eq!(failed(chain.one(account(7), Action::RegisterNode { grant })), Reason::GrantSignature(account(7)));
    assert_eq!(chain.view().node_by_key(&node_key(NEW).public()).unwrap(), None);
}

#[test]
fn only_its_owner_disposes_of_a_node() {
    let mut chain = chain();
    let node = join(&mut chain, WORKER, 200);
    let amount = valo(1);
    let update = Action::UpdateNode { node, slots: Some(1), endpoints: None };
    let of_owner = [
        update,
        Action::RemoveNode { node },
        Action::ResumeNode { node },
        Action::Unbond { node, amount },
        Action::Rebond { node, amount },
    ];
    for action in of_owner {
        assert_eq!(failed(chain.one(account(8), action)), Reason::NotYourNode(node));
    }
    let nobody = NodeId(99);
    let of_nobody = [
        Action::UpdateNode { node: nobody, slots: None, endpoints: None },
        Action::RemoveNode { node: nobody },
        Action::ResumeNode { node: nobody },
        Action::Bond { node: nobody, amount },
        Action::Unbond { node: nobody, amount },
        Action::Rebond { node: nobody, amount },
    ];
    for action in of_nobody {
        assert_eq!(failed(chain.one(account(7), action)), Reason::NoNode(nobody));
    }
    for action in [Action::Bond { node, amount: Amount::ZERO }, Action::Unbond { node, amount: Amount::ZERO }] {
        assert_eq!(failed(chain.one(account(7), action)), Reason::NoAmount);
    }
    let validator = Action::UpdateNode { node: NodeId(0), slots: Some(1), endpoints: None };
    assert_eq!(failed(chain.one(account(0), validator)), Reason::Slots, "a validator has none");
    assert_eq!(failed(chain.one(account(7), Action::ResumeNode { node })), Reason::NodeIs(NodeState::Joining));
}

#[test]
fn messages_of_nodes_are_valid_once_and_only_from_nodes() {
    let mut chain = chain();
    join(&mut chain, WORKER, 200);
    let own = chain.node_account(NEW);
    let invalid = |chain: &TestChain, sender, action| {
        let signed = chain.sign(chain.transaction(sender, 0, action));
        let size = signed.to_bytes().len();
        chain.ledger.validity(&signed, size).unwrap().err()
    };
    assert_eq!(invalid(&chain, account(7), Action::Drain), Some(Invalid::NotANode(account(7))));
    assert_eq!(invalid(&chain, own, Action::Return), None);
    chain.one(own, Action::Return);
    assert_eq!(invalid(&chain, own, Action::Return), Some(Invalid::NotAbsent));
    assert_eq!(invalid(&chain, own, Action::Drain), None);
    // Twice in a block: the second is no part of it.
    let twice = chain.actions(own, [Action::Drain, Action::Drain]);
    let effects = chain.block_at(Round(0), Duration(50), twice);
    assert_eq!(effects.receipts.len(), 1);
    let left = Some(Invalid::CannotDrain(Box::new(Reason::NodeIs(NodeState::Left))));
    assert_eq!(invalid(&chain, own, Action::Drain), left);
}

#[test]
fn the_chain_keeps_a_quorum_of_validators_that_are_alive() {
    let mut chain = TestChain::new(&Setup { validators: vec![10, 10, 10, 10], ..setup() });
    // One of four is down: its turn was missed.
    let down = (0..4).find(|n| chain.ledger.proposer(Round(0)).unwrap().key == node_key(*n).public()).unwrap();
    chain.block_at(Round(1), Duration(50), vec![]);
    let others: Vec<u32> = (0..4).filter(|n| *n != down).collect();
    let remove = |n: u32| Action::RemoveNode { node: NodeId(n) };
    let reason = failed(chain.one(account(others[0].into()), remove(others[0])));
    assert_eq!(reason, Reason::QuorumAtRisk { alive: 20, total: 30 });
    let own = chain.node_account(others[0]);
    let signed = chain.sign(chain.transaction(own, 0, Action::Drain));
    let refused = Invalid::CannotDrain(Box::new(reason));
    assert_eq!(chain.ledger.validity(&signed, 100).unwrap(), Err(refused), "the free way is no way either");
    assert_eq!(chain.one(account(down.into()), remove(down)), Outcome::Done(Made::Nothing));
}

#[test]
fn the_last_validator_stays() {
    let mut chain = TestChain::new(&Setup { validators: vec![10], ..Setup::default() });
    let remove = Action::RemoveNode { node: NodeId(0) };
    assert_eq!(failed(chain.one(account(0), remove)), Reason::LastValidator);
    let unbond = |amount| Action::Unbond { node: NodeId(0), amount: valo(amount) };
    assert_eq!(failed(chain.one(account(0), unbond(10))), Reason::StakeInUse { available: valo(9) });
    assert_eq!(chain.one(account(0), unbond(9)), Outcome::Done(Made::Nothing));
}

#[test]
fn a_node_that_proves_no_more_than_its_place_updates_its_addresses_only() {
    let mut chain = chain();
    let node = join(&mut chain, WORKER, 200);
    let own = chain.node_account(NEW);
    chain.one(account(7), Action::Transfer { to: own, amount: valo(1) });
    let endpoint = valo_protocol::bytes::BoundedString::new("203.0.113.4:7000").unwrap();
    let endpoints = BoundedVec::new(vec![endpoint]).unwrap();
    let update = Action::UpdateNode { node, slots: None, endpoints: Some(endpoints.clone()) };
    assert_eq!(chain.one(own, update), Outcome::Done(Made::Nothing));
    assert_eq!(chain.node(node.0).endpoints, endpoints);
    let update = Action::UpdateNode { node, slots: Some(1), endpoints: None };
    assert_eq!(failed(chain.one(own, update)), Reason::NotYourNode(node));
}

#[test]
fn so_many_parts_unbond_at_a_time() {
    let mut chain = chain();
    let node = join(&mut chain, NodeRole::Validator, 50);
    for _ in 0..15 {
        assert_eq!(chain.one(account(7), Action::Unbond { node, amount: valo(1) }), Outcome::Done(Made::Nothing));
    }
    let unbond = Action::Unbond { node, amount: valo(1) };
    assert_eq!(failed(chain.one(account(7), unbond)), Reason::TooManyUnbondings);
    // There is still room for the rest, so the node can leave.
    assert_eq!(chain.one(account(7), Action::RemoveNode { node }), Outcome::Done(Made::Nothing));
    assert_eq!((state(&chain, node), chain.node(node.0).unbonding.len()), (NodeState::Left, 16));
}
