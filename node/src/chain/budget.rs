//! How many bytes this node puts into a block that it proposes.
//!
//! The limit of the protocol is what a block may have; what a round can carry in time depends on the machines and on
//! the lines between them. A block that takes longer than a round to send, check and execute is voted down, and the
//! next one as well: with enough transactions waiting, nothing would ever be final. So each proposer watches how long
//! full blocks took, and adapts as TCP does: a little more after a quick one, less after a slow one, half after
//! a height that needed another round. All see the same blocks, so their budgets stay close to each other.

use valo_protocol::{Round, Timestamp};

/// The least: with smaller ones, what a round costs by itself weighs more than what is in it.
const LEAST: u64 = 32 * 1024;
/// What a node begins with.
const FIRST: u64 = 64 * 1024;
/// What is added after a quick block.
const STEP: u64 = 16 * 1024;
/// Milliseconds from a full block to the next up to which there is room for more: below the first timeout of a round.
const QUICK: u64 = 200;
/// Milliseconds from which there is too much in it.
const SLOW: u64 = 350;

/// The budget of the next block that this node proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    bytes: u64,
    /// The time of the last block, and whether it was full.
    last: Option<(Timestamp, bool)>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: FIRST, last: None }
    }
}

impl Budget {
    /// Bytes, at most `limit`.
    pub fn bytes(&self, limit: u64) -> u64 {
        self.bytes.min(limit)
    }

    /// Learns from a decided block: its time, its bytes, the round of the decision. `limit` is the protocol's.
    pub fn decided(&mut self, time: Timestamp, bytes: u64, round: Round, limit: u64) {
        let full = bytes.saturating_mul(2) >= self.bytes(limit);
        // The time of a block is when its making began, which was after the block before it was decided.
        let took = self.last.filter(|(_, full)| *full).map(|(before, _)| time.since(before).0);
        self.bytes = match took {
            _ if round > Round(0) => self.bytes / 2,
            Some(took) if took > SLOW => self.bytes.saturating_sub(self.bytes / 8),
            Some(took) if took <= QUICK && full => self.bytes.saturating_add(STEP),
            _ => self.bytes,
        }
        .clamp(LEAST, limit.max(LEAST));
        self.last = Some((time, full));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 2 * 1024 * 1024;

    /// Decides blocks with everything waiting that fits, each of which takes `cost` per KiB after a fixed time.
    fn run(budget: &mut Budget, blocks: usize, cost: impl Fn(u64) -> u64) -> (u64, usize) {
        let (mut now, mut sent, mut late) = (1_000_000, 0, 0);
        for _ in 0..blocks {
            let bytes = budget.bytes(LIMIT);
            let took = cost(bytes / 1024);
            // What does not fit into the round is lost with it, and the next round takes as long again.
            let round = if took > 450 { Round(1) } else { Round(0) };
            late += usize::from(round > Round(0));
            sent += bytes;
            budget.decided(Timestamp(now), bytes, round, LIMIT);
            now += took;
        }
        (sent / (now - 1_000_000), late)
    }

    #[test]
    fn it_grows_to_what_the_machines_carry_and_stays_there() {
        let mut budget = Budget::default();
        run(&mut budget, 500, |kib| 60 + kib / 2);
        let settled = budget.bytes(LIMIT) / 1024;
        assert!((250..600).contains(&settled), "{settled} KiB, of which 280 take 200 ms and 580 take 350 ms");
        let (_, late) = run(&mut budget, 500, |kib| 60 + kib / 2);
        assert_eq!(late, 0, "it stays below what a round carries");
    }

    #[test]
    fn a_network_that_carries_everything_gets_full_blocks() {
        let mut budget = Budget::default();
        run(&mut budget, 500, |_| 50);
        assert_eq!(budget.bytes(LIMIT), LIMIT);
        assert_eq!(budget.bytes(1000), 1000, "the protocol's limit may be lowered");
    }

    #[test]
    fn late_rounds_shrink_it_at_once_and_never_to_nothing() {
        let mut budget = Budget { bytes: LIMIT, last: None };
        let (_, late) = run(&mut budget, 20, |kib| 60 + kib * 2);
        assert!(late <= 5, "{late} heights were late");
        run(&mut budget, 100, |_| 1000);
        assert_eq!(budget.bytes(LIMIT), LEAST);
    }

    #[test]
    fn idle_times_say_nothing() {
        let mut budget = Budget::default();
        for block in 0..50 {
            budget.decided(Timestamp(1000 * block), 500, Round(0), LIMIT);
        }
        assert_eq!(budget, Budget { bytes: FIRST, last: Some((Timestamp(49_000), false)) });
    }
}
