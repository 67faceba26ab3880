//! Validator sets, quorum arithmetic and the draw of proposers.

use crate::{
    AccountNumber,
    bytes::BoundedVec,
    domain,
    encoding::encode,
    hash::Hash,
    keys::PublicKey,
    time::{Height, Round},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most validators a set holds.
pub const MAX_VALIDATORS: usize = 1000;
/// The total power a set must stay below: the consensus engine multiplies it by three in 64 bits.
pub const MAX_TOTAL_POWER: u64 = 6_000_000_000_000_000_000;

/// The rounds of a height in which validators that missed proposals are passed over. Later ones draw from
/// all: one that is locked on a block others do not know may have to propose it before anything goes on.
pub const SKIPPING_ROUNDS: u32 = 4;

/// A member of a validator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Validator {
    /// The node's key, with which it signs votes.
    pub key: PublicKey,
    /// Voting power: whole VALO bonded and delegated.
    pub power: u64,
    /// The account whose stake stands behind the node.
    pub owner: AccountNumber,
}

/// Why a list of validators is no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorSetError {
    /// No member.
    #[error("a validator set needs at least one validator")]
    Empty,
    /// One key twice.
    #[error("validator {0} is listed twice")]
    Duplicate(PublicKey),
    /// A member without power.
    #[error("validator {0} has no voting power")]
    NoPower(PublicKey),
    /// More power than the arithmetic allows.
    #[error("the total voting power must stay below {MAX_TOTAL_POWER}")]
    TooMuchPower,
    /// More members than allowed.
    #[error("a validator set holds at most {MAX_VALIDATORS} validators")]
    TooMany,
}

/// The validators of an epoch, in ascending order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ValidatorSet {
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Validator>))]
    validators: BoundedVec<Validator, MAX_VALIDATORS>,
}

impl ValidatorSet {
    /// Sorts and checks the members.
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, ValidatorSetError> {
        validators.sort_by_key(|validator| validator.key);
        let mut previous: Option<PublicKey> = None;
        let mut total = 0u64;
        for Validator { key, power, .. } in &validators {
            if previous == Some(*key) {
                return Err(ValidatorSetError::Duplicate(*key));
            }
            previous = Some(*key);
            if *power == 0 {
                return Err(ValidatorSetError::NoPower(*key));
            }
            total = total.checked_add(*power).ok_or(ValidatorSetError::TooMuchPower)?;
        }
        if previous.is_none() {
            return Err(ValidatorSetError::Empty);
        }
        if total >= MAX_TOTAL_POWER {
            return Err(ValidatorSetError::TooMuchPower);
        }
        let validators = BoundedVec::new(validators).map_err(|_| ValidatorSetError::TooMany)?;
        Ok(Self { validators })
    }

    /// The members in order of their keys.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The member with a key.
    pub fn get(&self, key: &PublicKey) -> Option<&Validator> {
        let position = self.validators.binary_search_by_key(key, |validator| validator.key).ok()?;
        self.validators.get(position)
    }

    /// The power of a key: 0 unless it is a validator.
    pub fn power(&self, key: &PublicKey) -> u64 {
        self.get(key).map_or(0, |validator| validator.power)
    }

    /// The sum of the members' power.
    pub fn total_power(&self) -> u64 {
        self.validators.iter().fold(0, |total, validator| total.saturating_add(validator.power))
    }

    /// Whether `power` is more than two thirds of the total.
    pub fn is_quorum(&self, power: u64) -> bool {
        u128::from(power).saturating_mul(3) > u128::from(self.total_power()).saturating_mul(2)
    }

    /// The hash under which a header names the set.
    pub fn hash(&self) -> Hash {
        Hash::of(domain::VALIDATORS, &[&encode(self)])
    }

    /// Who proposes in a round of a height: drawn by power from the randomness of the block before.
    ///
    /// `skipped` lists the validators whose missed proposals are recorded on chain. They are passed over in the
    /// first [`SKIPPING_ROUNDS`] rounds, unless that would leave nobody; and nobody is drawn twice running
    /// within a height, unless alone.
    pub fn proposer(
        &self,
        seed: &Hash,
        skipped: &BTreeSet<PublicKey>,
        height: Height,
        round: Round,
    ) -> Option<&Validator> {
        let mut previous: Option<&Validator> = None;
        // Each round depends on the one before, so the draw starts over from round 0; beyond this many
        // rounds in one height only the parity of the chain is kept.
        const REPLAYED: u32 = 64;
        let first = round.0.saturating_sub(REPLAYED);
        for round in first..=round.0 {
            let fresh = |validator: &&Validator| previous.is_none_or(|before| before.key != validator.key);
            let passed_over = |key: &PublicKey| round < SKIPPING_ROUNDS && skipped.contains(key);
            let willing = |validator: &&Validator| fresh(validator) && !passed_over(&validator.key);
            let drawn = self
                .draw(seed, height, Round(round), willing)
                .or_else(|| self.draw(seed, height, Round(round), fresh))
                .or_else(|| self.draw(seed, height, Round(round), |_| true));
            previous = drawn;
        }
        previous
    }

