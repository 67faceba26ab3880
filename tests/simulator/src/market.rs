//! Who works, who submits, and what: drawn from the seed.

use crate::{
    random::Random,
    scenario::{Micros, SECOND},
};
use valo_protocol::{
    Amount, Duration, JobContract, Timestamp,
    bytes::{BoundedString, BoundedVec},
    encoding::Varint,
    hash::BlobHash,
    job::{Input, Merge, OnFailure, Program, Stage, StageIndex, Verification},
    registry::{Runtime, Tier},
};

/// Accounts that submit jobs.
pub const CUSTOMERS: usize = 2;
const MILLI: Micros = 1_000;
/// What a shard may burn at most: a fifth of a second of window beside the slack.
const FUEL: u64 = 10_000_000;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Character {
    /// Its work.
    Honest,
    /// Answers what is wrong, and what others of the same number answer too.
    Liar(u8),
    /// Says nothing.
    Silent,
    /// Commits and does not reveal.
    Mute,
    /// Commits to what it saw another commit to.
    Copycat,
    /// Works longer than the window for commits.
    Slow,
    /// Abstains.
    Unable,
}

/// A worker.
#[derive(Debug, Clone)]
pub struct WorkerPlan {
    /// Its tier.
    pub tier: u16,
    /// Its slots.
    pub slots: u16,
    /// The validator whose finalized state it reads, and with which it falls.
    pub machine: usize,
    /// What it does.
    pub character: Character,
    /// The shortest and the longest time of a run.
    pub pace: (Micros, Micros),
}

/// A job to be submitted.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who submits it.
    pub customer: usize,
    /// When.
    pub at: Micros,
    /// The contract; its deadline follows from `limit`.
    pub contract: JobContract,
    /// From the submission to the deadline.
    pub limit: Duration,
    /// When it is cancelled, if it is not over by then.
    pub cancel: Option<Micros>,
    /// Nothing stands in its way: neither its budget nor its deadline nor its owner.
    pub plain: bool,
}

/// Who works and what for.
#[derive(Debug, Clone, Default)]
pub struct Market {
    /// Tiers.
    pub tiers: u16,
    /// Workers, each of an owner of its own.
    pub workers: Vec<WorkerPlan>,
    /// Jobs.
    pub orders: Vec<Order>,
}

impl Market {
    /// The market of a seed: in one seed of three there is none.
    pub fn of(seed: u64, machines: usize, calm: Micros) -> Self {
        let mut random = Random::new(seed ^ 0x0070_626f_6a00);
        if random.chance(333) {
            return Self::default();
        }
        let tiers = random.between(1, 2) as u16;
        let workers = (0..tiers).flat_map(|tier| workers_of(tier, machines, &mut random)).collect();
        let orders = (0..random.between(1, 4)).map(|_| order(tiers, calm, &mut random)).collect();
        Self { tiers, workers, orders }
    }

    /// How long all jobs together may take at most, when network and machines are well. A shard whose answers differ
    /// asks every worker of its tier, one that lets its window pass among them; in the worst case it waits for them
    /// alone.
    pub fn longest(&self) -> Micros {
        let shards: u32 = self.orders.iter().map(|order| order.contract.total_shards()).sum();
        60 * SECOND + u64::from(shards) * 15 * SECOND
    }

    /// Whether at most one worker of each tier is not honest: then every plain job must come to a result.
    pub fn is_sound(&self) -> bool {
        (0..self.tiers).all(|tier| {
            let others = |worker: &&WorkerPlan| worker.tier == tier && worker.character != Character::Honest;
            self.workers.iter().filter(others).count() <= 1
        })
    }
}

fn workers_of(tier: u16, machines: usize, random: &mut Random) -> Vec<WorkerPlan> {
    let count = random.between(5, 7);
    // As many as this may be of any character; in some seeds all of them tell the same lie.
    let others = random.below(4);
    let conspiracy = random.chance(300);
    (0..count)
        .map(|place| {
            let character = match random.below(8) {
                _ if place >= others => Character::Honest,
                _ if conspiracy => Character::Liar(0),
                0 => Character::Liar(0),
                1 | 2 => Character::Liar(place as u8 + 1),
                3 => Character::Silent,
                4 => Character::Mute,
                5 => Character::Copycat,
                6 => Character::Slow,
                _ => Character::Unable,
            };
            let shortest = random.between(10, 400) * MILLI;
            let pace = match character {
                Character::Slow => (4 * SECOND, 9 * SECOND),
                _ => (shortest, shortest + random.between(0, 400) * MILLI),
            };
            let slots = random.between(1, 3) as u16;
            WorkerPlan { tier, slots, machine: random.index(machines), character, pace }
        })
        .collect()
}

fn order(tiers: u16, calm: Micros, random: &mut Random) -> Order {
    let count = random.between(1, 3) as u8;
    let mut stages: Vec<Stage> = Vec::new();
    for index in 0..count {
        let earlier = index.checked_sub(1).map(StageIndex);
        let mut shards = random.between(1, 3) as u32;
        let input = match (earlier, random.below(5)) {
            (Some(stage), 0 | 1) => {
                shards = stages.last().map_or(shards, |earlier| earlier.shards);
                Input::Each { stage }
            }
            (Some(stage), 2 | 3) => Input::All { stage },
            _ => Input::None,
        };
        stages.push(Stage {
            name: BoundedString::new(format!("stage-{index}")).unwrap_or_default(),
            tier: tier_name(random.below(u64::from(tiers)) as u16),
            program: Program::Wasm { module: BlobHash::default(), args: BoundedVec::default(), fuel: Varint(FUEL) },
            memory: 1 << 20,
            output: 64 << 10,
            input,
            shards,
            on_failure: [OnFailure::Fail, OnFailure::Fail, OnFailure::Continue, OnFailure::Retry(1)][random.index(4)],
        });
    }
    // A replica costs up to a ten-thousandth of a VALO: the small budget covers one shard of each stage.
    let (small, short, cancelled) = (random.chance(150), random.chance(150), random.chance(150));
    let budget = if small { Amount::from_units(300_000 * u64::from(count)) } else { valo(10) };
    let limit = if short { Duration(random.between(300, 6_000)) } else { Duration::from_seconds(3600) };
    let at = random.below(calm);
    Order {
        customer: random.index(CUSTOMERS),
        at,
        contract: JobContract {
            name: BoundedString::new("simulated").unwrap_or_default(),
            stages: BoundedVec::new(stages).unwrap_or_default(),
            verification: Verification::Replicated { replicas: 3, quorum: 2 },
            budget,
            tip: if small { Amount::ZERO } else { Amount::from_units(random.below(1_000_000)) },
            deadline: Timestamp(0),
            retention: Duration::from_seconds(60),
            merge: Merge::Folders,
        },
        limit,
        cancel: cancelled.then(|| at + random.between(100, 5_000) * MILLI),
        plain: !small && !short && !cancelled,
    }
}

/// The name of a tier.
pub fn tier_name(tier: u16) -> BoundedString<32> {
    BoundedString::new(format!("tier-{tier}")).unwrap_or_default()
}

/// A tier of wasm slots; 10^9 fuel cost 0.01 VALO.
pub fn tier(tier: u16) -> Tier {
    Tier {
        name: tier_name(tier),
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory: 256 << 20,
        accelerator: None,
        stake_per_slot: valo(100),
        price: Amount::from_units(valo(1).units() / 100),
        fuel_per_second: 100_000_000,
        isolation: Default::default(),
        admission: Default::default(),
    }
}

/// Whole VALO.
pub fn valo(amount: u64) -> Amount {
    Amount::from_valo(amount).unwrap_or_default()
}
