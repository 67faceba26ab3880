//! From the YAML that people write to the contract that the chain takes.
//!
//! ```text
//!   read (text -> document)  ->  plan (document + files -> stages, blobs)  ->  contract (plan + time -> contract)
//! ```
//! None of the steps talks to the network. Every error is one line that names the field.

mod blobs;
mod document;
mod inputs;
mod plan;
mod split;
mod terms;

use crate::own_words;
pub use crate::{Deadline, Source, quantity};
pub use blobs::{Blob, BlobError, Blobs, Contents};
pub use document::{Document, Metadata};
pub use plan::{Plan, digests_without_size, plan};
pub use terms::{Market, OfferedTier};

use std::{
    fmt::Display,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The most bytes of a document: far above what a contract can hold.
const MAX_DOCUMENT: u64 = 4 << 20;

/// What is wrong with one field of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// Path of the field, such as `spec.stages[0].wasm.module`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FieldError {
    /// An error at a field.
    pub fn new(field: impl Into<String>, reason: impl Display) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}

/// Why a document is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is too long, or not text.
    #[error("{file} is not a job contract: {reason}")]
    NotText {
        /// Which file.
        file: String,
        /// Why.
        reason: String,
    },
    /// It is not of the form of a job contract.
    #[error("{file}: {reason}")]
    Form {
        /// Which file.
        file: String,
        /// Where and why, in words of our own.
        reason: String,
    },
    /// A field says something that cannot be.
    #[error("{file}: {source}")]
    Field {
        /// Which file.
        file: String,
        /// Which field, and why.
        source: FieldError,
    },
}

/// A document with where it came from.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its name for messages.
    pub file: String,
    /// The folder that its paths are relative to.
    pub folder: PathBuf,
    /// What it says.
    pub document: Document,
}

impl Opened {
    /// Puts the name of the file in front of an error.
    pub fn at(&self, source: FieldError) -> ReadError {
        ReadError::Field { file: self.file.clone(), source }
    }
}

/// Reads a document from a file, or from standard input for `-`.
pub fn open(path: &Path) -> Result<Opened, ReadError> {
    let (file, folder) = match path.to_str() {
        Some("-") => ("standard input".to_owned(), PathBuf::new()),
        _ => (path.display().to_string(), path.parent().map(Path::to_owned).unwrap_or_default()),
    };
    let failed = |source| ReadError::Read { file: file.clone(), source };
    let reader: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    reader.take(MAX_DOCUMENT.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let not_text = |reason: &str| ReadError::NotText { file: file.clone(), reason: reason.to_owned() };
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_DOCUMENT) {
        return Err(not_text("it has more than 4 MiB, the most that one has"));
    }
    let text = String::from_utf8(bytes).map_err(|_| not_text("it is not UTF-8 text"))?;
    // Some editors begin a file with a mark that means nothing.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let form = |error: serde_yaml::Error| ReadError::Form { file: file.clone(), reason: own_words(&error.to_string()) };
    let document = parse(text).map_err(form)?;
    Ok(Opened { file, folder, document })
}

/// Reads a document from its text.
pub fn parse(text: &str) -> Result<Document, serde_yaml::Error> {
    serde_yaml::from_str(text)
}
