//! Reading requests: every refusal of an extractor becomes a problem document.

use super::{
    limits::{DEFAULT_PAGE, MAX_PAGE},
    problem::ApiError,
};
use axum::{
    extract::{FromRequestParts, rejection::QueryRejection},
    http::{HeaderMap, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::str::FromStr;
use utoipa::IntoParams;
use valo_contract::own_words;

/// Parameters in the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Path(value) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// Parameters in the query. Types deny unknown fields, so that a misspelt parameter is an error.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let result: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        Ok(Self(result?.0))
    }
}

/// Reads a parameter of the path.
pub fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    let refuse = |error: T::Err| format!("`{text}` is not {what}: {}", own_words(&error.to_string()));
    text.parse().map_err(|error| ApiError::malformed(refuse(error)))
}

/// Reads a parameter whose error names it already.
pub fn parse_named<T: FromStr>(text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| ApiError::malformed(error.to_string()))
}

/// Whether the client prefers canonical bytes to JSON.
pub fn wants_bytes(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/octet-stream")
}

/// Which part of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Where to start: `next` of the page before.
    pub from: Option<String>,
    /// The most items; at most 1,000.
    pub limit: Option<u32>,
}

/// How many items a page has: as asked for, within bounds.
pub fn page_size(limit: Option<u32>, most: usize) -> Result<usize, ApiError> {
    match limit {
        None => Ok(DEFAULT_PAGE.min(most)),
        Some(0) => Err(ApiError::malformed("`limit` must be at least 1")),
        Some(limit) => Ok(usize::try_from(limit).unwrap_or(MAX_PAGE).min(most)),
    }
}

impl PageQuery {
    /// Where to start, as a number; `first` when the client does not say.
    pub fn number<T: FromStr>(&self, first: T) -> Result<T, ApiError>
    where
        T::Err: std::fmt::Display,
    {
        match &self.from {
            Some(text) => parse("a place to start from", text),
            None => Ok(first),
        }
    }

    /// How many items.
    pub fn size(&self) -> Result<usize, ApiError> {
        page_size(self.limit, MAX_PAGE)
    }
}
