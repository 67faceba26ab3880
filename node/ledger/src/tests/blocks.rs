//! Headers, certificates, the head, and what stops a node.

use super::{transfer, units};
use crate::{BlockError, Due, Ledger, LedgerError, MemoryStore, Store, Table, tables::row_key, testing::*};
use std::sync::Arc;
use valo_protocol::{
    AccountNumber, Block, Hash, Header, Height, Timestamp,
    bytes::BoundedVec,
    encoding::encode,
    hash::BlockId,
    proof::StateTable,
    receipt::BadEvidence,
    time::{Duration, Round},
    vote::{CertificateError, Evidence, Vote, VoteKind},
    vrf,
};

fn chain_at(height: u64) -> TestChain {
    let mut chain = TestChain::new(&Setup::default());
    for _ in 0..height {
        let transactions = chain.actions(account(7), [transfer(6, valo(1))]);
        chain.block(transactions);
    }
    chain
}

fn changed(chain: &TestChain, change: impl FnOnce(&mut Block)) -> BlockError {
    let mut block = chain.draft(Round(0), Duration(50), chain.actions(account(7), [transfer(6, valo(1))]));
    assert_eq!(chain.ledger.check(&block), Ok(()));
    change(&mut block);
    chain.ledger.check(&block).unwrap_err()
}

#[test]
fn every_part_of_a_header_is_checked() {
    let chain = chain_at(2);
    let head = chain.ledger.head();
    let header = |change: fn(&mut Header)| changed(&chain, |block| change(&mut block.header));
    assert_eq!(header(|header| header.version = 2), BlockError::Version(2));
    assert!(matches!(header(|header| header.height = Height(4)), BlockError::Height { .. }));
    assert!(matches!(header(|header| header.height = Height(2)), BlockError::Height { .. }));
    assert!(matches!(header(|header| header.parent = BlockId([1; 32])), BlockError::Parent { .. }));
    assert!(matches!(header(|header| header.proposer.0[0] ^= 1), BlockError::Proposer { .. }));
    assert!(matches!(header(|header| header.state.0[0] ^= 1), BlockError::State { .. }));
    assert!(matches!(
        header(|header| header.next_validators = Some(Hash::default())),
        BlockError::NextValidators { .. }
    ));
    assert_eq!(header(|header| header.transactions.0[0] ^= 1), BlockError::Contents);
    assert_eq!(header(|header| header.last_commit.0[0] ^= 1), BlockError::Contents);
    assert_eq!(header(|header| header.evidence.0[0] ^= 1), BlockError::Contents);
    for byte in [0, 40, 79] {
        let error = changed(&chain, |block| block.header.vrf_proof.0[byte] ^= 1);
        assert!(matches!(error, BlockError::Randomness(_)), "byte {byte} of the proof");
    }
    let time = head.time;
    assert_eq!(changed(&chain, |block| block.header.time = time), BlockError::Time { parent: time, found: time });
    assert_eq!(changed(&chain, |block| block.transactions.clear()), BlockError::Contents);
}

#[test]
fn only_the_proposer_of_the_round_may_propose() {
    let chain = chain_at(1);
    for round in 0..4 {
        let block = chain.draft(Round(round), Duration(50), vec![]);
        assert_eq!(chain.ledger.check(&block), Ok(()), "round {round}");
        let mut other = block.clone();
        other.header.round = Round(round + 1);
        assert!(matches!(chain.ledger.check(&other), Err(BlockError::Proposer { .. })));
    }
}

#[test]
fn evidence_that_proves_nothing_makes_a_block_unacceptable() {
    let vote = Vote {
        kind: VoteKind::Prevote,
        height: Height(1),
        round: Round(0),
        block: None,
        validator: node_key(0).public(),
    };
    let signature = node_key(0).sign(b"");
    let error = changed(&chain_at(1), |block| {
        let evidence = Evidence::Votes { first: (vote.clone(), signature), second: (vote, signature) };
        block.evidence = BoundedVec::new(vec![evidence]).unwrap();
        block.header.evidence = valo_protocol::block::evidence_root(&block.evidence);
    });
    assert_eq!(error, BlockError::Evidence(BadEvidence::NoProof));
}

