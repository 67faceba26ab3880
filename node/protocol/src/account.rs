//! Account numbers: dense 40-bit integers in order of creation, five bytes on the wire, printed as
//! eight characters of [Crockford base32](https://www.crockford.com/base32.html).

use crate::encoding::invalid;
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARACTERS: u32 = 8;

/// The number of an account, below 2^40.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct AccountNumber(u64);

/// Why a text or an integer is not an account number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountNumberError {
    /// Not eight characters.
    #[error("`{0}` is not an account number: it takes 8 characters of base32, such as 0000002A")]
    Length(String),
    /// A character outside the alphabet.
    #[error("`{text}` is not an account number: `{character}` is not a character of Crockford base32")]
    Character {
        /// The whole text.
        text: String,
        /// The offending character.
        character: char,
    },
    /// 2^40 or more.
    #[error("account number {0} does not fit 40 bits")]
    TooLarge(u64),
}

impl AccountNumber {
    /// The largest number, 2^40 - 1.
    pub const MAX: Self = Self((1 << 40) - 1);

    /// Checks that the number fits 40 bits.
    pub const fn new(number: u64) -> Result<Self, AccountNumberError> {
        if number > Self::MAX.0 {
            return Err(AccountNumberError::TooLarge(number));
        }
        Ok(Self(number))
    }

    /// The number as an integer; also the account's row in its table.
    pub const fn index(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AccountNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(8);
        for position in (0..CHARACTERS).rev() {
            let digit = self.0.wrapping_shr(position.saturating_mul(5)) & 31;
            let character = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit));
            text.push(char::from(character.copied().unwrap_or(b'?')));
        }
        formatter.pad(&text)
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccountNumber({self})")
    }
}

impl FromStr for AccountNumber {
    type Err = AccountNumberError;

    /// Reads either case, and `O`, `I`, `L` as the digits they look like.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().count() != 8 {
            return Err(AccountNumberError::Length(text.to_owned()));
        }
        let mut number = 0u64;
        for character in text.chars() {
            let digit =
                digit(character).ok_or_else(|| AccountNumberError::Character { text: text.to_owned(), character })?;
            number = number.wrapping_shl(5) | digit;
        }
        Self::new(number)
    }
}

fn digit(character: char) -> Option<u64> {
    let upper = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let position = ALPHABET.iter().position(|symbol| char::from(*symbol) == upper)?;
    u64::try_from(position).ok()
}

impl From<AccountNumber> for String {
    fn from(number: AccountNumber) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for AccountNumber {
    type Error = AccountNumberError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl BorshSerialize for AccountNumber {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let [a, b, c, d, e, ..] = self.0.to_le_bytes();
        writer.write_all(&[a, b, c, d, e])
    }
}

impl BorshDeserialize for AccountNumber {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let [a, b, c, d, e] = <[u8; 5]>::deserialize_reader(reader)?;
        Self::new(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{decode, encode};
    use proptest::prelude::*;

    #[test]
    fn printed_form() {
        assert_eq!(AccountNumber(0).to_string(), "00000000");
        assert_eq!(AccountNumber(74).to_string(), "0000002A");
        assert_eq!(AccountNumber::MAX.to_string(), "ZZZZZZZZ");
        assert_eq!("0000oil0".parse(), Ok(AccountNumber((1 << 10) | (1 << 5))));
        assert!("0000000U".parse::<AccountNumber>().is_err());
        assert!("123".parse::<AccountNumber>().is_err());
        assert!("ééééaaaa".parse::<AccountNumber>().is_err());
    }

    proptest! {
        #[test]
        fn round_trips(number in 0..=AccountNumber::MAX.0) {
            let number = AccountNumber(number);
            prop_assert_eq!(number.to_string().parse(), Ok(number));
            let bytes = encode(&number);
            prop_assert_eq!(bytes.len(), 5);
            prop_assert_eq!(decode("account number", &bytes), Ok(number));
        }
    }
}
