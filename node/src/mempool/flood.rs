//! The flood's side of the mempool: what peers send is verified before it goes on to others.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::time::Instant;

use super::{Accepted, Mempool, Rejection, verify::Work};
use crate::network::flood::{FloodHandler, Origin, Verdict};

impl FloodHandler for Mempool {
    fn receive(&self, from: Origin, items: Vec<Bytes>) -> BoxFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            let version = self.shared.version();
            let answers = self.verify(items.clone()).await;
            self.hold_early(from, items, &answers, version);
            let verdicts: Vec<Verdict> = answers.iter().map(verdict).collect();
            let offences = verdicts.iter().filter(|verdict| **verdict == Verdict::Invalid).count();
            self.shared.metrics.offences.inc_by(u64::try_from(offences).unwrap_or(u64::MAX));
            verdicts
        })
    }

    fn pending(&self, limit: usize) -> BoxFuture<'_, Vec<Bytes>> {
        Box::pin(async move {
            let best = self.shared.pool().best(usize::MAX, limit);
            best.into_iter().map(|transaction| transaction.bytes().clone()).collect()
        })
    }
}

impl Mempool {
    /// Holds what a later block may make possible. `version` is from before it was judged.
    pub(super) fn hold_early(
        &self,
        from: Origin,
        items: Vec<Bytes>,
        answers: &[Result<Accepted, Rejection>],
        version: u64,
    ) {
        let now = Instant::now();
        let early = |answer: &Result<Accepted, Rejection>| answer.as_ref().is_err_and(Rejection::awaits_block);
        let held: Vec<Bytes> =
            items.into_iter().zip(answers).filter(|(_, answer)| early(answer)).map(|(bytes, _)| bytes).collect();
        if held.is_empty() {
            return;
        }
        {
            let mut early = self.shared.early();
            held.into_iter().for_each(|bytes| early.hold(from, bytes, now));
        }
        if self.shared.version() != version {
            // The block that it waited for may have come in between.
            self.recheck_early();
        }
    }

    /// Has the verifying threads judge again what came early.
    pub(super) fn recheck_early(&self) {
        if self.shared.early().len() == 0 {
            return;
        }
        if let Some(work) = self.workers.sender() {
            // When the threads have more to do than fits, the next block asks again.
            let _ = work.try_send(Work::Recheck);
        }
    }
}

fn verdict(answer: &Result<Accepted, Rejection>) -> Verdict {
    match answer {
        Ok(Accepted { new: true, .. }) => Verdict::Forward,
        Ok(_) => Verdict::Keep,
        // Held for a while, and not remembered by the flood: when it is over, it may be sent again.
        Err(reason) if reason.awaits_block() => Verdict::Later,
        Err(reason) if reason.is_offence() => Verdict::Invalid,
        Err(_) => Verdict::Keep,
    }
}
