//! Validity of a transaction against any finalized state: for the ledger, and for a mempool, which has a view only.

use crate::{LedgerError, View, accounts, admission, fees};
use valo_protocol::{Amount, Parameters, SignedTransaction, receipt::Invalid, state::AccountRecord};

impl View<'_> {
    /// Whether a transaction of `size` bytes could be in the next block, its signature aside. [`Invalid::NonceGap`] says
    /// that it could be later.
    pub fn validity(
        &self,
        params: &Parameters,
        transaction: &SignedTransaction,
        size: usize,
    ) -> Result<Result<(), Invalid>, LedgerError> {
        match admission::validity(self.store, params, &transaction.transaction, size) {
            // One transaction alone never fills a block: its size was bounded before.
            Ok(()) | Err(admission::Refusal::Full { .. }) => Ok(Ok(())),
            Err(admission::Refusal::Invalid(invalid)) => Ok(Err(invalid)),
            Err(admission::Refusal::Ledger(error)) => Err(error),
        }
    }
}

/// What an account can offer in fees: all but the minimum balance.
pub fn spendable(account: &AccountRecord, params: &Parameters) -> Amount {
    accounts::spendable(account, params.minimum_balance)
}

/// The most weight that a transaction can have: messages of the protocol a block's, all others three quarters of it.
pub fn max_weight(transaction: &SignedTransaction, params: &Parameters) -> u64 {
    params.max_weight(&transaction.transaction.action)
}

/// What the bytes and the weight of a transaction are worth at the present prices, also where nobody pays for them.
pub fn cost(transaction: &SignedTransaction, size: usize, params: &Parameters) -> Amount {
    let weight = params.weights.of(&transaction.transaction.action);
    fees::Prices::of(params).fee(u64::try_from(size).unwrap_or(u64::MAX), weight)
}
