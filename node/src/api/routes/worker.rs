//! What nodes have been drawn for.

use super::Shared;
use crate::api::{
    Api,
    extract::{Path, parse_named},
    problem::ApiError,
};
use axum::{Json, extract::State};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{Assignment, AssignmentState, Assignments, NodeReference};
use valo_ledger::{View, jobs};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(own)).routes(routes!(of_node))
}

/// The shards that this node was drawn for and that are not over.
#[utoipa::path(get, path = "/v1/worker/assignments", tag = "node", responses((status = 200, body = Assignments)))]
async fn own(State(api): Shared) -> Result<Json<Assignments>, ApiError> {
    let key = api.services.key;
    let answer = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let Some((node, _)) = view.node_by_key(&key)? else {
            return Ok(Assignments { node: None, assignments: Vec::new() });
        };
        Ok(Assignments { node: Some(node), assignments: list(view.assignments(node)?) })
    });
    Ok(Json(answer.await?))
}

/// The shards that a node was drawn for and that are not over.
#[utoipa::path(get, path = "/v1/nodes/{node}/assignments", tag = "registry",
    params(("node" = String, Path, description = "number or key (64 hexadecimal characters)")), responses((status = 200, body = Assignments)))]
async fn of_node(State(api): Shared, Path(node): Path<String>) -> Result<Json<Assignments>, ApiError> {
    let reference: NodeReference = parse_named(&node)?;
    let answer = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let node = match reference {
            NodeReference::Id(id) => view.node(id)?.map(|_| id),
            NodeReference::Key(key) => view.node_by_key(&key)?.map(|(id, _)| id),
        };
        let node = node.ok_or_else(|| ApiError::not_found(format!("there is no node {reference}")))?;
        Ok(Assignments { node: Some(node), assignments: list(view.assignments(node)?) })
    });
    Ok(Json(answer.await?))
}

fn list(assignments: Vec<jobs::Assignment>) -> Vec<Assignment> {
    let open = assignments.into_iter().filter_map(|assignment| {
        let (state, until) = match assignment.state {
            jobs::AssignmentState::Assigned { commit_until, .. } => (AssignmentState::Assigned, Some(commit_until)),
            jobs::AssignmentState::Committed => (AssignmentState::Committed, None),
            jobs::AssignmentState::RevealOpen { reveal_until } => (AssignmentState::RevealOpen, Some(reveal_until)),
            jobs::AssignmentState::Revealed { .. } => (AssignmentState::Revealed, None),
            jobs::AssignmentState::Over => return None,
        };
        Some(Assignment { shard: assignment.shard, attempt: assignment.attempt, state, until })
    });
    open.collect()
}
