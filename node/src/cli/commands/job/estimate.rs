//! What a job costs at most, and whether the network can take it: everything that is known before it is signed.

use crate::cli::{
    context::Context,
    contract::{self, FieldError, Opened, Plan},
    human,
    output::{Table, cell},
};
use clap::Args;
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf};
use valo_client::{
    Client,
    fees::FeeSchedule,
    types::{ParametersInForce, TierInfo},
};
use valo_protocol::{
    Action, Amount, JobContract, Timestamp,
    job::{Program, Stage, Verification},
    registry::Runtime,
};

/// Stake must cover this many times the price of a shard.
const STAKE_FACTOR: u64 = 25;
/// `valo job estimate`
#[derive(Debug, Args)]
pub struct Arguments {
    /// The job's YAML file; `-` reads standard input
    file: PathBuf,
}

/// What a job costs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Each stage.
    pub stages: Vec<StageEstimate>,
    /// If every replica of every shard used up its limits, and nothing had to be drawn anew.
    pub at_limits: Amount,
    /// Paid on top to the workers.
    pub tip: Amount,
    /// Held in escrow from the start; what is not earned comes back.
    pub escrow: Amount,
    /// What submitting costs at the prices of now.
    pub fee: Amount,
    /// What may be taken for it at most.
    pub max_fee: Amount,
}

/// What a stage costs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageEstimate {
    /// Its name.
    pub name: String,
    /// Its tier.
    pub tier: String,
    /// Its shards.
    pub shards: u32,
    /// Workers of each.
    pub replicas: u8,
    /// A replica of a shard at its limit.
    pub each: Amount,
    /// All of them.
    pub total: Amount,
}

/// A job that is ready to be priced and submitted.
#[derive(Debug)]
pub struct Prepared {
    /// The document.
    pub opened: Opened,
    /// What it comes to.
    pub plan: Plan,
    /// What it costs.
    pub estimate: Estimate,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let prepared = prepare(context, &client, self.file).await?;
        context.output.show(&prepared.estimate, || prepared.estimate.table())
    }
}

/// Reads a document and its files, and holds it against the state of the network.
pub async fn prepare(context: &Context, client: &Client, file: PathBuf) -> anyhow::Result<Prepared> {
    // Files first: what is wrong with them needs no network to be said.
    let opened = tokio::task::spawn_blocking(move || contract::open(&file)).await??;
    let mut sizes = BTreeMap::new();
    for digest in contract::digests_without_size(&opened.document) {
        if let Some(info) = client.blob_info(digest).await? {
            sizes.insert(digest, info.size);
        }
    }
    let (opened, plan) = tokio::task::spawn_blocking(move || {
        let plan = contract::plan(&opened.document, &opened.folder, &sizes).map_err(|error| opened.at(error))?;
        Ok::<_, contract::ReadError>((opened, plan))
    })
    .await??;
    let now = context.status(client).await?.time;
    let contract = plan.contract(now).map_err(|error| opened.at(error))?;
    let (parameters, tiers) = (client.parameters().await?, client.tiers().await?.items);
    let estimate = estimate(&contract, now, &parameters, &tiers).map_err(|error| opened.at(error))?;
    Ok(Prepared { opened, plan, estimate })
}

/// Prices a contract, and refuses what the chain would refuse, with the field that says so.
pub fn estimate(
    contract: &JobContract,
    now: Timestamp,
    parameters: &ParametersInForce,
    tiers: &[TierInfo],
) -> Result<Estimate, FieldError> {
    let Verification::Replicated { replicas, .. } = contract.verification;
    let too_dear = || FieldError::new("spec.stages", "it would cost more than can exist");
    let (mut stages, mut at_limits, mut least) = (Vec::new(), Amount::ZERO, contract.tip);
    for (index, stage) in contract.stages.iter().enumerate() {
        let tier = check_stage(&format!("spec.stages[{index}]"), stage, replicas, tiers)?;
        let each = stage.limit_price(tier.tier.price).ok_or_else(too_dear)?;
        check_stake(&format!("spec.stages[{index}]"), stage, each, tier)?;
        let shard = each.checked_mul(u64::from(replicas)).ok_or_else(too_dear)?;
        let total = shard.checked_mul(u64::from(stage.shards)).ok_or_else(too_dear)?;
        at_limits = at_limits.checked_add(total).ok_or_else(too_dear)?;
        least = least.checked_add(shard).ok_or_else(too_dear)?;
        stages.push(StageEstimate {
            name: stage.name.to_string(),
            tier: stage.tier.to_string(),
            shards: stage.shards,
            replicas,
            each,
            total,
        });
    }
    if contract.budget < least {
        return Err(FieldError::new(
            "spec.budget",
            format!("{} VALO does not cover one shard of each stage at its limit, {least} VALO", contract.budget),
        ));
    }
    let longest = parameters.parameters.max_job_time;
    if contract.deadline > now.after(longest) {
        let longest = human::span(longest.into());
        return Err(FieldError::new("spec.deadline", format!("a job on this network may take {longest} at most")));
    }
    let action = Action::SubmitJob { client_id: Some([0; 16]), contract: contract.clone() };
    let schedule = FeeSchedule::from(parameters);
    let (fee, max_fee) = schedule.fee(&action).zip(schedule.max_fee(&action)).ok_or_else(too_dear)?;
    Ok(Estimate { stages, at_limits, tip: contract.tip, escrow: contract.budget, fee, max_fee })
}

