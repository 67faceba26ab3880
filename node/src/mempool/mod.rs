//! The mempool: transactions that wait to be in a block.
//!
//! ```text
//!   API -- submit --+                                   +-- candidates --> chain
//!                   +--> verifying threads --> Pool ----+
//!  flood - receive -+    (signatures in batches)  ^     +-- publish ----> flood
//!                                                 |
//!                             finalized blocks ---+---> Outcomes --> await_final
//! ```
//! - Every signature is verified once, in batches, on threads of their own ([`verify`]).
//! - What waits, and in which order it goes, is a data structure without I/O ([`pool`]).
//! - Everything is bounded: what waits ([`Limits`]), what waits to be verified, who waits for an answer.
//! - What comes before the block that makes it possible is held and judged again after each block ([`early`]).
//! - Who sent a transaction learns what became of it: a receipt, or a [`Rejection`] ([`Mempool::await_final`]).
//!
//! It relies on finalized state only ([`ChainState`]): nothing here is consensus.

mod early;
mod finalized;
mod flood;
mod limits;
mod metrics;
mod outcomes;
mod pool;
mod queue;
mod rejection;
mod source;
mod state;
mod transaction;
mod verify;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use valo_protocol::{AccountNumber, GenesisHash, TransactionId, receipt::Receipt};

use crate::chain::Wake;

use self::{early::Early, outcomes::Outcomes, pool::Pool, verify::Work};
pub use self::{
    finalized::FinalizedState,
    limits::Limits,
    metrics::MempoolMetrics,
    outcomes::Fate,
    queue::Sender,
    rejection::Rejection,
    state::{ChainState, Cost, SenderAccount, StateError},
    transaction::{ParsedTransaction, VerifiedTransaction},
};

/// Requests that may wait for the verifying threads.
const QUEUE: usize = 4096;

/// A transaction that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: TransactionId,
    /// Whether it is new here: not waiting already, and not final.
    pub new: bool,
}

/// Why the receipt of a transaction is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFinal {
    /// It was refused or dropped.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It waits here and is not final yet.
    #[error("the transaction is not final yet; it waits in the mempool")]
    Waiting,
    /// This node knows nothing of it.
    #[error("this node knows no transaction {0}; it may have been sent elsewhere, or forgotten")]
    Unknown(TransactionId),
    /// Too many wait already.
    #[error("too many wait for transactions already; ask without waiting")]
    TooMany,
    /// The disk could not be read.
    #[error("the node cannot read its state: {0}")]
    State(String),
}

/// The mempool of a node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Mempool {
    shared: Arc<Shared>,
    workers: Arc<Workers>,
}

/// The verifying threads, and the way to them. Dropping the last handle ends them, so that nothing keeps the
/// storage open behind the back of whoever stops a node.
struct Workers {
    work: Mutex<Option<mpsc::Sender<Work>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    fn sender(&self) -> Option<mpsc::Sender<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn join(&self) {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.join();
    }
}

type Publisher = Arc<dyn Fn(Vec<Bytes>) + Send + Sync>;

struct Shared {
    genesis: GenesisHash,
    limits: Limits,
    state: Arc<dyn ChainState>,
    wake: Wake,
    pool: Mutex<Pool>,
    /// Counts finalized blocks that the pool has heard of.
    version: AtomicU64,
    outcomes: Mutex<Outcomes>,
    early: Mutex<Early>,
    /// Bytes that may still come to be verified.
    room: Arc<Semaphore>,
    publisher: RwLock<Option<Publisher>>,
    metrics: MempoolMetrics,
    housekeeping: Mutex<source::Housekeeping>,
}

impl Shared {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn early(&self) -> MutexGuard<'_, Early> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes items on to other nodes.
    fn publish(&self, items: Vec<Bytes>) {
        let publisher = self.publisher.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(publish) = publisher.filter(|_| !items.is_empty()) {
            publish(items);
        }
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }
}

