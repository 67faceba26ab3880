//! What the API asks of the rest of the node, as small traits: the node hands in its parts, tests hand in
//! parts in memory.

use crate::{
    blobs::{BlobError, Blobs},
    chain::{ChainHandle, ChainStopped, FinalizedBlock, Tip},
    mempool::{Mempool, NotFinal, Rejection},
    network::Network,
    pulse::Pulses,
    storage::{BlockReader, Storage},
};
use async_trait::async_trait;
use bytes::Bytes;
use prometheus_client::registry::Registry;
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncRead,
    sync::{broadcast, watch},
};
use valo_client::types::ShardLog;
use valo_ledger::Store;
use valo_protocol::{
    AccountNumber, BlobHash, Genesis, GenesisHash, PublicKey, TransactionId,
    job::ShardKey,
    proof::{StateProof, StateTable},
    receipt::Receipt,
    registry::NodeId,
};

/// One finalized state with its history. It does not change while it is held.
pub trait Snapshot: Store + BlockReader {}

impl<S: Store + BlockReader> Snapshot for S {}

/// What is finalized.
pub trait StateReader: Send + Sync + 'static {
    /// The state after the last finalized block, and how it came to it.
    fn snapshot(&self) -> Box<dyn Snapshot + '_>;
}

impl StateReader for Storage {
    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(Self::snapshot(self))
    }
}

/// The running chain.
#[async_trait]
pub trait ChainAccess: Send + Sync + 'static {
    /// The last finalized block: `borrow()` for now, `changed()` to follow.
    fn head(&self) -> watch::Receiver<Tip>;

    /// Every block finalized from now on.
    fn subscribe(&self) -> broadcast::Receiver<Arc<FinalizedBlock>>;

    /// Why this node does not vote though it is a validator, if so.
    fn silence(&self) -> Option<String>;

    /// A row of the state with everything that makes it certain. May wait for the next block.
    async fn proof(&self, table: StateTable, index: u64) -> Result<Option<StateProof>, ChainStopped>;
}

/// The transactions that wait.
#[async_trait]
pub trait TransactionPool: Send + Sync + 'static {
    /// Takes transactions in their wire form. One answer for each, in order.
    async fn submit(&self, transactions: Vec<Bytes>) -> Vec<Result<TransactionId, Rejection>>;

    /// Waits until a transaction is final or known never to be, at most for `wait`.
    async fn await_final(&self, id: TransactionId, wait: Duration) -> Result<Receipt, NotFinal>;

    /// The nonce after those of an account that wait; none when none does.
    fn next_nonce(&self, account: AccountNumber) -> Option<u64>;

    /// How many wait.
    fn pending(&self) -> usize;
}

/// An open blob: its length and its bytes.
pub type OpenBlob = (u64, Pin<Box<dyn AsyncRead + Send>>);

/// Blobs on this node and on others.
#[async_trait]
pub trait BlobAccess: Send + Sync + 'static {
    /// Stores what a reader gives, at the cost of `owner`'s quota.
    async fn put(&self, source: Pin<Box<dyn AsyncRead + Send>>, owner: &str) -> Result<(BlobHash, u64), BlobError>;

    /// The length of a blob that is here.
    fn size(&self, hash: &BlobHash) -> Option<u64>;

    /// At most `limit` blobs that are here, those behind `after`, with their lengths.
    fn list(&self, after: Option<BlobHash>, limit: usize) -> Vec<(BlobHash, u64)>;

    /// Bytes of all blobs that are here.
    fn usage(&self) -> u64;

    /// Opens a blob that is here.
    async fn open(&self, hash: &BlobHash) -> Result<OpenBlob, BlobError>;

    /// Gets a blob of at most `max` bytes from other nodes, first from those that should have it.
    async fn fetch(&self, hash: BlobHash, hints: &[PublicKey], max: u64) -> Result<u64, BlobError>;
}

