//! Fees: a price for each byte and for each unit of weight.
//!
//! Both follow from the transaction alone, so a sender knows the fee beforehand. Prices are those of the
//! parameters; moving prices will take their place in [`Prices::of`].

use valo_protocol::{Amount, Parameters, transaction::Transaction};

/// What a byte and a unit of weight cost, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// Of a byte on the wire.
    pub byte: u64,
    /// Of a unit of weight.
    pub weight: u64,
}

impl Prices {
    /// The prices in force.
    pub fn of(params: &Parameters) -> Self {
        Self { byte: params.byte_price, weight: params.weight_price }
    }

    /// The fee for so many bytes and so much weight. Beyond 64 bits it is the largest amount, which nobody has.
    pub fn fee(self, bytes: u64, weight: u64) -> Amount {
        Amount::from_units(self.byte.saturating_mul(bytes).saturating_add(self.weight.saturating_mul(weight)))
    }
}

/// The fee that `max_fee` must cover: nothing for messages of the protocol.
pub fn fee(transaction: &Transaction, bytes: u64, params: &Parameters) -> Amount {
    if transaction.action.is_protocol_message() {
        return Amount::ZERO;
    }
    Prices::of(params).fee(bytes, params.weights.of(&transaction.action))
}
