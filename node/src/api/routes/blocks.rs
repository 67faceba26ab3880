//! Finalized blocks.

use super::Shared;
use crate::api::{
    Api, Snapshot,
    extract::{PageQuery, Path, Query, page_size, parse, wants_bytes},
    limits::MAX_BLOCKS,
    problem::ApiError,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{
    Block, BlockHeader, BlockSummary, CertificateSummary, FinalizedHeader, Page, TransactionDetails,
};
use valo_protocol::{GenesisHash, Header, Height, SignedTransaction, encoding::encode, receipt::Receipt};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(blocks)).routes(routes!(block)).routes(routes!(header))
}

/// Blocks, newest first. `from` is the height to start at.
#[utoipa::path(get, path = "/v1/blocks", tag = "chain", params(PageQuery), responses((status = 200, body = Page<BlockSummary>)))]
async fn blocks(State(api): Shared, Query(page): Query<PageQuery>) -> Result<Json<Page<BlockSummary>>, ApiError> {
    let limit = page_size(page.limit, MAX_BLOCKS)?;
    let from = page.number(u64::MAX)?;
    let answer = api.read(move |snapshot| {
        let earliest = snapshot.earliest_height()?.map_or(1, |height| height.0);
        let top = valo_ledger::View::new(snapshot).chain()?.height.0.min(from);
        let mut items = Vec::new();
        let mut height = top;
        while height >= earliest && height > 0 && items.len() < limit {
            if let Some(summary) = summary(snapshot, Height(height))? {
                items.push(summary);
            }
            height -= 1;
        }
        let next = (height >= earliest && height > 0).then(|| height.to_string());
        Ok(Page { items, next })
    });
    Ok(Json(answer.await?))
}

fn summary(snapshot: &dyn Snapshot, height: Height) -> Result<Option<BlockSummary>, ApiError> {
    let Some(finalized) = snapshot.header(height)? else { return Ok(None) };
    let Some(block) = snapshot.block(height)? else { return Ok(None) };
    Ok(Some(BlockSummary {
        height,
        id: finalized.certificate.block,
        time: finalized.header.time,
        proposer: finalized.header.proposer,
        round: finalized.certificate.round,
        transactions: u32::try_from(block.transactions.len()).unwrap_or(u32::MAX),
        size: length(block.to_bytes().len()),
    }))
}

/// A finalized block with its transactions and their receipts.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "chain", params(("height" = u64, Path, description = "from 1")), responses((status = 200, body = Block)))]
async fn block(State(api): Shared, Path(height): Path<String>) -> Result<Json<Block>, ApiError> {
    let height = Height(parse("a height", &height)?);
    let genesis = api.services.genesis_hash;
    let answer = api.read(move |snapshot| {
        let (Some(finalized), Some(block)) = (snapshot.header(height)?, snapshot.block(height)?) else {
            return Err(missing(snapshot, height));
        };
        let receipts = snapshot.receipts(height)?;
        Ok(Block {
            id: finalized.certificate.block,
            header: header_view(&finalized.header),
            size: length(block.to_bytes().len()),
            certificate: CertificateSummary {
                round: finalized.certificate.round,
                signers: finalized.certificate.signatures.iter().map(|signature| signature.validator).collect(),
            },
            faults: block.evidence.iter().map(|evidence| evidence.culprit()).collect(),
            transactions: block
                .transactions
                .iter()
                .zip(receipts)
                .map(|(transaction, receipt)| transaction_view(&genesis, transaction, receipt))
                .collect(),
        })
    });
    Ok(Json(answer.await?))
}

/// The header of a finalized block with the certificate that makes it final. With `accept: application/octet-stream` in
/// canonical bytes.
#[utoipa::path(get, path = "/v1/blocks/{height}/header", tag = "chain", params(("height" = u64, Path, description = "from 1")),
    responses((status = 200, body = FinalizedHeader, content_type = "application/json"), (status = 200, body = [u8], content_type = "application/octet-stream")))]
async fn header(State(api): Shared, Path(height): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let height = Height(parse("a height", &height)?);
    let finalized = api.read(move |snapshot| snapshot.header(height)?.ok_or_else(|| missing(snapshot, height))).await?;
    if wants_bytes(&headers) {
        return Ok(canonical(encode(&finalized)));
    }
    let answer = FinalizedHeader { header: header_view(&finalized.header), certificate: finalized.certificate };
    Ok(Json(answer).into_response())
}

/// Canonical bytes as an answer.
pub fn canonical(bytes: Vec<u8>) -> Response {
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

fn missing(snapshot: &dyn Snapshot, height: Height) -> ApiError {
    if height == Height(0) {
        return ApiError::not_found(
            "there is no block 0: they are counted from 1, and the first follows on the genesis",
        );
    }
    match snapshot.earliest_height() {
        Ok(Some(earliest)) if height < earliest => {
            ApiError::gone(format!("block {height} is no longer kept here; the first is {earliest}"))
        }
        _ => ApiError::not_found(format!("there is no block {height} yet")),
    }
}

/// A header as JSON shows it.
pub fn header_view(header: &Header) -> BlockHeader {
    BlockHeader {
        version: header.version,
        height: header.height,
        round: header.round,
        time: header.time,
        parent: header.parent,
        proposer: header.proposer,
        vrf_proof: hex::encode(encode(&header.vrf_proof)),
        transactions: header.transactions,
        last_commit: header.last_commit,
        evidence: header.evidence,
        state: header.state,
        next_validators: header.next_validators,
    }
}

/// A transaction of a finalized block as JSON shows it.
pub fn transaction_view(genesis: &GenesisHash, signed: &SignedTransaction, receipt: Receipt) -> TransactionDetails {
    TransactionDetails {
        id: signed.id(genesis),
        height: receipt.height,
        sender: signed.transaction.sender,
        nonce: signed.transaction.nonce.0,
        max_fee: signed.transaction.max_fee,
        action: signed.transaction.action.clone(),
        size: length(signed.to_bytes().len()),
        receipt,
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
