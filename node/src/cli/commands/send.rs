//! `valo send`: moves money, and waits until that is final.

use crate::cli::{
    commands::tx,
    context::{Context, FINALITY},
};
use clap::Args;
use valo_client::types::AccountReference;
use valo_protocol::{Action, Amount};

const EXAMPLES: &str = "\
Examples:
  valo send 5 --to 0000002A
  valo send 0.25 --to 7422b9887598068e32c4448a949adb290d0f4e35b9e01b0ee5f1a1e600fe2674
  valo send 1 --to 0000002A --key alice -o json

A key that has no account gets one: that costs a little more, and the amount must cover the
minimum balance.";

/// `valo send`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// How much, in VALO
    amount: Amount,
    /// To whom: the number of an account, or a key
    #[arg(long, value_name = "NUMBER OR KEY")]
    to: AccountReference,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        anyhow::ensure!(!self.amount.is_zero(), "there is nothing to send: the amount is 0");
        let client = context.client().await?;
        let session = context.session(&client).await?;
        let action = match self.to {
            AccountReference::Number(to) => Action::Transfer { to, amount: self.amount },
            // By number is cheaper, if the key has one.
            AccountReference::Key(key) => match client.account(key).await {
                Ok(account) => Action::Transfer { to: account.number, amount: self.amount },
                Err(error) if error.is_not_found() => Action::TransferToKey { key, amount: self.amount },
                Err(error) => return Err(error.into()),
            },
        };
        let (receipt, _) = session.perform(action, FINALITY).await?;
        context.output.show(&receipt, || tx::receipt_table(&receipt).to_string())
    }
}
