//! `valo genesis`: the document that a chain starts from. The same description gives the same bytes, everywhere.

use crate::{
    bounded::Kind,
    cli::{context::Context, output::Table},
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::{Path, PathBuf};
use valo_contract::chain::ChainDescription;
use valo_protocol::{
    AccountNumber, Amount, Genesis, GenesisHash, PublicKey,
    bytes::BoundedVec,
    genesis::{GenesisAccount, GenesisNode},
    registry::NodeRole,
};

const EXAMPLES: &str = "\
Examples:
  valo genesis new chain.yaml --file genesis.json
  valo genesis add-validator genesis.json --node 7422b988... --owner 5a0e1f... --stake 1000
  valo genesis check genesis.json

A description in YAML:
  chain: example
  time: 1700000000000          # milliseconds since 1970; block time of the start
  fullyConnected: true         # votes go straight to every validator and are not passed on: quicker,
                               # where all validators reach each other; false unless said
  preset: consortium           # dev, consortium or public
  parameters: {epoch: 60000}   # what differs from the preset
  accounts:
    - {key: 5a0e1f..., balance: '1000'}
  tiers: []
  nodes:
    - {key: 7422b988..., owner: 5a0e1f..., stake: '1000'}
    - {key: 99ab01cd..., owner: 5a0e1f..., stake: '400', tier: small, slots: 4}

The same description gives the same bytes, and so the same chain, on every machine.";

/// `valo genesis`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a genesis document from a description
    New {
        /// The description, in YAML
        description: PathBuf,
        /// File to write; standard output unless given
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Add a validator to a genesis document
    AddValidator {
        /// The document; it is written anew
        file: PathBuf,
        /// The node's key
        #[arg(long, value_name = "KEY")]
        node: PublicKey,
        /// The owner's key; an account is added for one that has none
        #[arg(long, value_name = "KEY")]
        owner: PublicKey,
        /// Stake in VALO
        #[arg(long)]
        stake: Amount,
        /// Balance of the owner's account in VALO, if it is added
        #[arg(long, default_value = "1")]
        balance: Amount,
    },
    /// Check a genesis document, and say what is in it
    Check {
        /// The document
        file: PathBuf,
    },
}

/// What a document says, in short.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    chain: String,
    genesis: GenesisHash,
    supply: Amount,
    accounts: usize,
    tiers: usize,
    validators: usize,
    workers: usize,
}

impl Arguments {
    /// Runs the command.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::New { description, file } => {
                let text = read(&description)?;
                let described: ChainDescription = serde_yaml::from_str(&text)
                    .with_context(|| format!("{} describes no chain", description.display()))?;
                let genesis = described.genesis()?;
                match file {
                    None => context.output.show(&genesis, || to_text(&genesis).unwrap_or_default()),
                    Some(path) => {
                        write(&path, &genesis)?;
                        show(context, &genesis)
                    }
                }
            }
            Command::AddValidator { file, node, owner, stake, balance } => {
                let mut genesis = document(&file)?;
                let mut accounts = genesis.accounts.into_inner();
                let mut nodes = genesis.nodes.into_inner();
                let place = match accounts.iter().position(|account| account.key == owner) {
                    Some(place) => place,
                    None => {
                        accounts.push(GenesisAccount { key: owner, balance });
                        accounts.len().saturating_sub(1)
                    }
                };
                let owner = AccountNumber::new(u64::try_from(place)?)?;
                nodes.push(GenesisNode { key: node, owner, role: NodeRole::Validator, stake });
                genesis.accounts = BoundedVec::new(accounts)?;
                genesis.nodes = BoundedVec::new(nodes)?;
                genesis.check().context("with this validator the document is not usable")?;
                write(&file, &genesis)?;
                show(context, &genesis)
            }
            Command::Check { file } => show(context, &document(&file)?),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    Kind::GENESIS.text(path).with_context(|| format!("cannot read {}", path.display()))
}

fn document(path: &Path) -> anyhow::Result<Genesis> {
    let genesis: Genesis =
        serde_json::from_str(&read(path)?).with_context(|| format!("{} is not a genesis document", path.display()))?;
    genesis.check().with_context(|| format!("{} is not usable", path.display()))?;
    Ok(genesis)
}

fn to_text(genesis: &Genesis) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(genesis)? + "\n")
}

fn write(path: &Path, genesis: &Genesis) -> anyhow::Result<()> {
    std::fs::write(path, to_text(genesis)?).with_context(|| format!("cannot write {}", path.display()))
}

fn show(context: &Context, genesis: &Genesis) -> anyhow::Result<()> {
    let validators = genesis.nodes.iter().filter(|node| node.role == NodeRole::Validator).count();
    let summary = Summary {
        chain: genesis.chain.to_string(),
        genesis: genesis.hash(),
        supply: genesis.supply().unwrap_or_default(),
        accounts: genesis.accounts.len(),
        tiers: genesis.tiers.len(),
        validators,
        workers: genesis.nodes.len().saturating_sub(validators),
    };
    context.output.show(&summary, || {
        let mut table = Table::fields();
        table.field("Chain", &summary.chain);
        table.field("Genesis", summary.genesis);
        table.field("Supply", format_args!("{} VALO", summary.supply));
        table.field("Accounts", summary.accounts);
        table.field("Tiers", summary.tiers);
        table.field("Nodes", format_args!("{} validators, {} workers", summary.validators, summary.workers));
        table.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::{Parameters, SecretKey, params::Preset};

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    fn description(extra: &str) -> String {
        let (node, owner) = (key(1), key(2));
        format!(
            "chain: example\ntime: 1700000000000\npreset: consortium\nparameters: {{epoch: 60000}}\n\
             accounts:\n  - {{key: {owner}, balance: '1000'}}\n\
             nodes:\n  - {{key: {node}, owner: {owner}, stake: '1000'{extra}}}\n"
        )
    }

    #[test]
    fn a_description_gives_the_same_bytes_every_time() {
        let made =
            || -> Genesis { serde_yaml::from_str::<ChainDescription>(&description("")).unwrap().genesis().unwrap() };
        let genesis = made();
        assert_eq!(to_text(&genesis).unwrap(), to_text(&made()).unwrap());
        assert_eq!(genesis.parameters.epoch.0, 60_000);
        assert_eq!(genesis.parameters.idle_interval, Parameters::preset(Preset::Consortium).idle_interval);
        // The text that people keep reads back as the same chain.
        let read: Genesis = serde_json::from_str(&to_text(&genesis).unwrap()).unwrap();
        assert_eq!(read.hash(), genesis.hash());
        insta::assert_snapshot!(genesis.hash());
    }

    #[test]
    fn what_makes_no_chain_is_refused_with_its_reason() {
        let error = |text: &str| -> String {
            match serde_yaml::from_str::<ChainDescription>(text) {
                Ok(description) => format!("{:#}", anyhow::Error::from(description.genesis().unwrap_err())),
                Err(error) => error.to_string(),
            }
        };
        assert!(error(&description(", slots: 3")).contains("slots and no tier"));
        assert!(error(&description(", tier: small")).contains("no tier `small`"));
        assert!(error(&description("").replace("epoch", "epok")).contains("no parameter `epok`"));
        assert!(error(&description("").replace("stake: '1000'", "stake: '10'")).contains("takes 1000"));
        assert!(error(&description("").replace("preset: consortium", "preset: tiny")).contains("tiny"));
    }
}
