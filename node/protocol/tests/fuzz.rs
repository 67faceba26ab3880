//! Damaged bytes at every decoder of the protocol, and damaged genesis documents: whatever comes is a value or an error,
//! and a value has one encoding only.
//!
//! The good inputs are the golden vectors, and the few kinds that have none are put together here.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use borsh::{BorshDeserialize, BorshSerialize};
use proptest::prelude::*;
use serde_json::Value;
use std::{path::Path, sync::LazyLock};
use valo_mutation::{damaged, damaged_text};
use valo_protocol::{
    AccountNumber, Amount, Block, Digest, Duration, Genesis, Hash, Header, Height, JobContract, Parameters, PublicKey,
    Signature, SignedTransaction, Timestamp, Transaction, ValidatorSet, Varint, WorkClock,
    block::FinalizedHeader,
    bytes::BoundedVec,
    encoding::{decode, encode},
    event::{Drawn, Event, Fault, JobFailure, JobPhase, Offence, PassedOver, ShardFailure},
    files::{FileTree, InputManifest, OutputRecord, RunStatus},
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    merkle::{self, MerklePath, MerkleTree},
    params::Preset,
    proof::{JobRecord, RowProof, ShardResult, StateProof, StateTable, TableRoot},
    receipt::Receipt,
    registry::{NodeId, NodeRole, NodeState, Tier, Unbonding},
    shard::ShardRow,
    state::{
        AccountRecord, ChainRecord, Duty, EpochStart, EpochStarts, KeyRecord, NodeRecord, Supply, ValidatorRecord,
    },
    transaction::Answer,
    vote::{Certificate, Evidence, Proposal, Vote},
};

/// A type on the wire or on disk: good encodings, and reading one and writing it again.
struct Kind {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    again: fn(&[u8]) -> Option<Vec<u8>>,
}

fn again<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Option<Vec<u8>> {
    decode::<T>("value", bytes).ok().map(|value| encode(&value))
}

/// A kind made here.
fn made<T: BorshSerialize + BorshDeserialize>(name: &'static str, values: &[T]) -> Kind {
    Kind { name, seeds: values.iter().map(encode).collect(), again: again::<T> }
}

