//! From when on a key may sign in a folder that is new: it may have signed anything in another one that is lost.
//!
//! Two ways lead out of not knowing, and both are decided here, without clock, disk or network:
//!
//! - **The chain has gone on** ([`Newcomer`]). Whoever had the key before was gone when the folder was made: one key, one
//!   process. Once a block is final whose time is later than that, all it can have signed is for the height of that block
//!   or below: validators vote for no block that is ahead of their clocks, so the block was not decided while the old
//!   process ran, and nobody votes for a height before the one below it is decided. No peer is believed: the
//!   block has a certificate. What is trusted is this machine's clock, to within [`WAIT`].
//! - **The chain has not begun** ([`founding`]). At height 0 there is no such block, and without votes there never is one.
//!   A validator of the genesis begins when validators that with itself hold more than two thirds of the
//!   power, asked over connections that prove their keys, have no block either. As many have to be there
//!   before a first block can be made anyway. Those who claim to have blocks get time to hand them over; a liar
//!   costs [`DOUBT`] and nothing else.
//!
//! A key whose power the chain cannot go on without has neither: no block comes. Then somebody has to vouch for it.

use std::collections::BTreeMap;
use valo_protocol::{Duration, PublicKey, Timestamp, ValidatorSet};

/// How much later than the folder a block must be: more than clocks of validators differ.
pub const WAIT: Duration = Duration(10_000);
/// A block so far ahead of this machine's clock shows that the clock is behind.
pub const CLOCK_IS_BEHIND: Duration = Duration(5_000);
/// How long a founding that has its quorum waits for the rest, so that it starts with all of them.
pub const GRACE: Duration = Duration(5_000);
/// How long those who say that they have blocks are given to hand them over.
pub const DOUBT: Duration = Duration(10_000);

/// A key in a folder that is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer {
    since: Timestamp,
}

impl Newcomer {
    /// One whose folder was made at this time by the machine's clock.
    pub const fn new(since: Timestamp) -> Self {
        Self { since }
    }

    /// A block of this time is final: whether the key signed nothing elsewhere above its height.
    pub fn sees(&mut self, block: Timestamp, clock: Timestamp) -> bool {
        if block > clock.after(CLOCK_IS_BEHIND) {
            // The folder is younger than the clock said.
            self.since = self.since.max(block);
            return false;
        }
        block >= self.since.after(WAIT)
    }
}

/// What a validator of the genesis says about the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It has no block.
    NoBlock,
    /// It has blocks.
    Blocks,
}

/// What follows from what the others say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Founding {
    /// Not enough have answered.
    Waits,
    /// The chain begins.
    Begins,
    /// Somebody has blocks, or says so: follow first.
    Follows,
}

/// Whether a validator without a block may vote for the first one. `waited` is the time since a quorum is there, none while it
/// is not; `follows` says that it gave those who say more a chance to show it.
pub fn founding(
    own: &PublicKey,
    set: &ValidatorSet,
    said: &BTreeMap<PublicKey, Said>,
    waited: Option<Duration>,
    follows: bool,
) -> Founding {
    let others = || set.validators().iter().filter(|validator| validator.key != *own);
    if !follows && others().any(|other| said.get(&other.key) == Some(&Said::Blocks)) {
        return Founding::Follows;
    }
    let all = others().all(|other| said.get(&other.key) == Some(&Said::NoBlock));
    let patience = if follows { DOUBT } else { GRACE };
    match waited {
        Some(waited) if is_quorum(own, set, said) && (all || waited >= patience) => Founding::Begins,
        _ => Founding::Waits,
    }
}

