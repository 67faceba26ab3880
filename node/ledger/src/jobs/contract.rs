//! What a contract must fulfil against the state of the chain: tiers that can run it, owners to check each other,
//! a deadline ahead, and a budget and stakes that cover it. What holds always is checked by
//! [`JobContract::check`].

use super::pricing;
use crate::{Context, Failure, LedgerError};
use std::collections::BTreeSet;
use valo_protocol::{
    JobContract,
    job::{Program, Stage, Verification},
    params::Disjoint,
    receipt::Reason,
    registry::{NodeId, NodeRole, NodeState, Runtime, Tier, TierId},
    state::NodeRecord,
};

/// Refuses a contract that cannot be carried out as things stand.
pub(crate) fn check(ctx: &Context<'_>, contract: &JobContract) -> Result<(), Failure> {
    contract.check().map_err(Reason::from)?;
    let (now, deadline) = (ctx.time(), contract.deadline);
    if deadline <= now || deadline > now.after(ctx.params().max_job_time) {
        return Err(Reason::Deadline { deadline, now }.into());
    }
    let Verification::Replicated { replicas, quorum } = contract.verification;
    let nodes = ctx.nodes()?;
    let mut needed = contract.tip;
    for stage in &contract.stages {
        let (id, tier) = ctx.tier_by_name(&stage.tier)?.ok_or_else(|| Reason::NoTier(stage.tier.clone()))?;
        check_tier(stage, &tier)?;
        let workers = Workers::of(&nodes, id, ctx.params().disjoint);
        // A node that is absent may come back; until then fewer replicas than asked for must make a quorum.
        if workers.all < u32::from(replicas) || workers.active < u32::from(quorum) {
            let available = if workers.all < u32::from(replicas) { workers.all } else { workers.active };
            let needed = u32::from(replicas);
            return Err(Reason::TooFewWorkers { tier: stage.tier.clone(), available, needed }.into());
        }
        let price = pricing::limit_price(stage, tier.price);
        if pricing::locked_stake(price) > tier.stake_per_slot {
            let stage = stage.name.to_string();
            return Err(Reason::ShardTooDear { stage, price, stake: tier.stake_per_slot }.into());
        }
        let replicated = pricing::times(price, u64::from(replicas));
        needed = needed.checked_add(replicated).ok_or(LedgerError::Overflow("the price of a job"))?;
    }
    if contract.budget < needed {
        return Err(Reason::BudgetTooSmall { budget: contract.budget, needed }.into());
    }
    Ok(())
}

fn check_tier(stage: &Stage, tier: &Tier) -> Result<(), Reason> {
    let runs = match &stage.program {
        Program::Wasm { .. } => tier.runtime == Runtime::Wasm,
        Program::Container { .. } => tier.runtime == Runtime::Container,
    };
    if !runs {
        return Err(Reason::WrongRuntime(stage.tier.clone()));
    }
    if stage.memory > tier.memory {
        return Err(Reason::TierTooSmall { tier: stage.tier.clone(), available: tier.memory, needed: stage.memory });
    }
    match &stage.program {
        Program::Container { milli_cpu, .. } if *milli_cpu > tier.milli_cpu => Err(Reason::Contract(format!(
            "stage `{}` asks for {milli_cpu} thousandths of a core; a slot of tier `{}` has {}",
            stage.name, stage.tier, tier.milli_cpu
        ))),
        _ => Ok(()),
    }
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
