//! What a node answers before it has a chain to speak of: that it lives, and what it waits for.

use super::{
    limits::Limits,
    problem::ApiError,
    server::{Counted, listen},
};
use axum::{Router, routing::get};
use std::future::{Future, ready};
use tokio::{net::TcpListener, sync::watch};

/// Serves probes until `stop` resolves: `/healthz` is well, everything else is not ready, for the reason of the moment.
pub async fn serve_waiting(
    listener: TcpListener,
    reason: watch::Receiver<String>,
    stop: impl Future<Output = ()> + Send,
) {
    let not_ready = move || ready(ApiError::not_ready(reason.borrow().as_str()));
    let router = Router::new().route("/healthz", get(|| ready("ok\n"))).fallback(not_ready);
    listen(listener, router, &Limits::default(), Counted::default(), stop).await;
}
