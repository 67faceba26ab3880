//! The API against a whole small chain: real ledger, storage and mempool, workers that answer as real ones do, an HTTP
//! server on a port of its own. Only consensus and the network are missing: a test makes the blocks.

mod blobs;
mod document;
mod events;
mod fuzz;
mod jobs;
mod limits;
mod routes;
mod tampered;
mod workers;

use super::{BlobAccess, ChainAccess, Limits, LogAccess, OpenBlob, Peers, Services, serve};
use crate::{
    blobs::BlobError,
    chain::{BlockStore, ChainStopped, FinalizedBlock, Tip, TransactionSource, Wake},
    mempool::{self, FinalizedState, Mempool},
    pulse::{Pulse, Pulses},
    storage::{Settings, Storage},
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpListener,
    sync::{broadcast, watch},
};
use tokio_util::sync::CancellationToken;
use valo_client::{AccountSession, Client, types::ShardLog};
use valo_ledger::{
    Effects, Ledger, MemoryStore,
    testing::{Setup, TestChain, account_key, node_key, wasm_tier},
};
use valo_protocol::{
    Action, BlobHash, PublicKey, SignedTransaction,
    block::FinalizedHeader,
    job::{Attempt, ShardIndex, ShardKey},
    proof::{StateProof, StateTable},
    registry::{NodeId, TierId},
    time::{Duration, Round},
};

/// The chain with what follows it.
struct Shared {
    chain: Mutex<TestChain>,
    storage: Storage,
    mempool: Mempool,
    tip: watch::Sender<Tip>,
    finalized: broadcast::Sender<Arc<FinalizedBlock>>,
    silence: Mutex<Option<String>>,
    blobs: Mutex<BTreeMap<BlobHash, Bytes>>,
}

impl Shared {
    fn chain(&self) -> MutexGuard<'_, TestChain> {
        self.chain.lock().unwrap()
    }

    /// The next block, with what waits in the mempool and these.
    fn advance(&self, after: Duration, extra: Vec<SignedTransaction>) -> Effects {
        let mut chain = self.chain();
        let mut transactions = self.mempool.candidates(1 << 20);
        transactions.extend(extra);
        let signers = chain.ledger.head().validators.clone();
        let block = chain.draft(Round(0), after, transactions);
        let effects = chain.execute(&block);
        let finalized = FinalizedBlock {
            id: block.header.id(),
            certificate: chain.certificate().unwrap(),
            receipts: effects.receipts.clone(),
            events: effects.events.clone(),
            validators: signers,
            block,
        };
        self.storage.save_decided(&finalized, &effects.changes).unwrap();
        self.mempool.finalized(&finalized);
        self.tip.send_replace(tip(&chain));
        let _ = self.finalized.send(Arc::new(finalized));
        effects
    }

    fn prove(&self, table: StateTable, index: u64) -> Option<StateProof> {
        let row = self.chain().ledger.prove(table, index).unwrap()?;
        // The next header carries the root.
        self.advance(Duration(50), Vec::new());
        let chain = self.chain();
        let header = crate::storage::BlockReader::header(&self.storage, chain.ledger.head().height).unwrap().unwrap();
        let finalized = FinalizedHeader { header: header.header, certificate: chain.certificate().unwrap() };
        Some(StateProof { row, finalized, validators: (*chain.ledger.head().signers).clone() })
    }
}

fn tip(chain: &TestChain) -> Tip {
    let head = chain.ledger.head();
    Tip {
        height: head.height,
        block: head.block,
        time: head.time,
        state: head.state_root,
        validators: head.validators.clone(),
    }
}

struct TestAccess(Arc<Shared>);

#[async_trait]
impl ChainAccess for TestAccess {
    fn head(&self) -> watch::Receiver<Tip> {
        self.0.tip.subscribe()
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<FinalizedBlock>> {
        self.0.finalized.subscribe()
    }

    fn silence(&self) -> Option<String> {
        self.0.silence.lock().unwrap().clone()
    }

    async fn proof(&self, table: StateTable, index: u64) -> Result<Option<StateProof>, ChainStopped> {
        Ok(self.0.prove(table, index))
    }
}

#[async_trait]
impl BlobAccess for TestAccess {
    async fn put(&self, mut source: Pin<Box<dyn AsyncRead + Send>>, _: &str) -> Result<(BlobHash, u64), BlobError> {
        let mut contents = Vec::new();
        source.read_to_end(&mut contents).await.map_err(BlobError::Source)?;
        let (hash, size) = (BlobHash::of(&contents), contents.len() as u64);
        self.0.blobs.lock().unwrap().insert(hash, contents.into());
        Ok((hash, size))
    }

    fn size(&self, hash: &BlobHash) -> Option<u64> {
        self.0.blobs.lock().unwrap().get(hash).map(|contents| contents.len() as u64)
    }

    fn list(&self, after: Option<BlobHash>, limit: usize) -> Vec<(BlobHash, u64)> {
        let blobs = self.0.blobs.lock().unwrap();
        let all = blobs.iter().map(|(hash, contents)| (*hash, contents.len() as u64));
        all.filter(|(hash, _)| after.is_none_or(|after| *hash > after)).take(limit).collect()
    }

