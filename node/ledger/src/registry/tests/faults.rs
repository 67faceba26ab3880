//! What faults of validators cost, that they cost it once, and the way back.

use super::*;
use valo_protocol::{
    Height,
    event::Offence,
    receipt::{BadEvidence, Invalid},
    vote::Evidence,
};

/// Why the next block would not have a message of the protocol, if it would not.
fn invalid(chain: &TestChain, sender: u64, action: Action) -> Option<Invalid> {
    let signed = chain.actions(account(sender), [action]).remove(0);
    let size = signed.to_bytes().len();
    chain.ledger.validity(&signed, size).unwrap().err()
}

fn refused(chain: &TestChain, evidence: Evidence) -> Option<BadEvidence> {
    match invalid(chain, 9, Action::SubmitEvidence { evidence: Box::new(evidence) })? {
        Invalid::BadEvidence(reason) => Some(reason),
        other => panic!("{other}"),
    }
}

/// Blocks a second apart, in which a validator does not sign.
fn silent_for(chain: &mut TestChain, n: u32, seconds: u64) -> Vec<Event> {
    chain.silent = vec![node_key(n).public()];
    let events = (0..seconds).flat_map(|_| chain.block_at(Round(0), Duration(1_000), vec![]).events).collect();
    chain.silent.clear();
    events
}

#[test]
fn who_signs_twice_loses_a_twentieth_and_never_comes_back() {
    for by_transaction in [true, false] {
        let mut chain = chain();
        let key = node_key(2).public();
        chain.one(account(2), Action::Bond { node: NodeId(2), amount: valo(30) });
        chain.one(account(2), Action::Unbond { node: NodeId(2), amount: valo(20) });
        let (before, proof) = (*chain.ledger.view().supply().as_ref().unwrap(), chain.double_sign(2, Height(2)));
        let events = if by_transaction {
            let sent = chain.actions(account(9), [Action::SubmitEvidence { evidence: Box::new(proof.clone()) }]);
            let effects = chain.block(sent);
            assert_eq!(effects.receipts[0].outcome, Outcome::Done(Made::Node(NodeId(2))));
            assert_eq!(effects.receipts[0].fee, Amount::ZERO);
            effects.events
        } else {
            chain.evidence = vec![proof.clone()];
            chain.block(vec![]).events
        };
        // 5 % of the 20 VALO bonded and of the 20 VALO unbonding.
        let offence = Offence::DoubleSign { height: Height(2) };
        let punished = Event::Punished { node: NodeId(2), owner: account(2), amount: valo(2), offence };
        assert!(events.contains(&punished), "{events:?}");
        let record = chain.node(2);
        assert_eq!(
            (record.state, record.stake, record.unbonding[0].amount),
            (NodeState::Tombstoned, valo(19), valo(19))
        );
        let after = chain.view().supply().unwrap();
        assert_eq!(after.rewards.checked_sub(before.rewards), Some(valo(2)), "into the pool, and nowhere else");

        // Once, however often it is told, and whatever else it signed twice.
        assert_eq!(refused(&chain, proof), Some(BadEvidence::AlreadyPunished(key)));
        assert_eq!(refused(&chain, chain.double_sign(2, Height(3))), Some(BadEvidence::AlreadyPunished(key)));
        chain.block(vec![]);
        assert_eq!(chain.node(2).stake, valo(19));

        // It keeps its power until the epoch ends, but proposes no more.
        assert!(chain.ledger.head().validators.get(&key).is_some());
        assert!(chain.ledger.head().skipped.contains(&key));
        let own = chain.node_account(2);
        for (sender, action) in [
            (account(2), Action::Bond { node: NodeId(2), amount: valo(1) }),
            (account(2), Action::Unbond { node: NodeId(2), amount: valo(1) }),
            (account(2), Action::Rebond { node: NodeId(2), amount: valo(1) }),
            (account(2), Action::RemoveNode { node: NodeId(2) }),
            (account(2), Action::ResumeNode { node: NodeId(2) }),
        ] {
            assert_eq!(failed(chain.one(sender, action)), Reason::NodeIs(NodeState::Tombstoned));
        }
        for action in [Action::Return, Action::Drain, Action::Unjail] {
            assert!(invalid(&chain, own.index(), action).is_some());
        }

        // Then it goes, and what is left of its stake is paid; its key stays out.
        chain.next_epoch();
        assert_eq!(chain.ledger.head().validators.get(&key), None);
        chain.block(vec![]);
        chain.block(vec![]);
        let record = chain.node(2);
        assert_eq!((record.state, record.stake, record.validator), (NodeState::Tombstoned, Amount::ZERO, None));
        let unbonding = chain.ledger.params().unbonding;
        let before = chain.balance(account(2));
        chain.block_at(Round(0), unbonding, vec![]);
        assert_eq!(chain.balance(account(2)), before.checked_add(valo(38)).unwrap());
        let grant = chain.grant(2, 2, NodeRole::Validator, valo(10));
        assert_eq!(failed(chain.one(account(2), Action::RegisterNode { grant })), Reason::AlreadyANode(NodeId(2)));
    }
}

