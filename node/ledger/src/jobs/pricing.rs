//! What a shard costs, how long it may take, and how much stake answers for it. Pure arithmetic: products
//! that do not fit saturate, so that an absurd limit is refused for its price and never wraps.

pub use valo_protocol::job::locked_stake;
use valo_protocol::{
    Amount, Duration,
    job::{Input, JobContract, Program, SLACK, Stage, fuel_price},
    registry::Tier,
    shard::ShardRecord,
};

/// Neither answering nor abstaining costs this many times the price of the shard.
pub const MISSED: u64 = 2;

/// Bytes that a worker fetches in a second at least.
const FETCH_RATE: u64 = 4 * 1024 * 1024;

/// Price of one replica of a shard of `stage` at its limit, at the tier's price of a unit.
pub fn limit_price(stage: &Stage, unit_price: Amount) -> Amount {
    stage.limit_price(unit_price).unwrap_or(Amount::MOST)
}

/// Whether a program is paid by what it used: fuel (wasm) is, seconds (container) are paid as reserved.
pub const fn is_metered(program: &Program) -> bool {
    matches!(program, Program::Wasm { .. })
}

/// Price of one replica that used `fuel`.
pub fn used_price(shard: &ShardRecord, fuel: u64) -> Amount {
    if shard.metered {
        fuel_price(shard.unit_price, fuel).unwrap_or(Amount::MOST).min(shard.limit_price)
    } else {
        shard.limit_price
    }
}

/// A multiple of an amount; the largest there is when it does not fit.
pub fn times(amount: Amount, factor: u64) -> Amount {
    amount.saturating_mul(factor)
}

/// How long a worker of `tier` has from the draw to its commit: input bytes / 4 MiB/s + 2 x the limit at the tier's
/// speed + 5 s.
pub fn commit_window(contract: &JobContract, stage: &Stage, tier: &Tier) -> Duration {
    let fetch = input_bytes(contract, stage).saturating_mul(1000).div_ceil(FETCH_RATE);
    let run = stage.limit_time(tier).0;
    Duration(fetch.saturating_add(run.saturating_mul(2)).saturating_add(SLACK.0))
}

/// The most bytes a shard of `stage` may have to fetch.
fn input_bytes(contract: &JobContract, stage: &Stage) -> u64 {
    match &stage.input {
        Input::None => 0,
        Input::Files { shard_bytes, .. } => *shard_bytes,
        Input::Each { stage } => contract.stage(*stage).map_or(0, |upstream| upstream.output),
        Input::All { stage } => {
            contract.stage(*stage).map_or(0, |upstream| upstream.output.saturating_mul(u64::from(upstream.shards)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;
    use valo_protocol::{hash::BlobHash, job::StageIndex};

    fn shard(unit_price: u64, limit: u64) -> ShardRecord {
        let stage = fixture::stage("one", Input::None, 1, limit);
        let unit_price = Amount::from_units(unit_price);
        ShardRecord { unit_price, limit_price: limit_price(&stage, unit_price), ..fixture::shard(3, 2) }
    }

    #[test]
    fn used_fuel_is_paid_up_to_the_limit() {
        let shard = shard(100, 3_000_000_000);
        assert_eq!(shard.limit_price.units(), 300);
        assert_eq!(used_price(&shard, 1_500_000_000).units(), 150);
        assert_eq!(used_price(&shard, 1).units(), 1, "rounded up");
        assert_eq!(used_price(&shard, u64::MAX).units(), 300, "never more than the limit");
        assert_eq!(used_price(&ShardRecord { metered: false, ..shard }, 1).units(), 300, "reserved is reserved");
    }

    #[test]
    fn windows_cover_fetching_running_twice_and_slack() {
        let tier = fixture::tier("small", 1_000_000_000);
        let mut stage = fixture::stage("one", Input::None, 4, 2_000_000_000);
        let contract = fixture::contract(vec![stage.clone()]);
        assert_eq!(commit_window(&contract, &stage, &tier), Duration(5_000 + 2 * 2_000));
        stage.input = Input::Files { manifest: BlobHash::default(), shard_bytes: 8 * 1024 * 1024 };
        assert_eq!(commit_window(&contract, &stage, &tier), Duration(5_000 + 2 * 2_000 + 2_000));
        let mut second = fixture::stage("two", Input::All { stage: StageIndex(0) }, 1, 1_000_000_000);
        let contract = fixture::contract(vec![stage.clone(), second.clone()]);
        let outputs = 4 * stage.output * 1000 / (4 * 1024 * 1024);
        assert_eq!(commit_window(&contract, &second, &tier), Duration(5_000 + 2 * 1_000 + outputs));
        second.input = Input::Each { stage: StageIndex(0) };
        assert_eq!(commit_window(&contract, &second, &tier), Duration(5_000 + 2 * 1_000 + outputs / 4));
    }

    proptest! {
        #[test]
        fn prices_grow_with_fuel_and_never_wrap(unit: u64, low: u64, high: u64, limit: u64) {
            let (low, high) = (low.min(high), low.max(high));
            let shard = shard(unit, limit);
            prop_assert!(used_price(&shard, low) <= used_price(&shard, high));
            prop_assert!(used_price(&shard, high) <= shard.limit_price);
            prop_assert!(locked_stake(shard.limit_price) >= shard.limit_price);
        }
    }
}
