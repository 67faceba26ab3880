//! Health and metrics of the node.

use super::{Shared, chain::behind};
use crate::{
    api::{Api, problem::ApiError},
    clock::now,
};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use prometheus_client::encoding::text::encode;
use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_ledger::View;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready)).routes(routes!(metrics))
}

/// Whether the node's loops turn: those of the chain, of the consensus engine, of its network, of the worker. A problem
/// document names the part that does not. A node that fails this should be restarted.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, body = String, content_type = "text/plain")))]
async fn health(State(api): Shared) -> Result<&'static str, ApiError> {
    match api.services.pulses.stuck(Instant::now()) {
        None => Ok("ok\n"),
        Some(stuck) => Err(ApiError::stuck(&stuck)),
    }
}

/// Whether the node follows its chain, and votes if it is a validator. A problem document says why not.
#[utoipa::path(get, path = "/readyz", tag = "node", responses((status = 200, body = String, content_type = "text/plain")))]
async fn ready(State(api): Shared) -> Result<&'static str, ApiError> {
    let (height, time) = {
        let head = api.services.chain.head();
        let tip = head.borrow();
        (tip.height, tip.time)
    };
    let parameters = api.read(|snapshot| Ok(View::new(snapshot).params()?)).await?;
    match api.services.chain.silence().or_else(|| behind(time, height.0, &parameters)) {
        None => Ok("ready\n"),
        Some(reason) => Err(ApiError::not_ready(reason)),
    }
}

/// Metrics in the text format of Prometheus (OpenMetrics).
#[utoipa::path(get, path = "/metrics", tag = "node", responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(api): Shared) -> Result<Response, ApiError> {
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    {
        let head = api.services.chain.head();
        let tip = head.borrow();
        api.metrics.height.set(gauge(tip.height.0));
        api.metrics.block_age.set(gauge(now().since(tip.time).0));
        api.metrics.validators.set(i64::try_from(tip.validators.validators().len()).unwrap_or(i64::MAX));
    }
    api.metrics.pending.set(i64::try_from(api.services.transactions.pending()).unwrap_or(i64::MAX));
    api.metrics.peers.set(i64::try_from(api.services.peers.count()).unwrap_or(i64::MAX));
    let mut text = String::new();
    encode(&mut text, &api.services.metrics.lock().unwrap_or_else(PoisonError::into_inner))
        .map_err(|error| ApiError::internal(&error))?;
    let mut response = text.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    Ok(response)
}