#[test]
fn evidence_counts_once_in_a_block_too() {
    let mut chain = chain();
    chain.block(vec![]);
    let proofs = [chain.double_sign(1, Height(1)), chain.double_sign(1, Height(2))];
    // One carried by the block, one sent with it.
    chain.evidence = vec![proofs[0].clone()];
    let sent = chain.actions(account(9), [Action::SubmitEvidence { evidence: Box::new(proofs[1].clone()) }]);
    let effects = chain.block(sent);
    let reason = Reason::BadEvidence(BadEvidence::AlreadyPunished(node_key(1).public()));
    assert_eq!(effects.receipts[0].outcome, Outcome::Failed(reason));
    assert_eq!(chain.node(1).stake, Amount::from_units(9_500_000_000));

    // A block that accuses twice is none.
    let again = [chain.double_sign(0, Height(1)), chain.double_sign(0, Height(2))];
    chain.evidence = again.to_vec();
    let mut block = chain.draft(Round(0), Duration(50), vec![]);
    assert_eq!(block.evidence.len(), 1, "a proposer names each once");
    block.evidence = valo_protocol::bytes::BoundedVec::new(again.to_vec()).unwrap();
    block.header.evidence = valo_protocol::block::evidence_root(&block.evidence);
    let twice = crate::BlockError::Evidence(BadEvidence::Twice(node_key(0).public()));
    assert_eq!(chain.ledger.check(&block), Err(twice));
    // Two accusers by transaction: the second one waits, and then it is too late.
    chain.evidence.clear();
    let mut sent = chain.actions(account(8), [Action::SubmitEvidence { evidence: Box::new(again[0].clone()) }]);
    sent.extend(chain.actions(account(9), [Action::SubmitEvidence { evidence: Box::new(again[1].clone()) }]));
    let effects = chain.block_at(Round(0), Duration(50), sent);
    assert_eq!(effects.receipts.len(), 1);
}

#[test]
fn evidence_that_proves_nothing_is_refused_with_the_reason() {
    let mut chain = chain();
    chain.block(vec![]);
    let good = chain.double_sign(1, Height(1));
    let Evidence::Votes { first, second } = good.clone() else { panic!("votes") };
    let with = |change: &dyn Fn(&mut Evidence)| {
        let mut evidence = good.clone();
        change(&mut evidence);
        refused(&chain, evidence)
    };
    assert_eq!(with(&|_| {}), None);
    let votes = |first, second| Evidence::Votes { first, second };
    assert_eq!(refused(&chain, votes(first.clone(), first.clone())), Some(BadEvidence::NoProof), "the same twice");
    let unsigned = (second.0.clone(), first.1);
    assert_eq!(refused(&chain, votes(first.clone(), unsigned)), Some(BadEvidence::NoProof), "one is not signed");
    let Evidence::Votes { first: later, .. } = chain.double_sign(1, Height(2)) else { panic!("votes") };
    assert_eq!(refused(&chain, votes(first, later)), Some(BadEvidence::NoProof), "two heights");
    let worker = node_key(4).public();
    assert_eq!(refused(&chain, chain.double_sign(4, Height(1))), Some(BadEvidence::NoValidator(worker)));
    let stranger = node_key(11).public();
    assert_eq!(refused(&chain, chain.double_sign(11, Height(1))), Some(BadEvidence::NoValidator(stranger)));
    assert_eq!(refused(&chain, chain.double_sign(1, Height(9))), Some(BadEvidence::Early(Height(9))));
    // As long as the stake of then answers for it, and no longer.
    let unbonding = chain.ledger.params().unbonding;
    chain.block_at(Round(0), Duration(unbonding.0 - 1), vec![]);
    assert_eq!(refused(&chain, good.clone()), None);
    chain.block_at(Round(0), unbonding, vec![]);
    chain.block(vec![]);
    assert_eq!(refused(&chain, good), Some(BadEvidence::Late(Height(1))));
}

