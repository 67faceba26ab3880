//! Tests of whole blocks: what a user of the chain would notice.

mod blocks;
mod epochs;
mod properties;
mod transfers;
mod vectors;

use crate::testing::*;
use valo_protocol::{Action, Amount};

fn transfer(to: u64, amount: Amount) -> Action {
    Action::Transfer { to: account(to), amount }
}

fn units(units: u64) -> Amount {
    Amount::from_units(units)
}