#[test]
fn the_certificate_must_be_of_the_parent_and_by_its_validators() {
    let chain = chain_at(2);
    let with = |change: &dyn Fn(&mut Block)| {
        changed(&chain, |block| {
            change(block);
            block.header.last_commit = block.last_commit.as_ref().map(|commit| commit.hash()).unwrap_or_default();
        })
    };
    let signatures = |block: &mut Block, keep: &dyn Fn(usize) -> bool, order: bool| {
        let commit = block.last_commit.as_mut().unwrap();
        let mut kept: Vec<_> = commit.signatures.iter().copied().enumerate().filter(|(n, _)| keep(*n)).collect();
        if !order {
            kept.reverse();
        }
        commit.signatures = BoundedVec::new(kept.into_iter().map(|(_, signature)| signature).collect()).unwrap();
    };
    assert_eq!(with(&|block| block.last_commit = None), BlockError::LastCommit("it is missing".into()));
    for error in [
        with(&|block| block.last_commit.as_mut().unwrap().block = BlockId([9; 32])),
        with(&|block| block.last_commit.as_mut().unwrap().height = Height(1)),
        with(&|block| signatures(block, &|_| true, false)),
        with(&|block| signatures(block, &|n| n < 2, true)),
        with(&|block| {
            let commit = block.last_commit.as_mut().unwrap();
            let mut signatures = commit.signatures.to_vec();
            signatures[0].validator.0[0] ^= 1;
            signatures.sort_by_key(|signature| signature.validator);
            commit.signatures = BoundedVec::new(signatures).unwrap();
        }),
    ] {
        assert!(matches!(error, BlockError::LastCommit(_)), "{error}");
    }
    // Three of four are enough, and the signatures themselves are checked apart.
    let mut block = chain.draft(Round(0), Duration(50), vec![]);
    signatures(&mut block, &|n| n > 0, true);
    block.header.last_commit = block.last_commit.as_ref().unwrap().hash();
    assert_eq!(chain.ledger.check(&block), Ok(()));
    assert_eq!(chain.ledger.check_certificate(&block), Ok(()));
    let commit = block.last_commit.as_mut().unwrap();
    let mut forged = commit.signatures.to_vec();
    forged[1].signature.0[3] ^= 1;
    commit.signatures = BoundedVec::new(forged).unwrap();
    assert!(matches!(
        chain.ledger.check_certificate(&block),
        Err(BlockError::Certificate(CertificateError::Signature { .. }))
    ));
    // The first block has none.
    let mut first = TestChain::new(&Setup::default()).draft(Round(0), Duration(50), vec![]);
    assert_eq!(first.last_commit, None);
    first.last_commit = block.last_commit;
    first.header.last_commit = first.last_commit.as_ref().unwrap().hash();
    assert!(matches!(TestChain::new(&Setup::default()).ledger.check(&first), Err(BlockError::LastCommit(_))));
}

#[test]
fn a_draft_is_later_than_its_parent_whatever_the_clock_says() {
    let chain = chain_at(1);
    let block = chain.draft(Round(0), Duration(0), vec![]);
    assert_eq!(block.header.time, chain.ledger.head().time.after(Duration(1)));
    assert_eq!(chain.ledger.check(&block), Ok(()));
}

#[test]
fn randomness_is_chained_and_kept_for_three_heights() {
    let mut chain = TestChain::new(&Setup::default());
    let start = Hash(chain.ledger.genesis_hash().0);
    let mut expected = vec![start];
    for _ in 0..4 {
        let head = chain.ledger.head().clone();
        let block = chain.draft(Round(0), Duration(50), vec![]);
        let input = vrf::input(&head.randomness, head.height.next());
        let output = vrf::verify(&block.header.proposer, &input, &block.header.vrf_proof).unwrap();
        expected.push(vrf::chain(&head.randomness, &output));
        chain.execute(&block);
    }
    let head = chain.ledger.head();
    expected.reverse();
    assert_eq!([head.randomness, head.earlier_randomness[0], head.earlier_randomness[1]], expected[..3]);
    assert_eq!(chain.view().chain().unwrap().randomness, expected[..3]);
}

#[test]
fn a_block_is_due_while_a_root_waits_for_its_header() {
    let mut chain = TestChain::new(&Setup::default());
    assert_eq!(chain.ledger.due(), Due::Now, "the genesis state");
    chain.block(vec![]);
    let idle = |chain: &TestChain| Due::Idle(chain.ledger.head().time.after(chain.ledger.params().idle_interval));
    assert_eq!(chain.ledger.due(), idle(&chain));
    let transactions = chain.actions(account(7), [transfer(6, valo(1))]);
    chain.block(transactions);
    assert_eq!(chain.ledger.due(), Due::Now);
    chain.block(vec![]);
    assert_eq!(chain.ledger.due(), idle(&chain));
    // A failed transaction still moved its fee.
    let transactions = chain.actions(account(7), [transfer(6, valo(10_000))]);
    chain.block(transactions);
    assert_eq!(chain.ledger.due(), Due::Now);
}

#[test]
fn the_next_header_carries_the_root_that_rows_are_proven_against() {
    let mut chain = chain_at(3);
    let proof = chain.ledger.prove(StateTable::Accounts, 6).unwrap().unwrap();
    let root = chain.ledger.state_root();
    assert_eq!(proof.root(), Some(root));
    let block = chain.draft(Round(0), Duration(50), vec![]);
    assert_eq!(block.header.state, root);
    chain.execute(&block);
    assert_ne!(chain.ledger.state_root(), root);
    assert_eq!(chain.ledger.prove(StateTable::Accounts, 1000).unwrap(), None);
}