/// The hexadecimal texts of a vector file at a path, where `*` is every item of a list.
fn vectors(file: &str, path: &str) -> Vec<Vec<u8>> {
    let file = Path::new("tests/vectors").join(format!("{file}.json"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut found = vec![document];
    for part in path.split('/') {
        found = found
            .into_iter()
            .flat_map(|value| match (part, value) {
                ("*", Value::Array(items)) => items,
                (name, mut value) => vec![value[name].take()],
            })
            .collect();
    }
    found.iter().map(|value| hex::decode(value.as_str().unwrap()).unwrap()).collect()
}

/// A kind with golden vectors.
fn golden<T: BorshSerialize + BorshDeserialize>(name: &'static str, file: &str, path: &str) -> Kind {
    Kind { name, seeds: vectors(file, path), again: again::<T> }
}

fn read<T: BorshDeserialize>(file: &str, path: &str) -> Vec<T> {
    vectors(file, path).iter().map(|bytes| decode("vector", bytes).unwrap()).collect()
}

fn state_proof() -> StateProof {
    let tree = MerkleTree::from_leaves((0u8..5).map(|row| merkle::leaf(&[row; 40])).collect());
    let tables: Vec<TableRoot> =
        StateTable::ALL.map(|table| TableRoot { table, length: tree.len(), root: tree.root() }).into();
    let row = RowProof { table: StateTable::Jobs, index: 3, row: vec![3; 40], path: tree.prove(3).unwrap(), tables };
    let header = read::<Header>("headers", "*/bytes").remove(0);
    let certificate = read::<Certificate>("certificates", "bytes").remove(0);
    let validators = read::<ValidatorSet>("certificates", "validatorsBytes").remove(0);
    StateProof { row, finalized: FinalizedHeader { header, certificate }, validators }
}

fn block() -> Block {
    let votes: Vec<Vote> = read("certificates", "votes/*/vote");
    let sign = |vote: &Vote| (vote.clone(), Signature([7; 64]));
    let evidence = Evidence::Votes { first: sign(&votes[0]), second: sign(&votes[1]) };
    let wire = vectors("transactions", "transactions/*/wire");
    Block {
        header: read::<Header>("headers", "*/bytes").remove(1),
        last_commit: Some(read::<Certificate>("certificates", "bytes").remove(0)),
        evidence: BoundedVec::new(vec![evidence]).unwrap(),
        transactions: wire.iter().map(|bytes| SignedTransaction::from_bytes(bytes).unwrap()).collect(),
    }
}

fn events() -> Vec<Event> {
    let shard = ShardKey { job: JobId(300), stage: StageIndex(1), shard: ShardIndex(200) };
    let (node, account, amount) = (NodeId(4), AccountNumber::new(9).unwrap(), Amount::from_units(70_000));
    let answer = Answer { digest: Digest([5; 32]), status: RunStatus::Exited(3), fuel: Varint(1 << 40) };
    let reason = ShardFailure::NoQuorum { owners: 13 };
    vec![
        Event::AccountCreated { account, key: PublicKey([6; 32]) },
        Event::JobPhaseChanged { job: JobId(1), phase: JobPhase::Failed(JobFailure::Shard { shard, reason }) },
        Event::ShardDrawn {
            shard,
            attempt: Attempt(1),
            seed_height: Height(1000),
            seed: Hash([7; 32]),
            drawn: vec![Drawn { node, owner: account, rank: 2 }; 3],
            passed_over: vec![(node, PassedOver::Rank), (NodeId(5), PassedOver::SameOwner)],
            commit_until: Timestamp(1_700_000_000_000),
        },
        Event::Revealed { shard, attempt: Attempt(0), node, answer },
        Event::ShardAccepted { shard, answer, agreed: vec![node; 2], differed: vec![NodeId(1)] },
        Event::Punished { node, owner: account, amount, offence: Offence::Downtime { expected: 60_000, signed: 9 } },
        Event::Slashed { shard, node, owner: account, amount, fault: Fault::WrongAnswer { accepted: answer.digest } },
    ]
}

fn rows() -> Vec<Kind> {
    let (key, account, amount) = (PublicKey([6; 32]), AccountNumber::new(9).unwrap(), Amount::from_units(70_000));
    let node = NodeRecord {
        key,
        account,
        owner: account,
        role: NodeRole::Worker { tier: Default::default(), slots: 4 },
        state: NodeState::Active,
        stake: amount,
        locked: amount,
        busy: 1,
        unanswered: 2,
        validator: Some(3),
        jailed_until: Timestamp(1_700_000_000_000),
        ready: true,
        unbonding: BoundedVec::new(vec![Unbonding { amount, until: Timestamp(1_700_000_000_000) }]).unwrap(),
        endpoints: BoundedVec::default(),
    };
    let validator = ValidatorRecord {
        node: NodeId(1),
        key,
        blocks: Varint(300),
        signed: Varint(200),
        misses: 1,
        skipped_until: Height(7),
        duty: [Duty { expected: Varint(60_000), signed: Varint(300) }; 2],
    };
    let starts = vec![EpochStart { height: Height(300), time: Timestamp(1_700_000_000_000) }; 2];
    let chain = ChainRecord {
        height: Height(300),
        time: Timestamp(1_700_000_000_000),
        clock: WorkClock { behind: Duration(9_000), grace: Duration(300) },
        randomness: [Hash([1; 32]); 3],
        epoch: 4,
        epoch_started: Timestamp(1_700_000_000_000),
        duty_since: Timestamp(1_700_000_000_000),
        validators: Hash([2; 32]),
    };
    vec![
        made("account", &[AccountRecord { key, nonce: Varint(300), balance: amount, node: Some(NodeId(1)) }]),
        made("key", &[KeyRecord { key, account: Some(account), next: key }]),
        made("node", &[node]),
        made("validator", &[validator]),
        made("supply", &[Supply { total: amount, balances: amount, ..Supply::default() }]),
        made("chain", &[chain]),
        made("starts of epochs", &[EpochStarts { starts: BoundedVec::new(starts).unwrap() }]),
    ]
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let proof = state_proof();
    let genesis: Vec<Genesis> = read("genesis", "*/bytes");
    let records: Vec<OutputRecord> = read("output-records", "*/bytes");
    let trees: Vec<FileTree> = records.iter().map(|record| record.files.clone()).collect();
    let parameters: Vec<Parameters> = genesis.iter().map(|genesis| genesis.parameters.clone()).collect();
    let tiers: Vec<Tier> = genesis.iter().flat_map(|genesis| genesis.tiers.to_vec()).collect();
    let wire = |bytes: &[u8]| SignedTransaction::from_bytes(bytes).ok().map(|signed| signed.to_bytes());
    let mut kinds = vec![
        Kind { name: "signed transaction", seeds: vectors("transactions", "transactions/*/wire"), again: wire },
        golden::<Transaction>("transaction", "transactions", "transactions/*/body"),
        golden::<JobContract>("contract", "contracts", "*/bytes"),
        golden::<Receipt>("receipt", "receipts", "*/bytes"),
        golden::<Header>("header", "headers", "*/bytes"),
        golden::<Vote>("vote", "certificates", "votes/*/vote"),
        golden::<Proposal>("proposal", "certificates", "proposal/bytes"),
        golden::<Certificate>("certificate", "certificates", "bytes"),
        golden::<ValidatorSet>("validator set", "certificates", "validatorsBytes"),
        golden::<Vec<TableRoot>>("table roots", "state-roots", "bytes"),
        golden::<Genesis>("genesis", "genesis", "*/bytes"),
        golden::<JobRecord>("job", "jobs", "*/bytes"),
        golden::<ShardRow>("shard", "shards", "*/bytes"),
        golden::<ShardResult>("result", "results", "results/*/bytes"),
        golden::<OutputRecord>("output record", "output-records", "*/bytes"),
        made::<MerklePath>("merkle path", std::slice::from_ref(&proof.row.path)),
        made("row proof", std::slice::from_ref(&proof.row)),
        made("finalized header", std::slice::from_ref(&proof.finalized)),
        made("input manifest", &[InputManifest { shards: BoundedVec::new(trees.clone()).unwrap() }]),
        made("file tree", &trees),
        made("parameters", &parameters),
        made("tier", &tiers),
        made("event", &events()),
        made("state proof", &[proof]),
        Kind {
            name: "block",
            seeds: vec![block().to_bytes()],
            again: |bytes| Block::from_bytes(bytes).ok().map(|block| block.to_bytes()),
        },
    ];
    kinds.extend(rows());
    kinds
});

#[test]
fn good_bytes_read_back_and_no_other_length_of_them_does() {
    for Kind { name, seeds, again } in &*KINDS {
        assert!(!seeds.is_empty(), "{name}");
        for seed in seeds {
            assert_eq!(again(seed).as_ref(), Some(seed), "{name}");
            assert_eq!(again(&[seed.as_slice(), &[0]].concat()), None, "{name} with a byte behind it");
            for end in 0..seed.len() {
                assert_eq!(again(&seed[..end]), None, "the first {end} bytes of a {name}");
            }
        }
    }
}

/// A kind, and damaged bytes of it or of another.
fn kind_and_bytes() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let all = KINDS.iter().flat_map(|kind| kind.seeds.clone()).collect();
    let own = (0..KINDS.len()).prop_flat_map(|kind| (Just(kind), damaged(KINDS[kind].seeds.clone())));
    prop_oneof![9 => own, 1 => (0..KINDS.len(), damaged(all))]
}

