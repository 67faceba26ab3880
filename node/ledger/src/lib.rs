//! The state machine of the Valo chain: pure, `(state, block) -> (state, receipts, events)`.
//!
//! No I/O, no clock, no threads, no floats and no panics. State lives behind the small [`Store`]
//! interface; a block is executed on an [`Overlay`] over it and comes out as [`Changes`], which whoever
//! embeds the ledger persists in one atomic batch before it calls [`Ledger::commit`].
//!
//! ```text
//!   candidates -> draft -> Block -> check -> (consensus) -> execute -> Effects -> store -> commit
//!                                                              |
//!   phase 1: every max_fee debited, every nonce advanced       |  admission
//!   header:  randomness, participation, missed proposals       |  validators
//!   phase 2: each action, alone to fail                        |  actions, jobs::apply
//!   end:     fees, draws, deadlines, epoch, supply checked     |  fees, jobs::end_of_block
//! ```
//! The state root after a block is carried by the header of the next one.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::cast_possible_truncation))]

pub mod accounts;
mod actions;
mod admission;
mod check;
pub mod context;
mod error;
mod execute;
pub mod fees;
mod genesis;
mod head;
pub mod jobs;
mod ledger;
pub mod overlay;
pub mod registry;
pub mod store;
pub mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod trees;
pub mod validators;
pub mod validity;
pub mod view;

pub use context::{Context, Failure};
pub use error::{BlockError, LedgerError};
pub use execute::Effects;
pub use head::{Due, Head};
pub use ledger::{Draft, Ledger};
pub use overlay::Overlay;
pub use store::{Changes, MemoryStore, Store, StoreError, Table};
pub use tables::Record;
pub use view::View;
