//! `valo node`: the registered nodes, how they come in and how they leave.

use crate::cli::{
    commands::{grant, tier, tx},
    context::{Context, FINALITY, collect},
    human,
    output::{Mood, Table, cell, mood},
};
use clap::{Args, Subcommand};
use comfy_table::Cell;
use std::{path::PathBuf, time::Duration};
use valo_client::{
    Client,
    types::{Node, NodeReference},
};
use valo_protocol::{
    Action, PublicKey,
    registry::{Endpoint, NodeRole, NodeState},
};

/// The pause between two looks at a node that leaves.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  valo node list
  valo node list --tier small
  valo node show 3
  valo node register --grant grant.json
  valo node remove 3

A node joins by a grant of its owner (`valo grant create`): whoever registers it pays its stake,
which belongs to the owner. Once its process has caught up it says that it is ready: a worker works
at once, a validator from the next epoch on. One that is drained takes nothing new, finishes what it
has, and has left when all its results are final; its stake is paid after the unbonding time.";

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
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show a node
    Show {
        /// Its number or key
        node: NodeReference,
    },
    /// Bring a node in, by a grant of its owner; you pay the stake
    Register {
        /// File that `valo grant create` wrote
        #[arg(long, value_name = "FILE")]
        grant: PathBuf,
    },
    /// Change where a node of yours is reached, or its slots
    Update {
        /// Its number or key
        node: NodeReference,
        /// Where it is reached: tcp://host:port for consensus, udp://host:port for everything else. In place of all it
        /// had
        #[arg(long, value_name = "ADDRESS", value_parser = grant::endpoint)]
        address: Vec<Endpoint>,
        /// Shards it runs at a time
        #[arg(long)]
        slots: Option<u16>,
    },
    /// Let a node of yours take nothing new, finish, and leave
    Drain {
        /// Its number or key
        node: NodeReference,
    },
    /// Keep a node of yours that is draining
    Resume {
        /// Its number or key
        node: NodeReference,
    },
    /// Drain a node of yours, and wait until it has left
    Remove {
        /// Its number or key
        node: NodeReference,
        /// How many seconds to wait
        #[arg(long, default_value_t = 3600)]
        within: u64,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        match self.command {
            Command::List { tier, limit } => {
                // An unknown tier is an error, not a tier without nodes.
                if let Some(tier) = &tier {
                    tier::find(&client.tiers().await?.items, tier)?;
                }
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
            Command::Register { grant } => {
                let status = context.status(&client).await?;
                let grant = grant::read(&grant, &status.genesis)?;
                let (stake, owner) = (grant.grant.stake, grant.grant.owner);
                context.confirm(&format!("Pay {stake} VALO of stake, which will belong to account {owner}?"))?;
                perform(context, &client, Action::RegisterNode { grant }).await
            }
            Command::Update { node, address, slots } => {
                anyhow::ensure!(!address.is_empty() || slots.is_some(), "nothing to change: give --address or --slots");
                let node = client.node(node).await?.id;
                let endpoints = if address.is_empty() { None } else { Some(grant::endpoints(address)?) };
                perform(context, &client, Action::UpdateNode { node, slots, endpoints }).await
            }
            Command::Drain { node } => {
                let node = client.node(node).await?.id;
                perform(context, &client, Action::RemoveNode { node }).await
            }
            Command::Resume { node } => {
                let node = client.node(node).await?.id;
                perform(context, &client, Action::ResumeNode { node }).await
            }
            Command::Remove { node, within } => {
                let node = client.node(node).await?;
                if !matches!(node.state, NodeState::Draining | NodeState::Left) {
                    perform(context, &client, Action::RemoveNode { node: node.id }).await?;
                }
                until_left(context, &client, node.key, Duration::from_secs(within)).await
            }
        }
    }
}

/// Does something with an account, and shows what became of it.
pub async fn perform(context: &Context, client: &Client, action: Action) -> anyhow::Result<()> {
    let (receipt, _) = context.session(client).await?.perform(action, FINALITY).await?;
    context.output.show(&receipt, || tx::receipt_table(&receipt).to_string())
}

/// Until a node has left, block by block.
async fn until_left(context: &Context, client: &Client, key: PublicKey, within: Duration) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + within;
    loop {
        match client.node(key).await {
            Ok(node) if node.state == NodeState::Left => {
                context.output.note(format!("node {} has left; its stake is paid after the unbonding time", node.id));
                return Ok(());
            }
            Err(error) if error.is_not_found() => {
                context.output.note("the node has left and its stake is paid");
                return Ok(());
            }
            Ok(node) if tokio::time::Instant::now() >= until => {
                anyhow::bail!("node {} is still {}; ask again with the same command", node.id, node.state)
            }
            Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(error) => return Err(error.into()),
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
        NodeState::Tombstoned => ("tombstoned", Mood::Bad),
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
    if let Some(until) = node.jailed_until.filter(|_| node.state == NodeState::Jailed) {
        table.field("Jailed", format_args!("till {} at least, then until the node itself asks", human::moment(until)));
    }
    if node.power > 0 {
        table.field("Voting power", node.power);
    }
    table.field("Stake", format_args!("{} VALO, {} VALO of it locked", node.stake, node.locked));
    for part in &node.unbonding {
        table.field("Unbonding", format_args!("{} VALO, paid at {}", part.amount, human::moment(part.until)));
    }
    if !node.endpoints.is_empty() {
        table.field("Reached at", node.endpoints.join(", "));
    }
    table.field("Owner", node.owner);
    table.field("Account", node.account);
    table
}
