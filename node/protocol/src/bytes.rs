//! Bounded strings and vectors: the bound is part of the type and is checked before anything is
//! allocated, so that no length from outside can make a node reserve memory.

use crate::encoding::invalid;
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref};

/// A vector of at most `MAX` items. Encoded as a u32 length and the items.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

/// More items than a [`BoundedVec`] or a [`BoundedString`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} is more than the {max} allowed")]
pub struct TooLong {
    /// How many there are.
    pub length: usize,
    /// How many there may be.
    pub max: usize,
}

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// The items, if they are not too many.
    pub fn new(items: Vec<T>) -> Result<Self, TooLong> {
        if items.len() > MAX {
            return Err(TooLong { length: items.len(), max: MAX });
        }
        Ok(Self(items))
    }

    /// The items.
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Deref for BoundedVec<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a BoundedVec<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: BorshSerialize, const MAX: usize> BorshSerialize for BoundedVec<T, MAX> {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&self.0, writer)
    }
}

impl<T: BorshDeserialize, const MAX: usize> BorshDeserialize for BoundedVec<T, MAX> {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let length = usize::try_from(u32::deserialize_reader(reader)?).map_err(|_| invalid("length"))?;
        if length > MAX {
            return Err(invalid(TooLong { length, max: MAX }.to_string()));
        }
        // Grows as items arrive: a claimed length reserves nothing.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(T::deserialize_reader(reader)?);
        }
        Ok(Self(items))
    }
}

/// A UTF-8 text of at most `MAX` bytes. Encoded as a u32 length and the bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct BoundedString<const MAX: usize>(String);

impl<const MAX: usize> BoundedString<MAX> {
    /// The text, if it is not too long.
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        if text.len() > MAX {
            return Err(TooLong { length: text.len(), max: MAX });
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for BoundedString<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for BoundedString<MAX> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for BoundedString<MAX> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedString<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(<String as Deserialize>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<const MAX: usize> BorshSerialize for BoundedString<MAX> {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&self.0, writer)
    }
}

impl<const MAX: usize> BorshDeserialize for BoundedString<MAX> {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = BoundedVec::<u8, MAX>::deserialize_reader(reader)?;
        let text = String::from_utf8(bytes.into_inner()).map_err(|_| invalid("text is not utf-8"))?;
        Ok(Self(text))
    }
}

/// In the API's document these are a plain list and a plain text.
#[cfg(feature = "schema")]
mod schema {
    use super::{BoundedString, BoundedVec};
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, Type, schema::Schema},
    };

    impl<T: ToSchema, const MAX: usize> PartialSchema for BoundedVec<T, MAX> {
        fn schema() -> RefOr<Schema> {
            ArrayBuilder::new().items(Ref::from_schema_name(T::name())).max_items(Some(MAX)).into()
        }
    }

    impl<T: ToSchema, const MAX: usize> ToSchema for BoundedVec<T, MAX> {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        }
    }

    impl<const MAX: usize> PartialSchema for BoundedString<MAX> {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX)).into()
        }
    }

    impl<const MAX: usize> ToSchema for BoundedString<MAX> {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{decode, encode};

    #[test]
    fn a_claimed_length_over_the_bound_is_refused_before_reading() {
        let error = decode::<BoundedVec<u8, 4>>("list", &[5, 0, 0, 0]).unwrap_err();
        assert_eq!(error.to_string(), "malformed list: 5 is more than the 4 allowed");
        assert!(decode::<BoundedVec<u64, 1_000_000>>("list", &[0, 1, 0, 0]).is_err(), "truncated");
        assert!(decode::<BoundedString<4>>("text", &[1, 0, 0, 0, 0xff]).is_err(), "not utf-8");
    }

    #[test]
    fn same_bytes_as_a_plain_vector() {
        let list = BoundedVec::<u16, 3>::new(vec![1, 2]).unwrap();
        assert_eq!(encode(&list), encode(&vec![1u16, 2]));
        assert_eq!(decode("list", &encode(&list)), Ok(list));
        assert!(BoundedVec::<u8, 1>::new(vec![1, 2]).is_err());
    }
}
