//! How owners, pins and times are kept in the store's own database, as names of tags.
//!
//! ```text
//! 't' | hash (32) | size (u64, big-endian) | stored (u64, seconds, big-endian)     one for each blob
//! 'o' | hash (32) | owner                                                          one for each owner
//! 'p' | hash (32) | label                                                          one for each pin
//! ```
//!
//! Tags live in the same database as the blobs' own records, so both survive a crash together and
//! there is no second index that could disagree.

use valo_protocol::BlobHash;

const STORED: u8 = b't';
const OWNER: u8 = b'o';
const PIN: u8 = b'p';

/// What a tag says about its blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Stored { size: u64, at: u64 },
    Owner(String),
    Pin(String),
}

impl Tag {
    pub(super) fn name(&self, hash: &BlobHash) -> Vec<u8> {
        let mut name = prefix(self.kind(), hash);
        match self {
            Self::Stored { size, at } => {
                name.extend(size.to_be_bytes());
                name.extend(at.to_be_bytes());
            }
            Self::Owner(label) | Self::Pin(label) => name.extend(label.as_bytes()),
        }
        name
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Stored { .. } => STORED,
            Self::Owner(_) => OWNER,
            Self::Pin(_) => PIN,
        }
    }

    /// Reads a name; `None` when it is none of ours.
    pub(super) fn parse(name: &[u8]) -> Option<(BlobHash, Self)> {
        let (kind, rest) = name.split_first()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let hash = BlobHash(*hash);
        let label = || String::from_utf8(rest.to_vec()).ok();
        let tag = match *kind {
            STORED => {
                let (size, at) = rest.split_first_chunk::<8>()?;
                Self::Stored { size: u64::from_be_bytes(*size), at: u64::from_be_bytes(at.try_into().ok()?) }
            }
            OWNER => Self::Owner(label()?),
            PIN => Self::Pin(label()?),
            _ => return None,
        };
        Some((hash, tag))
    }
}

/// The beginnings of all names of a blob's tags.
pub(super) fn prefixes(hash: &BlobHash) -> [Vec<u8>; 3] {
    [STORED, OWNER, PIN].map(|kind| prefix(kind, hash))
}

/// The beginning of the names of the tags that say when a blob was stored.
pub(super) fn stored_prefix(hash: &BlobHash) -> Vec<u8> {
    prefix(STORED, hash)
}

fn prefix(kind: u8, hash: &BlobHash) -> Vec<u8> {
    let mut name = Vec::with_capacity(64);
    name.push(kind);
    name.extend(hash.as_bytes());
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_read_back(bytes in any::<[u8; 32]>(), size: u64, at: u64, label in ".{0,40}") {
            let hash = BlobHash(bytes);
            for tag in [Tag::Stored { size, at }, Tag::Owner(label.clone()), Tag::Pin(label.clone())] {
                prop_assert_eq!(Tag::parse(&tag.name(&hash)), Some((hash, tag)));
            }
        }

        #[test]
        fn any_name_is_ours_or_not(name in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((hash, tag)) = Tag::parse(&name) {
                prop_assert_eq!(tag.name(&hash), name);
            }
        }
    }
}
