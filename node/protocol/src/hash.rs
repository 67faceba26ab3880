//! 32-byte blake3 hashes, one type for each thing that is named by one.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash: it takes 64 hexadecimal characters")]
pub struct HashError(pub String);

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
        )]
        #[serde(into = "String", try_from = "String")]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight hexadecimal characters, for people.
            pub fn short(&self) -> String {
                hex::encode(self.0.get(..4).unwrap_or(&[]))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = HashError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0u8; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError(text.to_owned()))?;
                Ok(Self(bytes))
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = HashError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }
    };
}

hash_type! {
    /// A hash with no narrower meaning: roots, seeds, commitments.
    Hash
}
hash_type! {
    /// Names a chain: the hash of its genesis document.
    GenesisHash
}
hash_type! {
    /// Names a block: the hash of its header.
    BlockId
}
hash_type! {
    /// Names a transaction: the hash of its signed bytes.
    TransactionId
}
hash_type! {
    /// Names a blob: the plain blake3 hash of its bytes.
    BlobHash
}
hash_type! {
    /// Names the outcome of a shard: the plain blake3 hash of its encoded [`OutputRecord`](crate::files::OutputRecord),
    /// which is therefore a blob itself.
    Digest
}

impl Hash {
    /// blake3 of the domain string followed by the parts.
    pub fn of(domain: &[u8], parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

impl BlobHash {
    /// The name of a blob.
    pub fn of(contents: &[u8]) -> Self {
        blake3::hash(contents).into()
    }
}

impl From<Digest> for BlobHash {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}
