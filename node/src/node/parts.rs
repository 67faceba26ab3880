//! What of a node runs, and its end in the reverse order of its start.

use crate::{blobs::Blobs, consensus::Consensus, mempool::Mempool, network::Network, storage::Storage};
use std::{fs::File, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long a node may take to stop in order.
pub const STOP: Duration = Duration::from_secs(15);

/// A part did not stop in time. What was finalized is on disk all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node did not stop within {} s; what was finalized is on disk", STOP.as_secs())]
pub struct NotStopped;

/// The parts that were started so far, the node's tasks, and where the first failure is told.
#[derive(Debug, Default)]
pub struct Parts {
    /// The data folder, as long as this process has it.
    pub folder: Option<File>,
    pub storage: Option<Storage>,
    pub mempool: Option<Mempool>,
    pub network: Option<Network>,
    pub blobs: Option<Blobs>,
    pub consensus: Option<Consensus>,
    pub stop: CancellationToken,
    tasks: JoinSet<()>,
    fail: watch::Sender<Option<String>>,
}

impl Parts {
    /// The first failure of a part, once there is one.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.fail.subscribe()
    }

    /// Runs a task until the node stops.
    pub fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Watches for the end of something that is stopped elsewhere.
    pub fn watch_until_stopped(
        &mut self,
        part: &'static str,
        end: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.watch(part, async move { stop.run_until_cancelled(end).await.unwrap_or(Ok(())) });
    }

    /// Runs a part that should last as long as the node; its end before that is a failure.
    pub fn watch(&mut self, part: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        let (stop, fail) = (self.stop.clone(), self.fail.clone());
        self.tasks.spawn(async move {
            let reason = match task.await {
                _ if stop.is_cancelled() => return,
                Ok(()) => "it ended by itself".to_owned(),
                Err(reason) => reason,
            };
            fail.send_if_modified(|failure| {
                let first = failure.is_none();
                if first {
                    *failure = Some(format!("{part} stopped: {reason}"));
                }
                first
            });
        });
    }

    /// Stops what was started, last part first, within [`STOP`] in all.
    pub async fn stop(mut self) -> Result<(), NotStopped> {
        self.stop.cancel();
        let in_order = timeout(STOP, async {
            while self.tasks.join_next().await.is_some() {}
            if let Some(consensus) = self.consensus.take() {
                consensus.stop().await;
            }
            if let Some(mempool) = self.mempool.take() {
                // Waits for threads. A panic there was reported when it happened.
                let _ = spawn_blocking(move || mempool.stop()).await;
            }
            if let Some(blobs) = self.blobs.take()
                && let Err(error) = blobs.shutdown().await
            {
                tracing::warn!(%error, "blobs did not close in order");
            }
            if let Some(network) = self.network.take() {
                network.shutdown().await;
            }
        });
        let in_order = in_order.await.is_ok();
        if let Some(storage) = self.storage.take() {
            storage.close();
        }
        if in_order { Ok(()) } else { Err(NotStopped) }
    }
}
