//! The draw of workers for a shard: pure, of integers only, and without bias.
//!
//! ```text
//!   seed = blake3("valo/draw/1" || R || job u64 || stage u8 || shard u32 || attempt u8)   (little-endian)
//! ```
//! All free slots of a tier are equal, so a node weighs as much as it has free slots, and an owner gains nothing
//! by spreading slots over nodes. Slots are drawn one after the other without replacement; with each, all
//! slots of its owner (or of its node, where a network says so) leave the draw. Places are taken from the blake3
//! stream of the seed by multiplication with rejection (Lemire, "Fast random integer generation in an
//! interval", 2019), which is exactly uniform.
//!
//! The nodes of a tier lie in order of owners over a Fenwick tree of weights. What left a draw is a handful of
//! intervals, kept sorted and stepped over, so that a draw of r among n costs O(r log n + r^2) and
//! changes nothing; only [`Pool::take`] does.

use std::collections::BTreeSet;
use valo_protocol::{
    AccountNumber, Amount, Hash, domain,
    event::{Drawn, PassedOver},
    job::{Attempt, ShardKey},
    params::Disjoint,
    registry::NodeId,
};

/// The most nodes named as passed over in a draw.
pub const MAX_PASSED_OVER: usize = 32;

/// The seed of a draw.
pub fn seed(randomness: &Hash, shard: ShardKey, attempt: Attempt) -> Hash {
    Hash::of(
        domain::DRAW,
        &[
            randomness.as_bytes(),
            &shard.job.0.to_le_bytes(),
            &[shard.stage.0],
            &shard.shard.0.to_le_bytes(),
            &[attempt.0],
        ],
    )
}

/// A node of a tier, as a draw sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Its owner.
    pub owner: AccountNumber,
    /// Whether it takes part.
    pub active: bool,
    /// Slots that have no shard.
    pub free_slots: u32,
    /// Its stake.
    pub stake: Amount,
    /// Of that, what answers for no shard yet.
    pub free_stake: Amount,
}

/// What is drawn for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// See [`seed`].
    pub seed: &'a Hash,
    /// How many nodes.
    pub count: u32,
    /// Stake that each of them locks.
    pub lock: Amount,
    /// Who was drawn for the shard before, with owners: they do not come again.
    pub before: &'a [(NodeId, AccountNumber)],
}

/// Who was drawn: fewer than asked for when there were no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// In order of rank.
    pub drawn: Vec<Drawn>,
    /// Others, with the reason, at most [`MAX_PASSED_OVER`].
    pub passed_over: Vec<(NodeId, PassedOver)>,
}

/// The nodes of a tier at the end of a block.
#[derive(Debug, Clone)]
pub struct Pool {
    disjoint: Disjoint,
    /// In order of owners, then of nodes.
    nodes: Vec<Candidate>,
    slots: Fenwick,
    /// Not above the free stake of any node with a free slot: while a shard locks no more, nobody's stake is asked for.
    least_stake: Amount,
}

impl Pool {
    /// A pool of all nodes of a tier, also of those that cannot be drawn: they are named when passed over.
    pub fn new(disjoint: Disjoint, nodes: impl IntoIterator<Item = Candidate>) -> Self {
        let mut nodes: Vec<Candidate> = nodes.into_iter().collect();
        nodes.sort_unstable_by_key(|node| (node.owner, node.node));
        let slots = Fenwick::new(nodes.iter().map(weight));
        let least_stake = least_stake(&nodes);
        Self { disjoint, nodes, slots, least_stake }
    }

    /// Free slots of nodes that take part.
    pub fn free_slots(&self) -> u64 {
        self.slots.total()
    }

    /// The nodes, in order of owners.
    pub fn nodes(&self) -> &[Candidate] {
        &self.nodes
    }

    /// How many could be drawn together if none were busy: owners (or nodes) that take part, were not drawn before,
    /// and have a stake that covers `lock`.
    pub fn eligible(&self, lock: Amount, before: &[(NodeId, AccountNumber)]) -> u32 {
        let mut units = BTreeSet::new();
        for (position, node) in self.nodes.iter().enumerate() {
            let drawn_before = before.iter().any(|(other, owner)| self.same_unit(node, *other, *owner));
            if node.active && node.stake >= lock && !drawn_before {
                units.insert(match self.disjoint {
                    Disjoint::Owner => node.owner.index(),
                    Disjoint::Node => u64::try_from(position).unwrap_or(u64::MAX),
                });
            }
        }
        u32::try_from(units.len()).unwrap_or(u32::MAX)
    }

