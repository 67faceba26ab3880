//! The routes, one file per subject. Each subject gives a router with its part of the OpenAPI document.

#![allow(unused_qualifications, reason = "the document's macros repeat the types of parameters with their paths")]

mod accounts;
mod blobs;
mod blocks;
mod chain;
mod events;
mod jobs;
mod nodes;
mod operations;
mod proofs;
mod transactions;
mod worker;

pub use chain::behind;

use super::{Api, guard::guard, openapi, problem::ApiError};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, OriginalUri},
    http::{HeaderValue, Method, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use std::{any::Any, sync::Arc};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};
use utoipa_axum::router::OpenApiRouter;

/// What a route gets.
type Shared = axum::extract::State<Arc<Api>>;

/// All routes that the document lists.
pub fn documented() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .merge(chain::routes())
        .merge(blocks::routes())
        .merge(proofs::routes())
        .merge(transactions::routes())
        .merge(accounts::routes())
        .merge(nodes::routes())
        .merge(jobs::routes())
        .merge(blobs::routes())
        .merge(events::routes())
        .merge(worker::routes())
        .merge(operations::routes())
}

/// Everything that is served.
pub fn router(api: Arc<Api>) -> Router {
    let document = serde_json::to_vec(&openapi::document()).unwrap_or_default();
    let document = Bytes::from(document);
    Router::from(documented())
        .route("/openapi.json", get(move || openapi_document(document)))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Nearly no route takes a body; those that do say how much.
        .layer(DefaultBodyLimit::max(64 * 1024))
        .layer(RequestBodyTimeoutLayer::new(api.limits.body_idle))
        .layer(from_fn_with_state(api.clone(), guard))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic)))
        .with_state(api)
}

async fn openapi_document(document: Bytes) -> Response {
    let mut response = document.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn no_route(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::no_route(uri.path())
}

async fn no_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::method(method.as_str(), uri.path())
}

/// A panic is a fault of the node; it ends the request and nothing else.
fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    ApiError::internal(&format!("a route panicked: {text}")).into_response()
}
