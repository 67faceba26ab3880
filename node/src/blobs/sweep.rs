//! Deleting: by hand, by age, and the sweep that removes the bytes.
//!
//! iroh-blobs deletes only in its own collection, which keeps what it is told to keep. So it runs
//! with a callback that waits until something is doomed and then names all that must stay.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh_blobs::{
    Hash,
    store::{ProtectCb, ProtectOutcome},
};
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use valo_protocol::BlobHash;

use super::{BlobError, Blobs, Shared, index::Index, now, store::to_iroh};

/// How often age is looked at.
const ROUND: Duration = Duration::from_secs(60);
/// How long the rest of a broken download is kept for whoever takes it up again.
const PARTIAL_AGE: Duration = Duration::from_secs(3600);
/// How long a writer waits for the bytes of a deleted blob of the same name to go.
const SWEEP_PATIENCE: Duration = Duration::from_secs(30);

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Wakes the store's collection, and tells when one is over.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    work: Notify,
    rounds: watch::Sender<u64>,
}

impl Sweep {
    /// There is something doomed.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// The callback for the store: called before each collection, so also after each.
    pub(super) fn protect(self: Arc<Self>, index: Arc<Mutex<Index>>) -> ProtectCb {
        Arc::new(move |live: &mut HashSet<Hash>| {
            let (sweep, index) = (self.clone(), index.clone());
            let future = async move {
                let with = |index: &Mutex<Index>| {
                    let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
                    index.begin_sweep()
                };
                index.lock().unwrap_or_else(PoisonError::into_inner).end_sweep();
                sweep.rounds.send_modify(|rounds| *rounds = rounds.wrapping_add(1));
                loop {
                    if let Some(keep) = with(&index) {
                        live.extend(keep.iter().map(to_iroh));
                        return ProtectOutcome::Continue;
                    }
                    sweep.work.notified().await;
                }
            };
            Box::pin(future) as Pin<Box<dyn Future<Output = ProtectOutcome> + Send + Sync + '_>>
        })
    }
}

impl Blobs {
    /// Removes blobs without a pin that were neither stored nor used for `age`.
    pub async fn collect(&self, age: Duration) -> Result<Collected, BlobError> {
        let before = now().saturating_sub(age.as_secs());
        let mut collected = Collected::default();
        let hashes: Vec<_> = self.shared.index(|index| {
            let expired = index.expired(before);
            for hash in &expired {
                if let Some(entry) = index.remove(hash) {
                    collected.blobs = collected.blobs.saturating_add(1);
                    collected.bytes = collected.bytes.saturating_add(entry.size);
                }
            }
            expired
        });
        if hashes.is_empty() {
            return Ok(collected);
        }
        self.shared.measure();
        self.shared.drop_tags(&hashes).await?;
        self.shared.sweep.wake();
        debug!(?collected, "collected blobs");
        Ok(collected)
    }
}

impl Shared {
    /// Waits until the bytes of a deleted blob are gone, before the same blob is written again.
    pub(super) async fn settled(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let mut rounds = self.sweep.rounds.subscribe();
        let gone = async {
            while self.index(|index| index.is_doomed(hash)) {
                self.sweep.wake();
                if rounds.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(SWEEP_PATIENCE, gone).await.map_err(|_| BlobError::Store {
            action: "write a blob",
            reason: format!("the deleted blob {hash} is still being removed; try again"),
        })
    }
}

/// Removes by age, until the network stops.
pub(super) async fn keep_house(blobs: Blobs) {
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        if let Some(age) = blobs.shared.config.retention
            && let Err(error) = blobs.collect(age).await
        {
            warn!(%error, "could not collect old blobs");
        }
        let before = now().saturating_sub(PARTIAL_AGE.as_secs());
        let dropped = blobs.shared.index(|index| index.drop_partials(before));
        if dropped > 0 {
            debug!(dropped, "dropped the rests of broken downloads");
            blobs.shared.sweep.wake();
        }
        blobs.shared.measure();
    }
}
