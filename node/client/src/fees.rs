//! What a transaction costs: bytes and weight, each at its price. The same arithmetic as the chain's, so
//! that a client can say what something costs before it signs.

use crate::types::ParametersInForce;
use valo_protocol::{
    AccountNumber, Action, Amount, Transaction,
    amount::MAX_SUPPLY,
    encoding::{Varint, encode},
    params::Weights,
};

/// Length of a signature on the wire.
const SIGNATURE: u64 = 64;

/// The prices of now, with the table of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeSchedule {
    byte_price: Amount,
    weight_price: Amount,
    weights: Weights,
}

impl From<&ParametersInForce> for FeeSchedule {
    fn from(now: &ParametersInForce) -> Self {
        Self { byte_price: now.byte_price, weight_price: now.weight_price, weights: now.parameters.weights.clone() }
    }
}

impl FeeSchedule {
    /// The fee of an action at the prices of now, never too low: its bytes are counted as if nonce and fee took their
    /// most. None when it does not fit an amount.
    pub fn fee(&self, action: &Action) -> Option<Amount> {
        if action.is_protocol_message() {
            return Some(Amount::ZERO);
        }
        let longest = Transaction {
            sender: AccountNumber::MAX,
            nonce: Varint(u64::MAX),
            max_fee: MAX_SUPPLY,
            action: action.clone(),
        };
        let bytes = u64::try_from(encode(&longest).len()).ok()?.checked_add(SIGNATURE)?;
        let for_bytes = self.byte_price.checked_mul(bytes)?;
        for_bytes.checked_add(self.weight_price.checked_mul(self.weights.of(action))?)
    }

    /// What to allow as `max_fee`: twice the fee of now, since prices may rise before the transaction is in a
    /// block. What is not used returns.
    pub fn max_fee(&self, action: &Action) -> Option<Amount> {
        self.fee(action)?.checked_mul(2)
    }
}
