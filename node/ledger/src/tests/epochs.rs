//! Validators: participation, missed proposals, elections.

use crate::{Effects, overlay::Overlay, testing::*, validators};
use valo_protocol::{
    Height, Parameters, PublicKey,
    encoding::Varint,
    event::Event,
    params::Preset,
    registry::{NodeId, NodeState},
    state::{NodeRecord, ValidatorRecord},
    time::{Duration, Round},
};

fn record(chain: &TestChain, key: &PublicKey) -> ValidatorRecord {
    chain.view().validators().unwrap().into_iter().map(|(_, record)| record).find(|record| record.key == *key).unwrap()
}

fn missed(effects: &Effects) -> Vec<(PublicKey, u32, Height)> {
    let missed = effects.events.iter().filter_map(|event| match event {
        Event::ProposalMissed { validator, misses, skipped_until } => Some((*validator, *misses, *skipped_until)),
        _ => None,
    });
    missed.collect()
}

#[test]
fn who_signed_is_counted_from_the_next_block() {
    let mut chain = TestChain::new(&Setup::default());
    let silent = node_key(2).public();
    chain.block(vec![]);
    chain.silent.push(silent);
    for _ in 0..3 {
        chain.block(vec![]);
    }
    for n in 0..4 {
        let key = node_key(n).public();
        let signed = if key == silent { 0 } else { 3 };
        let record = record(&chain, &key);
        assert_eq!((record.blocks, record.signed), (Varint(3), Varint(signed)), "validator {n}");
    }
}

#[test]
fn a_missed_proposal_is_skipped_for_twice_as_long_each_time() {
    let mut chain = TestChain::new(&Setup { validators: vec![1000, 1, 1, 1], ..Setup::default() });
    // The one with nearly all the power is down: only later rounds succeed.
    let down = node_key(0).public();
    let mut misses = 0u32;
    for _ in 0..40 {
        let height = chain.ledger.head().height.next();
        let round = (0..).map(Round).find(|round| chain.ledger.proposer(*round).unwrap().key != down).unwrap();
        let is_skipped = chain.ledger.head().skipped.contains(&down);
        if is_skipped {
            assert_eq!(round, Round(0), "passed over while it is skipped");
        }
        let effects = chain.block_at(round, Duration(50), vec![]);
        if round > Round(0) {
            misses += 1;
            assert_eq!(missed(&effects), [(down, misses, Height(height.0 + (1 << misses)))]);
            assert_eq!(record(&chain, &down).misses, misses);
        } else {
            assert_eq!(missed(&effects), []);
        }
    }
    // 2 + 4 + 8 + 16 heights, and a miss before each.
    assert!((3..=5).contains(&misses), "{misses} misses in 40 blocks");
    // It comes back, proposes once, and is trusted again.
    while chain.ledger.proposer(Round(0)).unwrap().key != down {
        chain.block(vec![]);
    }
    chain.block(vec![]);
    let record = record(&chain, &down);
    assert_eq!((record.misses, record.skipped_until), (0, Height(0)));
    assert!(!chain.ledger.head().skipped.contains(&down));
}

#[test]
fn a_height_of_many_rounds_is_judged_and_does_not_stop_the_chain() {
    let mut chain = TestChain::new(&Setup::default());
    let effects = chain.block_at(Round(1000), Duration(50), vec![]);
    assert_eq!(missed(&effects).len(), 3, "everybody but the proposer, once each");
    assert_eq!(chain.ledger.head().skipped.len(), 3);
    // The only one left, then the others: when all would be skipped, none is.
    assert_ne!(chain.ledger.proposer(Round(1)), chain.ledger.proposer(Round(0)));
    chain.block(vec![]);
}

#[test]
fn an_epoch_ends_by_block_time_and_names_the_elected_set() {
    let parameters = Parameters { max_validators: 3, ..Parameters::preset(Preset::Dev) };
    let mut chain = TestChain::new(&Setup { parameters, validators: vec![10, 40, 30, 20], ..Setup::default() });
    let genesis_time = chain.ledger.head().time;
    chain.block_at(Round(0), Duration(9_999), vec![]);
    assert_eq!((chain.ledger.head().epoch, chain.ledger.head().validators.validators().len()), (0, 4));
    let block = chain.draft(Round(0), Duration(1), vec![]);
    assert_eq!(block.header.time, genesis_time.after(Duration(10_000)));
    let named = block.header.next_validators.expect("the last header of an epoch names the next validators");
    let effects = chain.execute(&block);
    let head = chain.ledger.head();
    assert_eq!(head.validators.hash(), named);
    assert_eq!(effects.events, [Event::EpochStarted { epoch: 1, validators: named }]);
    assert_eq!((head.epoch, head.epoch_started), (1, block.header.time));
    // The three of highest power; the set that certifies the block itself is still the old one.
    let mut expected = vec![node_key(1).public(), node_key(2).public(), node_key(3).public()];
    expected.sort();
    assert_eq!(head.validators.validators().iter().map(|validator| validator.key).collect::<Vec<_>>(), expected);
    assert_eq!(head.signers.validators().len(), 4);
    assert_eq!(chain.view().chain().unwrap().validators, named);
    // The block after carries a certificate by the old set, and is proposed by the new one.
    for _ in 0..5 {
        chain.block(vec![]);
        assert_eq!(chain.ledger.head().signers.validators().len(), 3);
    }
    let out = record(&chain, &node_key(0).public());
    assert_eq!(out.blocks, Varint(2), "counted for what it could sign");
    // A header that names a set in mid-epoch, or none at the end, is refused.
    let mut block = chain.draft(Round(0), Duration(50), vec![]);
    block.header.next_validators = Some(named);
    assert!(chain.ledger.check(&block).is_err());
    let mut block = chain.draft(Round(0), Duration(20_000), vec![]);
    assert_eq!(block.header.next_validators.take(), Some(named), "the same set goes on");
    assert!(chain.ledger.check(&block).is_err());
}

#[test]
fn elections_follow_stake_and_state() {
    let chain = TestChain::new(&Setup { validators: vec![10, 40, 30, 20], ..Setup::default() });
    let params = chain.ledger.params().clone();
    let mut state = Overlay::new(chain.ledger.store());
    let mut change = |n: u32, change: fn(&mut NodeRecord)| {
        let mut node: NodeRecord = state.expect_row(u64::from(n)).unwrap();
        change(&mut node);
        state.set_row(u64::from(n), &node);
        validators::elect(&state, &params).unwrap()
    };
    let elected = change(1, |node| node.state = NodeState::Jailed).unwrap();
    assert_eq!(elected.get(&node_key(1).public()), None);
    assert_eq!(elected.total_power(), 60);
    let elected = change(2, |node| node.stake = valo(77)).unwrap();
    assert_eq!(elected.get(&node_key(2).public()).unwrap().power, 77);
    let elected = change(0, |node| node.stake = valo(0)).unwrap();
    assert_eq!(elected.validators().len(), 2);
    change(2, |node| node.state = NodeState::Left);
    assert_eq!(change(3, |node| node.state = NodeState::Draining), None, "nobody is left: the present set goes on");
    assert_eq!(chain.view().node(NodeId(0)).unwrap().unwrap().stake, valo(10), "the ledger itself is untouched");
}
