//! Status, parameters, genesis.

use super::Shared;
use crate::{
    api::{Api, problem::ApiError},
    clock::now,
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{NodeStatus, ParametersInForce, Status};
use valo_ledger::{View, fees::Prices};
use valo_protocol::{Amount, Duration, Genesis, Parameters, Timestamp, registry::NodeState};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(parameters)).routes(routes!(genesis))
}

/// Where the node and its chain stand.
#[utoipa::path(get, path = "/v1/status", tag = "chain", responses((status = 200, body = Status)))]
async fn status(State(api): Shared) -> Result<Json<Status>, ApiError> {
    let services = &api.services;
    let key = services.key;
    let (height, block, time, state_root, validators) = {
        let head = services.chain.head();
        let tip = head.borrow();
        (tip.height, tip.block, tip.time, tip.state, tip.validators.clone())
    };
    let (epoch, node, parameters) = api
        .read(move |snapshot| {
            let view = View::new(snapshot);
            Ok((view.chain()?.epoch, view.node_by_key(&key)?, view.params()?))
        })
        .await?;
    let behind = behind(time, height.0, &parameters);
    let power = validators.power(&key);
    let record = node.as_ref().map(|(_, record)| record);
    let not_removable = not_removable(record.map(|record| record.state), power, behind.as_deref());
    let not_ready = services.chain.silence().or(behind);
    Ok(Json(Status {
        chain: services.genesis.chain.to_string(),
        genesis: services.genesis_hash,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        height,
        block,
        time,
        state_root,
        epoch,
        validators: u32::try_from(validators.validators().len()).unwrap_or(u32::MAX),
        total_power: validators.total_power(),
        node: NodeStatus {
            key,
            id: node.as_ref().map(|(id, _)| *id),
            account: node.as_ref().map(|(_, record)| record.account),
            owner: record.map(|record| record.owner),
            role: record.map(|record| record.role),
            state: record.map(|record| record.state),
            stake: record.map(|record| record.stake).unwrap_or_default(),
            locked: record.map(|record| record.locked).unwrap_or_default(),
            power,
            ready: not_ready.is_none(),
            not_ready,
            removable: not_removable.is_none(),
            not_removable,
            peers: u32::try_from(services.peers.count()).unwrap_or(u32::MAX),
            pending_transactions: u64::try_from(services.transactions.pending()).unwrap_or(u64::MAX),
            uptime: u64::try_from(services.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        },
    }))
}

/// Why the node's process may not be stopped for good, if it may not: somebody still counts on it.
fn not_removable(state: Option<NodeState>, power: u64, not_ready: Option<&str>) -> Option<String> {
    if let Some(state) = state.filter(|state| !matches!(state, NodeState::Left | NodeState::Tombstoned)) {
        return Some(format!("it is registered and {state}; its owner lets it leave with `valo node drain`"));
    }
    if power > 0 {
        return Some("it is in the validator set until the epoch ends".to_owned());
    }
    not_ready.map(|reason| format!("it cannot know: {reason}"))
}

/// Why the node does not follow its chain, if it does not: the last block is older than blocks are apart when
/// nothing is due, with room for a few rounds and for clocks that differ.
pub fn behind(time: Timestamp, height: u64, parameters: &Parameters) -> Option<String> {
    if height == 0 {
        return Some("no block is finalized yet".to_owned());
    }
    let age = now().since(time);
    let longest = parameters.idle_interval.0.saturating_mul(2).saturating_add(10_000);
    (age > Duration(longest)).then(|| {
        format!(
            "the last block is {} s old: the node is catching up, or the chain has no quorum, or nobody is connected",
            age.0 / 1000
        )
    })
}

/// The parameters in force, with the prices of now.
#[utoipa::path(get, path = "/v1/params", tag = "chain", responses((status = 200, body = ParametersInForce)))]
async fn parameters(State(api): Shared) -> Result<Json<ParametersInForce>, ApiError> {
    let answer = api.read(|snapshot| {
        let view = View::new(snapshot);
        let parameters = view.params()?;
        let prices = Prices::of(&parameters);
        Ok(ParametersInForce {
            height: view.chain()?.height.next(),
            byte_price: Amount::from_units(prices.byte),
            weight_price: Amount::from_units(prices.weight),
            parameters,
        })
    });
    Ok(Json(answer.await?))
}

/// The genesis document. Its hash names the chain.
#[utoipa::path(get, path = "/v1/genesis", tag = "chain", responses((status = 200, body = Genesis)))]
async fn genesis(State(api): Shared) -> Json<Genesis> {
    Json((*api.services.genesis).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_removable_when_nobody_counts_on_it() {
        let why = |state, power, not_ready| not_removable(state, power, not_ready).unwrap_or_default();
        assert_eq!(why(None, 0, None), "");
        assert_eq!(why(Some(NodeState::Left), 0, None), "");
        assert!(why(Some(NodeState::Active), 5, None).contains("active"));
        assert!(why(Some(NodeState::Draining), 0, None).contains("draining"));
        assert!(why(Some(NodeState::Left), 5, None).contains("validator set"), "its last epoch is not over");
        assert!(
            why(None, 0, Some("it is catching up")).contains("catching up"),
            "an old state says it is not registered"
        );
    }
}
