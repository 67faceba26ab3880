//! Small contracts and tiers for the tests of this folder.

use valo_protocol::{
    Amount, Duration, Timestamp,
    bytes::{BoundedString, BoundedVec},
    encoding::Varint,
    hash::BlobHash,
    job::{
        Attempt, Input, JobContract, JobId, Merge, OnFailure, Program, ShardIndex, ShardKey, Stage, StageIndex,
        Verification,
    },
    registry::{Admission, Isolation, Runtime, Tier},
    shard::{Committee, ShardPhase, ShardRecord},
};

pub(crate) fn text<const MAX: usize>(text: &str) -> BoundedString<MAX> {
    BoundedString::new(text).unwrap()
}

/// A wasm tier whose slots burn `fuel_per_second`; 10^9 fuel cost 0.001 VALO, a slot takes a stake of 1 VALO.
pub(crate) fn tier(name: &str, fuel_per_second: u64) -> Tier {
    Tier {
        name: text(name),
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory: 1 << 30,
        accelerator: None,
        stake_per_slot: Amount::from_units(1_000_000_000),
        price: Amount::from_units(1_000_000),
        fuel_per_second,
        isolation: Isolation::Sandboxed,
        admission: Admission::Open,
    }
}

/// A wasm stage in the tier `small`.
pub(crate) fn stage(name: &str, input: Input, shards: u32, fuel: u64) -> Stage {
    Stage {
        name: text(name),
        tier: text("small"),
        program: Program::Wasm { module: BlobHash::default(), args: BoundedVec::default(), fuel: Varint(fuel) },
        memory: 1 << 20,
        output: 8 << 20,
        input,
        shards,
        on_failure: OnFailure::Fail,
    }
}

/// A contract of three replicas and a quorum of two, with a budget of 100 VALO.
pub(crate) fn contract(stages: Vec<Stage>) -> JobContract {
    JobContract {
        name: text("test"),
        stages: BoundedVec::new(stages).unwrap(),
        verification: Verification::Replicated { replicas: 3, quorum: 2 },
        budget: Amount::from_valo(100).unwrap(),
        tip: Amount::ZERO,
        deadline: Timestamp(10_000_000),
        retention: Duration::from_seconds(60),
        merge: Merge::Folders,
    }
}

/// A shard of `replicas` and `quorum` for which nobody was drawn yet; one replica costs up to 100 units.
pub(crate) fn shard(replicas: u8, quorum: u8) -> ShardRecord {
    ShardRecord {
        key: ShardKey { job: JobId(1), stage: StageIndex(0), shard: ShardIndex(0) },
        phase: ShardPhase::Open,
        attempt: Attempt(0),
        retries: 0,
        base: Committee { replicas, quorum },
        level: 0,
        queued: None,
        exhausted: false,
        metered: true,
        unit_price: Amount::from_units(100),
        limit_price: Amount::from_units(100),
        reserved: Amount::ZERO,
        provisional: None,
        assignments: Vec::new(),
    }
}
