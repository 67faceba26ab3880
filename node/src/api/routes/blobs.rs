//! Blobs: up and down as streams.

use super::Shared;
use crate::api::{
    Api,
    extract::{Path, Query, page_size, parse, parse_named},
    guard::client_of_request,
    limits::MAX_PAGE,
    problem::ApiError,
};
use axum::{
    Json,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::TryStreamExt;
use serde::Deserialize;
use std::{io, sync::Arc};
use tokio_util::io::{ReaderStream, StreamReader};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{BlobInfo, BlobList};
use valo_ledger::View;
use valo_protocol::{BlobHash, PublicKey, registry::NodeId};

/// Bytes read from disk at a time.
const CHUNK: usize = 128 * 1024;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(upload, list))
        // The length is bounded as the bytes come: a blob is never held in memory.
        .layer(DefaultBodyLimit::disable())
        .routes(routes!(download, describe))
}

/// Stores the body as a blob and answers with its name.
#[utoipa::path(post, path = "/v1/blobs", tag = "blobs", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = BlobInfo)))]
async fn upload(State(api): Shared, request: Request) -> Result<Response, ApiError> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media_type.is_none_or(|value| !value.starts_with("application/octet-stream")) {
        return Err(ApiError::media_type("application/octet-stream"));
    }
    let limit = api.limits.blob_bytes;
    let too_large = || ApiError::too_large(format!("a blob has at most {limit} bytes"));
    if announced(request.headers()).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let owner = format!("api/{}", client_of_request(&request));
    let mut left = limit;
    let bytes = request.into_body().into_data_stream().map_err(io::Error::other).and_then(move |chunk| {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let fits = left.checked_sub(length).map(|rest| left = rest);
        let result = fits.map(|()| chunk).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge));
        std::future::ready(result)
    });
    let source = Box::pin(StreamReader::new(bytes));
    let stored = api.services.blobs.put(source, &owner).await;
    let (hash, size) = stored.map_err(|error| match error {
        crate::blobs::BlobError::Source(cause) if cause.kind() == io::ErrorKind::FileTooLarge => too_large(),
        other => other.into(),
    })?;
    Ok((StatusCode::CREATED, Json(BlobInfo { hash, size })).into_response())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Which part of the list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AfterQuery {
    /// `next` of the page before: the last blob seen.
    from: Option<String>,
    /// The most items; at most 1,000.
    limit: Option<u32>,
}

/// The blobs that this node holds, in order of their names.
#[utoipa::path(get, path = "/v1/blobs", tag = "blobs", params(AfterQuery), responses((status = 200, body = BlobList)))]
async fn list(State(api): Shared, Query(page): Query<AfterQuery>) -> Result<Json<BlobList>, ApiError> {
    let after: Option<BlobHash> = page.from.as_deref().map(parse_named).transpose()?;
    let limit = page_size(page.limit, MAX_PAGE)?;
    let blobs = &api.services.blobs;
    let items: Vec<BlobInfo> =
        blobs.list(after, limit).into_iter().map(|(hash, size)| BlobInfo { hash, size }).collect();
    let next = items.last().filter(|_| items.len() == limit).map(|blob| blob.hash.to_string());
    Ok(Json(BlobList { items, next, total_size: blobs.usage() }))
}

/// Who should have a blob.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HoldersQuery {
    /// Numbers of nodes that should have it, separated by commas: asked first. At most 16 count.
    nodes: Option<String>,
}

impl HoldersQuery {
    /// The nodes that a client names.
    fn ids(&self) -> Result<Vec<NodeId>, ApiError> {
        let names = self.nodes.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty()).take(16);
        names.map(|name| Ok(NodeId(parse("the number of a node", name)?))).collect()
    }
}

/// The keys of nodes.
async fn holders(api: &Api, ids: Vec<NodeId>) -> Result<Vec<PublicKey>, ApiError> {
    let keys = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            keys.extend(view.node(id)?.map(|record| record.key));
        }
        Ok(keys)
    });
    keys.await
}

/// The bytes of a blob. The node gets it from others if it does not hold it.
#[utoipa::path(get, path = "/v1/blobs/{hash}", tag = "blobs", params(("hash" = BlobHash, Path), HoldersQuery),
    responses((status = 200, body = [u8], content_type = "application/octet-stream")))]
async fn download(
    State(api): Shared,
    Path(hash): Path<String>,
    Query(query): Query<HoldersQuery>,
) -> Result<Response, ApiError> {
    let hash: BlobHash = parse_named(&hash)?;
    // Also where the blob is here: what is refused must not depend on what a node happens to hold.
    let ids = query.ids()?;
    let blobs = &api.services.blobs;
    if blobs.size(&hash).is_none() {
        let hints = holders(&api, ids).await?;
        blobs.fetch(hash, &hints, api.limits.blob_bytes).await?;
    }
    let (size, reader) = blobs.open(&hash).await?;
    Ok(described(hash, size, Body::from_stream(ReaderStream::with_capacity(reader, CHUNK))))
}

/// Whether this node itself holds a blob, and its length.
#[utoipa::path(head, path = "/v1/blobs/{hash}", tag = "blobs", params(("hash" = BlobHash, Path)), responses((status = 200)))]
async fn describe(State(api): Shared, Path(hash): Path<String>) -> Result<Response, ApiError> {
    let hash: BlobHash = parse_named(&hash)?;
    let missing = || ApiError::not_found(format!("blob {hash} is not on this node"));
    let size = api.services.blobs.size(&hash).ok_or_else(missing)?;
    Ok(described(hash, size, Body::empty()))
}

fn described(hash: BlobHash, size: u64, body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    // What a name stands for never changes. Strangers' bytes are data, never a page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(header::ETAG, tag);
    }
    response
}
