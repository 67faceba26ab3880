//! `valo block`: finalized blocks.

use crate::cli::{
    context::{Context, collect},
    human,
    output::{Table, cell},
};
use clap::{Args, Subcommand};
use valo_client::types::{Block, BlockSummary};
use valo_protocol::{Action, Height, receipt::Outcome};

const EXAMPLES: &str = "\
Examples:
  valo block list --limit 10
  valo block show             the last one
  valo block show 1200 -o json";

/// `valo block`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List blocks, newest first
    #[command(alias = "ls")]
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Height to start at; the last one unless said
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u64>,
    },
    /// Show a block with its transactions
    Show {
        /// Its height; the last one unless said
        height: Option<u64>,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        match self.command {
            Command::List { limit, from } => {
                let from = from.map(|height| height.to_string());
                let blocks = collect(limit, from, |page| {
                    let client = client.clone();
                    async move { client.blocks(&page).await }
                })
                .await?;
                context.output.show(&blocks, || list(&blocks))
            }
            Command::Show { height } => {
                let height = match height {
                    Some(height) => Height(height),
                    None => client.status().await?.height,
                };
                let block = client.block(height).await?;
                context.output.show(&block, || show(&block))
            }
        }
    }
}

fn list(blocks: &[BlockSummary]) -> String {
    let mut table = Table::new(["height", "time", "transactions", "size", "round", "proposer", "id"]);
    for block in blocks {
        table.row([
            cell(block.height),
            cell(human::moment(block.time)),
            cell(block.transactions),
            cell(human::size(block.size)),
            cell(block.round),
            cell(block.proposer.short()),
            cell(block.id.short()),
        ]);
    }
    table.to_string()
}

fn show(block: &Block) -> String {
    let mut fields = Table::fields();
    fields.field("Block", block.header.height);
    fields.field("Id", block.id);
    fields.field("Time", human::moment(block.header.time));
    fields.field("Proposer", block.header.proposer);
    fields.field("Parent", block.header.parent);
    fields.field("State", format_args!("{} (after the parent)", block.header.state));
    fields.field(
        "Final by",
        format_args!(
            "{} in round {}",
            human::plural(u64::try_from(block.certificate.signers.len()).unwrap_or(0), "signature"),
            block.certificate.round
        ),
    );
    fields.field("Size", human::size(block.size));
    if block.transactions.is_empty() {
        return fields.to_string();
    }
    let mut table = Table::new(["transaction", "sender", "action", "fee", "outcome"]);
    for transaction in &block.transactions {
        let outcome = match &transaction.receipt.outcome {
            Outcome::Done(_) => "done".to_owned(),
            Outcome::Failed(reason) => format!("failed: {reason}"),
        };
        table.row([
            cell(transaction.id.short()),
            cell(transaction.sender),
            cell(action(&transaction.action)),
            cell(transaction.receipt.fee),
            cell(outcome),
        ]);
    }
    format!("{fields}\n\n{table}")
}

fn action(action: &Action) -> String {
    let entries = |count: usize| human::plural(u64::try_from(count).unwrap_or(u64::MAX), "shard");
    match action {
        Action::Transfer { to, amount } => format!("send {amount} to {to}"),
        Action::TransferToKey { key, amount } => format!("send {amount} to key {}", key.short()),
        Action::SubmitJob { contract, .. } => format!("submit `{}`", contract.name),
        Action::CancelJob { job } => format!("cancel job {job}"),
        Action::Commit { entries: list } => format!("commit to {}", entries(list.len())),
        Action::Reveal { entries: list } => format!("reveal {}", entries(list.len())),
        Action::Abstain { entries: list } => format!("abstain from {}", entries(list.len())),
        Action::Return => "return".to_owned(),
        Action::SubmitEvidence { evidence } => format!("prove that {} signed twice", evidence.culprit().short()),
        Action::Unjail => "unjail".to_owned(),
        Action::RegisterNode { grant } => format!("register node {}", grant.grant.node.short()),
        Action::UpdateNode { node, .. } => format!("update node {node}"),
        Action::Drain => "drain".to_owned(),
        Action::RemoveNode { node } => format!("remove node {node}"),
        Action::ResumeNode { node } => format!("resume node {node}"),
        Action::Bond { node, amount } => format!("bond {amount} for node {node}"),
        Action::Unbond { node, amount } => format!("unbond {amount} of node {node}"),
        Action::Rebond { node, amount } => format!("rebond {amount} of node {node}"),
    }
}
