//! The end of a job: its phase, what it cost, and who computed it.

use crate::cli::{
    context::Context,
    human,
    output::{Table, cell, phase_cell},
};
use serde::Serialize;
use std::collections::BTreeMap;
use valo_client::{
    Client,
    types::{Job, JobExplanation, Node, PageRequest, ShardExplanation, Standing},
};
use valo_protocol::{AccountNumber, Amount, job::JobId, registry::NodeId};

/// Pages of the explanation that are asked for at most: beyond, the table says that it is not complete.
const MAX_PAGES: u32 = 100;

/// A job at its end, with what each node had in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// What returned to the submitter.
    pub refunded: Amount,
    /// What was taken from stakes.
    pub slashed: Amount,
    /// Each node that was drawn.
    pub nodes: Vec<Share>,
    /// Whether all shards are in it.
    pub complete: bool,
}

/// What a node had in a job.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The node.
    pub node: NodeId,
    /// Its owner.
    pub owner: AccountNumber,
    /// Its tier.
    pub tier: Option<String>,
    /// Shards whose accepted answer it gave.
    pub agreed: u32,
    /// Shards that it answered otherwise, or not.
    pub other: u32,
    /// What it was paid.
    pub paid: Amount,
    /// What was taken from its stake.
    pub slashed: Amount,
}

/// All shards of an explanation.
pub async fn explanation(client: &Client, job: JobId) -> anyhow::Result<(JobExplanation, bool)> {
    let mut page = PageRequest::limited(1000);
    let mut whole = client.job_explanation(job, &page).await?;
    let mut pages = 1u32;
    while let Some(next) = whole.next.take() {
        if pages >= MAX_PAGES {
            return Ok((whole, false));
        }
        page.from = Some(next);
        let more = client.job_explanation(job, &page).await?;
        whole.shards.extend(more.shards);
        whole.next = more.next;
        pages = pages.saturating_add(1);
    }
    Ok((whole, true))
}

impl Summary {
    /// Asks the node for all of it.
    pub async fn of(client: &Client, job: JobId) -> anyhow::Result<Self> {
        let record = client.job(job).await?;
        let (explanation, complete) = explanation(client, job).await?;
        let mut shares = shares(&explanation.shards);
        for share in &mut shares {
            if let Ok(Node { tier, .. }) = client.node(share.node).await {
                share.tier = tier.map(|tier| tier.to_string());
            }
        }
        Ok(Self { job: record, refunded: explanation.refunded, slashed: explanation.slashed, nodes: shares, complete })
    }

    /// Shows it.
    pub fn show(&self, context: &Context) -> anyhow::Result<()> {
        context.output.show(self, || self.table())
    }

    /// The end of a job, for people.
    pub fn table(&self) -> String {
        let job = &self.job;
        let mut fields = Table::fields();
        fields.field("Job", format_args!("{} ({})", job.id, job.name));
        fields.row([cell("Phase").fg(comfy_table::Color::DarkGrey), phase_cell(&job.phase)]);
        if let Some(failure) = &job.failure {
            fields.field("Reason", failure);
        }
        fields.field("Took", human::span(job.phase_since.since(job.submitted_at).into()));
        fields.field("Cost", format_args!("{} VALO of a budget of {} VALO", job.paid, job.budget));
        if !self.refunded.is_zero() {
            fields.field("Came back", format_args!("{} VALO", self.refunded));
        }
        if self.nodes.is_empty() {
            return fields.to_string();
        }
        let mut text = format!("{fields}\n\n{}", self.nodes_table());
        if !self.complete {
            text.push_str("\nThere are more shards than are shown here; `valo job explain -o json` pages through all.");
        }
        text
    }

    fn nodes_table(&self) -> Table {
        let slashed = !self.slashed.is_zero();
        let mut table = Table::new(["node", "owner", "tier", "shards", "paid", if slashed { "slashed" } else { "" }]);
        for share in &self.nodes {
            let shards = match share.other {
                0 => share.agreed.to_string(),
                other => format!("{} (and {other} not)", share.agreed),
            };
            table.row([
                cell(share.node),
                cell(share.owner),
                cell(share.tier.as_deref().unwrap_or("")),
                cell(shards),
                cell(format_args!("{} VALO", share.paid)),
                cell(if share.slashed.is_zero() { String::new() } else { format!("{} VALO", share.slashed) }),
            ]);
        }
        table
    }
}

/// Adds up what each node had in the shards, in order of the nodes' numbers.
pub fn shares(shards: &[ShardExplanation]) -> Vec<Share> {
    let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
    for answer in shards.iter().flat_map(|shard| &shard.answers) {
        let share = shares.entry(answer.node).or_insert_with(|| Share {
            node: answer.node,
            owner: answer.owner,
            ..Share::default()
        });
        match answer.standing {
            Standing::Agreed => share.agreed = share.agreed.saturating_add(1),
            _ => share.other = share.other.saturating_add(1),
        }
        // Sums of what exists fit.
        share.paid = share.paid.checked_add(answer.paid).unwrap_or(share.paid);
        share.slashed = share.slashed.checked_add(answer.slashed).unwrap_or(share.slashed);
    }
    shares.into_values().collect()
}
