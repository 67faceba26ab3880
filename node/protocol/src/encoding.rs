//! Strict canonical encoding: borsh, with minimal variable-length integers.
//!
//! `decode(encode(x)) == x` and `encode(decode(b)) == b` hold for every type of this crate.
//! Borsh itself refuses trailing bytes and unknown tags; [`Varint`] refuses non-minimal forms.

use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {reason}")]
pub struct DecodeError {
    /// The type that was expected.
    pub what: &'static str,
    /// What is wrong with the bytes.
    pub reason: String,
}

/// Decodes all of `bytes`, or says why not. Trailing bytes are an error.
pub fn decode<T: BorshDeserialize>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    T::try_from_slice(bytes).map_err(|error| DecodeError { what, reason: error.to_string().to_lowercase() })
}

/// Encodes a value. Encoding into memory cannot fail for the types of this crate.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    match value.serialize(&mut bytes) {
        Ok(()) => bytes,
        // A writer into a vector never fails, and no type here has a fallible encoding.
        Err(_) => unreachable!("encoding into memory failed"),
    }
}

/// An unsigned integer of 1 to 10 bytes: seven bits a byte, least significant first (LEB128), always in
/// its shortest form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Varint(pub u64);

impl From<u64> for Varint {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl BorshSerialize for Varint {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let mut rest = self.0;
        let mut buffer = [0u8; 10];
        let mut length = 0usize;
        for slot in &mut buffer {
            let low = u8::try_from(rest & 0x7f).unwrap_or(0);
            rest >>= 7;
            length = length.saturating_add(1);
            if rest == 0 {
                *slot = low;
                break;
            }
            *slot = low | 0x80;
        }
        writer.write_all(buffer.get(..length).unwrap_or(&[]))
    }
}

impl BorshDeserialize for Varint {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut value = 0u64;
        for position in 0..10u32 {
            let byte = u8::deserialize_reader(reader)?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds the single remaining bit of 64.
            if position == 9 && byte > 1 {
                return Err(invalid("integer does not fit 64 bits"));
            }
            value |= bits.wrapping_shl(position.saturating_mul(7));
            if byte & 0x80 == 0 {
                if byte == 0 && position > 0 {
                    return Err(invalid("integer is not in its shortest form"));
                }
                return Ok(Self(value));
            }
        }
        Err(invalid("integer does not fit 64 bits"))
    }
}

/// An `InvalidData` error for a hand-written decoder.
pub(crate) fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_follow_leb128() {
        for (value, length) in
            [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), ((1 << 42) - 1, 6), (u64::MAX, 10)]
        {
            assert_eq!(encode(&Varint(value)).len(), length, "length of {value}");
        }
    }

    #[test]
    fn non_minimal_and_oversized_forms_are_refused() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff, 0x80, 0x00],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x80],
            &[],
        ] {
            assert!(decode::<Varint>("integer", bytes).is_err(), "{bytes:?}");
        }
        assert!(decode::<Varint>("integer", &[1, 1]).is_err(), "trailing byte");
    }

    proptest! {
        #[test]
        fn round_trip(value: u64) {
            prop_assert_eq!(decode::<Varint>("integer", &encode(&Varint(value))), Ok(Varint(value)));
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(value) = decode::<Varint>("integer", &bytes) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