/// What programs wrote while they ran, here or on the workers that ran them.
#[async_trait]
pub trait LogAccess: Send + Sync + 'static {
    /// The logs of a shard, one for each of these nodes that still has them.
    async fn logs(&self, shard: ShardKey, nodes: &[(NodeId, PublicKey)]) -> Vec<ShardLog>;
}

/// Other nodes.
pub trait Peers: Send + Sync + 'static {
    /// How many this node is connected to.
    fn count(&self) -> usize;
}

/// Everything the API answers from.
pub struct Services {
    /// The genesis document.
    pub genesis: Arc<Genesis>,
    /// Its hash.
    pub genesis_hash: GenesisHash,
    /// This node's key.
    pub key: PublicKey,
    /// When this node started.
    pub started: Instant,
    /// What is finalized.
    pub state: Box<dyn StateReader>,
    /// The running chain.
    pub chain: Box<dyn ChainAccess>,
    /// Transactions that wait.
    pub transactions: Box<dyn TransactionPool>,
    /// Blobs.
    pub blobs: Box<dyn BlobAccess>,
    /// Logs of shards.
    pub logs: Box<dyn LogAccess>,
    /// Other nodes.
    pub peers: Box<dyn Peers>,
    /// Whether the node's loops turn.
    pub pulses: Pulses,
    /// Counters of the whole node: whoever has some registers them here, under the prefix `valo`.
    pub metrics: Arc<Mutex<Registry>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Services").field("key", &self.key).finish_non_exhaustive()
    }
}

#[async_trait]
impl ChainAccess for ChainHandle {
    fn head(&self) -> watch::Receiver<Tip> {
        Self::head(self)
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<FinalizedBlock>> {
        Self::subscribe(self)
    }

    fn silence(&self) -> Option<String> {
        Self::silence(self)
    }

    async fn proof(&self, table: StateTable, index: u64) -> Result<Option<StateProof>, ChainStopped> {
        Self::proof(self, table, index).await
    }
}

#[async_trait]
impl TransactionPool for Mempool {
    async fn submit(&self, transactions: Vec<Bytes>) -> Vec<Result<TransactionId, Rejection>> {
        let answers = self.submit_many(transactions).await;
        answers.into_iter().map(|answer| answer.map(|accepted| accepted.id)).collect()
    }

    async fn await_final(&self, id: TransactionId, wait: Duration) -> Result<Receipt, NotFinal> {
        Self::await_final(self, id, wait).await
    }

    fn next_nonce(&self, account: AccountNumber) -> Option<u64> {
        Self::next_nonce(self, account)
    }

    fn pending(&self) -> usize {
        Self::len(self)
    }
}

#[async_trait]
impl BlobAccess for Blobs {
    async fn put(&self, source: Pin<Box<dyn AsyncRead + Send>>, owner: &str) -> Result<(BlobHash, u64), BlobError> {
        let hash = self.put_stream(source, Some(owner)).await?;
        Ok((hash, Self::size(self, &hash).ok_or(BlobError::Missing(hash))?))
    }

    fn size(&self, hash: &BlobHash) -> Option<u64> {
        Self::size(self, hash)
    }

    fn list(&self, after: Option<BlobHash>, limit: usize) -> Vec<(BlobHash, u64)> {
        Self::list(self, after, limit).into_iter().map(|blob| (blob.hash, blob.size)).collect()
    }

    fn usage(&self) -> u64 {
        Self::usage(self).0
    }

    async fn open(&self, hash: &BlobHash) -> Result<OpenBlob, BlobError> {
        let size = Self::size(self, hash).ok_or(BlobError::Missing(*hash))?;
        Ok((size, Box::pin(self.get(hash).await?)))
    }

    async fn fetch(&self, hash: BlobHash, hints: &[PublicKey], max: u64) -> Result<u64, BlobError> {
        self.fetch_anywhere(hash, hints, max).await
    }
}

impl Peers for Network {
    fn count(&self) -> usize {
        self.peers().borrow().len()
    }
}
