//! `valo node`: the registered nodes.

use crate::cli::{
    context::{Context, collect},
    output::{Mood, Table, cell, mood},
};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use valo_client::types::{Node, NodeReference};
use valo_protocol::registry::{NodeRole, NodeState};

const EXAMPLES: &str = "\
Examples:
  valo node list
  valo node list --tier small
  valo node show 3";

/// `valo node`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List nodes in order of their numbers
    #[command(alias = "ls")]
    List {
        /// Only workers of this tier
        #[arg(long)]
        tier: Option<String>,
        /// How many
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
    /// Show a node
    Show {
        /// Its number or key
        node: NodeReference,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        match self.command {
            Command::List { tier, limit } => {
                let mut nodes = collect(limit, None, |page| {
                    let client = client.clone();
                    async move { client.nodes(&page).await }
                })
                .await?;
                if let Some(tier) = &tier {
                    nodes.retain(|node| node.tier.as_ref().is_some_and(|name| **name == **tier));
                }
                context.output.show(&nodes, || list(&nodes))
            }
            Command::Show { node } => {
                let node = client.node(node).await?;
                context.output.show(&node, || show(&node).to_string())
            }
        }
    }
}

fn role(node: &Node) -> &'static str {
    match node.role {
        NodeRole::Validator => "validator",
        NodeRole::Worker { .. } => "worker",
    }
}

fn state(node: &Node) -> Cell {
    let (word, how) = match node.state {
        NodeState::Joining => ("joining", Mood::UnderWay),
        NodeState::Active => ("active", Mood::Good),
        NodeState::Absent => ("absent", Mood::Bad),
        NodeState::Draining => ("draining", Mood::UnderWay),
        NodeState::Jailed => ("jailed", Mood::Bad),
        NodeState::Left => ("left", Mood::UnderWay),
    };
    mood(word, how)
}

fn slots(node: &Node) -> String {
    if node.slots == 0 { String::new() } else { format!("{}/{}", node.busy, node.slots) }
}

fn list(nodes: &[Node]) -> String {
    let mut table = Table::new(["node", "role", "tier", "state", "busy", "stake", "owner", "key"]);
    for node in nodes {
        table.row([
            cell(node.id),
            cell(role(node)),
            cell(node.tier.as_deref().unwrap_or("")),
            state(node),
            cell(slots(node)),
            cell(node.stake),
            cell(node.owner),
            cell(node.key.short()),
        ]);
    }
    table.to_string()
}

fn show(node: &Node) -> Table {
    let mut table = Table::fields();
    table.field("Node", node.id);
    table.field("Key", node.key);
    table.field("Role", role(node));
    if let Some(tier) = &node.tier {
        table.field("Tier", tier);
        table.field("Slots", format_args!("{} busy of {}", node.busy, node.slots));
    }
    table.row([cell("State").fg(comfy_table::Color::DarkGrey), state(node)]);
    table.field("Stake", format_args!("{} VALO, {} VALO of it locked", node.stake, node.locked));
    table.field("Owner", node.owner);
    table.field("Account", node.account);
    table
}
