//! Where the time of a block goes on one node, without network: `cargo run -p valo --example pipeline [FOLDER]`.
//!
//! Transfers are verified by the mempool, proposed by the chain, executed, written and synced, over the very storage
//! that a node has. The engine's votes are left out: one validator decides at once.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs)]

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use valo::{
    chain::{BlockStore, Chain, TransactionSource, Wake},
    mempool::{FinalizedState, Limits, Mempool},
    storage::{Settings, Storage},
};
use valo_ledger::{Changes, Ledger, MemoryStore, StoreError};
use valo_protocol::{
    AccountNumber, Action, Amount, Genesis, Height, Parameters, Round, SecretKey, Timestamp, Transaction, Varint,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    registry::NodeRole,
    vote::{Certificate, CommitSignature, Evidence, Vote, VoteKind},
};

const BLOCKS: u64 = 30;

/// The storage, with a clock on what a block waits for.
#[derive(Debug)]
struct Timed {
    storage: Storage,
    decided: std::sync::Mutex<Duration>,
    proposed: std::sync::Mutex<Duration>,
}

fn timed<T>(clock: &std::sync::Mutex<Duration>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *clock.lock().unwrap() += start.elapsed();
    result
}

impl BlockStore for Timed {
    fn save_decided(&self, finalized: &valo::chain::FinalizedBlock, changes: &Changes) -> Result<(), StoreError> {
        timed(&self.decided, || self.storage.save_decided(finalized, changes))
    }
    fn save_proposed(&self, proposed: &valo::chain::ProposedBlock) -> Result<(), StoreError> {
        timed(&self.proposed, || self.storage.save_proposed(proposed))
    }
    fn save_certificate(&self, certificate: &Certificate) -> Result<(), StoreError> {
        self.storage.save_certificate(certificate)
    }
    fn decided(&self, height: Height) -> Result<Option<(valo_protocol::Block, Certificate)>, StoreError> {
        self.storage.decided(height)
    }
    fn earliest(&self) -> Result<Option<Height>, StoreError> {
        self.storage.earliest()
    }
    fn proposed(&self, height: Height) -> Result<Vec<valo::chain::ProposedBlock>, StoreError> {
        self.storage.proposed(height)
    }
    fn save_evidence(&self, evidence: &[Evidence]) -> Result<(), StoreError> {
        self.storage.save_evidence(evidence)
    }
    fn evidence(&self, limit: usize) -> Result<Vec<Evidence>, StoreError> {
        self.storage.evidence(limit)
    }
}

fn key(number: u64) -> SecretKey {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed)
}

fn genesis(accounts: u64, validator: &SecretKey) -> Arc<Genesis> {
    let balance = Amount::from_valo(1000).unwrap();
    let accounts = (0..accounts).map(|number| GenesisAccount { key: key(number).public(), balance }).collect();
    let node = GenesisNode {
        key: validator.public(),
        owner: AccountNumber::default(),
        role: NodeRole::Validator,
        stake: Amount::from_valo(100).unwrap(),
    };
    Arc::new(Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("bench").unwrap(),
        time: Timestamp(1000),
        fully_connected: false,
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(accounts).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(vec![node]).unwrap(),
    })
}

fn transfers(genesis: &Genesis, accounts: u64, block: u64) -> Vec<Bytes> {
    let hash = genesis.hash();
    let sign = |number: u64| {
        let transaction = Transaction {
            sender: AccountNumber::new(number).unwrap(),
            nonce: Varint(block),
            max_fee: Amount::from_units(100_000),
            action: Action::Transfer {
                to: AccountNumber::new((number * 7 + block) % accounts).unwrap(),
                amount: Amount::from_units(1000),
            },
        };
        Bytes::from(transaction.sign(&hash, &key(number)).to_bytes())
    };
    (0..accounts).map(sign).collect()
}

fn certify(genesis: &Genesis, validator: &SecretKey, height: Height, block: valo_protocol::BlockId) -> Certificate {
    let (kind, round) = (VoteKind::Precommit, Round(0));
    let vote = Vote { kind, height, round, block: Some(block), validator: validator.public() };
    let signature = validator.sign(&vote.signed_bytes(&genesis.hash()));
    let signatures = BoundedVec::new(vec![CommitSignature { validator: validator.public(), signature }]).unwrap();
    Certificate { height, round, block, signatures }
}

#[tokio::main]
async fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::args().nth(1).map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    println!("transfers  verify      propose     of it disk  decide      of it disk  whole block  transfers/s");
    println!("a block    tx/s        ms          ms          ms          ms          ms           one node");
    for accounts in [1u64, 1000, 5000, 15_000] {
        measure(&folder.join(format!("bench-{accounts}")), accounts).await;
    }
}

async fn measure(path: &std::path::Path, accounts: u64) {
    let validator = SecretKey::from_seed([100; 32]);
    let genesis = genesis(accounts, &validator);
    let state = || Ledger::<MemoryStore>::genesis_changes(&genesis);
    let storage = Storage::open_or_create(path, genesis.hash(), Settings::default(), state).unwrap();
    let finalized = Arc::new(FinalizedState::new(storage.clone()).unwrap());
    let mempool = Mempool::start(genesis.hash(), finalized, Wake::default(), Limits::default()).unwrap();
    let blocks =
        Arc::new(Timed { storage: storage.clone(), decided: Default::default(), proposed: Default::default() });
    let source: Arc<dyn TransactionSource> = Arc::new(mempool.clone());
    let mut chain = Chain::open(genesis.clone(), validator.clone(), storage.clone(), blocks.clone(), source).unwrap();

    let [mut verify, mut propose, mut decide] = [Duration::ZERO; 3];
    let mut done = 0usize;
    for block in 0..BLOCKS {
        let items = transfers(&genesis, accounts, block);
        let start = Instant::now();
        // As the flood brings them: frames of at most 256 KiB, several at a time.
        let requests: Vec<_> = items
            .chunks(1000)
            .map(|frame| {
                let (mempool, frame) = (mempool.clone(), frame.to_vec());
                tokio::spawn(async move { mempool.submit_many(frame).await })
            })
            .collect();
        for request in requests {
            assert!(request.await.unwrap().iter().all(Result::is_ok));
        }
        verify += start.elapsed();

        let height = chain.next_height();
        let start = Instant::now();
        let stream = chain.propose(Round(0), Timestamp(chain.head().time.0 + 100)).unwrap();
        propose += start.elapsed();
        let certificate = certify(&genesis, &validator, height, stream.block);
        let start = Instant::now();
        done += chain.decide(certificate).unwrap().block.transactions.len();
        decide += start.elapsed();
    }
    assert_eq!(done as u64, BLOCKS * accounts, "not everything fitted");
    let per_block = |span: Duration| span.as_secs_f64() * 1e3 / BLOCKS as f64;
    let disk = |clock: &std::sync::Mutex<Duration>| per_block(*clock.lock().unwrap());
    let whole = verify + propose + decide;
    println!(
        "{accounts:<10} {:<11.0} {:<11.2} {:<11.2} {:<11.2} {:<11.2} {:<12.2} {:.0}",
        done as f64 / verify.as_secs_f64(),
        per_block(propose),
        disk(&blocks.proposed),
        per_block(decide),
        disk(&blocks.decided),
        per_block(whole),
        done as f64 / whole.as_secs_f64(),
    );
    mempool.stop();
}
