//! Jobs: contracts, draws, answers, verdicts, payment.
//!
//! ```text
//!   submit --> orders --h+2--> draws --> commits --> reveals --> verdict --> next stage ... --> accepted --> final
//!   (submit)   (place)        (draw)     (answers)               (verdict,                   (settle)    (close)
//!                                ^                                settle)
//!                                +-- more nodes: answers differ or are missing --+
//! ```
//! Messages only record what was said; everything that follows from them, from deadlines and from randomness
//! is done at the end of the block ([`engine`]), a bounded amount of it. The rows of shards say by themselves when something
//! is to be done with them next ([`verdict::due`]): no shard is forgotten.
//!
//! **A job that fails** draws nothing more. Who works for it is let go; what was committed to is revealed, judged and
//! paid; then what is left in escrow returns. So neither a submitter who cancels nor a deadline takes
//! pay from work that is done.

mod advance;
mod answers;
mod audit;
mod capacity;
mod close;
mod contract;
pub mod draw;
mod engine;
#[cfg(test)]
mod fixture;
mod place;
pub mod pricing;
mod settle;
mod state;
mod submit;
pub mod verdict;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use audit::audit;
pub use state::{Location, ShardVerdict};
pub use view::{Assignment, AssignmentState};

pub(crate) use answers::is_open;
pub(crate) use engine::end_of_block;
pub(crate) use state::Deadline;
pub(crate) use view::escrows;

use crate::{
    Context, Failure, LedgerError,
    store::{Store, Table},
    tables,
};
use valo_protocol::{
    AccountNumber, Action, Timestamp, WorkClock,
    receipt::{Made, Reason},
};

/// The messages by which a worker answers for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKind {
    /// It commits to a result.
    Commit,
    /// It reveals the result.
    Reveal,
    /// It cannot answer.
    Abstain,
}

/// Executes an action about jobs. Whatever it did is undone when it fails.
pub(crate) fn apply(ctx: &mut Context<'_>, sender: AccountNumber, action: &Action) -> Result<Made, Failure> {
    match action {
        Action::SubmitJob { client_id, contract } => submit::submit(ctx, sender, *client_id, contract),
        Action::CancelJob { job } => submit::cancel(ctx, sender, *job),
        Action::Commit { entries } => answers::commit(ctx, sender, entries),
        Action::Reveal { entries } => answers::reveal(ctx, sender, entries),
        Action::Abstain { entries } => answers::abstain(ctx, sender, entries),
        _ => Err(Reason::Full("this is no action about jobs".to_owned()).into()),
    }
}

/// Whether a draw is to be made, so that a block is due at once.
pub(crate) fn has_draws(store: &dyn Store) -> Result<bool, LedgerError> {
    Ok(!store.scan(Table::Draws, &[], 1)?.is_empty())
}

/// The next deadline, at which a block is due; `clock` is that of the last block.
pub(crate) fn next_deadline(store: &dyn Store, clock: WorkClock) -> Result<Option<Timestamp>, LedgerError> {
    let window = first(store, Table::Windows)?.map(|moment| clock.block_time(moment));
    let deadline = first(store, Table::Deadlines)?;
    Ok(window.into_iter().chain(deadline).min())
}

/// The first moment in a table of deadlines.
fn first(store: &dyn Store, table: Table) -> Result<Option<Timestamp>, LedgerError> {
    let Some((key, _)) = store.scan(table, &[], 1)?.pop() else { return Ok(None) };
    let moment = tables::row_index(table, key.get(..8).unwrap_or(&[]))?;
    Ok(Some(Timestamp(moment)))
}
