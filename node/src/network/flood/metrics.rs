//! Counters of the flood, for `valo_flood_*` metrics.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// What the flood did since the node started. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct FloodMetrics {
    /// Peers connected now.
    pub peers: Gauge,
    /// Items handed in by this node.
    pub published: Counter,
    /// Items that arrived and were new.
    pub received: Counter,
    /// Items that arrived again.
    pub duplicates: Counter,
    /// Items passed on to other peers.
    pub forwarded: Counter,
    /// Items the handler found invalid.
    pub invalid: Counter,
    /// Items put into the queue of a peer.
    pub queued: Counter,
    /// Bytes written to peers.
    pub sent_bytes: Counter,
    /// Bytes of items that arrived.
    pub received_bytes: Counter,
    /// Peers dropped because they did not keep up.
    pub slow: Counter,
    /// Peers dropped because they broke the framing.
    pub broken: Counter,
    /// Items of guests that were heard.
    pub guest_items: Counter,
    /// Items of guests left unheard because they sent more than they may.
    pub guest_limited: Counter,
    /// Items left out for guests that had no room for more.
    pub guest_left_out: Counter,
    /// Items refused from this node itself because they are larger than an item may be.
    pub oversize: Counter,
}

impl FloodMetrics {
    /// Names the counters in a registry; the caller chooses the prefix.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("flood");
        registry.register("peers", "Peers connected now", self.peers.clone());
        for (name, help, counter) in [
            ("published", "Items handed in by this node", &self.published),
            ("received", "New items from peers", &self.received),
            ("duplicates", "Items received again", &self.duplicates),
            ("forwarded", "Items passed on", &self.forwarded),
            ("invalid", "Items found invalid", &self.invalid),
            ("queued", "Items queued for a peer", &self.queued),
            ("sent_bytes", "Bytes written to peers", &self.sent_bytes),
            ("received_bytes", "Bytes of items received", &self.received_bytes),
            ("slow", "Peers dropped for slowness", &self.slow),
            ("broken", "Peers dropped for broken frames", &self.broken),
            ("guest_items", "Items of guests heard", &self.guest_items),
            ("guest_limited", "Items of guests unheard because they sent too many", &self.guest_limited),
            ("guest_left_out", "Items left out for guests without room", &self.guest_left_out),
            ("oversize", "Own items refused for their size", &self.oversize),
        ] {
            registry.register(name, help, counter.clone());
        }
    }
}
