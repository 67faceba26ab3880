//! What a shard may cost at most: the chain, the command line and the operator reckon the same.

use super::{Program, Stage};
use crate::Amount;

/// Fuel that the price of a wasm tier is for.
const FUEL_UNIT: u64 = 1_000_000_000;

/// Price of fuel, rounded up, so that work is never free; none if that is more than can exist.
pub fn fuel_price(unit_price: Amount, fuel: u64) -> Option<Amount> {
    let product = u128::from(unit_price.units()).checked_mul(u128::from(fuel))?;
    u64::try_from(product.div_ceil(u128::from(FUEL_UNIT))).ok().map(Amount::from_units)
}

impl Stage {
    /// Price of one replica of a shard at its limit, at the tier's price of a unit (10^9 fuel, or a second); none if that
    /// is more than can exist.
    pub fn limit_price(&self, unit_price: Amount) -> Option<Amount> {
        match &self.program {
            Program::Wasm { fuel, .. } => fuel_price(unit_price, fuel.0),
            Program::Container { seconds, .. } => unit_price.checked_mul(u64::from(*seconds)),
        }
    }
}
