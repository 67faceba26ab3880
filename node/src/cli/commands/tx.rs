//! `valo tx`: transactions as they are.

use crate::{
    bounded::Kind,
    cli::{
        context::{Context, FINALITY},
        output::{Mood, Table, cell, mood},
    },
};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use valo_client::types::{TransactionState, TransactionStatus};
use valo_protocol::{
    SignedTransaction, TransactionId,
    receipt::{Made, Outcome, Receipt},
};

const EXAMPLES: &str = "\
Examples:
  valo tx show 7422b988...
  valo tx submit --hex 0a00000000...      canonical bytes, signed elsewhere
  valo tx submit --file transfer.bin --no-wait";

/// `valo tx`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what became of a transaction
    Show {
        /// Its id: 64 hexadecimal characters
        id: TransactionId,
    },
    /// Submit the canonical bytes of a signed transaction
    Submit(Submit),
}

#[derive(Debug, Args)]
struct Submit {
    /// The bytes in hexadecimal
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    hex: Option<String>,
    /// File with the bytes
    #[arg(long)]
    file: Option<PathBuf>,
    /// Do not wait until it is final
    #[arg(long)]
    no_wait: bool,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::Show { id } => {
                let status = context.client().await?.transaction(id).await?;
                context.output.show(&status, || status_table(&status).to_string())
            }
            Command::Submit(arguments) => submit(context, arguments).await,
        }
    }
}

async fn submit(context: &Context, arguments: Submit) -> anyhow::Result<()> {
    let bytes = match (arguments.hex, arguments.file) {
        (Some(text), _) => {
            hex::decode(text.trim()).map_err(|error| anyhow::anyhow!("--hex is not hexadecimal: {error}"))?
        }
        (None, Some(path)) => {
            Kind::TRANSACTION.bytes(&path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) => bail!("say --hex or --file"),
    };
    // Refused here rather than there, with the same words.
    SignedTransaction::from_bytes(&bytes)?;
    let client = context.client().await?;
    let id = client.submit_bytes(bytes).await?;
    if arguments.no_wait {
        let status = TransactionStatus { id, state: TransactionState::Pending };
        return context.output.show(&status, || id.to_string());
    }
    let receipt = client.await_final(id, FINALITY).await?;
    context.output.show(&receipt, || receipt_table(&receipt).to_string())?;
    match receipt.outcome {
        Outcome::Done(_) => Ok(()),
        Outcome::Failed(reason) => Err(reason.into()),
    }
}

fn status_table(status: &TransactionStatus) -> Table {
    match &status.state {
        TransactionState::Finalized { receipt } => receipt_table(receipt),
        TransactionState::Pending => {
            let mut table = Table::fields();
            table.field("Transaction", status.id);
            table.row([cell("Outcome"), mood("pending: it waits in the node's mempool", Mood::UnderWay)]);
            table
        }
        TransactionState::Dropped { rejection } => {
            let mut table = Table::fields();
            table.field("Transaction", status.id);
            table.row([cell("Outcome"), mood(format_args!("dropped: {}", rejection.detail), Mood::Bad)]);
            table
        }
    }
}

/// A receipt as a table.
pub fn receipt_table(receipt: &Receipt) -> Table {
    let mut table = Table::fields();
    table.field("Transaction", receipt.transaction);
    table.field("Block", format_args!("{}, place {}", receipt.height, receipt.index));
    table.field("Fee", format_args!("{} VALO", receipt.fee));
    let (outcome, how) = match &receipt.outcome {
        Outcome::Done(Made::Nothing) => ("done".to_owned(), Mood::Good),
        Outcome::Done(Made::Account(account)) => (format!("done: made account {account}"), Mood::Good),
        Outcome::Done(Made::Job(job)) => (format!("done: made job {job}"), Mood::Good),
        Outcome::Done(Made::ExistingJob(job)) => (format!("done: it is job {job}, made before"), Mood::Good),
        Outcome::Done(Made::Node(node)) => (format!("done: it is node {node}"), Mood::Good),
        Outcome::Failed(reason) => (format!("failed: {reason}"), Mood::Bad),
    };
    table.row([cell("Outcome").fg(comfy_table::Color::DarkGrey), mood(outcome, how)]);
    table
}
