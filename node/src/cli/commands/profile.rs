//! `valo profile`: which node, which key, which chain.

use crate::cli::{
    context::Context,
    output::{Table, cell, print},
    profile::{Config, Profile, check_name, no_profile},
};
use clap::{Args, Subcommand};
use valo_client::Client;
use valo_protocol::{AccountNumber, GenesisHash};

const EXAMPLES: &str = "\
Examples:
  valo profile list
  valo profile set work --endpoint https://node.example.org --key alice
  valo profile use work

A profile pins the chain: once its genesis hash is known, a node of any other chain is refused.
`valo dev` keeps the profile `dev`.";

/// `valo profile`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the profiles
    #[command(alias = "ls")]
    List,
    /// Show a profile
    Show {
        /// Its name; the one in use unless said
        name: Option<String>,
    },
    /// Use a profile from now on
    Use {
        /// Its name
        name: String,
    },
    /// Make or change a profile: --endpoint, --key and --genesis are kept in it
    Set(Set),
    /// Remove a profile
    #[command(alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
struct Set {
    /// Its name
    name: String,
    /// Hash of the genesis document of the chain to trust; that of the node unless said
    #[arg(long, value_name = "HASH")]
    genesis: Option<GenesisHash>,
    /// Account of the key
    #[arg(long, value_name = "NUMBER")]
    account: Option<AccountNumber>,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, mut context: Context) -> anyhow::Result<()> {
        match self.command {
            Command::List => list(&context),
            Command::Show { name } => {
                let asked = name.or_else(|| context.global.profile.clone());
                let name = context.config.name_in_use(asked.as_deref())?;
                show(
                    &context,
                    &name.ok_or_else(|| {
                        anyhow::anyhow!("no profile is in use; `valo dev` or `valo profile set` makes one")
                    })?,
                )
            }
            Command::Use { name } => {
                if !context.config.profiles.contains_key(&name) {
                    return Err(no_profile(&name));
                }
                context.config.current = Some(name.clone());
                context.config.write(&context.home)?;
                print(format_args!("using profile `{name}`"))
            }
            Command::Set(arguments) => set(&mut context, arguments).await,
            Command::Remove { name } => {
                if context.config.profiles.remove(&name).is_none() {
                    return Err(no_profile(&name));
                }
                if context.config.current.as_ref() == Some(&name) {
                    context.config.current = None;
                }
                context.config.write(&context.home)?;
                print(format_args!("removed profile `{name}`"))
            }
        }
    }
}

fn list(context: &Context) -> anyhow::Result<()> {
    let Config { profiles, .. } = &context.config;
    let in_use = context.config.name_in_use(context.global.profile.as_deref())?;
    context.output.show(&context.config, || {
        if profiles.is_empty() {
            return "no profiles; `valo dev` and `valo profile set` make them".to_owned();
        }
        let mut table = Table::new(["", "name", "endpoint", "key", "chain"]);
        for (name, profile) in profiles {
            let mark = if in_use.as_ref() == Some(name) { "*" } else { "" };
            table.row([
                cell(mark),
                cell(name),
                cell(profile.endpoint.as_deref().unwrap_or("-")),
                cell(profile.key.as_deref().unwrap_or("-")),
                cell(profile.genesis.map_or_else(|| "-".to_owned(), |genesis| genesis.short())),
            ]);
        }
        table.to_string()
    })
}

fn show(context: &Context, name: &str) -> anyhow::Result<()> {
    let profile = context.config.profiles.get(name).ok_or_else(|| no_profile(name))?;
    context.output.show(profile, || {
        let mut table = Table::fields();
        table.field("Name", name);
        table.field("Endpoint", profile.endpoint.as_deref().unwrap_or("-"));
        table.field("Key", profile.key.as_deref().unwrap_or("-"));
        table.field("Account", profile.account.map_or_else(|| "-".to_owned(), |account| account.to_string()));
        table.field("Genesis", profile.genesis.map_or_else(|| "-".to_owned(), |genesis| genesis.to_string()));
        table.to_string()
    })
}

async fn set(context: &mut Context, arguments: Set) -> anyhow::Result<()> {
    check_name(&arguments.name)?;
    let mut profile: Profile = context.config.profiles.get(&arguments.name).cloned().unwrap_or_default();
    if let Some(key) = &context.global.key {
        context.keys.path(key)?;
        profile.key = Some(key.clone());
        profile.account = None;
    }
    profile.account = arguments.account.or(profile.account);
    if let Some(endpoint) = &context.global.endpoint {
        let client = Client::new(endpoint)?;
        profile.endpoint = Some(client.endpoint().to_owned());
        if arguments.genesis.is_none() {
            let status = client.status().await?;
            context
                .output
                .note(format_args!("trusting chain `{}` ({}) because the node says so", status.chain, status.genesis));
            profile.genesis = Some(status.genesis);
        }
    }
    profile.genesis = arguments.genesis.or(profile.genesis);
    context.config.profiles.insert(arguments.name.clone(), profile);
    context.config.current.get_or_insert_with(|| arguments.name.clone());
    context.config.write(&context.home)?;
    show(context, &arguments.name)
}
