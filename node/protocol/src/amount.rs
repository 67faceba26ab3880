//! Money. One VALO is 10^9 units; no amount is negative, and no sum wraps.

use crate::encoding::Varint;
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Units in one VALO.
pub const UNITS_PER_VALO: u64 = 1_000_000_000;
/// The largest supply a genesis may create, in units (10^9 VALO).
pub const MAX_SUPPLY: Amount = Amount(1_000_000_000_000_000_000);

/// An amount in units of 10^-9 VALO. Encoded as a [`Varint`]; printed in VALO as a decimal.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct Amount(u64);

/// Why a text is not an amount, or a sum has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("`{0}` is not an amount: write VALO as a decimal with at most 9 places, such as 12.5")]
    Malformed(String),
    /// More than 64 bits of units.
    #[error("`{0}` VALO is more than can exist")]
    TooLarge(String),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// What a product or a sum that does not fit is taken for: more than can exist.
    pub const MOST: Self = Self(u64::MAX);

    /// An amount of `units` of 10^-9 VALO.
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// An amount of whole VALO; none when it does not fit.
    pub const fn from_valo(valo: u64) -> Option<Self> {
        match valo.checked_mul(UNITS_PER_VALO) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The amount in units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// Whole VALO, rounded down: what counts as voting power.
    pub const fn whole_valo(self) -> u64 {
        self.0 / UNITS_PER_VALO
    }

    /// Whether nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it does not fit.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The sum, or [`Self::MOST`].
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, unless it were negative.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The difference, or nothing.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The product with an integer, unless it does not fit.
    pub const fn checked_mul(self, factor: u64) -> Option<Self> {
        match self.0.checked_mul(factor) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// The product with an integer, or [`Self::MOST`].
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// `self * numerator / denominator`, rounded down; none for a zero denominator or an overflow.
    pub fn mul_div(self, numerator: u64, denominator: u64) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(u128::from(numerator))?;
        let quotient = product.checked_div(u128::from(denominator))?;
        u64::try_from(quotient).ok().map(Self)
    }
}

impl fmt::Display for Amount {
    /// The decimal of VALO without trailing zeros: `5`, `0.25`, `12.000000001`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / UNITS_PER_VALO, self.0 % UNITS_PER_VALO);
        if rest == 0 {
            return formatter.pad(&whole.to_string());
        }
        let places = format!("{rest:09}");
        formatter.pad(&format!("{whole}.{}", places.trim_end_matches('0')))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Amount({self} VALO)")
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || AmountError::Malformed(text.to_owned());
        let (whole, places) = match text.split_once('.') {
            Some((whole, places)) if !places.is_empty() => (whole, places),
            Some(_) => return Err(malformed()),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || places.len() > 9 || !digits(whole) || !digits(places) {
            return Err(malformed());
        }
        let too_large = || AmountError::TooLarge(text.to_owned());
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let places: u64 = format!("{places:0<9}").parse().map_err(|_| malformed())?;
        let units = whole.checked_mul(UNITS_PER_VALO).and_then(|units| units.checked_add(places));
        units.map(Self).ok_or_else(too_large)
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl TryFrom<String> for Amount {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl BorshSerialize for Amount {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&Varint(self.0), writer)
    }
}

impl BorshDeserialize for Amount {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        Varint::deserialize_reader(reader).map(|units| Self(units.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_form() {
        assert_eq!("5".parse(), Ok(Amount(5_000_000_000)));
        assert_eq!("0.25".parse(), Ok(Amount(250_000_000)));
        assert_eq!(Amount(12_000_000_001).to_string(), "12.000000001");
        for text in ["", ".", "5.", ".5", "-1", "1e9", "0.0000000001", "1 ", "1,5"] {
            assert!(matches!(text.parse::<Amount>(), Err(AmountError::Malformed(_))), "{text}");
        }
        assert!(matches!("99999999999".parse::<Amount>(), Err(AmountError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn text_round_trip(units: u64) {
            prop_assert_eq!(Amount(units).to_string().parse(), Ok(Amount(units)));
        }
    }
}
