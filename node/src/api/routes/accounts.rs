//! Accounts.

use super::Shared;
use crate::api::{
    Api,
    extract::{PageQuery, Path, Query, parse_named},
    problem::ApiError,
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{Account, AccountReference, Page};
use valo_ledger::View;
use valo_protocol::{AccountNumber, state::AccountRecord};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(accounts)).routes(routes!(account))
}

/// Accounts in order of their numbers. `from` is the number to start at.
#[utoipa::path(get, path = "/v1/accounts", tag = "registry", params(PageQuery), responses((status = 200, body = Page<Account>)))]
async fn accounts(State(api): Shared, Query(page): Query<PageQuery>) -> Result<Json<Page<Account>>, ApiError> {
    let from = page.number(AccountNumber::default())?;
    let limit = page.size()?;
    let mut records = api.read(move |snapshot| Ok(View::new(snapshot).accounts(from, limit + 1)?)).await?;
    let next = if records.len() > limit { records.pop().map(|(number, _)| number.to_string()) } else { None };
    let items = records.into_iter().map(|(number, record)| view(&api, number, record)).collect();
    Ok(Json(Page { items, next }))
}

/// An account by its number or its key.
#[utoipa::path(get, path = "/v1/accounts/{account}", tag = "registry",
    params(("account" = String, Path, description = "number (8 characters of base32) or key (64 hexadecimal characters)")),
    responses((status = 200, body = Account)))]
async fn account(State(api): Shared, Path(account): Path<String>) -> Result<Json<Account>, ApiError> {
    let reference: AccountReference = parse_named(&account)?;
    let found = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let number = match reference {
            AccountReference::Number(number) => Some(number),
            AccountReference::Key(key) => view.account_by_key(&key)?,
        };
        let Some(number) = number else { return Ok(None) };
        Ok(view.account(number)?.map(|record| (number, record)))
    });
    let (number, record) = found.await?.ok_or_else(|| {
        ApiError::not_found(match reference {
            AccountReference::Number(number) => format!("there is no account {number}"),
            AccountReference::Key(key) => {
                format!("key {key} has no account yet; a transfer to the key makes one")
            }
        })
    })?;
    Ok(Json(view(&api, number, record)))
}

fn view(api: &Api, number: AccountNumber, record: AccountRecord) -> Account {
    let waiting = api.services.transactions.next_nonce(number);
    Account {
        number,
        key: record.key,
        balance: record.balance,
        nonce: record.nonce.0,
        // What the mempool counted may be from before the last block.
        next_nonce: waiting.unwrap_or(0).max(record.nonce.0),
        node: record.node,
    }
}
