//! How the rest of the node follows the chain and asks it: channels only, no lock.

use crate::chain::FinalizedBlock;
use std::sync::Arc;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use valo_protocol::{
    BlockId, Hash, Height, SignedTransaction, Timestamp, ValidatorSet,
    proof::{StateProof, StateTable},
    receipt::Invalid,
};

/// How many finalized blocks a slow subscriber may lag behind before it misses some and has to read them from the store.
pub const SUBSCRIPTION_QUEUE: usize = 256;
/// How many requests may wait for the chain's thread.
pub const REQUEST_QUEUE: usize = 1024;

/// The last finalized block, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Its height; 0 for genesis.
    pub height: Height,
    /// Its id; the genesis hash at height 0.
    pub block: BlockId,
    /// Its time.
    pub time: Timestamp,
    /// Root of the state after it.
    pub state: Hash,
    /// The validators of the next height.
    pub validators: Arc<ValidatorSet>,
}

/// Tells the chain that a transaction waits. Made before mempool and chain, and given to both.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There is a transaction: a block is due.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Until somebody called [`Wake::wake`] since the last return.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}

/// The chain has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chain has stopped; see the node's log for the cause")]
pub struct ChainStopped;

/// What can be asked of the chain's thread.
#[derive(Debug)]
pub(crate) enum Request {
    Proof { table: StateTable, index: u64, reply: oneshot::Sender<Option<StateProof>> },
    Validity { transactions: Vec<SignedTransaction>, reply: oneshot::Sender<Vec<Result<(), Invalid>>> },
}

/// A handle to the running chain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ChainHandle {
    pub(crate) tip: watch::Receiver<Tip>,
    pub(crate) finalized: broadcast::Sender<Arc<FinalizedBlock>>,
    pub(crate) wake: Wake,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) silence: watch::Receiver<Option<String>>,
}

impl ChainHandle {
    /// The last finalized block: `borrow()` for now, `changed()` to follow.
    pub fn head(&self) -> watch::Receiver<Tip> {
        self.tip.clone()
    }

    /// Why this node does not vote though it is a validator, if so.
    pub fn silence(&self) -> Option<String> {
        self.silence.borrow().clone()
    }

    /// Every block finalized from now on. A subscriber that lags more than [`SUBSCRIPTION_QUEUE`] blocks is told so, and
    /// reads what it missed from the store.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<FinalizedBlock>> {
        self.finalized.subscribe()
    }

    /// There is a transaction: a block is due.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// The validators of the next height.
    pub fn validators(&self) -> Arc<ValidatorSet> {
        self.tip.borrow().validators.clone()
    }

    /// A row of the state with everything that makes it certain; none when there is no such row. Waits for the
    /// next block when no header carries the row yet.
    pub async fn proof(&self, table: StateTable, index: u64) -> Result<Option<StateProof>, ChainStopped> {
        self.ask(|reply| Request::Proof { table, index, reply }).await
    }

    /// Whether transactions could be in the next block, signatures aside.
    pub async fn validity(
        &self,
        transactions: Vec<SignedTransaction>,
    ) -> Result<Vec<Result<(), Invalid>>, ChainStopped> {
        self.ask(|reply| Request::Validity { transactions, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, ChainStopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| ChainStopped)?;
        answer.await.map_err(|_| ChainStopped)
    }
}
