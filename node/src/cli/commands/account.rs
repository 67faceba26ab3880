//! `valo account`: accounts and their balances.

use crate::cli::{
    context::{Context, collect, no_account},
    output::{Table, cell},
};
use clap::{Args, Subcommand};
use valo_client::types::{Account, AccountReference};

const EXAMPLES: &str = "\
Examples:
  valo account show               the account of the key in use
  valo account show 0000002A
  valo account list --limit 20 -o json

An account is named by its number (8 characters of base32) or by its public key (64 hexadecimal
characters).";

/// `valo account`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show an account
    Show {
        /// Number or key; that of the key in use unless said
        account: Option<AccountReference>,
    },
    /// List accounts in order of their numbers
    #[command(alias = "ls")]
    List {
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Number to start at
        #[arg(long, value_name = "NUMBER")]
        from: Option<String>,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::Show { account } => show(context, account).await,
            Command::List { limit, from } => {
                let client = context.client().await?;
                let accounts = collect(limit, from, |page| {
                    let client = client.clone();
                    async move { client.accounts(&page).await }
                })
                .await?;
                context.output.show(&accounts, || list(&accounts))
            }
        }
    }
}

async fn show(context: &Context, account: Option<AccountReference>) -> anyhow::Result<()> {
    let client = context.client().await?;
    let account = match account {
        Some(account) => client.account(account).await?,
        None => {
            let key = context.public_key()?;
            match client.account(key).await {
                Err(error) if error.is_not_found() => return Err(no_account(&key)),
                account => account?,
            }
        }
    };
    context.output.show(&account, || {
        let mut table = Table::fields();
        table.field("Number", account.number);
        table.field("Key", account.key);
        table.field("Balance", format_args!("{} VALO", account.balance));
        table.field("Nonce", account.nonce);
        if account.next_nonce != account.nonce {
            table.field("Pending", account.next_nonce.saturating_sub(account.nonce));
        }
        if let Some(node) = account.node {
            table.field("Node", node);
        }
        table.to_string()
    })
}

fn list(accounts: &[Account]) -> String {
    let mut table = Table::new(["number", "balance", "nonce", "node", "key"]);
    for account in accounts {
        table.row([
            cell(account.number),
            cell(account.balance),
            cell(account.nonce),
            cell(account.node.map_or_else(String::new, |node| node.to_string())),
            cell(account.key),
        ]);
    }
    table.to_string()
}
