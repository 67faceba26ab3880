//! Holds a contract against a network, with the rules of its ledger, and names the field that says what the chain would
//! refuse. The command line and the operator do so before they upload anything.

use super::FieldError;
use crate::quantity::{in_words, size_in_words};
use std::convert::Infallible;
use valo_protocol::{
    Duration, JobContract, Parameters, Timestamp,
    job::{Input, Offer, Program, Refusal, SLACK, Stage, Verification, WRONG_ANSWER},
    params::Disjoint,
    receipt::Reason,
    registry::{Tier, TierName},
};

/// A tier of the network, and who takes part in it.
#[derive(Debug, Clone, Copy)]
pub struct OfferedTier<'a> {
    /// What it is.
    pub tier: &'a Tier,
    /// Nodes.
    pub nodes: u32,
    /// Different owners of those nodes.
    pub owners: u32,
}

/// What a network takes, as of a moment.
#[derive(Debug, Clone)]
pub struct Market<'a> {
    /// Block time.
    pub now: Timestamp,
    /// The parameters in force.
    pub parameters: &'a Parameters,
    /// Its tiers.
    pub tiers: Vec<OfferedTier<'a>>,
}

impl<'a> Market<'a> {
    /// The tier of a name.
    pub fn tier(&self, name: &TierName) -> Option<&OfferedTier<'a>> {
        self.tiers.iter().find(|offered| offered.tier.name == *name)
    }

    /// Refuses what the chain would refuse whoever is there, and a deadline that leaves no time for the work. Workers may
    /// come: see [`Self::too_few`].
    pub fn check(&self, contract: &JobContract) -> Result<(), FieldError> {
        // As many as can be asked for: who is there is another question.
        let everybody = |tier: &Tier| Offer { tier: tier.clone(), workers: u32::MAX, active: u32::MAX };
        let offer = |name: &TierName| Ok::<_, Infallible>(self.tier(name).map(|offered| everybody(offered.tier)));
        let Ok(terms) = contract.check_terms(self.now, self.parameters.max_job_time, offer);
        terms.map_err(|refusal| self.field(contract, refusal))?;
        if let Some(most) = contract.too_many_shards(self.parameters) {
            let Verification::Replicated { replicas, .. } = contract.verification;
            let reason = format!(
                "{} shards on {replicas} workers each are more than a block of this network takes: at most {most} shards",
                contract.total_shards()
            );
            return Err(FieldError::new("spec.stages", reason));
        }
        self.check_time(contract)
    }

    /// A tier with fewer independent workers than replicas are asked for, as long as it is so.
    pub fn too_few(&self, contract: &JobContract) -> Option<FieldError> {
        let Verification::Replicated { replicas, .. } = contract.verification;
        contract.stages.iter().find_map(|stage| {
            let offered = self.tier(&stage.tier)?;
            let there = match self.parameters.disjoint {
                Disjoint::Owner => offered.owners,
                Disjoint::Node => offered.nodes,
            };
            let workers = if there == 1 { "worker" } else { "workers" };
            let reason =
                format!("tier `{}` has {there} independent {workers}; {replicas} replicas are asked for", stage.tier);
            (there < u32::from(replicas)).then(|| FieldError::new("spec.verification.replicas", reason))
        })
    }

    /// The deadline must leave the time that the work takes at its limits: stage after stage at the speed of their tiers.
    fn check_time(&self, contract: &JobContract) -> Result<(), FieldError> {
        let mut ends: Vec<Duration> = Vec::with_capacity(contract.stages.len());
        for stage in &contract.stages {
            let start = match &stage.input {
                Input::Each { stage } | Input::All { stage } => ends.get(usize::from(stage.0)).copied(),
                Input::None | Input::Files { .. } => None,
            };
            let runs = self.tier(&stage.tier).map(|offered| stage.limit_time(offered.tier)).unwrap_or_default();
            ends.push(Duration(start.unwrap_or_default().0.saturating_add(runs.0)));
        }
        let work = ends.into_iter().max().unwrap_or_default();
        let needed = Duration(work.0.saturating_add(SLACK.0));
        let left = contract.deadline.since(self.now);
        if left >= needed {
            return Ok(());
        }
        let reason = format!(
            "{} is too short: at its limits the work takes {}, and {} are for everything else",
            in_words(left.into()),
            in_words(work.into()),
            in_words(SLACK.into())
        );
        Err(FieldError::new("spec.deadline", reason))
    }

    /// The field that a refusal of the chain is about, and what it says there.
    fn field(&self, contract: &JobContract, refusal: Refusal) -> FieldError {
        let stage = refusal.stage.and_then(|index| contract.stage(index));
        let field = refusal.stage.map_or_else(|| "spec".to_owned(), |index| format!("spec.stages[{index}]"));
        let program = stage.map_or("wasm", program);
        match refusal.reason {
            Reason::NoTier(name) => {
                let names: Vec<&str> = self.tiers.iter().map(|offered| offered.tier.name.as_str()).collect();
                let reason = format!("there is no tier `{name}`; there are: {}", names.join(", "));
                FieldError::new(format!("{field}.tier"), reason)
            }
            Reason::WrongRuntime(name) => {
                FieldError::new(format!("{field}.tier"), format!("tier `{name}` does not run a {program}"))
            }
            Reason::TierTooSmall { tier, available, needed } => {
                let (has, asks) = (size_in_words(available), size_in_words(needed));
                FieldError::new(
                    format!("{field}.{program}.memory"),
                    format!("a slot of tier `{tier}` has {has}, not {asks}"),
                )
            }
            Reason::ShardTooDear { price, stake, .. } => {
                let limit = if program == "wasm" { "wasm.fuel" } else { "container.seconds" };
                let reason = format!(
                    "a shard may cost {price} VALO; {WRONG_ANSWER} times that is more than the {stake} VALO of stake behind a slot: lower it"
                );
                FieldError::new(format!("{field}.{limit}"), reason)
            }
            Reason::BudgetTooSmall { budget, needed } => {
                let reason =
                    format!("{budget} VALO does not cover one shard of each stage at its limit, {needed} VALO");
                FieldError::new("spec.budget", reason)
            }
            Reason::Deadline { deadline, now } if deadline <= now => {
                FieldError::new("spec.deadline", "it leaves no time")
            }
            Reason::Deadline { .. } => {
                let longest = in_words(self.parameters.max_job_time.into());
                FieldError::new("spec.deadline", format!("a job on this network may take {longest} at most"))
            }
            Reason::Contract(reason) => FieldError::new(field, reason),
            other => FieldError::new(field, other),
        }
    }
}

/// The field of a stage that says what runs.
const fn program(stage: &Stage) -> &'static str {
    match &stage.program {
        Program::Wasm { .. } => "wasm",
        Program::Container { .. } => "container",
    }
}
