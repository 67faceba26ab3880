//! What the rest of the node asks of the chain: proofs, and whether transactions are valid.

use super::{App, AppError};
use crate::chain::{ChainError, Proof, handle::Request};
use tokio::sync::oneshot;
use valo_ledger::Store;
use valo_protocol::{
    encoding::encode,
    proof::{RowProof, StateProof},
};

/// A proof that waits for the next header.
pub(super) struct Waiting {
    row: Box<RowProof>,
    reply: oneshot::Sender<Option<StateProof>>,
}

impl<S: Store> App<S> {
    pub(super) fn request(&mut self, request: Request) -> Result<(), AppError> {
        match request {
            Request::Proof { table, index, reply } => match self.chain.prove(table, index)? {
                // Whoever asked may have gone.
                Proof::NoRow => drop(reply.send(None)),
                Proof::Ready(proof) => drop(reply.send(Some(*proof))),
                Proof::Next(row) => self.waiting.push(Waiting { row, reply }),
            },
            Request::Validity { transactions, reply } => {
                let ledger = self.chain.ledger();
                let verdicts: Result<Vec<_>, _> = transactions
                    .iter()
                    .map(|transaction| ledger.validity(transaction, encode(transaction).len()))
                    .collect();
                let _ = reply.send(verdicts.map_err(ChainError::from)?);
            }
        }
        Ok(())
    }

    /// After a block: hands out the proofs that waited for it.
    pub(super) fn complete_proofs(&mut self) {
        for Waiting { row, reply } in std::mem::take(&mut self.waiting) {
            match self.chain.complete(&row) {
                Some(proof) => drop(reply.send(Some(proof))),
                // Its height has passed: the row is proven anew when asked again.
                None => drop(reply),
            }
        }
    }
}
