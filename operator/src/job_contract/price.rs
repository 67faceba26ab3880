//! Holds a contract against the tiers and the parameters of the chain, as the chain will, with the field in the message.

use valo_client::types::{ParametersInForce, TierInfo};
use valo_contract::resolve::FieldError;
use valo_protocol::{
    JobContract, Timestamp,
    job::{Program, Stage, Verification},
    params::Disjoint,
    registry::Runtime,
};

/// Refuses what the chain would refuse.
pub fn check(
    contract: &JobContract,
    now: Timestamp,
    parameters: &ParametersInForce,
    tiers: &[TierInfo],
) -> Result<(), FieldError> {
    let Verification::Replicated { replicas, .. } = contract.verification;
    let too_dear = || FieldError::new("spec.stages", "it would cost more than can exist");
    let mut least = contract.tip;
    for (index, stage) in contract.stages.iter().enumerate() {
        let field = format!("spec.stages[{index}]");
        let tier = tier_of(&field, stage, tiers)?;
        let each = stage.limit_price(tier.tier.price).ok_or_else(too_dear)?;
        let shard = each.checked_mul(u64::from(replicas)).ok_or_else(too_dear)?;
        least = least.checked_add(shard).ok_or_else(too_dear)?;
    }
    if contract.budget < least {
        let reason =
            format!("{} VALO does not cover one shard of each stage at its limit, {least} VALO", contract.budget);
        return Err(FieldError::new("spec.budget", reason));
    }
    let longest = parameters.parameters.max_job_time;
    if contract.deadline > now.after(longest) {
        let reason = format!("a job on this network may take {} ms at most", longest.0);
        return Err(FieldError::new("spec.deadline", reason));
    }
    Ok(())
}

/// What the chain would refuse now and may take later: a tier with too few workers for the replicas.
pub fn too_few(contract: &JobContract, parameters: &ParametersInForce, tiers: &[TierInfo]) -> Option<String> {
    let Verification::Replicated { replicas, .. } = contract.verification;
    contract.stages.iter().enumerate().find_map(|(index, stage)| {
        let tier = tiers.iter().find(|tier| tier.tier.name == stage.tier)?;
        let there = match parameters.parameters.disjoint {
            Disjoint::Owner => tier.owners,
            Disjoint::Node => tier.nodes,
        };
        let reason = || {
            format!(
                "spec.stages[{index}].tier: `{}` has {there} independent workers, and {replicas} are asked for",
                stage.tier
            )
        };
        (there < u32::from(replicas)).then(reason)
    })
}

fn tier_of<'a>(field: &str, stage: &Stage, tiers: &'a [TierInfo]) -> Result<&'a TierInfo, FieldError> {
    let tier = tiers.iter().find(|tier| tier.tier.name == stage.tier).ok_or_else(|| {
        let names: Vec<&str> = tiers.iter().map(|tier| tier.tier.name.as_str()).collect();
        let reason = format!("there is no tier `{}`; there are: {}", stage.tier, names.join(", "));
        FieldError::new(format!("{field}.tier"), reason)
    })?;
    let (runtime, program) = match &stage.program {
        Program::Wasm { .. } => (Runtime::Wasm, "wasm"),
        Program::Container { .. } => (Runtime::Container, "container"),
    };
    if tier.tier.runtime != runtime {
        let reason = format!("tier `{}` does not run a {program}", stage.tier);
        return Err(FieldError::new(format!("{field}.tier"), reason));
    }
    if stage.memory > tier.tier.memory {
        let reason = format!("a slot of tier `{}` has {} bytes, not {}", stage.tier, tier.tier.memory, stage.memory);
        return Err(FieldError::new(format!("{field}.{program}.memory"), reason));
    }
    Ok(tier)
}
