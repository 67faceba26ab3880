//! Proofs of rows of the state, as canonical bytes or JSON.

use super::{
    Shared,
    blocks::{canonical, header_view},
    jobs::find_job,
};
use crate::api::{
    Api,
    extract::{Path, parse, wants_bytes},
    problem::ApiError,
};
use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{Proof, table_name, table_named};
use valo_protocol::{
    encoding::encode,
    job::JobId,
    proof::{StateProof, StateTable},
};

/// How often a job that moves from one table to another while its proof is made is looked for again.
const TRIES: usize = 3;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(job_proof)).routes(routes!(proof))
}

/// A row of the state with everything that makes it certain: the way to the state root, the header that carries
/// it, and the certificate. With `accept: application/octet-stream` in canonical bytes.
#[utoipa::path(get, path = "/v1/proofs/{table}/{index}", tag = "chain",
    params(("table" = StateTable, Path, description = "name of the table"), ("index" = u64, Path, description = "the row, from 0")),
    responses((status = 200, body = Proof, content_type = "application/json"), (status = 200, body = [u8], content_type = "application/octet-stream")))]
async fn proof(
    State(api): Shared,
    Path((table, index)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let table = table_named(&table).ok_or_else(|| {
        let names: Vec<&str> = StateTable::ALL.into_iter().map(table_name).collect();
        ApiError::not_found(format!("there is no table `{table}`; there are {}", names.join(", ")))
    })?;
    let index = parse("the number of a row", &index)?;
    let proof = api.services.chain.proof(table, index).await?;
    let none = || ApiError::not_found(format!("table {} has no row {index}", table_name(table)));
    Ok(answer(proof.ok_or_else(none)?, &headers))
}

/// The record of a job with everything that makes it certain.
#[utoipa::path(get, path = "/v1/jobs/{job}/proof", tag = "chain", params(("job" = u64, Path, description = "number of the job")),
    responses((status = 200, body = Proof, content_type = "application/json"), (status = 200, body = [u8], content_type = "application/octet-stream")))]
async fn job_proof(State(api): Shared, Path(job): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let job = JobId(parse("the number of a job", &job)?);
    for _ in 0..TRIES {
        let place = api.read(move |snapshot| Ok(find_job(snapshot, job)?.1)).await?;
        let proof = api.services.chain.proof(place.table, place.index).await?;
        // It may have been closed, and its row taken by another job, before the proof was made.
        if let Some(proof) = proof.filter(|proof| is_job(proof, job)) {
            return Ok(answer(proof, &headers));
        }
    }
    Err(ApiError::busy(format!("job {job} is moving; try again")))
}

fn is_job(proof: &StateProof, job: JobId) -> bool {
    valo_protocol::encoding::decode::<valo_protocol::proof::JobRecord>("job record", &proof.row.row)
        .is_ok_and(|record| record.job == job)
}

fn answer(proof: StateProof, headers: &HeaderMap) -> Response {
    if wants_bytes(headers) {
        return canonical(encode(&proof));
    }
    let view = Proof {
        header: header_view(&proof.finalized.header),
        row: proof.row,
        certificate: proof.finalized.certificate,
        validators: proof.validators,
    };
    Json(view).into_response()
}
