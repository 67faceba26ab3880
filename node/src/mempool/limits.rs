//! How much the mempool holds.

use std::time::Duration;

/// Bounds of the mempool (PROTOCOL 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Transactions at most.
    pub transactions: usize,
    /// Bytes of transactions on the wire at most. In memory a small one takes about four times its bytes.
    pub bytes: usize,
    /// Transactions of one account at most; also how far a nonce may be ahead.
    pub per_account: u64,
    /// How long a transaction waits for a nonce before it.
    pub gap_lifetime: Duration,
    /// Transactions of one peer that are held because they come before the block that makes them possible.
    pub early_per_peer: usize,
    /// Their bytes.
    pub early_bytes_per_peer: usize,
    /// How long they are held.
    pub early_lifetime: Duration,
    /// Reasons that are remembered for those who ask later.
    pub remembered: usize,
    /// How long a reason is remembered.
    pub memory: Duration,
    /// Requests that may wait for finality at once.
    pub waiters: usize,
    /// Bytes that may wait to be verified. Whoever brings more has to wait.
    pub unverified_bytes: usize,
    /// Threads that verify.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            transactions: 100_000,
            bytes: 64 << 20,
            per_account: 64,
            gap_lifetime: Duration::from_secs(600),
            early_per_peer: 1024,
            early_bytes_per_peer: 512 << 10,
            early_lifetime: Duration::from_secs(5),
            remembered: 50_000,
            memory: Duration::from_secs(600),
            waiters: 50_000,
            unverified_bytes: 8 << 20,
            threads: cores.div_ceil(2).clamp(1, 4),
        }
    }
}

impl Limits {
    /// The share of both bounds that messages of the protocol may take. They push others out up to there.
    pub(super) const fn protocol_share(bound: usize) -> usize {
        bound.div_ceil(4)
    }
}