#[test]
fn who_is_away_for_most_of_the_window_is_jailed_and_comes_back() {
    let mut chain = chain();
    let (node, key, own) = (NodeId(3), node_key(3).public(), chain.node_account(3));
    let window = chain.ledger.params().downtime_window.0 / 1000;
    // Half a minute of a window of two costs nobody anything, wherever it falls.
    for _ in 0..4 {
        assert!(!silent_for(&mut chain, 3, 30).iter().any(|event| matches!(event, Event::Punished { .. })));
        assert!(!silent_for(&mut chain, 0, 0).iter().any(|event| matches!(event, Event::Punished { .. })));
        for _ in 0..window {
            chain.block_at(Round(0), Duration(1_000), vec![]);
        }
    }
    assert_eq!(chain.node(3).state, NodeState::Active);

    let events = silent_for(&mut chain, 3, window * 2);
    let punished = events.iter().find_map(|event| match event {
        Event::Punished { node: NodeId(3), amount, offence: Offence::Downtime { expected, signed }, .. } => {
            Some((*amount, *expected, *signed))
        }
        Event::Punished { node, .. } => panic!("node {node} was there"),
        _ => None,
    });
    let (amount, expected, signed) = punished.expect("it is jailed");
    assert_eq!(amount, Amount::from_units(10_000_000), "a thousandth");
    assert!(signed * 2 < expected && expected <= window * 1000, "{signed} of {expected} ms");
    let record = chain.node(3);
    assert_eq!(record.state, NodeState::Jailed);
    assert_eq!(chain.ledger.head().validators.get(&key), None, "an epoch has begun since");
    let times = events.iter().filter(|event| matches!(event, Event::Punished { .. })).count();
    assert_eq!(times, 1, "jailed, it is not punished for being away");

    // It may ask when its time is over; once, and it is there at the next epoch.
    let now = chain.ledger.head().time;
    if record.jailed_until > now {
        let until = Invalid::CannotUnjail(Box::new(Reason::JailedUntil { until: record.jailed_until, now }));
        assert_eq!(invalid(&chain, own.index(), Action::Unjail), Some(until));
        chain.block_at(Round(0), record.jailed_until.since(now), vec![]);
    }
    assert_eq!(chain.one(own, Action::Unjail), Outcome::Done(Made::Node(node)));
    assert_eq!(chain.node(3).state, NodeState::Joining);
    assert!(!chain.ledger.head().skipped.contains(&key));
    chain.next_epoch();
    assert_eq!(chain.node(3).state, NodeState::Active);
    assert!(chain.ledger.head().validators.get(&key).is_some());
}

#[test]
fn jail_keeps_out_at_once_and_is_not_shortened_by_leaving() {
    let mut chain = TestChain::new(&Setup {
        parameters: valo_protocol::Parameters {
            // So long that nothing changes by itself.
            epoch: Duration(3_600_000),
            jail: Duration(600_000),
            ..setup().parameters
        },
        ..setup()
    });
    let key = node_key(3).public();
    silent_for(&mut chain, 3, 200);
    assert_eq!(chain.node(3).state, NodeState::Jailed);
    let head = chain.ledger.head();
    assert!(head.validators.get(&key).is_some() && head.skipped.contains(&key), "it votes, and proposes no more");
    for action in [
        Action::Unbond { node: NodeId(3), amount: valo(1) },
        Action::ResumeNode { node: NodeId(3) },
        Action::UpdateNode { node: NodeId(3), slots: None, endpoints: Some(Default::default()) },
    ] {
        assert_eq!(failed(chain.one(account(3), action)), Reason::NodeIs(NodeState::Jailed));
    }
    assert_eq!(chain.one(account(3), Action::RemoveNode { node: NodeId(3) }), Outcome::Done(Made::Nothing));
    assert_eq!(chain.one(account(3), Action::ResumeNode { node: NodeId(3) }), Outcome::Done(Made::Nothing));
    assert_eq!(chain.node(3).state, NodeState::Jailed);
    // Out of jail before the epoch ends it is in the set as before.
    let own = chain.node_account(3);
    let wait = chain.node(3).jailed_until.since(chain.ledger.head().time);
    chain.block_at(Round(0), wait, vec![]);
    chain.one(own, Action::Unjail);
    assert_eq!(chain.node(3).state, NodeState::Active);
    assert!(!chain.ledger.head().skipped.contains(&key));
}

#[test]
fn missed_proposals_count_and_pauses_of_the_chain_do_not() {
    // Whoever should propose never does, though it signs; the next ones do it for it.
    let mut chain = chain();
    let watched = (0..400).flat_map(|_| {
        let lazy = node_key(1).public();
        let is_its_turn = chain.ledger.proposer(Round(0)).is_some_and(|validator| validator.key == lazy);
        let mut round = Round(u32::from(is_its_turn));
        while chain.ledger.proposer(round).is_some_and(|validator| validator.key == lazy) {
            round = Round(round.0 + 1);
        }
        chain.block_at(round, Duration(1_000), vec![]).events
    });
    let is_punished = |event: &Event| matches!(event, Event::Punished { .. });
    assert!(!watched.collect::<Vec<_>>().iter().any(is_punished), "one in four is not half");

    // All were down together: nobody signed the step, and it counts for no more than the longest that is no pause.
    let mut chain = TestChain::new(&setup());
    for _ in 0..100 {
        chain.block_at(Round(0), Duration(3_600_000), vec![]);
    }
    silent_for(&mut chain, 2, 20);
    let events: Vec<Event> =
        (0..20).flat_map(|_| chain.block_at(Round(0), Duration(3_600_000), vec![]).events).collect();
    assert!(!events.iter().any(is_punished), "{events:?}");
}
