//! Finalized state as it is on disk.

use std::sync::{Arc, PoisonError, RwLock};

use valo_ledger::{LedgerError, View, validity};
use valo_protocol::{
    AccountNumber, Height, Parameters, SignedTransaction, TransactionId,
    receipt::{Invalid, Receipt},
};

use super::{ChainState, Cost, Sender, SenderAccount, StateError};
use crate::storage::{BlockReader, Storage};

/// [`ChainState`] over [`Storage`]: what is read is always a finalized state, though perhaps not the same one for two
/// reads.
#[derive(Debug)]
pub struct FinalizedState {
    storage: Storage,
    /// The parameters, and the height at which they were read.
    params: RwLock<(Height, Arc<Parameters>)>,
}

fn fault(error: &dyn std::fmt::Display) -> StateError {
    StateError(error.to_string())
}

impl FinalizedState {
    /// Over what is in storage.
    pub fn new(storage: Storage) -> Result<Self, LedgerError> {
        let params = View::new(&storage).params()?;
        let (height, _) = storage.head();
        Ok(Self { storage, params: RwLock::new((height, Arc::new(params))) })
    }

    fn params(&self) -> Result<Arc<Parameters>, StateError> {
        let (head, _) = self.storage.head();
        {
            let known = self.params.read().unwrap_or_else(PoisonError::into_inner);
            if known.0 == head {
                return Ok(known.1.clone());
            }
        }
        let params = Arc::new(View::new(&self.storage).params().map_err(|error| fault(&error))?);
        *self.params.write().unwrap_or_else(PoisonError::into_inner) = (head, params.clone());
        Ok(params)
    }
}

impl ChainState for FinalizedState {
    fn sender(&self, account: AccountNumber) -> Result<Option<SenderAccount>, StateError> {
        let record = View::new(&self.storage).account(account).map_err(|error| fault(&error))?;
        let params = self.params()?;
        Ok(record.map(|record| SenderAccount {
            key: record.key,
            sender: Sender { nonce: record.nonce.0, balance: validity::spendable(&record, &params).units() },
        }))
    }

    fn validity(&self, transaction: &SignedTransaction, size: usize) -> Result<Result<(), Invalid>, StateError> {
        let params = self.params()?;
        View::new(&self.storage).validity(&params, transaction, size).map_err(|error| fault(&error))
    }

    fn cost(&self, transaction: &SignedTransaction, size: usize) -> Result<Cost, StateError> {
        let params = self.params()?;
        let units = validity::cost(transaction, size, &params).units();
        Ok(Cost {
            units,
            weight: params.weights.of(&transaction.transaction.action),
            max_weight: validity::max_weight(transaction, &params),
        })
    }

    fn receipt(&self, id: &TransactionId) -> Result<Option<Receipt>, StateError> {
        self.storage.receipt(id).map_err(|error| fault(&error))
    }
}