    /// Draws, and leaves the pool as it is.
    pub fn draw(&mut self, request: &Request<'_>) -> Selection {
        if request.lock <= self.least_stake {
            return self.draw_from(&self.slots, request);
        }
        // The bound only ever sinks as stake is locked: look again before asking each node.
        self.least_stake = least_stake(&self.nodes);
        if request.lock <= self.least_stake {
            return self.draw_from(&self.slots, request);
        }
        let covered = |node: &Candidate| if node.free_stake >= request.lock { weight(node) } else { 0 };
        self.draw_from(&Fenwick::new(self.nodes.iter().map(covered)), request)
    }

    fn draw_from(&self, slots: &Fenwick, request: &Request<'_>) -> Selection {
        let mut gone = Intervals::default();
        for (node, owner) in request.before {
            let (first, end) = self.unit(*node, *owner);
            gone.insert(slots.before(first), slots.before(end));
        }
        let mut numbers = Numbers::new(request.seed);
        let mut drawn: Vec<Drawn> = Vec::new();
        for rank in 0..request.count {
            let Some(left) = slots.total().checked_sub(gone.length()).filter(|left| *left > 0) else { break };
            let position = slots.find(gone.step_over(numbers.below(left)));
            let Some(node) = self.nodes.get(position) else { break };
            let (first, end) = self.unit(node.node, node.owner);
            gone.insert(slots.before(first), slots.before(end));
            let rank = u16::try_from(rank).unwrap_or(u16::MAX);
            drawn.push(Drawn { node: node.node, owner: node.owner, rank });
        }
        let passed_over = self.passed_over(request, &drawn, &mut numbers);
        Selection { drawn, passed_over }
    }

    /// Why others were not drawn, from a place in the pool that the seed chooses.
    fn passed_over(&self, request: &Request<'_>, drawn: &[Drawn], numbers: &mut Numbers) -> Vec<(NodeId, PassedOver)> {
        let length = u64::try_from(self.nodes.len()).unwrap_or(u64::MAX);
        let start = usize::try_from(numbers.below(length)).unwrap_or(0);
        let around = self.nodes.iter().skip(start).chain(self.nodes.iter().take(start));
        let others = around.filter(|node| !drawn.iter().any(|other| other.node == node.node));
        others.take(MAX_PASSED_OVER).map(|node| (node.node, self.reason(node, request, drawn))).collect()
    }

    fn reason(&self, node: &Candidate, request: &Request<'_>, drawn: &[Drawn]) -> PassedOver {
        let beside = |other: NodeId, owner: AccountNumber| self.same_unit(node, other, owner);
        if request.before.iter().any(|(other, _)| *other == node.node) {
            PassedOver::DrawnBefore
        } else if !node.active {
            PassedOver::NotActive
        } else if request.before.iter().any(|(other, owner)| beside(*other, *owner))
            || drawn.iter().any(|other| beside(other.node, other.owner))
        {
            PassedOver::SameOwner
        } else if node.free_slots == 0 {
            PassedOver::NoFreeSlot
        } else if node.free_stake < request.lock {
            PassedOver::Stake
        } else {
            PassedOver::Rank
        }
    }

    /// Takes a slot and stake of a drawn node for the rest of the block.
    pub fn take(&mut self, node: NodeId, owner: AccountNumber, lock: Amount) {
        let Ok(position) = self.nodes.binary_search_by_key(&(owner, node), |other| (other.owner, other.node)) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(position).filter(|node| node.active && node.free_slots > 0) else {
            return;
        };
        node.free_slots = node.free_slots.saturating_sub(1);
        node.free_stake = node.free_stake.saturating_sub(lock);
        if node.free_slots > 0 {
            self.least_stake = self.least_stake.min(node.free_stake);
        }
        self.slots.decrement(position);
    }

    fn same_unit(&self, node: &Candidate, other: NodeId, owner: AccountNumber) -> bool {
        match self.disjoint {
            Disjoint::Owner => node.owner == owner,
            Disjoint::Node => node.node == other,
        }
    }

    /// Positions of all that leaves a draw together with a node.
    fn unit(&self, node: NodeId, owner: AccountNumber) -> (usize, usize) {
        match self.disjoint {
            Disjoint::Owner => (
                self.nodes.partition_point(|other| other.owner < owner),
                self.nodes.partition_point(|other| other.owner <= owner),
            ),
            Disjoint::Node => (
                self.nodes.partition_point(|other| (other.owner, other.node) < (owner, node)),
                self.nodes.partition_point(|other| (other.owner, other.node) <= (owner, node)),
            ),
        }
    }
}