    fn usage(&self) -> u64 {
        self.0.blobs.lock().unwrap().values().map(|contents| contents.len() as u64).sum()
    }

    async fn open(&self, hash: &BlobHash) -> Result<OpenBlob, BlobError> {
        let contents = self.0.blobs.lock().unwrap().get(hash).cloned().ok_or(BlobError::Missing(*hash))?;
        Ok((contents.len() as u64, Box::pin(std::io::Cursor::new(contents))))
    }

    async fn fetch(&self, hash: BlobHash, _: &[PublicKey], _: u64) -> Result<u64, BlobError> {
        Err(BlobError::Unavailable { hash, attempts: Vec::new() })
    }
}

#[async_trait]
impl LogAccess for TestAccess {
    async fn logs(&self, shard: ShardKey, nodes: &[(NodeId, PublicKey)]) -> Vec<ShardLog> {
        let log = |(node, _): &(NodeId, PublicKey)| ShardLog {
            node: *node,
            attempt: Attempt(0),
            stdout: "hello".to_owned(),
            stderr: String::new(),
            truncated: false,
        };
        nodes.iter().filter(|_| shard.shard == ShardIndex(0)).map(log).collect()
    }
}

impl Peers for TestAccess {
    fn count(&self) -> usize {
        3
    }
}

/// A node that serves.
struct TestNode {
    shared: Arc<Shared>,
    address: SocketAddr,
    client: Client,
    /// The pulse of its worker.
    worker: Pulse,
    stop: CancellationToken,
    _folder: TempDir,
}

/// Workers of the test chain; their nodes follow the one validator.
const WORKERS: u32 = 4;

impl TestNode {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    /// A chain of one validator and four workers with an owner each, at height 2 and at the time of now.
    async fn with(limits: Limits) -> Self {
        let setup = Setup {
            accounts: WORKERS + 2,
            validators: vec![10],
            tiers: vec![wasm_tier("small")],
            workers: vec![(TierId(0), 4); WORKERS as usize],
            ..Setup::default()
        };
        let chain = TestChain::new(&setup);
        let genesis = chain.ledger.genesis().clone();
        let folder = TempDir::new().unwrap();
        let settings = Settings { cache: 1 << 20, write_buffers: 4 << 20, ..Settings::default() };
        let storage = Storage::open_or_create(&folder.path().join("db"), genesis.hash(), settings, || {
            Ledger::<MemoryStore>::genesis_changes(&genesis)
        });
        let storage = storage.unwrap();
        let state = Arc::new(FinalizedState::new(storage.clone()).unwrap());
        let pool_limits = mempool::Limits { threads: 1, ..mempool::Limits::default() };
        let mempool = Mempool::start(genesis.hash(), state, Wake::default(), pool_limits).unwrap();
        let shared = Arc::new(Shared {
            tip: watch::Sender::new(tip(&chain)),
            finalized: broadcast::Sender::new(16),
            silence: Mutex::default(),
            chain: Mutex::new(chain),
            storage: storage.clone(),
            mempool: mempool.clone(),
            blobs: Mutex::default(),
        });
        let now = crate::clock::now();
        let since = now.since(genesis.time);
        shared.advance(since, Vec::new());
        shared.advance(Duration(50), Vec::new());
        let worker = Pulse::new("worker");
        let services = Services {
            genesis_hash: genesis.hash(),
            genesis,
            key: node_key(1).public(),
            started: Instant::now(),
            state: Box::new(storage),
            chain: Box::new(TestAccess(shared.clone())),
            transactions: Box::new(mempool),
            blobs: Box::new(TestAccess(shared.clone())),
            logs: Box::new(TestAccess(shared.clone())),
            peers: Box::new(TestAccess(shared.clone())),
            pulses: Pulses::new([worker.clone()]),
            metrics: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            serve(listener, Arc::new(services), limits, async move { stopped.cancelled().await }).await
        });
        let client = Client::new(&format!("http://{address}")).unwrap();
        Self { shared, address, client, worker, stop, _folder: folder }
    }

    /// The next block.
    fn block(&self) -> Effects {
        self.shared.advance(Duration(50), Vec::new())
    }

    /// The session of an account. Account 0 is rich.
    async fn session(&self, account: u32) -> AccountSession {
        AccountSession::open(self.client.clone(), account_key(account)).await.unwrap()
    }

    /// Makes a block whenever something waits, until the guard is dropped.
    fn keep_making_blocks(&self) -> tokio_util::sync::DropGuard {
        let stop = CancellationToken::new();
        let (shared, stopped) = (self.shared.clone(), stop.clone());
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
            while !stopped.is_cancelled() {
                tick.tick().await;
                if !shared.mempool.is_empty() {
                    shared.advance(Duration(50), Vec::new());
                }
            }
        });
        stop.drop_guard()
    }

    /// A signed transaction of an account.
    fn signed(&self, account: u64, ahead: u64, action: Action) -> SignedTransaction {
        let chain = self.shared.chain();
        let number = valo_ledger::testing::account(account);
        chain.sign(chain.transaction(number, ahead, action))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.mempool.stop();
    }
}

/// A plain HTTP client, for requests that no client of ours would make.
fn http() -> reqwest::Client {
    // Ours installs the provider of cryptography that every client needs.
    Client::new("http://localhost").unwrap();
    reqwest::Client::new()
}