/// What a node asks of a value as soon as it has decoded it.
fn examine(bytes: &[u8]) {
    if let Ok(contract) = decode::<JobContract>("contract", bytes) {
        let _ = (contract.check(), contract.total_shards(), contract.result_stages());
    }
    if let Ok(genesis) = decode::<Genesis>("genesis", bytes) {
        let _ = (genesis.check(), genesis.validators());
    }
    if let Ok(row) = decode::<RowProof>("row", bytes) {
        let _ = row.root();
    }
    if let Ok(transaction) = decode::<Transaction>("transaction", bytes) {
        let _ = Parameters::preset(Preset::Public).weights.of(&transaction.action);
    }
    if let Ok(certificate) = decode::<Certificate>("certificate", bytes) {
        let set = read::<ValidatorSet>("certificates", "validatorsBytes").remove(0);
        let _ = certificate.verify(&valo_protocol::GenesisHash([0xaa; 32]), &set);
    }
}

proptest! {
    /// Each value has one encoding: what decodes at all encodes to the same bytes.
    #[test]
    fn damaged_bytes_are_an_error_or_a_value_with_these_bytes((kind, bytes) in kind_and_bytes()) {
        let Kind { name, again, .. } = &KINDS[kind];
        if let Some(encoded) = again(&bytes) {
            prop_assert_eq!(encoded, bytes.clone(), "{}", name);
        }
        examine(&bytes);
    }

    /// A document as a stranger hands it to `valo init`.
    #[test]
    fn damaged_genesis_documents_are_refused_or_usable(text in damaged_text(genesis_documents())) {
        if let Ok(genesis) = serde_json::from_str::<Genesis>(&text) {
            let again = decode::<Genesis>("genesis", &encode(&genesis));
            prop_assert_eq!(again.as_ref(), Ok(&genesis));
            if genesis.check().is_ok() {
                prop_assert!(genesis.validators().is_ok(), "a genesis that passes its check has validators");
            }
        }
    }
}

fn genesis_documents() -> Vec<String> {
    let documents: Vec<Genesis> = read("genesis", "*/bytes");
    documents.iter().map(|genesis| serde_json::to_string_pretty(genesis).unwrap()).collect()
}
