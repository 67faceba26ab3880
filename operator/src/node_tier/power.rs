//! What may be disrupted: a pure function over voting power.
//!
//! Blocks are final with more than two thirds of the power (PROTOCOL, 4). So at most what is beyond that may be down at
//! a time, by evictions and by our own rolling together.

/// The power that a block needs: more than two thirds.
pub fn quorum(total: u64) -> u64 {
    let thirds = u128::from(total).saturating_mul(2) / 3;
    u64::try_from(thirds).unwrap_or(u64::MAX).saturating_add(1)
}

/// How many nodes of a tier may be down at a time, whichever they are.
///
/// `powers` are those of the tier's nodes; `others_down` is the power of other validators that do not take part now;
/// `sharers` is how many tiers of this cluster count on the same power, this one included.
pub fn may_be_down(total: u64, powers: &[u64], others_down: u64, sharers: u64) -> usize {
    let spare = total.saturating_sub(quorum(total)).saturating_sub(others_down);
    let mut left = spare.checked_div(sharers).unwrap_or(spare);
    let mut largest_first = powers.to_vec();
    largest_first.sort_unstable_by(|one, other| other.cmp(one));
    let mut count = 0usize;
    for power in largest_first {
        match left.checked_sub(power) {
            Some(rest) => (left, count) = (rest, count.saturating_add(1)),
            None => break,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_third_less_one_may_be_down() {
        let equal = |nodes: usize| may_be_down(1000 * nodes as u64, &vec![1000; nodes], 0, 1);
        let counts: Vec<usize> = (1..=10).map(equal).collect();
        assert_eq!(counts, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]);
    }

    #[test]
    fn the_heaviest_counts_and_so_do_those_of_elsewhere() {
        assert_eq!(may_be_down(4000, &[2000, 1000, 500, 500], 0, 1), 0, "without the heaviest there is no quorum");
        assert_eq!(may_be_down(7000, &[1000; 3], 0, 1), 2, "four of the seven are of elsewhere");
        assert_eq!(may_be_down(7000, &[1000; 3], 1000, 1), 1, "and one of those is down");
        assert_eq!(may_be_down(7000, &[1000; 3], 0, 2), 1, "and two tiers share what is left");
        assert_eq!(may_be_down(4000, &[1000, 1000, 1000, 0], 0, 1), 1, "one that is not elected weighs nothing");
    }

    proptest! {
        #[test]
        fn whichever_are_down_a_quorum_is_up(
            powers in proptest::collection::vec(0u64..1_000_000, 1..9), elsewhere in 0u64..5_000_000, down in 0u64..2_000_000,
        ) {
            let total = powers.iter().sum::<u64>() + elsewhere + down;
            let count = may_be_down(total, &powers, down, 1);
            let mut sorted = powers.clone();
            sorted.sort_unstable();
            let lost: u64 = sorted.iter().rev().take(count).sum();
            prop_assert!(count == 0 || total - lost - down >= quorum(total));
        }
    }
}
