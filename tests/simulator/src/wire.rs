//! What travels between simulated nodes.

use bytes::Bytes;
use malachitebft_core_consensus::Input;
use valo::{chain::parts::Part, consensus::context::Context};
use valo_protocol::{Height, SignedTransaction, vote::Certificate};

/// A message.
#[derive(Debug, Clone)]
pub enum Message {
    /// A vote, a proposal or a certificate of the consensus core.
    Core(Input<Context>),
    /// A part of a block.
    Part {
        /// Name of the stream.
        stream: Vec<u8>,
        /// Its place.
        sequence: u64,
        /// The part.
        part: Part,
    },
    /// A transaction.
    Transaction(SignedTransaction),
    /// How far the sender is.
    Status(Height),
    /// Asks for finalized blocks from a height on.
    Fetch(Height),
    /// Finalized blocks.
    Fetched(Vec<(Bytes, Certificate)>),
}

impl Message {
    /// The height it is about, of consensus messages.
    pub fn height(&self) -> Option<Height> {
        use malachitebft_core_types::{Proposal as _, Vote as _};
        match self {
            Self::Core(Input::Vote(vote)) => Some(vote.message.height().0),
            Self::Core(Input::Proposal(proposal)) => Some(proposal.message.height().0),
            Self::Status(height) => Some(*height),
            _ => None,
        }
    }
}
