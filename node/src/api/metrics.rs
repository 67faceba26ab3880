//! Metrics of the API itself, and of what the chain is at when they are asked for (`valo_*`).

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::time::Duration;

/// What a request was for and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route, such as `/v1/blocks/{height}`.
    pub route: String,
    /// The method.
    pub method: String,
    /// The HTTP status.
    pub status: u16,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route.
    pub route: String,
}

/// Counters of the API, and gauges that are set when they are read.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    /// Open connections.
    pub connections: Gauge,
    /// Connections turned away.
    pub refused_connections: Counter,
    /// Requests over the rate of their client.
    pub limited_requests: Counter,
    /// Open streams of events.
    pub event_streams: Gauge,
    /// The last finalized height.
    pub height: Gauge,
    /// Age of the last block in milliseconds.
    pub block_age: Gauge,
    /// Validators of the next height.
    pub validators: Gauge,
    /// Transactions that wait.
    pub pending: Gauge,
    /// Nodes connected to.
    pub peers: Gauge,
}

impl ApiMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            // From a tenth of a millisecond to 26 s, the longest poll nearly.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 4.0, 10))),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            limited_requests: Counter::default(),
            event_streams: Gauge::default(),
            height: Gauge::default(),
            block_age: Gauge::default(),
            validators: Gauge::default(),
            pending: Gauge::default(),
            peers: Gauge::default(),
        };
        let api = registry.sub_registry_with_prefix("api");
        api.register("requests", "Requests by route and status", metrics.requests.clone());
        api.register("request_seconds", "Time until a request was answered", metrics.seconds.clone());
        api.register("connections", "Open connections", metrics.connections.clone());
        api.register("refused_connections", "Connections turned away", metrics.refused_connections.clone());
        api.register("limited_requests", "Requests over the rate of their client", metrics.limited_requests.clone());
        api.register("event_streams", "Open streams of events", metrics.event_streams.clone());
        registry.register("height", "The last finalized height", metrics.height.clone());
        registry.register("block_age_milliseconds", "Age of the last block", metrics.block_age.clone());
        registry.register("validators", "Validators of the next height", metrics.validators.clone());
        registry.register("pending_transactions", "Transactions in the mempool", metrics.pending.clone());
        registry.register("peers", "Nodes connected to", metrics.peers.clone());
        metrics
    }

    /// Counts a request that was answered.
    pub fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = RequestLabels { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }
}
