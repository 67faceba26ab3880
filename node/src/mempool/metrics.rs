//! Counters of the mempool, for `valo_mempool_*` metrics.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counters of the mempool. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MempoolMetrics {
    /// Transactions that wait.
    pub waiting: Gauge,
    /// Their bytes on the wire.
    pub waiting_bytes: Gauge,
    /// Transactions taken.
    pub accepted: Counter,
    /// Transactions dropped after they were taken.
    pub dropped: Counter,
    /// Transactions that came before the block that makes them possible, and were taken after it.
    pub early: Counter,
    /// Items that peers should not have sent.
    pub offences: Counter,
}

impl MempoolMetrics {
    /// Registers the counters as `mempool_*` in the node's registry, which puts `valo` before them.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("mempool");
        registry.register("transactions", "transactions that wait to be in a block", self.waiting.clone());
        registry.register("bytes", "bytes of transactions that wait to be in a block", self.waiting_bytes.clone());
        registry.register("accepted", "transactions taken", self.accepted.clone());
        registry.register("dropped", "transactions dropped after they were taken", self.dropped.clone());
        registry.register(
            "early",
            "transactions that came a block too early and were taken after it",
            self.early.clone(),
        );
        registry.register("offences", "invalid items sent by peers", self.offences.clone());
    }
}