/// Whether those without a block hold, with `own`, more than two thirds of the power.
pub fn is_quorum(own: &PublicKey, set: &ValidatorSet, said: &BTreeMap<PublicKey, Said>) -> bool {
    let without = set
        .validators()
        .iter()
        .filter(|validator| validator.key == *own || said.get(&validator.key) == Some(&Said::NoBlock));
    set.is_quorum(without.fold(0, |power: u64, validator| power.saturating_add(validator.power)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::Validator;

    fn key(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    fn set(powers: &[u64]) -> ValidatorSet {
        let validators = powers.iter().zip(1..).map(|(power, number)| Validator {
            key: key(number),
            power: *power,
            owner: Default::default(),
        });
        ValidatorSet::new(validators.collect()).unwrap()
    }

    fn said(words: &[(u8, Said)]) -> BTreeMap<PublicKey, Said> {
        words.iter().map(|(number, said)| (key(*number), *said)).collect()
    }

    #[test]
    fn only_a_block_that_is_younger_than_the_folder_ends_the_wait() {
        let made = Timestamp(100_000);
        let mut newcomer = Newcomer::new(made);
        for (block, clock, expected) in [
            (5, 100_001, false),
            (99_999, 100_500, false),
            // Within what clocks differ.
            (100_001, 100_500, false),
            (109_999, 110_500, false),
            (110_000, 110_500, true),
        ] {
            assert_eq!(newcomer.sees(Timestamp(block), Timestamp(clock)), expected, "block of {block}");
        }
    }

    /// By a clock that is an hour slow everything is young; that blocks come from the future shows it.
    #[test]
    fn a_clock_that_is_behind_is_found_out() {
        let hour = 3_600_000;
        let mut newcomer = Newcomer::new(Timestamp(100_000));
        assert!(!newcomer.sees(Timestamp(100_000 + hour), Timestamp(100_010)));
        assert!(!newcomer.sees(Timestamp(130_000), Timestamp(130_000)), "a block of before, handed over late");
        // The clock was put right.
        assert!(!newcomer.sees(Timestamp(109_000 + hour), Timestamp(109_000 + hour)));
        assert!(newcomer.sees(Timestamp(110_000 + hour), Timestamp(110_000 + hour)));
    }

    #[test]
    fn a_chain_begins_with_more_than_two_thirds_that_have_no_block() {
        use Said::NoBlock;
        let now = Some(Duration(0));
        let late = Some(GRACE);
        let four = set(&[10; 4]);
        let of_four = |words: &[(u8, Said)], waited| founding(&key(1), &four, &said(words), waited, false);
        assert_eq!(of_four(&[(2, NoBlock), (3, NoBlock), (4, NoBlock)], now), Founding::Begins);
        // One of four is dead: a little later.
        assert_eq!(of_four(&[(2, NoBlock), (3, NoBlock)], now), Founding::Waits);
        assert_eq!(of_four(&[(2, NoBlock), (3, NoBlock)], late), Founding::Begins);
        assert_eq!(of_four(&[(2, NoBlock)], late), Founding::Waits);
        // Nobody outside the set counts, and nobody twice.
        assert_eq!(of_four(&[(2, NoBlock), (1, NoBlock), (9, NoBlock)], late), Founding::Waits);
        assert_eq!(founding(&key(1), &set(&[10]), &said(&[]), now, false), Founding::Begins, "alone");
        let unequal = set(&[70, 10, 20]);
        assert_eq!(founding(&key(1), &unequal, &said(&[]), late, false), Founding::Begins);
        assert_eq!(founding(&key(2), &unequal, &said(&[(3, NoBlock)]), late, false), Founding::Waits);
    }

    #[test]
    fn a_wiped_validator_does_not_begin_and_a_liar_does_not_stop_a_founding() {
        use Said::{Blocks, NoBlock};
        let four = set(&[10; 4]);
        let one = |said: &BTreeMap<_, _>, waited, follows| founding(&key(1), &four, said, waited, follows);
        let wiped = said(&[(2, Blocks), (3, Blocks), (4, Blocks)]);
        assert_eq!(one(&wiped, None, false), Founding::Follows);
        assert_eq!(one(&wiped, Some(DOUBT), true), Founding::Waits, "not for ever so long");
        let two_wiped = said(&[(2, NoBlock), (3, Blocks), (4, Blocks)]);
        assert_eq!(one(&two_wiped, Some(DOUBT), true), Founding::Waits);
        // It is looked whether there is something to what one of them says.
        let liar = said(&[(2, NoBlock), (3, Blocks), (4, NoBlock)]);
        assert_eq!(one(&liar, Some(GRACE), false), Founding::Follows);
        assert_eq!(one(&liar, Some(GRACE), true), Founding::Waits);
        assert_eq!(one(&liar, Some(DOUBT), true), Founding::Begins);
        // Somebody else may say what it likes.
        let stranger = said(&[(2, NoBlock), (3, NoBlock), (4, NoBlock), (9, Blocks)]);
        assert_eq!(one(&stranger, Some(Duration(0)), false), Founding::Begins);
    }
}
