//! `valo grant`: an owner's signed permission for a node.

use crate::{
    bounded::Kind,
    cli::{
        context::Context,
        human,
        output::{Mood, Table, cell, mood},
    },
    clock::now,
    network::RegisteredEndpoint,
};
use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use valo_client::Client;
use valo_protocol::{
    Amount, GenesisHash, Grant, PublicKey, Signature, SignedGrant, Timestamp,
    bytes::{BoundedString, BoundedVec},
    registry::{Endpoint, Endpoints, NodeRole},
};

const EXAMPLES: &str = "\
Examples:
  valo grant create --node 7422b988... --validator --stake 1000 --file grant.json
  valo grant create --node 7422b988... --tier small --slots 4 --file grant.json
  valo grant show grant.json
  valo node register --grant grant.json

A grant moves no money and holds no secret: it permits one node (its key, which `valo init` prints)
to join in your name until it expires. The node never sees your key.";

/// `valo grant`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Permit a node to join in your name
    Create(Create),
    /// Show a grant, and whether it is good
    Show {
        /// File that `valo grant create` wrote
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// The node's key
    #[arg(long, value_name = "KEY")]
    node: PublicKey,
    /// It takes part in consensus
    #[arg(long, conflicts_with_all = ["tier", "slots"], required_unless_present = "tier")]
    validator: bool,
    /// It works in this tier
    #[arg(long)]
    tier: Option<String>,
    /// Shards it runs at a time
    #[arg(long, default_value_t = 1)]
    slots: u16,
    /// Stake in VALO; the least that it takes unless given
    #[arg(long)]
    stake: Option<Amount>,
    /// Where it is reached: tcp://host:port for consensus, udp://host:port for everything else
    #[arg(long, value_name = "ADDRESS", value_parser = endpoint)]
    address: Vec<Endpoint>,
    /// How many days it is good for
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// File to write; standard output unless given
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A grant as it is carried from its owner to whoever registers the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GrantFile {
    genesis: GenesisHash,
    grant: Grant,
    signature: Signature,
}

/// Reads a grant for a chain.
pub fn read(path: &Path, genesis: &GenesisHash) -> anyhow::Result<SignedGrant> {
    let file = read_file(path)?;
    ensure!(
        file.genesis == *genesis,
        "{} is for chain {}, and the node is on chain {}",
        path.display(),
        file.genesis.short(),
        genesis.short()
    );
    Ok(SignedGrant { grant: file.grant, signature: file.signature })
}

fn read_file(path: &Path) -> anyhow::Result<GrantFile> {
    let text = Kind::GRANT.text(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a grant", path.display()))
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run(context, &context.client().await?).await,
            Command::Show { file } => {
                let grant = read_file(&file)?;
                let client = context.client().await?;
                let signed = SignedGrant { grant: grant.grant.clone(), signature: grant.signature };
                let owner = client.account(grant.grant.owner).await?;
                let verdict = if !signed.verify(&grant.genesis, &owner.key) {
                    Err("it is not signed by its owner")
                } else if client.status().await?.genesis != grant.genesis {
                    Err("it is for another chain")
                } else if now() > grant.grant.expires {
                    Err("it has expired")
                } else {
                    Ok("good")
                };
                context.output.show(&grant, || table(&grant, verdict).to_string())?;
                verdict.map(|_| ()).map_err(|reason| anyhow::anyhow!("{}: {reason}", file.display()))
            }
        }
    }
}

impl Create {
    async fn run(self, context: &Context, client: &Client) -> anyhow::Result<()> {
        let session = context.session(client).await?;
        let (role, least) = match &self.tier {
            None => (NodeRole::Validator, client.parameters().await?.parameters.min_validator_stake),
            Some(name) => {
                ensure!(self.slots > 0, "a worker takes at least one slot");
                let tiers = client.tiers().await?.items;
                let tier = tiers.iter().find(|tier| *tier.tier.name == **name);
                let tier = tier.with_context(|| format!("there is no tier `{name}`; see `valo tier list`"))?;
                let least = tier.tier.stake_per_slot.checked_mul(u64::from(self.slots)).context("too many slots")?;
                (NodeRole::Worker { tier: tier.id, slots: self.slots }, least)
            }
        };
        let stake = self.stake.unwrap_or(least);
        ensure!(stake >= least, "a stake of {stake} VALO is less than the {least} VALO that this node takes");
        let lifetime = self.days.saturating_mul(24 * 60 * 60 * 1000);
        let grant = Grant {
            owner: session.number(),
            node: self.node,
            role,
            stake,
            endpoints: endpoints(self.address)?,
            expires: Timestamp(now().0.saturating_add(lifetime)),
        };
        let SignedGrant { grant, signature } = grant.sign(&session.genesis(), &context.secret_key()?);
        let file = GrantFile { genesis: session.genesis(), grant, signature };
        let text = serde_json::to_string_pretty(&file)?;
        match &self.file {
            None => context.output.show(&file, || text),
            Some(path) => {
                std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
                context.output.show(&file, || {
                    format!(
                        "{}\n\nbring the node in with: valo node register --grant {}",
                        table(&file, Ok("good")),
                        path.display()
                    )
                })
            }
        }
    }
}

/// An address as the registry takes it.
pub fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse::<RegisteredEndpoint>().map_err(|error| error.to_string())?;
    BoundedString::new(text).map_err(|error| error.to_string())
}

/// The addresses of a node.
pub fn endpoints(list: Vec<Endpoint>) -> anyhow::Result<Endpoints> {
    BoundedVec::new(list).context("a node has at most four addresses")
}

fn table(file: &GrantFile, verdict: Result<&str, &str>) -> Table {
    let grant = &file.grant;
    let mut table = Table::fields();
    table.field("Node", grant.node);
    table.field("Owner", grant.owner);
    table.field(
        "Role",
        match grant.role {
            NodeRole::Validator => "validator".to_owned(),
            NodeRole::Worker { tier, slots } => format!("worker, {slots} slots in tier {tier}"),
        },
    );
    table.field("Stake", format_args!("{} VALO", grant.stake));
    table.field("Chain", file.genesis.short());
    table.field("Good until", human::moment(grant.expires));
    let (word, how) = match verdict {
        Ok(word) => (word, Mood::Good),
        Err(word) => (word, Mood::Bad),
    };
    table.row([cell("Grant").fg(comfy_table::Color::DarkGrey), mood(word, how)]);
    table
}