fn weight(node: &Candidate) -> u64 {
    if node.active { u64::from(node.free_slots) } else { 0 }
}

fn least_stake(nodes: &[Candidate]) -> Amount {
    let free = nodes.iter().filter(|node| weight(node) > 0).map(|node| node.free_stake);
    free.min().unwrap_or(Amount::from_units(u64::MAX))
}

/// Uniform integers from the blake3 stream of a seed.
struct Numbers {
    stream: blake3::OutputReader,
}

impl Numbers {
    fn new(seed: &Hash) -> Self {
        Self { stream: blake3::Hasher::new().update(seed.as_bytes()).finalize_xof() }
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0u8; 8];
        self.stream.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// An integer below `bound`, each as likely as the other; 0 for a bound of 0.
    fn below(&mut self, bound: u64) -> u64 {
        // 2^64 mod bound: that many of the low products would favour small integers.
        let Some(surplus) = bound.wrapping_neg().checked_rem(bound) else { return 0 };
        loop {
            let product = u128::from(self.next()).wrapping_mul(u128::from(bound));
            let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
            if low >= surplus {
                return u64::try_from(product >> 64).unwrap_or(0);
            }
        }
    }
}

/// Disjoint intervals of weight that are not drawn from, in ascending order.
#[derive(Default)]
struct Intervals {
    gone: Vec<(u64, u64)>,
    length: u64,
}

impl Intervals {
    const fn length(&self) -> u64 {
        self.length
    }

    fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let place = self.gone.partition_point(|(other, _)| *other < start);
        // Intervals are those of whole owners or nodes, so two of them are equal or disjoint.
        if self.gone.get(place).is_some_and(|(other, _)| *other == start) {
            return;
        }
        self.gone.insert(place, (start, end));
        self.length = self.length.saturating_add(end.saturating_sub(start));
    }

    /// The weight at a place counted among what is left.
    fn step_over(&self, place: u64) -> u64 {
        let mut place = place;
        for (start, end) in &self.gone {
            if place < *start {
                break;
            }
            place = place.saturating_add(end.saturating_sub(*start));
        }
        place
    }
}

/// Prefix sums that change (Fenwick 1994): node i of the tree sums the `i & -i` weights up to the i-th.
#[derive(Debug, Clone)]
struct Fenwick {
    /// One-based: the first is unused.
    sums: Vec<u64>,
    total: u64,
}

impl Fenwick {
    fn new(weights: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut sums = Vec::with_capacity(weights.len().saturating_add(1));
        sums.push(0);
        sums.extend(weights);
        let total = sums.iter().fold(0, |total: u64, weight| total.saturating_add(*weight));
        for index in 1..sums.len() {
            let above = index.saturating_add(lowest_bit(index));
            let sum = sums.get(index).copied().unwrap_or(0);
            if let Some(parent) = sums.get_mut(above) {
                *parent = parent.saturating_add(sum);
            }
        }
        Self { sums, total }
    }

    const fn total(&self) -> u64 {
        self.total
    }

    /// The weight before a position.
    fn before(&self, position: usize) -> u64 {
        let mut index = position;
        let mut sum = 0u64;
        while index > 0 {
            sum = sum.saturating_add(self.sums.get(index).copied().unwrap_or(0));
            index = index.saturating_sub(lowest_bit(index));
        }
        sum
    }

    /// The position that covers a place below the total.
    fn find(&self, place: u64) -> usize {
        let mut place = place;
        let mut index = 0usize;
        let mut step = self.sums.len().checked_next_power_of_two().unwrap_or(0);
        while step > 0 {
            let next = index.saturating_add(step);
            if let Some(sum) = self.sums.get(next).filter(|sum| **sum <= place) {
                place = place.saturating_sub(*sum);
                index = next;
            }
            step >>= 1;
        }
        index
    }

    fn decrement(&mut self, position: usize) {
        self.total = self.total.saturating_sub(1);
        let mut index = position.saturating_add(1);
        while let Some(sum) = self.sums.get_mut(index) {
            *sum = sum.saturating_sub(1);
            index = index.saturating_add(lowest_bit(index));
        }
    }
}

const fn lowest_bit(index: usize) -> usize {
    index & index.wrapping_neg()
}

#[cfg(test)]
mod tests;
