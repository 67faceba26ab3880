//! File trees: what a shard reads and writes, and how its outcome is named.
//!
//! The outcome of a shard is an [`OutputRecord`]. Its encoding is stored as a blob like any other, and the
//! shard's digest is the name of that blob: whoever knows the digest can fetch the record, and from
//! the record every file, and check all of it.

use crate::{
    bytes::{BoundedString, BoundedVec},
    encoding::{encode, invalid},
    hash::{BlobHash, Digest},
};
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref, str::FromStr};

/// The longest path of a file, in bytes.
pub const MAX_PATH: usize = 255;
/// The most files of one tree.
pub const MAX_FILES: usize = 65_536;

/// A relative path of plain parts: no empty part, no `.` or `..`, no backslash or control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FilePath(BoundedString<MAX_PATH>);

/// Why a text is not the path of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a usable file path: {reason}")]
pub struct FilePathError {
    /// The text.
    pub path: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl FromStr for FilePath {
    type Err = FilePathError;

    fn from_str(path: &str) -> Result<Self, FilePathError> {
        let refuse = |reason| Err(FilePathError { path: path.to_owned(), reason });
        if path.chars().any(|character| character.is_control() || character == '\\') {
            return refuse("it holds a backslash or a control character");
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("a part of it is empty, `.` or `..`");
        }
        match BoundedString::new(path) {
            Ok(path) => Ok(Self(path)),
            Err(_) => refuse("it is longer than 255 bytes"),
        }
    }
}

impl Deref for FilePath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0.as_str().to_owned()
    }
}

impl TryFrom<String> for FilePath {
    type Error = FilePathError;

    fn try_from(path: String) -> Result<Self, FilePathError> {
        path.parse()
    }
}

impl BorshDeserialize for FilePath {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let path = BoundedString::<MAX_PATH>::deserialize_reader(reader)?;
        path.parse().map_err(|error: FilePathError| invalid(error.to_string()))
    }
}

/// A file: where it is, how long it is, and the name of its contents as a blob.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path in the tree.
    pub path: FilePath,
    /// Length in bytes.
    pub size: u64,
    /// blake3 of the contents.
    pub hash: BlobHash,
}

/// Files in ascending order of their paths; no path twice, none inside another.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, Serialize)]
#[serde(transparent)]
pub struct FileTree(BoundedVec<FileEntry, MAX_FILES>);

/// Why files make no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileTreeError {
    /// One path twice, or a file where another path needs a folder.
    #[error("the path `{0}` clashes with another file")]
    Clash(FilePath),
    /// More files than allowed.
    #[error("a file tree holds at most {MAX_FILES} files, not {0}")]
    TooMany(usize),
}

impl FileTree {
    /// Sorts and checks the files.
    pub fn new(mut files: Vec<FileEntry>) -> Result<Self, FileTreeError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::sorted(files)
    }

    fn sorted(files: Vec<FileEntry>) -> Result<Self, FileTreeError> {
        let paths: std::collections::BTreeSet<&str> = files.iter().map(|file| &*file.path).collect();
        if paths.len() != files.len() {
            let twice = files.windows(2).find_map(|pair| match pair {
                [a, b] if a.path == b.path => Some(a.path.clone()),
                _ => None,
            });
            if let Some(path) = twice {
                return Err(FileTreeError::Clash(path));
            }
        }
        for file in &files {
            let mut parts = &*file.path;
            while let Some((folder, _)) = parts.rsplit_once('/') {
                if paths.contains(folder) {
                    return Err(FileTreeError::Clash(file.path.clone()));
                }
                parts = folder;
            }
        }
        let count = files.len();
        BoundedVec::new(files).map(Self).map_err(|_| FileTreeError::TooMany(count))
    }

    /// The files in ascending order of their paths.
    pub fn files(&self) -> &[FileEntry] {
        &self.0
    }

    /// The sum of the files' lengths in bytes.
    pub fn total_size(&self) -> u64 {
        self.0.iter().fold(0, |total, file| total.saturating_add(file.size))
    }
}

impl BorshDeserialize for FileTree {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let files = BoundedVec::<FileEntry, MAX_FILES>::deserialize_reader(reader)?.into_inner();
        if !files.is_sorted_by(|a, b| a.path < b.path) {
            return Err(invalid("files are not in ascending order"));
        }
        Self::sorted(files).map_err(|error| invalid(error.to_string()))
    }
}