#[test]
fn money_out_of_nowhere_stops_the_node_with_both_figures() {
    let mut chain = chain_at(1);
    chain.ledger.supply_mut().rewards = units(12_345);
    let block = chain.draft(Round(0), Duration(50), vec![]);
    let Err(LedgerError::Supply { height: Height(2), expected, found }) = chain.ledger.execute(&block) else {
        panic!("a block that makes money must not execute");
    };
    assert_eq!(expected, valo(8_040));
    assert_ne!(found, expected);
}

#[test]
fn what_is_not_this_state_does_not_open() {
    let chain = chain_at(2);
    let genesis = chain.ledger.genesis().clone();
    let store = chain.ledger.store().clone();
    assert_eq!(Ledger::open(genesis.clone(), MemoryStore::default()).unwrap_err(), LedgerError::Empty);
    let other = Arc::new(Setup { accounts: 9, ..Setup::default() }.genesis());
    assert!(matches!(Ledger::open(other, store.clone()), Err(LedgerError::OtherChain { .. })));
    let damage = |row: u64, value: Option<Vec<u8>>| {
        let mut store = store.clone();
        let mut changes = crate::Changes::default();
        changes.insert(Table::Accounts, row_key(row).to_vec(), value);
        store.apply(&changes);
        Ledger::open(genesis.clone(), store).unwrap_err()
    };
    let mut record = chain.view().account(account(6)).unwrap().unwrap();
    record.balance = valo(1_000_000);
    assert!(matches!(damage(6, Some(encode(&record))), LedgerError::Root { .. }), "a changed row");
    assert!(matches!(damage(6, None), LedgerError::Corrupt { .. }), "a missing row");
    assert!(matches!(damage(11, None), LedgerError::Root { .. }), "a missing last row");
}

#[test]
fn a_damaged_row_stops_the_node_and_blames_no_block() {
    let mut chain = chain_at(1);
    let transactions = chain.actions(account(7), [transfer(6, valo(1))]);
    let block = chain.draft(Round(0), Duration(50), transactions);
    let mut changes = crate::Changes::default();
    changes.insert(Table::Accounts, row_key(7).to_vec(), Some(vec![1, 2, 3]));
    chain.ledger.store_mut().apply(&changes);
    let error = chain.ledger.check(&block).unwrap_err();
    assert!(error.is_internal(), "{error}");
    assert!(matches!(chain.ledger.execute(&block), Err(LedgerError::Decode(_))));
}

#[test]
fn effects_are_committed_once_and_in_order() {
    let mut chain = chain_at(1);
    let block = chain.draft(Round(0), Duration(50), vec![]);
    let effects = chain.execute(&block);
    assert!(matches!(chain.ledger.commit(effects), Err(LedgerError::OutOfOrder { .. })));
}

#[test]
fn the_genesis_state_is_as_the_document_says() {
    let setup = Setup { tiers: vec![wasm_tier("small")], workers: vec![(Default::default(), 2)], ..Setup::default() };
    let chain = TestChain::new(&setup);
    let view = chain.view();
    let head = chain.ledger.head();
    assert_eq!((head.height, head.time), (Height(0), Timestamp(1_700_000_000_000)));
    assert_eq!(view.accounts(account(0), 100).unwrap().len(), 8 + 5);
    let (worker, record) = view.node_by_key(&node_key(4).public()).unwrap().unwrap();
    assert_eq!((worker.0, record.stake, record.owner), (4, valo(200), account(4)));
    assert_eq!(record.account, account(12));
    assert_eq!(view.account(record.account).unwrap().unwrap().node, Some(worker));
    assert_eq!(view.tier_by_name("small").unwrap().unwrap().1, wasm_tier("small"));
    assert_eq!(view.tier_by_name("large").unwrap(), None);
    assert_eq!(view.validators().unwrap().len(), 4);
    let supply = view.supply().unwrap();
    assert_eq!((supply.total, supply.balances, supply.bonded), (valo(8_240), valo(8_000), valo(240)));
    chain.audit();
}

#[test]
fn accounts_are_listed_in_pages() {
    let chain = TestChain::new(&Setup::default());
    let view = chain.view();
    let numbers = |from, limit| -> Vec<AccountNumber> {
        view.accounts(account(from), limit).unwrap().into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(numbers(0, 3), [account(0), account(1), account(2)]);
    assert_eq!(numbers(10, 3), [account(10), account(11)]);
    assert!(chain.ledger.store().scan(Table::Accounts, &row_key(12), 1).unwrap().is_empty());
}
