//! What a contract must fulfil against the state of the chain: tiers that can run it, owners to check each other,
//! a deadline ahead, and a budget and stakes that cover it. What holds always is checked by
//! [`JobContract::check`]; these rules are in [`JobContract::check_terms`].

use crate::{Context, Failure, LedgerError};
use std::collections::BTreeSet;
use valo_protocol::{
    JobContract,
    job::{Offer, Refusal},
    params::Disjoint,
    receipt::Reason,
    registry::{NodeId, NodeRole, NodeState, TierId, TierName},
    state::NodeRecord,
};

/// Refuses a contract that cannot be carried out as things stand.
pub(crate) fn check(ctx: &Context<'_>, contract: &JobContract) -> Result<(), Failure> {
    contract.check().map_err(Reason::from)?;
    let nodes = ctx.nodes()?;
    let offer = |name: &TierName| -> Result<Option<Offer>, LedgerError> {
        Ok(ctx.tier_by_name(name)?.map(|(id, tier)| {
            let workers = Workers::of(&nodes, id, ctx.params().disjoint);
            Offer { tier, workers: workers.all, active: workers.active }
        }))
    };
    let terms = contract.check_terms(ctx.time(), ctx.params().max_job_time, offer)?;
    Ok(terms.map_err(|Refusal { reason, .. }| reason)?)
}

/// Independent workers of a tier: owners, or nodes where a network says so.
struct Workers {
    /// That take part or are absent.
    all: u32,
    /// That take part.
    active: u32,
}

impl Workers {
    fn of(nodes: &[(NodeId, NodeRecord)], tier: TierId, disjoint: Disjoint) -> Self {
        let count = |states: &[NodeState]| {
            let own = nodes.iter().filter(|(_, node)| {
                matches!(node.role, NodeRole::Worker { tier: other, .. } if other == tier)
                    && states.contains(&node.state)
            });
            let units: BTreeSet<u64> = match disjoint {
                Disjoint::Owner => own.map(|(_, node)| node.owner.index()).collect(),
                Disjoint::Node => own.map(|(id, _)| u64::from(id.0)).collect(),
            };
            u32::try_from(units.len()).unwrap_or(u32::MAX)
        };
        Self { all: count(&[NodeState::Active, NodeState::Absent]), active: count(&[NodeState::Active]) }
    }
}