impl<'de> Deserialize<'de> for FileTree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(<Vec<FileEntry> as Deserialize>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The inputs of a stage, as a blob that its contract names: the file tree of each shard, in order.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct InputManifest {
    /// One tree for each shard.
    pub shards: BoundedVec<FileTree, 100_000>,
}

/// How a program ended. Only what every honest machine agrees on: a machine that ran into a limit of its
/// own abstains instead.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RunStatus {
    /// It ended by itself with this exit code.
    Exited(u32),
    /// It was stopped, or could not start.
    Failed(RunFailure),
}

impl RunStatus {
    /// Whether the program ended by itself with code 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exit code {code}"),
            Self::Failed(failure) => fmt::Display::fmt(failure, formatter),
        }
    }
}

/// Why a program was stopped, or could not start.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RunFailure {
    /// The contract's fuel was used up.
    #[error("the program used up its fuel")]
    OutOfFuel,
    /// The program asked for more memory than the contract allows, and trapped.
    #[error("the program needed more memory than the contract allows")]
    OutOfMemory,
    /// The program wrote more than the contract allows.
    #[error("the program wrote more than the contract allows")]
    OutputTooLarge,
    /// The program trapped.
    #[error("the program trapped: {0}")]
    Trap(Trap),
    /// The module asks for something outside WASI preview 1.
    #[error("the module imports something that is not offered")]
    MissingImport,
    /// The module is not valid WebAssembly, is not a command, or uses features that are off.
    #[error("the module is not a valid command")]
    InvalidModule,
    /// What the contract says the program reads is malformed, larger than it says, or not there.
    #[error("the input that the contract names is not valid")]
    InvalidInput,
}

/// What a program trapped on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Trap {
    /// `unreachable` was executed (abort, failed assertion, panic).
    #[error("unreachable code was reached")]
    Unreachable,
    /// An access outside the memory.
    #[error("memory access out of bounds")]
    MemoryOutOfBounds,
    /// An access outside a table, a null or a mistyped function.
    #[error("indirect call to a missing or mistyped function")]
    BadIndirectCall,
    /// Division by zero, an overflow, or a float without an integer.
    #[error("arithmetic without a result")]
    Arithmetic,
    /// The call stack overflowed.
    #[error("call stack exhausted")]
    StackOverflow,
    /// Any other trap.
    #[error("other")]
    Other,
}

/// The outcome of a shard.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Version of this record: 1.
    pub version: u8,
    /// How the program ended.
    pub status: RunStatus,
    /// Fuel used: instructions weighted by the network's table.
    pub fuel: u64,
    /// What it wrote to `/out`; nothing unless it ended by itself.
    pub files: FileTree,
}

impl OutputRecord {
    /// The present version of the record.
    pub const VERSION: u8 = 1;

    /// The digest that names this outcome: blake3 of its encoding.
    pub fn digest(&self) -> Digest {
        blake3::hash(&encode(self)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::decode;

    fn file(path: &str) -> FileEntry {
        FileEntry { path: path.parse().unwrap(), size: 1, hash: BlobHash::of(b"x") }
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["", "/etc", "a//b", "../a", "a/..", ".", "a/./b", "a\\b", "a\0b", "a/"] {
            assert!(path.parse::<FilePath>().is_err(), "{path:?}");
        }
        assert!("x".repeat(256).parse::<FilePath>().is_err());
        assert!("a/b.txt".parse::<FilePath>().is_ok());
    }

    #[test]
    fn trees_are_sorted_and_unambiguous() {
        let tree = FileTree::new(vec![file("b"), file("a/c"), file("a.x")]).unwrap();
        let paths: Vec<&str> = tree.files().iter().map(|file| &*file.path).collect();
        assert_eq!(paths, ["a.x", "a/c", "b"]);
        assert_eq!(FileTree::new(vec![file("a"), file("a")]), Err(FileTreeError::Clash("a".parse().unwrap())));
        assert_eq!(
            FileTree::new(vec![file("a"), file("a.x"), file("a/c/d")]),
            Err(FileTreeError::Clash("a/c/d".parse().unwrap()))
        );
        let bytes = encode(&vec![file("b"), file("a")]);
        assert!(decode::<FileTree>("file tree", &bytes).is_err(), "unsorted");
    }

    #[test]
    fn the_digest_is_the_name_of_the_record_as_a_blob() {
        let record = OutputRecord {
            version: OutputRecord::VERSION,
            status: RunStatus::Exited(0),
            fuel: 7,
            files: FileTree::new(vec![file("a")]).unwrap(),
        };
        assert_eq!(BlobHash::from(record.digest()), BlobHash::of(&encode(&record)));
    }
}
