//! What a shard may cost and take at most: the chain, the command line and the operator reckon the same.

use super::{Program, Stage};
use crate::{Amount, registry::Tier, time::Duration};

/// A wrong answer costs this many times the price of the shard. With one answer in ten checked and a chance of
/// 0.8 to be caught, lying pays only from 11.5 times the price down: 25 leaves a margin of two.
pub const WRONG_ANSWER: u64 = 25;
/// What a worker has for whatever is not fetching or running.
pub const SLACK: Duration = Duration::from_seconds(5);

/// Fuel that the price of a wasm tier is for.
const FUEL_UNIT: u64 = 1_000_000_000;

/// Price of fuel, rounded up, so that work is never free; none if that is more than can exist.
pub fn fuel_price(unit_price: Amount, fuel: u64) -> Option<Amount> {
    let product = u128::from(unit_price.units()).checked_mul(u128::from(fuel))?;
    u64::try_from(product.div_ceil(u128::from(FUEL_UNIT))).ok().map(Amount::from_units)
}

/// Stake that is locked for one replica until the shard is final.
pub fn locked_stake(limit_price: Amount) -> Amount {
    limit_price.saturating_mul(WRONG_ANSWER)
}

impl Stage {
    /// How long a shard runs at its limit, at the speed of a tier.
    pub fn limit_time(&self, tier: &Tier) -> Duration {
        match &self.program {
            Program::Wasm { fuel, .. } => {
                let milliseconds =
                    u128::from(fuel.0).saturating_mul(1000).div_ceil(u128::from(tier.fuel_per_second.max(1)));
                Duration(u64::try_from(milliseconds).unwrap_or(u64::MAX))
            }
            Program::Container { seconds, .. } => Duration(u64::from(*seconds).saturating_mul(1000)),
        }
    }

    /// Price of one replica of a shard at its limit, at the tier's price of a unit (10^9 fuel, or a second); none if that
    /// is more than can exist.
    pub fn limit_price(&self, unit_price: Amount) -> Option<Amount> {
        match &self.program {
            Program::Wasm { fuel, .. } => fuel_price(unit_price, fuel.0),
            Program::Container { seconds, .. } => unit_price.checked_mul(u64::from(*seconds)),
        }
    }
}