fn check_stage<'a>(
    field: &str,
    stage: &Stage,
    replicas: u8,
    tiers: &'a [TierInfo],
) -> Result<&'a TierInfo, FieldError> {
    let tier = tiers.iter().find(|tier| tier.tier.name == stage.tier).ok_or_else(|| {
        let names: Vec<&str> = tiers.iter().map(|tier| tier.tier.name.as_str()).collect();
        FieldError::new(
            format!("{field}.tier"),
            format!("there is no tier `{}`; there are: {}", stage.tier, names.join(", ")),
        )
    })?;
    let (runtime, program) = match &stage.program {
        Program::Wasm { .. } => (Runtime::Wasm, "wasm"),
        Program::Container { .. } => (Runtime::Container, "container"),
    };
    if tier.tier.runtime != runtime {
        return Err(FieldError::new(
            format!("{field}.tier"),
            format!("tier `{}` does not run a {program}", stage.tier),
        ));
    }
    if stage.memory > tier.tier.memory {
        return Err(FieldError::new(
            format!("{field}.{program}.memory"),
            format!(
                "a slot of tier `{}` has {}, not {}",
                stage.tier,
                human::size(tier.tier.memory),
                human::size(stage.memory)
            ),
        ));
    }
    if tier.owners < u32::from(replicas) {
        return Err(FieldError::new(
            "spec.verification.replicas",
            format!(
                "tier `{}` has {}; {replicas} replicas are asked for",
                stage.tier,
                human::plural(tier.owners, "independent worker")
            ),
        ));
    }
    Ok(tier)
}

fn check_stake(field: &str, stage: &Stage, each: Amount, tier: &TierInfo) -> Result<(), FieldError> {
    let stake = tier.tier.stake_per_slot;
    if each.checked_mul(STAKE_FACTOR).is_some_and(|exposure| exposure <= stake) {
        return Ok(());
    }
    let limit = match &stage.program {
        Program::Wasm { .. } => "wasm.fuel",
        Program::Container { .. } => "container.seconds",
    };
    Err(FieldError::new(
        format!("{field}.{limit}"),
        format!(
            "a shard may cost {each} VALO; {STAKE_FACTOR} times that is more than the {stake} VALO of stake behind a slot: lower it"
        ),
    ))
}

impl Estimate {
    /// The price, for people.
    pub fn table(&self) -> String {
        let mut table = Table::new(["stage", "tier", "shards", "replicas", "each at most", "in all at most"]);
        for stage in &self.stages {
            table.row([
                cell(&stage.name),
                cell(&stage.tier),
                cell(stage.shards),
                cell(stage.replicas),
                cell(format_args!("{} VALO", stage.each)),
                cell(format_args!("{} VALO", stage.total)),
            ]);
        }
        let mut fields = Table::fields();
        fields.field("At its limits", format_args!("{} VALO", self.at_limits));
        if !self.tip.is_zero() {
            fields.field("Tip", format_args!("{} VALO", self.tip));
        }
        fields.field("Held in escrow", format_args!("{} VALO; what is not earned comes back", self.escrow));
        fields.field("Fee", format_args!("{} VALO, at most {} VALO", self.fee, self.max_fee));
        let mut text = format!("{table}\n\n{fields}");
        if self.at_limits.checked_add(self.tip).is_none_or(|sum| sum > self.escrow) {
            text.push_str(
                "\n\nAt its limits the job costs more than its budget: it may end with \"the budget is used up\".",
            );
        }
        text
    }
}
