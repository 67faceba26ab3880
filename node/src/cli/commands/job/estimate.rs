//! What a job costs at most, and whether the network can take it: everything that is known before it is signed.

use super::modules;
use crate::cli::{
    context::Context,
    contract::{self, FieldError, Market, OfferedTier, Opened, Plan},
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
use valo_protocol::{Action, Amount, JobContract, Timestamp, job::Verification};

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
        let (opened, plan) = read(&client, self.file).await?;
        let prepared = prepare(context, &client, opened, plan).await?;
        context.output.show(&prepared.estimate, || prepared.estimate.table())
    }
}

/// Reads a document and its files. The network is asked for the lengths of blobs only.
pub async fn read(client: &Client, file: PathBuf) -> anyhow::Result<(Opened, Plan)> {
    // Files first: what is wrong with them needs no network to be said.
    let opened = tokio::task::spawn_blocking(move || contract::open(&file)).await??;
    let mut sizes = BTreeMap::new();
    for digest in contract::digests_without_size(&opened.document) {
        if let Some(info) = client.blob_info(digest).await? {
            sizes.insert(digest, info.size);
        }
    }
    let read = tokio::task::spawn_blocking(move || {
        let plan = contract::plan(&opened.document, &opened.folder, &sizes).map_err(|error| opened.at(error))?;
        Ok::<_, contract::ReadError>((opened, plan))
    });
    Ok(read.await??)
}

/// Holds what was read against the state of the network.
pub async fn prepare(context: &Context, client: &Client, opened: Opened, plan: Plan) -> anyhow::Result<Prepared> {
    let now = context.status(client).await?.time;
    let contract = plan.contract(now).map_err(|error| opened.at(error))?;
    let (parameters, tiers) = (client.parameters().await?, client.tiers().await?.items);
    let estimate = estimate(&contract, now, &parameters, &tiers).map_err(|error| opened.at(error))?;
    modules::check(client, &opened, &plan).await?;
    Ok(Prepared { opened, plan, estimate })
}

/// Prices a contract, and refuses what the chain would refuse, with the field that says so.
pub fn estimate<'a>(
    contract: &JobContract,
    now: Timestamp,
    parameters: &'a ParametersInForce,
    tiers: &'a [TierInfo],
) -> Result<Estimate, FieldError> {
    let offered = |info: &'a TierInfo| OfferedTier { tier: &info.tier, nodes: info.nodes, owners: info.owners };
    let market = Market { now, parameters: &parameters.parameters, tiers: tiers.iter().map(offered).collect() };
    market.check(contract)?;
    if let Some(error) = market.too_few(contract) {
        return Err(error);
    }
    let Verification::Replicated { replicas, .. } = contract.verification;
    let too_dear = || FieldError::new("spec.stages", "it would cost more than can exist");
    let (mut stages, mut at_limits) = (Vec::new(), Amount::ZERO);
    for stage in &contract.stages {
        let price = market.tier(&stage.tier).map(|offered| offered.tier.price).unwrap_or_default();
        let each = stage.limit_price(price).ok_or_else(too_dear)?;
        let shard = each.checked_mul(u64::from(replicas)).ok_or_else(too_dear)?;
        let total = shard.checked_mul(u64::from(stage.shards)).ok_or_else(too_dear)?;
        at_limits = at_limits.checked_add(total).ok_or_else(too_dear)?;
        stages.push(StageEstimate {
            name: stage.name.to_string(),
            tier: stage.tier.to_string(),
            shards: stage.shards,
            replicas,
            each,
            total,
        });
    }
    let action = Action::SubmitJob { client_id: Some([0; 16]), contract: contract.clone() };
    let schedule = FeeSchedule::from(parameters);
    let (fee, max_fee) = schedule.fee(&action).zip(schedule.max_fee(&action)).ok_or_else(too_dear)?;
    Ok(Estimate { stages, at_limits, tip: contract.tip, escrow: contract.budget, fee, max_fee })
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
