//! Validators, nodes, tiers, groups.

use super::Shared;
use crate::api::{
    Api, Snapshot,
    extract::{PageQuery, Path, Query, parse_named},
    problem::ApiError,
};
use axum::{Json, extract::State};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{Group, Node, NodeReference, Page, TierInfo, ValidatorInfo, Validators};
use valo_ledger::View;
use valo_protocol::{
    AccountNumber, PublicKey, Timestamp, ValidatorSet,
    registry::{NodeId, NodeRole, NodeState, Tier, TierId},
    state::NodeRecord,
};

/// Nodes that are read at a time when all are gone through.
const CHUNK: usize = 1024;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(validators))
        .routes(routes!(nodes))
        .routes(routes!(node))
        .routes(routes!(tiers))
        .routes(routes!(groups))
}

/// The validators of the next height.
#[utoipa::path(get, path = "/v1/validators", tag = "registry", responses((status = 200, body = Validators)))]
async fn validators(State(api): Shared) -> Result<Json<Validators>, ApiError> {
    let (height, set) = {
        let head = api.services.chain.head();
        let tip = head.borrow();
        (tip.height.next(), tip.validators.clone())
    };
    let records = api.read(|snapshot| Ok(View::new(snapshot).validators()?)).await?;
    let skipped: BTreeSet<PublicKey> = records
        .into_iter()
        .filter(|(_, record)| record.skipped_until >= height)
        .map(|(_, record)| record.key)
        .collect();
    let validators = set.validators().iter().map(|validator| ValidatorInfo {
        key: validator.key,
        power: validator.power,
        owner: validator.owner,
        skipped: skipped.contains(&validator.key),
    });
    Ok(Json(Validators { height, hash: set.hash(), total_power: set.total_power(), validators: validators.collect() }))
}

/// Nodes in order of their numbers. `from` is the number to start at.
#[utoipa::path(get, path = "/v1/nodes", tag = "registry", params(PageQuery), responses((status = 200, body = Page<Node>)))]
async fn nodes(State(api): Shared, Query(page): Query<PageQuery>) -> Result<Json<Page<Node>>, ApiError> {
    let from = NodeId(page.number(0)?);
    let limit = page.size()?;
    let validators = present_validators(&api);
    let answer = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let tiers = tier_names(&view)?;
        let mut records = view.nodes(from, limit + 1)?;
        let next = if records.len() > limit { records.pop().map(|(id, _)| id.to_string()) } else { None };
        let items = records.into_iter().map(|(id, record)| node_view(&tiers, &validators, id, &record)).collect();
        Ok(Page { items, next })
    });
    Ok(Json(answer.await?))
}

/// A node by its number or its key.
#[utoipa::path(get, path = "/v1/nodes/{node}", tag = "registry",
    params(("node" = String, Path, description = "number or key (64 hexadecimal characters)")), responses((status = 200, body = Node)))]
async fn node(State(api): Shared, Path(node): Path<String>) -> Result<Json<Node>, ApiError> {
    let reference: NodeReference = parse_named(&node)?;
    let validators = present_validators(&api);
    let answer = api.read(move |snapshot| {
        let view = View::new(snapshot);
        let found = match reference {
            NodeReference::Id(id) => view.node(id)?.map(|record| (id, record)),
            NodeReference::Key(key) => view.node_by_key(&key)?,
        };
        let (id, record) = found.ok_or_else(|| ApiError::not_found(format!("there is no node {reference}")))?;
        Ok(node_view(&tier_names(&view)?, &validators, id, &record))
    });
    Ok(Json(answer.await?))
}

fn tier_names(view: &View<'_>) -> Result<BTreeMap<TierId, Tier>, ApiError> {
    Ok(view.tiers()?.into_iter().collect())
}

/// The validators of the next height.
fn present_validators(api: &Api) -> Arc<ValidatorSet> {
    api.services.chain.head().borrow().validators.clone()
}

fn node_view(tiers: &BTreeMap<TierId, Tier>, validators: &ValidatorSet, id: NodeId, record: &NodeRecord) -> Node {
    let (tier, slots) = match record.role {
        NodeRole::Validator => (None, 0),
        NodeRole::Worker { tier, slots } => (tiers.get(&tier).map(|tier| tier.name.clone()), slots),
    };
    Node {
        id,
        key: record.key,
        account: record.account,
        owner: record.owner,
        role: record.role,
        tier,
        state: record.state,
        stake: record.stake,
        locked: record.locked,
        power: validators.power(&record.key),
        slots: u32::from(slots),
        busy: u32::from(record.busy),
        jailed_until: Some(record.jailed_until).filter(|until| *until > Timestamp(0)),
        ready: record.ready,
        unbonding: record.unbonding.to_vec(),
        endpoints: record.endpoints.iter().map(ToString::to_string).collect(),
    }
}

/// What the workers of a tier have to offer.
#[derive(Debug, Default)]
struct Members {
    nodes: Vec<NodeId>,
    owners: BTreeSet<AccountNumber>,
    slots: u32,
    busy: u32,
}

/// The workers that take part, by tier.
fn members(snapshot: &dyn Snapshot) -> Result<BTreeMap<TierId, Members>, ApiError> {
    let view = View::new(snapshot);
    let mut members: BTreeMap<TierId, Members> = BTreeMap::new();
    let mut from = NodeId(0);
    loop {
        let chunk = view.nodes(from, CHUNK)?;
        let Some((last, _)) = chunk.last() else { return Ok(members) };
        from = NodeId(last.0.saturating_add(1));
        for (id, record) in &chunk {
            let NodeRole::Worker { tier, slots } = record.role else { continue };
            if record.state != NodeState::Active {
                continue;
            }
            let entry = members.entry(tier).or_default();
            entry.nodes.push(*id);
            entry.owners.insert(record.owner);
            entry.slots = entry.slots.saturating_add(u32::from(slots));
            entry.busy = entry.busy.saturating_add(u32::from(record.busy));
        }
    }
}

/// All tiers, with what they have to offer.
#[utoipa::path(get, path = "/v1/tiers", tag = "registry", responses((status = 200, body = Page<TierInfo>)))]
async fn tiers(State(api): Shared) -> Result<Json<Page<TierInfo>>, ApiError> {
    let answer = api.read(|snapshot| {
        let mut members = members(snapshot)?;
        let tiers = View::new(snapshot).tiers()?.into_iter().map(|(id, tier)| {
            let members = members.remove(&id).unwrap_or_default();
            TierInfo {
                id,
                tier,
                nodes: u32::try_from(members.nodes.len()).unwrap_or(u32::MAX),
                owners: u32::try_from(members.owners.len()).unwrap_or(u32::MAX),
                slots: members.slots,
                busy: members.busy,
            }
        });
        Ok(Page { items: tiers.collect(), next: None })
    });
    Ok(Json(answer.await?))
}

/// The sharding groups. By now each tier is one group, which its members enter at once.
#[utoipa::path(get, path = "/v1/groups", tag = "registry", responses((status = 200, body = Page<Group>)))]
async fn groups(State(api): Shared) -> Result<Json<Page<Group>>, ApiError> {
    let answer = api.read(|snapshot| {
        let mut members = members(snapshot)?;
        let groups = View::new(snapshot).tiers()?.into_iter().map(|(tier, record)| Group {
            tier,
            tier_name: record.name,
            index: 0,
            nodes: members.remove(&tier).unwrap_or_default().nodes,
        });
        Ok(Page { items: groups.collect(), next: None })
    });
    Ok(Json(answer.await?))
}