impl Mempool {
    /// Starts the verifying threads. `wake` is called when a transaction could be in the next block.
    pub fn start(
        genesis: GenesisHash,
        state: Arc<dyn ChainState>,
        wake: Wake,
        limits: Limits,
    ) -> Result<Self, std::io::Error> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            genesis,
            limits,
            state,
            wake,
            pool: Mutex::new(Pool::new(limits)),
            version: AtomicU64::new(0),
            outcomes: Mutex::new(Outcomes::new(limits.waiters, limits.remembered, limits.memory)),
            early: Mutex::new(Early::new(&limits)),
            room: Arc::new(Semaphore::new(limits.unverified_bytes)),
            publisher: RwLock::new(None),
            metrics: MempoolMetrics::default(),
            housekeeping: Mutex::new(source::Housekeeping::new(Instant::now())),
        });
        let queue = Arc::new(Mutex::new(receiver));
        let threads = (0..limits.threads.max(1))
            .map(|number| {
                let (shared, queue) = (shared.clone(), queue.clone());
                std::thread::Builder::new().name(format!("verify-{number}")).spawn(move || verify::run(&shared, &queue))
            })
            .collect::<Result<_, _>>()?;
        let workers = Workers { work: Mutex::new(Some(sender)), threads: Mutex::new(threads) };
        Ok(Self { shared, workers: Arc::new(workers) })
    }

    /// Says how accepted transactions of this node's own clients reach other nodes. Kept until [`Mempool::stop`].
    pub fn set_publisher(&self, publish: impl Fn(Vec<Bytes>) + Send + Sync + 'static) {
        *self.shared.publisher.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(publish));
    }

    /// Takes a transaction in its wire form from a client of this node, and passes it on to others.
    pub async fn submit(&self, bytes: Bytes) -> Result<TransactionId, Rejection> {
        let answer = self.submit_many(vec![bytes]).await.into_iter().next();
        answer.unwrap_or(Err(Rejection::Stopping)).map(|accepted| accepted.id)
    }

    /// Takes many. One answer for each, in order.
    pub async fn submit_many(&self, items: Vec<Bytes>) -> Vec<Result<Accepted, Rejection>> {
        let answers = match self.shared.room.available_permits() {
            // Clients are told at once instead of being kept waiting.
            0 => vec![Err(Rejection::Busy); items.len()],
            _ => self.verify(items.clone()).await,
        };
        let fresh = items
            .into_iter()
            .zip(&answers)
            // Also what waits already: whoever sends it again thinks that others have not heard of it.
            .filter(|(_, answer)| answer.is_ok())
            .map(|(bytes, _)| bytes)
            .collect();
        self.shared.publish(fresh);
        answers
    }

    /// Sends items to the verifying threads and waits for the answers.
    async fn verify(&self, items: Vec<Bytes>) -> Vec<Result<Accepted, Rejection>> {
        let count = items.len();
        if count == 0 {
            return Vec::new();
        }
        let bytes: usize = items.iter().map(Bytes::len).sum();
        let most = u32::try_from(self.shared.limits.unverified_bytes).unwrap_or(u32::MAX);
        // More than fits at once takes all the room there is.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, most);
        let stopping = || vec![Err(Rejection::Stopping); count];
        let Ok(permit) = self.shared.room.clone().acquire_many_owned(permits).await else { return stopping() };
        let Some(work) = self.workers.sender() else { return stopping() };
        let (reply, answer) = oneshot::channel();
        if work.send(Work::Judge { items, reply, permit }).await.is_err() {
            return stopping();
        }
        drop(work);
        answer.await.unwrap_or_else(|_| stopping())
    }

    /// Waits until a transaction is final or known never to be, at most for `timeout`.
    pub async fn await_final(&self, id: TransactionId, timeout: Duration) -> Result<Receipt, NotFinal> {
        // First the place in the line, then the look: whatever happens in between is heard.
        let mut place = Place::take(&self.shared, id);
        if let Some(receipt) = self.shared.state.receipt(&id).map_err(|error| NotFinal::State(error.to_string()))? {
            return Ok(receipt);
        }
        if let Some(reason) = self.shared.outcomes().reason(&id, Instant::now()) {
            return Err(reason.into());
        }
        if !timeout.is_zero() {
            if self.shared.room.is_closed() {
                return Err(Rejection::Stopping.into());
            }
            let waiter = place.receiver.as_mut().ok_or(NotFinal::TooMany)?;
            match tokio::time::timeout(timeout, waiter).await {
                Ok(Ok(Fate::Final(receipt))) => return Ok(receipt),
                Ok(Ok(Fate::Rejected(reason))) => return Err(reason.into()),
                Ok(Err(_)) => return Err(Rejection::Stopping.into()),
                Err(_) => {}
            }
        }
        if self.shared.pool().contains(&id) { Err(NotFinal::Waiting) } else { Err(NotFinal::Unknown(id)) }
    }

    /// The waiting transaction of an id.
    pub fn get(&self, id: &TransactionId) -> Option<Arc<VerifiedTransaction>> {
        self.shared.pool().get(id).cloned()
    }

    /// The nonce for the next transaction of an account when some of it wait already; none when none does.
    pub fn next_nonce(&self, account: AccountNumber) -> Option<u64> {
        self.shared.pool().next_nonce(account)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.shared.pool().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counters.
    pub fn metrics(&self) -> &MempoolMetrics {
        &self.shared.metrics
    }

    /// Takes no more, and ends the verifying threads after what they have begun. Blocks until they are gone. What
    /// publishes usually holds the mempool in turn: it is let go here.
    pub fn stop(&self) {
        self.shared.room.close();
        self.workers.join();
        self.shared.outcomes().stop();
        self.shared.publisher.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A place in the line of those who wait for a transaction, given up when dropped.
struct Place<'a> {
    shared: &'a Shared,
    id: TransactionId,
    receiver: Option<oneshot::Receiver<Fate>>,
}

impl<'a> Place<'a> {
    fn take(shared: &'a Shared, id: TransactionId) -> Self {
        let receiver = shared.outcomes().wait(id);
        Self { shared, id, receiver }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            drop(receiver);
            self.shared.outcomes().forget_waiters(&self.id);
        }
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mempool").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}
