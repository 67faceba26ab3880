//! `valo stake`: what stands behind nodes.

use super::node::perform;
use crate::cli::{
    context::{Context, collect},
    human,
    output::{Table, cell},
};
use clap::{Args, Subcommand};
use valo_client::types::{Node, NodeReference};
use valo_protocol::{AccountNumber, Action, Amount};

const EXAMPLES: &str = "\
Examples:
  valo stake list
  valo stake bond 100 --node 3
  valo stake unbond 50 --node 3
  valo stake rebond 50 --node 3

Bonded money belongs to the node's owner: for a node of somebody else, say --yes. What is unbonded stays slashable for the unbonding time
and is then paid to the owner; until then it can be put back.";

/// `valo stake`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Change {
    /// How much, in VALO
    amount: Amount,
    /// Number or key of the node
    #[arg(long)]
    node: NodeReference,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add to the stake of a node
    Bond(Change),
    /// Take free stake of a node of yours back
    Unbond(Change),
    /// Put stake that is unbonding back
    Rebond(Change),
    /// List the stake of your nodes
    #[command(alias = "ls")]
    List {
        /// Of this owner; yours unless given
        #[arg(long)]
        owner: Option<AccountNumber>,
        /// Of all owners
        #[arg(long, conflicts_with = "owner")]
        all: bool,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let gives = matches!(self.command, Command::Bond(_));
        let (change, action): (Change, fn(_, _) -> Action) = match self.command {
            Command::Bond(change) => (change, |node, amount| Action::Bond { node, amount }),
            Command::Unbond(change) => (change, |node, amount| Action::Unbond { node, amount }),
            Command::Rebond(change) => (change, |node, amount| Action::Rebond { node, amount }),
            Command::List { owner, all } => {
                let owner = match owner {
                    Some(owner) => Some(owner),
                    None if all => None,
                    None => Some(client.account(context.public_key()?).await?.number),
                };
                let mut nodes = collect(u32::MAX, None, |page| {
                    let client = client.clone();
                    async move { client.nodes(&page).await }
                })
                .await?;
                nodes.retain(|node| owner.is_none_or(|owner| node.owner == owner));
                return context.output.show(&nodes, || list(&nodes));
            }
        };
        let Node { id, owner, .. } = client.node(change.node).await?;
        if gives && client.account(context.public_key()?).await.is_ok_and(|account| account.number != owner) {
            context.confirm(&format!(
                "Node {id} belongs to {owner}, and so will the {} VALO. Bond them?",
                change.amount
            ))?;
        }
        perform(context, &client, action(id, change.amount)).await
    }
}

fn list(nodes: &[Node]) -> String {
    let mut table = Table::new(["node", "state", "stake", "locked", "unbonding", "paid at", "owner"]);
    for node in nodes {
        let row = |amount: String, until: String| {
            [
                cell(node.id),
                cell(node.state),
                cell(node.stake),
                cell(node.locked),
                cell(amount),
                cell(until),
                cell(node.owner),
            ]
        };
        if node.unbonding.is_empty() {
            table.row(row(String::new(), String::new()));
        }
        for part in &node.unbonding {
            table.row(row(part.amount.to_string(), human::moment(part.until)));
        }
    }
    table.to_string()
}