    fn draw(
        &self,
        seed: &Hash,
        height: Height,
        round: Round,
        eligible: impl Fn(&&Validator) -> bool,
    ) -> Option<&Validator> {
        let total = self
            .validators
            .iter()
            .filter(&eligible)
            .fold(0u64, |total, validator| total.saturating_add(validator.power));
        let hash = Hash::of(domain::PROPOSER, &[seed.as_bytes(), &height.0.to_le_bytes(), &round.0.to_le_bytes()]);
        let [point, _] = halves(&hash);
        // 128 random bits: the bias of the remainder is below 2^-64.
        let mut point = u64::try_from(point.checked_rem(u128::from(total))?).ok()?;
        for validator in self.validators.iter().filter(&eligible) {
            match point.checked_sub(validator.power) {
                None => return Some(validator),
                Some(rest) => point = rest,
            }
        }
        None
    }
}

/// A hash as two 128-bit integers, little-endian.
pub fn halves(hash: &Hash) -> [u128; 2] {
    let mut low = [0u8; 16];
    let mut high = [0u8; 16];
    low.copy_from_slice(hash.0.get(..16).unwrap_or(&[0; 16]));
    high.copy_from_slice(hash.0.get(16..).unwrap_or(&[0; 16]));
    [u128::from_le_bytes(low), u128::from_le_bytes(high)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(powers: &[u64]) -> ValidatorSet {
        let members = powers.iter().enumerate().map(|(n, power)| Validator {
            key: PublicKey([n as u8 + 1; 32]),
            power: *power,
            owner: AccountNumber::default(),
        });
        ValidatorSet::new(members.collect()).unwrap()
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let one = set(&[1]).validators()[0];
        assert_eq!(ValidatorSet::new(vec![]), Err(ValidatorSetError::Empty));
        assert_eq!(ValidatorSet::new(vec![one, one]), Err(ValidatorSetError::Duplicate(one.key)));
        assert_eq!(ValidatorSet::new(vec![Validator { power: 0, ..one }]), Err(ValidatorSetError::NoPower(one.key)));
        assert_eq!(ValidatorSet::new(vec![Validator { power: u64::MAX, ..one }]), Err(ValidatorSetError::TooMuchPower));
    }

    #[test]
    fn quorum_is_more_than_two_thirds() {
        let set = set(&[1, 1, 1]);
        assert!(!set.is_quorum(2));
        assert!(set.is_quorum(3));
    }

    #[test]
    fn draws_follow_power() {
        let set = set(&[60, 30, 10]);
        let mut counts = [0u32; 3];
        for n in 0..20_000u64 {
            let proposer =
                set.proposer(&Hash::of(b"seed", &[&n.to_le_bytes()]), &BTreeSet::new(), Height(n), Round(0)).unwrap();
            counts[usize::from(proposer.key.0[0] - 1)] += 1;
        }
        for (count, expected) in counts.iter().zip([12_000u32, 6_000, 2_000]) {
            assert!(count.abs_diff(expected) < 400, "{counts:?}");
        }
    }

    #[test]
    fn everybody_has_a_turn_in_the_end() {
        let set = set(&[10, 10, 10, 10]);
        let skipped: BTreeSet<PublicKey> = set.validators().iter().take(2).map(|validator| validator.key).collect();
        let proposers: BTreeSet<PublicKey> = (0..40)
            .filter_map(|round| set.proposer(&Hash([5; 32]), &skipped, Height(1), Round(round)))
            .map(|validator| validator.key)
            .collect();
        assert_eq!(proposers.len(), 4, "a skipped validator that is locked on a block never proposes it");
    }

    proptest! {
        #[test]
        fn nobody_twice_running_and_skipped_only_if_all_are(
            powers in proptest::collection::vec(1u64..1000, 2..8), seed: [u8; 32], skip: u8, height: u64
        ) {
            let set = set(&powers);
            let skipped: BTreeSet<PublicKey> =
                set.validators().iter().enumerate().filter(|(n, _)| skip & (1 << n) != 0).map(|(_, v)| v.key).collect();
            let willing = powers.len() - skipped.len();
            let mut previous = None;
            for round in 0..6 {
                let proposer = set.proposer(&Hash(seed), &skipped, Height(height), Round(round)).unwrap().key;
                prop_assert_ne!(Some(proposer), previous);
                if willing >= 2 && round < SKIPPING_ROUNDS { prop_assert!(!skipped.contains(&proposer)); }
                previous = Some(proposer);
            }
        }
    }
}
