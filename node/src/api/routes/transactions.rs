//! Submitting transactions and learning what became of them.

use super::Shared;
use crate::{
    api::{
        Api,
        extract::{Path, Query, parse_named},
        limits::{LONGEST_WAIT, MAX_SUBMISSION},
        problem::{ApiError, typed_reason},
    },
    mempool::{NotFinal, Rejection},
};
use axum::{
    Json,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{
    Rejection as RejectionView, Submission, SubmissionResult, SubmissionResults, Submitted, TransactionState,
    TransactionStatus,
};
use valo_protocol::{TransactionId, transaction::MAX_TRANSACTION};

/// The most bytes of one body: that of a full submission of many.
const MAX_BODY: usize = 8 * 1024 * 1024;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(submit)).layer(DefaultBodyLimit::max(MAX_BODY)).routes(routes!(transaction))
}

/// Submits one transaction as canonical bytes (`application/octet-stream`), or up to 1,000 as JSON. One that is refused is
/// a problem document; of many, each has its own answer. Submitting again is harmless.
#[utoipa::path(post, path = "/v1/transactions", tag = "transactions",
    request_body(content((Submission = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, body = SubmissionResults, description = "an answer for each of many"), (status = 202, body = Submitted, description = "the one is taken")))]
async fn submit(State(api): Shared, request: Request) -> Result<Response, ApiError> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_owned();
    match media_type.as_str() {
        "application/octet-stream" => one(&api, Bytes::from_request(request, &()).await?).await,
        "application/json" => {
            let Json(submission) = Json::<Submission>::from_request(request, &()).await?;
            many(&api, submission).await
        }
        _ => Err(ApiError::media_type(
            "one transaction as application/octet-stream, or {\"transactions\": [hex, ...]} as application/json",
        )),
    }
}

async fn one(api: &Api, transaction: Bytes) -> Result<Response, ApiError> {
    if transaction.len() > MAX_TRANSACTION {
        return Err(ApiError::too_large(format!(
            "a transaction has at most {MAX_TRANSACTION} bytes, not {}",
            transaction.len()
        )));
    }
    let answer = api.services.transactions.submit(vec![transaction]).await.into_iter().next();
    match answer.unwrap_or(Err(Rejection::Stopping)) {
        Ok(id) => Ok((StatusCode::ACCEPTED, Json(Submitted { id })).into_response()),
        Err(rejection) => Err(ApiError::from(&rejection)),
    }
}

async fn many(api: &Api, submission: Submission) -> Result<Response, ApiError> {
    if submission.transactions.len() > MAX_SUBMISSION {
        return Err(ApiError::too_large(format!(
            "a submission has at most {MAX_SUBMISSION} transactions, not {}",
            submission.transactions.len()
        )));
    }
    let mut transactions = Vec::with_capacity(submission.transactions.len());
    for (index, text) in submission.transactions.iter().enumerate() {
        let bytes = hex::decode(text)
            .map_err(|error| ApiError::malformed(format!("transaction {index} is not hexadecimal: {error}")))?;
        transactions.push(Bytes::from(bytes));
    }
    let answers = api.services.transactions.submit(transactions).await;
    let results = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(id) => SubmissionResult::Taken(id),
            Err(rejection) => SubmissionResult::Refused(refusal(&rejection)),
        })
        .collect();
    Ok(Json(SubmissionResults { results }).into_response())
}

fn refusal(rejection: &Rejection) -> RejectionView {
    RejectionView { code: rejection.code().to_owned(), detail: rejection.to_string(), reason: typed_reason(rejection) }
}

/// How long to wait.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wait {
    /// Milliseconds to wait at most until it is final or dropped; at most 30,000.
    wait: Option<u64>,
}

/// Where a transaction stands: pending, finalized with its receipt, or dropped with the reason.
#[utoipa::path(get, path = "/v1/transactions/{id}", tag = "transactions", params(("id" = TransactionId, Path), Wait),
    responses((status = 200, body = TransactionStatus)))]
async fn transaction(
    State(api): Shared,
    Path(id): Path<String>,
    Query(Wait { wait }): Query<Wait>,
) -> Result<Json<TransactionStatus>, ApiError> {
    let id: TransactionId = parse_named(&id)?;
    let wait = Duration::from_millis(wait.unwrap_or(0)).min(LONGEST_WAIT);
    let outcome = tokio::select! {
        outcome = api.services.transactions.await_final(id, wait) => outcome,
        // Whoever waits is told so instead of being cut off.
        () = api.stop.cancelled() => Err(NotFinal::Rejected(Rejection::Stopping)),
    };
    let state = match outcome {
        Ok(receipt) => TransactionState::Finalized { receipt },
        Err(NotFinal::Waiting) => TransactionState::Pending,
        Err(NotFinal::Rejected(rejection)) if rejection.concerns_id() => {
            TransactionState::Dropped { rejection: refusal(&rejection) }
        }
        Err(other) => return Err(other.into()),
    };
    Ok(Json(TransactionStatus { id, state }))
}
