//! Where bytes come from: a file by its path, or a blob of the network by its digest.

use crate::quantity::texts;
use std::{fmt, str::FromStr};
use valo_protocol::BlobHash;

const DIGEST: &str = "blake3:";

/// Why a text names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Not a digest, though it starts like one.
    #[error("`{0}` is not a digest: it takes blake3: and 64 hexadecimal characters")]
    Digest(String),
    /// Nothing.
    #[error("the path is empty")]
    Empty,
    /// A digest without a path for the program.
    #[error("a digest needs a path for the program to read it at: NAME@{0}")]
    Nameless(String),
    /// The length after a digest is none.
    #[error("`{0}` is not a length in bytes")]
    Length(String),
}

/// A file, or a blob of the network by its digest: `features.wasm`, or `blake3:` and 64 hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path or pattern, relative to the folder of the document.
    Path(String),
    /// A blob that the network has already.
    Blob(BlobHash),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.strip_prefix(DIGEST) {
            Some(digest) => digest.parse().map(Self::Blob).map_err(|_| SourceError::Digest(text.to_owned())),
            None if text.is_empty() => Err(SourceError::Empty),
            None => Ok(Self::Path(text.to_owned())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => formatter.write_str(path),
            Self::Blob(digest) => write!(formatter, "{DIGEST}{digest}"),
        }
    }
}

texts!(Source, "a path, or blake3: and a digest");

/// One input: a path or pattern (`texts/*.txt`), or a blob with the path that the program reads it at, and its
/// length in bytes if that is known (`data.bin@blake3:...`, `data.bin@blake3:...:4096`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A path or pattern, relative to the folder of the document.
    Path(String),
    /// A blob that the network has already.
    Blob {
        /// Its digest.
        digest: BlobHash,
        /// Its path in the shard's input.
        path: String,
        /// Its length; asked of the network unless said.
        size: Option<u64>,
    },
}

impl FromStr for Entry {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        // Only `@blake3:` makes it a blob: file names with an @ are common.
        let Some(at) = text.rfind("@blake3:") else {
            return match text.parse()? {
                Source::Path(path) => Ok(Self::Path(path)),
                Source::Blob(_) => Err(SourceError::Nameless(text.to_owned())),
            };
        };
        let (path, blob) = text.split_at(at);
        let hash = blob.trim_start_matches('@').trim_start_matches(DIGEST);
        let (hash, size) = match hash.split_once(':') {
            Some((hash, size)) => (hash, Some(size)),
            None => (hash, None),
        };
        let digest = hash.parse().map_err(|_| SourceError::Digest(format!("{DIGEST}{hash}")))?;
        let size = size.map(|size| size.parse().map_err(|_| SourceError::Length(size.to_owned()))).transpose()?;
        match path {
            "" => Err(SourceError::Nameless(format!("{DIGEST}{digest}"))),
            path => Ok(Self::Blob { digest, path: path.to_owned(), size }),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => formatter.write_str(path),
            Self::Blob { digest, path, size: None } => write!(formatter, "{path}@{DIGEST}{digest}"),
            Self::Blob { digest, path, size: Some(size) } => write!(formatter, "{path}@{DIGEST}{digest}:{size}"),
        }
    }
}

texts!(Entry, "a path, or NAME@blake3:DIGEST");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_path_or_a_named_blob() {
        let digest = BlobHash::of(b"x");
        let blob = |size| Entry::Blob { digest, path: "a/logo@2x.png".to_owned(), size };
        let hex = digest.to_string();
        for (text, entry) in [
            ("a/logo@2x.png".to_owned(), Entry::Path("a/logo@2x.png".to_owned())),
            (format!("a/logo@2x.png@blake3:{hex}"), blob(None)),
            (format!("a/logo@2x.png@blake3:{hex}:4096"), blob(Some(4096))),
        ] {
            assert_eq!(text.parse(), Ok(entry.clone()));
            assert_eq!(entry.to_string(), text);
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        let hex = "0".repeat(64);
        for text in [
            String::new(),
            format!("blake3:{hex}"),
            format!("@blake3:{hex}"),
            "a@blake3:12".to_owned(),
            format!("a@blake3:{hex}:many"),
        ] {
            assert!(text.parse::<Entry>().is_err(), "{text}");
        }
        assert!("blake3:12".parse::<Source>().is_err());
    }
}
