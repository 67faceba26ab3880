//! Rows of the state with everything that makes them certain.
//!
//! The root of the state after block h is carried by header h + 1. A row of a table that block h did
//! not touch is proven by header h at once; another one has to wait for the next block, which is due
//! at once because of it.

use super::{Chain, ChainError};
use valo_ledger::Store;
use valo_protocol::{
    block::FinalizedHeader,
    proof::{RowProof, StateProof, StateTable, TableRoot},
};

/// An answer to the wish for a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// There is no such row.
    NoRow,
    /// Here it is.
    Ready(Box<StateProof>),
    /// The row's root is in the next header: ask [`Chain::complete`] after the next block.
    Next(Box<RowProof>),
}

impl<S: Store> Chain<S> {
    /// Proves a row of the state after the last block.
    pub fn prove(&self, table: StateTable, index: u64) -> Result<Proof, ChainError> {
        let Some(row) = self.ledger.prove(table, index)? else { return Ok(Proof::NoRow) };
        if let Some(proof) = self.complete(&row) {
            return Ok(Proof::Ready(Box::new(proof)));
        }
        if let Some(certified) = &self.certified
            && root_of(certified, table) == root_of(&row.tables, table)
        {
            let row = RowProof { tables: certified.clone(), ..row.clone() };
            if let Some(proof) = self.complete(&row) {
                return Ok(Proof::Ready(Box::new(proof)));
            }
        }
        Ok(Proof::Next(Box::new(row)))
    }

    /// The proof of a row whose root the last header carries; none when it carries another.
    pub fn complete(&self, row: &RowProof) -> Option<StateProof> {
        let FinalizedHeader { header, certificate } = self.last.as_ref()?;
        if row.root() != Some(header.state) {
            return None;
        }
        Some(StateProof {
            row: row.clone(),
            finalized: FinalizedHeader { header: header.clone(), certificate: certificate.clone() },
            validators: (*self.head().signers).clone(),
        })
    }
}

fn root_of(roots: &[TableRoot], table: StateTable) -> Option<&TableRoot> {
    roots.iter().find(|root| root.table == table)
}
