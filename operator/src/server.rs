//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Alive: the process answers. Ready: it can reach the API server and takes part in the election; a replica that waits
//! for the lease is as ready as the one that holds it. One that was told to stop is alive, and not ready.

use crate::metrics::Metrics;
use anyhow::Context as _;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::net::TcpListener;

/// What the server tells of.
#[derive(Debug, Clone, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Health {
    /// Not ready yet.
    pub fn new(metrics: Metrics) -> Self {
        Self { ready: Arc::default(), metrics }
    }

    /// Says whether the process is ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, health: Health) -> anyhow::Result<()> {
    axum::serve(listener, router(health)).await.context("the server of metrics ended")
}

fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ok"),
        false => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the API server has not answered yet, or this is the end")
        }
    }
}

async fn metrics(State(health): State<Health>) -> Result<String, StatusCode> {
    health.metrics.text().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
