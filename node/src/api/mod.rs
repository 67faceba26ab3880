//! The HTTP API of a node: JSON over HTTP/1.1, server-sent events, blobs as streams, OpenAPI at `/openapi.json`.
//!
//! ```text
//!   listener (server) -> guard: rate, time -> route -> Services (state, chain, transactions, blobs)
//!                                               |
//!                               answers in the types of valo-client; errors as problem documents
//! ```
//! One file per subject in [`routes`]. Nothing here holds a lock across an await, and whatever a client can
//! ask for is bounded by [`Limits`]: connections, rates, bodies, pages, waits, streams.
//! State is read from snapshots on blocking threads, so that a slow disk never holds the connections up.

mod events;
mod explain;
mod extract;
mod guard;
mod limits;
mod metrics;
mod openapi;
mod problem;
mod routes;
mod server;
mod services;
mod stall;
mod waiting;

#[cfg(test)]
mod tests;

pub use limits::Limits;
pub use openapi::document;
pub(crate) use routes::behind;
pub use server::serve;
pub use services::{
    BlobAccess, ChainAccess, LogAccess, OpenBlob, Peers, Services, Snapshot, StateReader, TransactionPool,
};
pub use waiting::serve_waiting;

use guard::Rates;
use metrics::ApiMetrics;
use problem::ApiError;
use std::sync::{Arc, PoisonError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Everything the routes share.
#[derive(Debug)]
struct Api {
    services: Arc<Services>,
    limits: Limits,
    metrics: ApiMetrics,
    rates: Rates,
    reads: Arc<Semaphore>,
    long_reads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Cancelled when the node stops.
    stop: CancellationToken,
}

impl Api {
    fn new(services: Arc<Services>, limits: Limits) -> Arc<Self> {
        let metrics = ApiMetrics::register(&mut services.metrics.lock().unwrap_or_else(PoisonError::into_inner));
        Arc::new(Self {
            metrics,
            rates: Rates::new(limits.requests_per_second, limits.burst),
            reads: Arc::new(Semaphore::new(limits.reads)),
            long_reads: Arc::new(Semaphore::new(limits.long_reads)),
            streams: Arc::new(Semaphore::new(limits.event_streams)),
            stop: CancellationToken::new(),
            services,
            limits,
        })
    }

    /// Reads one snapshot of state and history, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Snapshot) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.blocking(&self.reads, read).await
    }

    /// The same for what takes long: few at a time.
    async fn long_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Snapshot) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.blocking(&self.long_reads, read).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        read: impl FnOnce(&dyn Snapshot) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let stopping = |_| ApiError::stopping("the node is stopping");
        let permit = permits.clone().acquire_owned().await.map_err(stopping)?;
        let services = self.services.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Held to the end of the read, also when nobody waits for it any more.
            let _permit = permit;
            read(&*services.state.snapshot())
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(ApiError::internal(&error)),
        }
    }
}
