//! What a job brings along: the blobs that must be on the network before it is submitted. Contents stay in
//! their files; only small generated blobs are held in memory.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read, Seek},
    ops::Range,
    path::{Path, PathBuf},
};
use valo_protocol::BlobHash;

/// A blob to upload.
#[derive(Clone)]
pub struct Blob {
    /// Its name.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
    /// What it is, for people.
    pub label: String,
    /// Where its bytes are.
    pub contents: Contents,
}

/// Where the bytes of a blob are.
#[derive(Clone)]
pub enum Contents {
    /// In a range of a file.
    File {
        /// Which file.
        path: PathBuf,
        /// Which bytes of it.
        range: Range<u64>,
    },
    /// Here.
    Bytes(Vec<u8>),
}

/// Why a file is not usable as a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Reading failed.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It got shorter since.
    #[error("`{0}` changed while it was read; submit again when nothing writes to it")]
    Changed(String),
}

impl Blob {
    /// A range of a file, read once to name it.
    pub fn of_file(path: &Path, range: Range<u64>) -> Result<Self, BlobError> {
        let failed = |source| BlobError::Read { path: path.display().to_string(), source };
        let size = range.end.saturating_sub(range.start);
        let mut file = File::open(path).map_err(failed)?;
        file.seek(io::SeekFrom::Start(range.start)).map_err(failed)?;
        let mut hasher = blake3::Hasher::new();
        let mut part = file.take(size);
        let read = io::copy(&mut part, &mut hasher).map_err(failed)?;
        if read != size {
            return Err(BlobError::Changed(path.display().to_string()));
        }
        let contents = Contents::File { path: path.to_owned(), range };
        Ok(Self { hash: hasher.finalize().into(), size, label: path.display().to_string(), contents })
    }

    /// Bytes made here.
    pub fn of_bytes(bytes: Vec<u8>, label: &str) -> Self {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { hash: BlobHash::of(&bytes), size, label: label.to_owned(), contents: Contents::Bytes(bytes) }
    }
}

impl Blob {
    /// Its bytes, as far as there are no more than so many; none if there are.
    pub fn read(&self, most: u64) -> Result<Option<Vec<u8>>, BlobError> {
        if self.size > most {
            return Ok(None);
        }
        let (path, range) = match &self.contents {
            Contents::Bytes(bytes) => return Ok(Some(bytes.clone())),
            Contents::File { path, range } => (path, range),
        };
        let failed = |source| BlobError::Read { path: path.display().to_string(), source };
        let mut file = File::open(path).map_err(failed)?;
        file.seek(io::SeekFrom::Start(range.start)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(self.size).read_to_end(&mut bytes).map_err(failed)?;
        if BlobHash::of(&bytes) != self.hash {
            return Err(BlobError::Changed(path.display().to_string()));
        }
        Ok(Some(bytes))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Blob({} of {} bytes: {})", self.hash.short(), self.size, self.label)
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, range } => write!(formatter, "File({} {range:?})", path.display()),
            Self::Bytes(bytes) => write!(formatter, "Bytes({})", bytes.len()),
        }
    }
}

/// The blobs of a job, each once, in order of need; and those that it only refers to.
#[derive(Debug, Default)]
pub struct Blobs {
    order: Vec<BlobHash>,
    uploads: BTreeMap<BlobHash, Blob>,
    references: BTreeMap<BlobHash, Option<String>>,
}

impl Blobs {
    /// Adds one, unless it is there.
    pub fn add(&mut self, blob: Blob) {
        if !self.uploads.contains_key(&blob.hash) {
            self.order.push(blob.hash);
            self.uploads.insert(blob.hash, blob);
        }
    }

    /// Notes one that the network must have for a field of the document to mean anything.
    pub fn need(&mut self, hash: BlobHash, field: &str) {
        self.references.insert(hash, Some(field.to_owned()));
    }

    /// Notes one that the network should have by the word of the document, which says its length.
    pub fn refer(&mut self, hash: BlobHash) {
        self.references.entry(hash).or_default();
    }

    /// To be uploaded, in order.
    pub fn uploads(&self) -> impl Iterator<Item = &Blob> {
        self.order.iter().filter_map(|hash| self.uploads.get(hash))
    }

    /// One to be uploaded.
    pub fn upload(&self, hash: &BlobHash) -> Option<&Blob> {
        self.uploads.get(hash)
    }

    /// Named by digest, and not among the uploads; with the field that needs it, if one does.
    pub fn references(&self) -> impl Iterator<Item = (&BlobHash, Option<&str>)> {
        let named = self.references.iter().filter(|(hash, _)| !self.uploads.contains_key(hash));
        named.map(|(hash, field)| (hash, field.as_deref()))
    }
}
