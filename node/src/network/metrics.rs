//! Counters of the network, for `valo_network_*` metrics.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// How it stands with guests. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct NetworkMetrics {
    /// Guests connected to the flood now.
    pub guests: Gauge,
    /// Connections of guests refused: the lane is closed or full, or the protocol is for members.
    pub guests_refused: Counter,
    /// Connections of guests closed because others needed the place.
    pub guests_made_way: Counter,
}

impl NetworkMetrics {
    /// Names the counters in a registry; the caller chooses the prefix.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("network");
        registry.register("guests", "Guests connected to the flood now", self.guests.clone());
        registry.register("guests_refused", "Connections of guests refused", self.guests_refused.clone());
        let made_way = self.guests_made_way.clone();
        registry.register("guests_made_way", "Connections of guests closed in favour of others", made_way);
    }
}
