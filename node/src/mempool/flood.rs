//! The flood's side of the mempool: what peers send is verified before it goes on to others.

use bytes::Bytes;
use futures::future::BoxFuture;
use valo_protocol::{PublicKey, receipt::Invalid};

use super::{Accepted, Mempool, Rejection};
use crate::network::flood::{FloodHandler, Verdict};

impl FloodHandler for Mempool {
    fn receive(&self, _from: PublicKey, items: Vec<Bytes>) -> BoxFuture<'_, Vec<Verdict>> {
        Box::pin(async move {
            let answers = self.verify(items).await;
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

fn verdict(answer: &Result<Accepted, Rejection>) -> Verdict {
    match answer {
        Ok(Accepted { new: true, .. }) => Verdict::Forward,
        Ok(_) => Verdict::Keep,
        // A worker ahead of this node answers for what this node has not heard of yet, and says it again soon.
        Err(Rejection::Invalid(Invalid::NotOpen(_))) => Verdict::Later,
        Err(reason) if reason.is_offence() => Verdict::Invalid,
        Err(_) => Verdict::Keep,
    }
}
