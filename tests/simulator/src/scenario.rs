//! What goes wrong, and when: drawn from the seed.

use crate::{market::Market, random::Random};
use valo_protocol::{
    Duration,
    params::{Parameters, Preset},
};

/// Microseconds of virtual time.
pub type Micros = u64;

/// One second.
pub const SECOND: Micros = 1_000_000;
const MILLI: Micros = 1_000;

/// A node loses its disk.
#[derive(Debug, Clone, Copy)]
pub struct Wipe {
    /// When it falls.
    pub start: Micros,
    /// When it comes back with an empty disk.
    pub end: Micros,
    /// Who.
    pub node: usize,
    /// Whether it minds that it does not know what it signed.
    pub guarded: bool,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed of everything.
    pub seed: u64,
    /// The rules of the chain.
    pub parameters: Parameters,
    /// Stakes of the validators in VALO.
    pub stakes: Vec<u64>,
    /// One that signs two things where it may sign one.
    pub two_faced: Option<usize>,
    /// The longest a message takes.
    pub max_delay: Micros,
    /// Messages lost of a thousand.
    pub loss: u64,
    /// Times at which the network splits and heals, and who is on the one side.
    pub splits: Vec<(Micros, Micros, Vec<bool>)>,
    /// Times at which a node falls and rises.
    pub falls: Vec<(Micros, Micros, usize)>,
    /// How often of a thousand steps a node falls in the midst of one.
    pub sudden_falls: u64,
    /// How far each clock is ahead of the slowest, in milliseconds.
    pub skew: Vec<u64>,
    /// Transactions a second.
    pub transactions: u64,
    /// When all faults but the two faces stop.
    pub calm: Micros,
    /// Whether nothing goes wrong with network and machines from the start; workers are as they are.
    pub peaceful: bool,
    /// Who works, and what for.
    pub market: Market,
    /// Nodes that follow from the start and join as validators while things go wrong; one leaves again.
    pub newcomers: usize,
    /// Who loses its disk.
    pub wipe: Option<Wipe>,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = [4, 4, 5, 7][random.index(4)];
        let equal = random.chance(500);
        let stakes = (0..count).map(|_| if equal { 10 } else { random.between(10, 14) }).collect();
        let two_faced = random.chance(400).then(|| random.index(count));
        let calm = SECOND * random.between(3, 8);
        let splits = (0..random.below(3))
            .map(|_| {
                let start = random.below(calm);
                let end = (start + random.between(200, 2500) * MILLI).min(calm);
                (start, end, (0..count).map(|_| random.chance(400)).collect())
            })
            .collect();
        let falls = (0..random.below(6))
            .map(|_| {
                let start = random.below(calm);
                let end = (start + random.between(50, 3000) * MILLI).min(calm);
                (start, end, random.index(count))
            })
            .collect();
        // One clock may be so far behind that its owner finds blocks too early, which counts as a fault: then
        // nobody has two faces, for with two of four at fault there is no promise.
        let behind = (two_faced.is_none() && random.chance(300)).then(|| random.index(count));
        let skew = (0..count)
            .map(|node| match behind {
                Some(slow) if slow != node => 700 + random.below(200),
                Some(_) => 0,
                None => random.below(400),
            })
            .collect();
        let parameters = Parameters {
            min_interval: Duration(20),
            idle_interval: Duration(400),
            epoch: Duration(1500),
            dispute_window: Duration(3000),
            ..Parameters::preset(Preset::Dev)
        };
        let scenario = Self {
            seed,
            parameters,
            stakes,
            two_faced,
            max_delay: [2, 20, 80, 200][random.index(4)] * MILLI,
            loss: [0, 0, 10, 50][random.index(4)],
            splits,
            falls,
            sudden_falls: [0, 0, 1, 3][random.index(4)],
            skew,
            transactions: [0, 3, 30][random.index(3)],
            calm,
            peaceful: false,
            market: Market::of(seed, count, calm),
            newcomers: 0,
            wipe: None,
        };
        if seed.is_multiple_of(4) { scenario.peaceful() } else { scenario }
    }

    /// The same without any fault of network and machines.
    fn peaceful(self) -> Self {
        Self {
            peaceful: true,
            two_faced: None,
            max_delay: self.max_delay.min(80 * MILLI),
            loss: 0,
            splits: Vec::new(),
            falls: Vec::new(),
            sudden_falls: 0,
            skew: self.skew.into_iter().map(|lead| lead.min(400)).collect(),
            ..self
        }
    }

    /// The scenario of a seed, in which validators join and leave. Nobody has two faces: where many come and go, one of a
    /// few could be too many.
    pub fn joining(seed: u64) -> Self {
        let mut scenario = Self::of(seed);
        scenario.two_faced = None;
        scenario.newcomers = 2;
        scenario.calm = scenario.calm.max(10 * SECOND);
        scenario.skew.extend([0, 0]);
        for (_, _, side) in &mut scenario.splits {
            side.extend([false, true]);
        }
        // A clock that is far behind would be one fault, and who is down while the set changes another.
        scenario.skew = scenario.skew.iter().map(|skew| skew % 400).collect();
        scenario
    }

    /// The scenario of a seed, in which a validator loses its disk amid the faults. Nobody else is at fault: one that has
    /// forgotten what it signed is one already.
    pub fn wiped(seed: u64, guarded: bool) -> Self {
        let scenario = Self::of(seed);
        let mut random = Random::new(seed ^ 0x317e);
        let start = random.between(500, 4000) * MILLI;
        let end = start + random.between(20, 1500) * MILLI;
        let node = random.index(scenario.stakes.len());
        Self {
            two_faced: None,
            calm: 20 * SECOND,
            market: Market::default(),
            wipe: Some(Wipe { start, end, node, guarded }),
            ..scenario
        }
    }

    /// One of four is down for most of a minute, nothing else goes wrong, and nobody has anything to do: as `valo dev` is.
    pub fn one_dead(seed: u64) -> Self {
        let (start, calm) = (2 * SECOND, 60 * SECOND);
        let dead = usize::try_from(seed % 4).unwrap_or(0);
        Self {
            parameters: Parameters::preset(Preset::Dev),
            stakes: vec![10; 4],
            max_delay: 20 * MILLI,
            falls: vec![(start, calm, dead)],
            skew: vec![0; 4],
            transactions: 0,
            calm,
            market: Market::default(),
            ..Self::of(seed).peaceful()
        }
    }

    /// Whether a message from one node to another passes at a time.
    pub fn connected(&self, from: usize, to: usize, at: Micros) -> bool {
        let side = |side: &[bool], node: usize| side.get(node).copied().unwrap_or(false);
        self.splits.iter().all(|(start, end, sides)| at < *start || at >= *end || side(sides, from) == side(sides, to))
    }
}
