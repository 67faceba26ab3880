//! Blocks, receipts, events, proposals and evidence come back as they were written.

use valo_ledger::{Store, Table};
use valo_protocol::{
    Height, Round, Signature,
    bytes::BoundedVec,
    event::Event,
    job::JobId,
    vote::{CommitSignature, Evidence, Proposal, Vote, VoteKind},
};

use super::*;
use crate::{
    chain::ProposedBlock,
    storage::{BlockReader, EventPlace},
};

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let storage = create(&folder.path().join("db"));
    let first = block(1, storage.head().1, 600);
    storage.save_decided(&first, &state_of(1)).unwrap();
    assert_eq!(storage.head(), (Height(1), first.id));
    assert_eq!(storage.decided(Height(1)).unwrap(), Some((first.block.clone(), first.certificate.clone())));
    assert_eq!(storage.decided(Height(2)).unwrap(), None);
    assert_eq!(storage.block_bytes(Height(1)).unwrap(), Some(first.block.to_bytes()));
    assert_eq!(storage.receipts(Height(1)).unwrap(), first.receipts);
    for receipt in [&first.receipts[0], &first.receipts[255], &first.receipts[256], &first.receipts[599]] {
        assert_eq!(storage.receipt(&receipt.transaction).unwrap().as_ref(), Some(receipt));
    }
    assert_eq!(storage.receipt(&unknown()).unwrap(), None);
    assert_eq!(storage.earliest().unwrap(), Some(Height(1)));
    check_whole(&storage);
}

#[test]
fn events_are_read_from_any_place_on() {
    let folder = tempfile::tempdir().unwrap();
    let storage = create(&folder.path().join("db"));
    let mut all = Vec::new();
    for height in 1..=3 {
        let block = block(height, storage.head().1, 300);
        storage.save_decided(&block, &state_of(height)).unwrap();
        all.extend(
            (0u32..).zip(block.events).map(|(index, event)| (EventPlace { height: Height(height), index }, event)),
        );
    }
    let start = EventPlace { height: Height(0), index: 0 };
    assert_eq!(storage.events(start, usize::MAX).unwrap(), all);
    for from in [0, 1, 255, 256, 299, 300, 700, 899] {
        assert_eq!(storage.events(all[from].0, 40).unwrap(), all[from..].iter().take(40).cloned().collect::<Vec<_>>());
    }
    let about = |job| {
        let about = all.iter().filter(|(_, event): &&(EventPlace, Event)| event.job() == Some(JobId(job)));
        about.cloned().collect::<Vec<_>>()
    };
    assert_eq!(storage.job_events(JobId(1), start, usize::MAX).unwrap(), about(1));
    assert_eq!(storage.job_events(JobId(0), start, usize::MAX).unwrap(), about(0));
    assert_eq!(storage.job_events(JobId(1), about(1)[150].0, 3).unwrap(), about(1)[150..153]);
    assert_eq!(storage.job_events(JobId(2), start, 5).unwrap(), vec![]);
}

#[test]
fn a_snapshot_stays_while_blocks_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let storage = create(&folder.path().join("db"));
    write_next(&storage, 1).unwrap();
    let snapshot = storage.snapshot();
    write_next(&storage, 1).unwrap();
    assert_eq!(snapshot.get(Table::Accounts, &0u64.to_be_bytes()).unwrap(), Some(1u64.to_be_bytes().to_vec()));
    assert_eq!(snapshot.scan(Table::Shards, &[], 1).unwrap()[0].1, 1u64.to_be_bytes());
    assert!(snapshot.block(Height(2)).unwrap().is_none());
    assert_eq!(storage.get(Table::Accounts, &0u64.to_be_bytes()).unwrap(), Some(2u64.to_be_bytes().to_vec()));
}

#[test]
fn blocks_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let storage = create(&folder.path().join("db"));
    write_next(&storage, 0).unwrap();
    for height in [1, 3] {
        let error = storage.save_decided(&block(height, storage.head().1, 0), &state_of(height)).unwrap_err();
        assert!(error.to_string().contains("cannot be stored after block 1"), "{error}");
    }
    check_whole(&storage);
}

#[test]
fn proposals_stay_until_their_height_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let storage = create(&path);
    let signed = |block: &Block, round| {
        let (height, id) = (block.header.height, block.header.id());
        let proposal = Proposal { height, round: Round(round), block: id, valid_round: None, proposer: someone() };
        (proposal, Signature([0; 64]))
    };
    let proposal = |height, transactions, round| {
        let mut block = block(height, Default::default(), transactions).block;
        // Blocks of one height differ by their time here.
        block.header.time = Timestamp(u64::from(transactions));
        ProposedBlock { id: block.header.id(), proposals: vec![signed(&block, round)], block }
    };
    let (one, two, later) = (proposal(1, 1, 0), proposal(1, 2, 1), proposal(2, 1, 0));
    for proposed in [&one, &two, &later] {
        storage.save_proposed(proposed).unwrap();
    }
    let proposals = vec![signed(&one.block, 0), signed(&one.block, 4)];
    let again = ProposedBlock { proposals, ..one.clone() };
    storage.save_proposed(&again).unwrap();
    drop(storage);
    let storage = open(&path).unwrap();
    let mut expected = vec![again, two];
    expected.sort_by_key(|proposed| proposed.id);
    assert_eq!(storage.proposed(Height(1)).unwrap(), expected);
    write_next(&storage, 0).unwrap();
    assert_eq!(storage.proposed(Height(1)).unwrap(), vec![]);
    assert_eq!(storage.proposed(Height(2)).unwrap(), vec![later]);
}

#[test]
fn a_fuller_certificate_replaces_only_one_for_the_same_block() {
    let folder = tempfile::tempdir().unwrap();
    let storage = create(&folder.path().join("db"));
    write_next(&storage, 0).unwrap();
    let (_, mut certificate) = storage.decided(Height(1)).unwrap().unwrap();
    certificate.signatures =
        BoundedVec::new(vec![CommitSignature { validator: someone(), signature: Signature([3; 64]) }]).unwrap();
    storage.save_certificate(&certificate).unwrap();
    assert_eq!(storage.decided(Height(1)).unwrap().unwrap().1, certificate);
    certificate.block = Default::default();
    assert!(storage.save_certificate(&certificate).is_err());
    certificate.height = Height(2);
    assert!(storage.save_certificate(&certificate).is_err());
}

#[test]
fn evidence_is_kept_once_for_each_culprit_and_height_until_a_block_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = create(&folder.path().join("db"));
    let vote = |height, byte| Vote {
        kind: VoteKind::Prevote,
        height: Height(height),
        round: Round(0),
        block: Some(BlockId([byte; 32])),
        validator: someone(),
    };
    let fault = |height, byte| Evidence::Votes {
        first: (vote(height, byte), Signature([0; 64])),
        second: (vote(height, byte + 1), Signature([0; 64])),
    };
    storage.save_evidence(&[fault(5, 1), fault(4, 1)]).unwrap();
    storage.save_evidence(&[fault(5, 7)]).unwrap();
    assert_eq!(storage.evidence(10).unwrap(), vec![fault(4, 1), fault(5, 1)]);
    assert_eq!(storage.evidence(1).unwrap(), vec![fault(4, 1)]);
    let mut carrying = block(1, storage.head().1, 0);
    carrying.block.evidence = BoundedVec::new(vec![fault(4, 1)]).unwrap();
    storage.save_decided(&carrying, &state_of(1)).unwrap();
    assert_eq!(storage.evidence(10).unwrap(), vec![fault(5, 1)]);
}
