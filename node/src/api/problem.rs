//! Errors of the API: each becomes a problem document (RFC 9457) with a stable code.

use crate::{
    blobs::BlobError,
    chain::ChainStopped,
    mempool::{NotFinal, Rejection},
    pulse::Stuck,
    storage::StorageError,
};
use axum::{
    extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use std::io;
use valo_client::types::{PROBLEM_CONTENT_TYPE, Problem};
use valo_contract::own_words;
use valo_ledger::{LedgerError, StoreError};

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    reason: Option<Value>,
    /// After how many seconds it is worth trying again.
    retry_after: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), reason: None, retry_after: None }
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", "not found", detail)
    }

    /// No route of that path.
    pub fn no_route(path: &str) -> Self {
        let detail = format!("there is nothing at {path}; /openapi.json lists every route");
        Self::new(StatusCode::NOT_FOUND, "noRoute", "no such route", detail)
    }

    /// The route has no such method.
    pub fn method(method: &str, path: &str) -> Self {
        let detail = format!("{path} does not take {method}; /openapi.json lists every route");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", "method not allowed", detail)
    }

    /// The request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "malformed request", detail)
    }

    /// The body is of another type than the route takes.
    pub fn media_type(expected: &str) -> Self {
        let detail = format!("the body must be {expected}; set the header content-type");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupportedMediaType", "unsupported media type", detail)
    }

    /// More bytes or items than the route takes.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "tooLarge", "too large", detail)
    }

    /// It was there and is no longer kept.
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", "no longer kept", detail)
    }

    /// The client asks too often.
    pub fn rate_limited(retry_after: u32) -> Self {
        let detail = format!("too many requests from your address; try again in {retry_after} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rateLimited", "too many requests", detail);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// The node has too much to do.
    pub fn busy(detail: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "busy", detail);
        Self { retry_after: Some(1), ..error }
    }

    /// The node is stopping, or its chain has.
    pub fn stopping(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "stopping", detail)
    }

    /// The node does not follow its chain (yet).
    pub fn not_ready(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "notReady", "not ready", detail)
    }

    /// A loop of the node hangs.
    pub fn stuck(stuck: &Stuck) -> Self {
        let detail = format!("the loop of {} has not turned for {} s", stuck.part, stuck.since.as_secs());
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", "stuck", detail);
        Self { reason: Some(serde_json::json!({ "part": stuck.part })), ..error }
    }

    /// The node could not answer in time.
    pub fn timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "took too long", detail)
    }

    /// The client sent too slowly.
    pub fn slow_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "slowBody", "body too slow", detail)
    }

    /// A fault of the node. What is logged says more than what is sent.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        let detail = "the node failed to answer; its log says why".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error", detail)
    }

    /// The document.
    pub fn problem(&self) -> Problem {
        Problem {
            kind: format!("urn:valo:problem:{}", self.code),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            reason: self.reason.clone(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        Self::internal(&error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::internal(&error)
    }
}

impl From<ChainStopped> for ApiError {
    fn from(error: ChainStopped) -> Self {
        Self::stopping(error.to_string())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::malformed(lower(rejection.body_text()))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        // "Failed to deserialize query string: limit: invalid digit found in string": the first part says nothing.
        let text = rejection.body_text();
        let cause = text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause);
        Self::malformed(format!("the query cannot be read: {}", own_words(cause)))
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let detail = own_words(&lower(rejection.body_text()));
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::media_type("application/json"),
            JsonRejection::BytesRejection(rejection) => rejection.into(),
            _ => Self::malformed(detail),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large("the body has more bytes than this route takes");
        }
        // Nothing but the transport fails otherwise: the client went away or was too slow.
        Self::slow_body("the body did not arrive")
    }
}

/// The code of a refused transaction is the mempool's own.
impl From<&Rejection> for ApiError {
    fn from(rejection: &Rejection) -> Self {
        let (status, title) = match rejection {
            Rejection::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed transaction"),
            Rejection::NonceTaken { .. } | Rejection::ProtocolNonce { .. } => (StatusCode::CONFLICT, "nonce in use"),
            Rejection::Full { .. }
            | Rejection::ProtocolFull
            | Rejection::Busy
            | Rejection::State(_)
            | Rejection::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "not taken now"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "transaction refused"),
        };
        let error = Self::new(status, rejection.code(), title, rejection.to_string());
        Self { reason: typed_reason(rejection), ..error }
    }
}

/// The typed reason of a rejection as JSON, where it has one.
pub fn typed_reason(rejection: &Rejection) -> Option<Value> {
    match rejection {
        Rejection::Invalid(invalid) => serde_json::to_value(invalid).ok(),
        _ => None,
    }
}

impl From<NotFinal> for ApiError {
    fn from(error: NotFinal) -> Self {
        let detail = error.to_string();
        match error {
            NotFinal::Rejected(rejection) => Self::from(&rejection),
            NotFinal::Waiting => Self::timeout(detail),
            NotFinal::Unknown(_) => Self::not_found(detail),
            NotFinal::TooMany => Self::busy(detail),
            NotFinal::State(_) => Self::internal(&detail),
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        let detail = error.to_string();
        match error {
            BlobError::Missing(_) => Self::not_found(detail),
            BlobError::Unavailable { .. } => {
                Self::new(StatusCode::NOT_FOUND, "unavailable", "blob unavailable", detail)
            }
            BlobError::TooLarge { .. } => Self::too_large(detail),
            BlobError::QuotaExceeded { .. } => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "quotaExceeded", "no room", detail)
            }
            BlobError::Pinned { .. } => Self::new(StatusCode::CONFLICT, "pinned", "blob in use", detail),
            BlobError::Stalled(_) | BlobError::Source(_) => Self::slow_body(detail),
            BlobError::Stopping => Self::stopping(detail),
            BlobError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                tracing::error!(error = detail, "the disk is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "diskFull", "disk full", "the disk of this node is full")
            }
            BlobError::Label { .. } | BlobError::Corrupt(_) | BlobError::Io { .. } | BlobError::Store { .. } => {
                Self::internal(&detail)
            }
        }
    }
}

/// Messages of libraries start with a capital letter; ours do not.
fn lower(text: String) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let error =
            |kind: io::ErrorKind| BlobError::Io { action: "cannot write", path: "a".into(), source: kind.into() };
        let full = ApiError::from(error(io::ErrorKind::StorageFull)).problem();
        assert_eq!((full.status, full.code.as_str()), (507, "diskFull"));
        let other = ApiError::from(error(io::ErrorKind::PermissionDenied)).problem();
        assert_eq!((other.status, other.code.as_str()), (500, "internal"), "its words stay in the log");
    }
}
