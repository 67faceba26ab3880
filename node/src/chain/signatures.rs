//! Signatures of transactions: in batches, on as many threads as pay, and never twice.

use super::{ChainError, source::TransactionSource};
use std::{num::NonZero, thread};
use valo_ledger::{Ledger, Store};
use valo_protocol::{
    PublicKey, Signature, SignedTransaction,
    keys::{Signed, verify_batch},
};

/// Signatures in one batch: beyond this a batch hardly gets faster.
const BATCH: usize = 256;

/// For each transaction, whether it is signed by the key of its sender. Those that the source has verified are not
/// verified again.
pub(super) fn verify<S: Store>(
    ledger: &Ledger<S>,
    source: &dyn TransactionSource,
    transactions: &[SignedTransaction],
) -> Result<Vec<bool>, ChainError> {
    let genesis = ledger.genesis_hash();
    let mut good = vec![false; transactions.len()];
    let mut open: Vec<(usize, PublicKey, Vec<u8>, Signature)> = Vec::new();
    for ((index, verdict), signed) in good.iter_mut().enumerate().zip(transactions) {
        let message = signed.transaction.signed_bytes(&genesis);
        if source.verified(&blake3::hash(&message).into(), signed) {
            *verdict = true;
        } else if let Some(key) = ledger.sender_key(signed.transaction.sender)? {
            open.push((index, key, message, signed.signature));
        }
    }
    for (index, verdict) in verify_all(&open) {
        if let Some(slot) = good.get_mut(index) {
            *slot = verdict;
        }
    }
    Ok(good)
}

fn verify_all(open: &[(usize, PublicKey, Vec<u8>, Signature)]) -> Vec<(usize, bool)> {
    let verify_some = |some: &[(usize, PublicKey, Vec<u8>, Signature)]| -> Vec<(usize, bool)> {
        some.chunks(BATCH)
            .flat_map(|batch| {
                let items: Vec<Signed<'_>> = batch
                    .iter()
                    .map(|(_, key, message, signature)| Signed { key: *key, message, signature: *signature })
                    .collect();
                let indices = batch.iter().map(|(index, ..)| *index);
                indices.zip(verify_batch(&items)).collect::<Vec<_>>()
            })
            .collect()
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(4);
    if threads == 1 || open.len() <= BATCH {
        return verify_some(open);
    }
    thread::scope(|scope| {
        let share = open.len().div_ceil(threads);
        let workers: Vec<_> = open.chunks(share).map(|some| scope.spawn(move || verify_some(some))).collect();
        // A worker cannot panic; if it did, its signatures count as bad.
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}
