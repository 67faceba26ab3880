//! What a run is asked to do and what it gives back.
//!
//! Everything in a [`RunRequest`] except [`Limits::wall`] and [`Limits::log`] is fixed by the
//! contract and the assignment, so that every replica asks for the same run.

use std::{
    collections::VecDeque,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use valo_protocol::{
    BlobHash,
    files::{FileEntry, FilePath, OutputRecord},
};

use crate::failure::Detail;

/// Where bytes lie on this machine.
#[derive(Clone)]
pub enum Source {
    /// A file on the host, read piecewise while the guest reads it; it must not change meanwhile.
    Path(PathBuf),
    /// Bytes already in memory.
    Bytes(Arc<[u8]>),
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => formatter.debug_tuple("Path").field(path).finish(),
            Source::Bytes(bytes) => write!(formatter, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// The program: its name (the plain blake3 of its bytes) and where the bytes lie.
/// The bytes are read, and checked against the hash, only when the module is not compiled yet.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    pub hash: BlobHash,
    pub source: Source,
}

/// One file under `/in`.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Relative to `/in`.
    pub path: FilePath,
    /// In bytes; reading a host file that is shorter is a local failure.
    pub size: u64,
    /// When given, the contents are hashed when the guest first opens the file, and a file that
    /// rotted on this machine's disk makes it abstain instead of answering wrongly.
    pub hash: Option<BlobHash>,
    pub source: Source,
}

impl InputFile {
    /// A file of a tree, with its contents as they lie here.
    #[must_use]
    pub fn new(entry: &FileEntry, source: Source) -> InputFile {
        InputFile { path: entry.path.clone(), size: entry.size, hash: Some(entry.hash), source }
    }
}

/// What a program can see of the world besides its inputs, fixed by the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Seeds `random_get`: blake3 in key derivation mode, as an extendable output.
    pub seed: [u8; 32],
    /// What every clock shows at the start, in nanoseconds since the Unix epoch.
    pub start: u64,
}

/// Bounds of a run. The first three are the contract's and their crossing is a verdict;
/// the others are this machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In units of the cost table: about one for each instruction, see `cost.rs`.
    pub fuel: u64,
    /// Bytes of linear memory; no more than [`valo_protocol::job::MAX_MEMORY`] is ever given.
    pub memory: u64,
    /// Bytes in all files under `/out` together, at any moment; no more than [`valo_protocol::job::MAX_BLOB`] are ever taken.
    pub output: u64,
    /// Real time from the first instruction; compiling is not counted.
    pub wall: Duration,
    /// Bytes kept of standard output, and as much of standard error; the middle is left out of longer ones.
    pub log: usize,
}

/// A run of a WASI command. Its environment is exactly `VALO_SHARD`, `VALO_SHARDS` and `VALO_STAGE`.
#[derive(Clone, Debug)]
pub struct RunRequest {
    pub module: ModuleSource,
    /// All of `argv`, the program's name first.
    pub arguments: Vec<String>,
    /// `VALO_SHARD`, counted from 0.
    pub shard: u32,
    /// `VALO_SHARDS`: how many shards the stage has.
    pub shards: u32,
    /// `VALO_STAGE`: the stage's name.
    pub stage: String,
    pub inputs: Vec<InputFile>,
    pub world: World,
    pub limits: Limits,
}

/// A file that the program left under `/out`.
#[derive(Clone, PartialEq, Eq)]
pub struct OutputFile {
    pub path: FilePath,
    pub contents: Vec<u8>,
}

impl OutputFile {
    /// How the record names it.
    pub(crate) fn entry(&self) -> FileEntry {
        FileEntry { path: self.path.clone(), size: self.contents.len() as u64, hash: BlobHash::of(&self.contents) }
    }
}

impl fmt::Debug for OutputFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} bytes)", self.path, self.contents.len())
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunOutput {
    /// What replicas compare; its digest is what a worker commits to.
    pub record: OutputRecord,
    /// The files the record names, in its order; empty after a failure.
    pub files: Vec<OutputFile>,
    pub stdout: Log,
    pub stderr: Log,
    /// Why the run failed, for people; not part of the record.
    pub detail: Option<Detail>,
    /// Real time between the first instruction and the last, for this machine's statistics.
    pub wall: Duration,
}

impl RunOutput {
    /// Writes the output files below `directory`, which is made when it is not there.
    /// Files that are there already are replaced.
    ///
    /// # Errors
    /// Whatever the host's file system says.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        for file in &self.files {
            let path = directory.join(&*file.path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, &file.contents)?;
        }
        Ok(())
    }
}

/// What a program wrote to a standard stream: the beginning and the end of it, within a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_capacity: usize,
    tail_capacity: usize,
    /// Bytes left out between the two.
    pub left_out: u64,
}

impl Log {
    pub(crate) fn new(capacity: usize) -> Log {
        let head_capacity = capacity / 2;
        Log { head_capacity, tail_capacity: capacity - head_capacity, ..Log::default() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = self.head_capacity.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        let keep = rest.len().min(self.tail_capacity);
        let (skipped, kept) = rest.split_at(rest.len() - keep);
        let overflow = (self.tail.len() + keep).saturating_sub(self.tail_capacity);
        self.tail.drain(..overflow);
        self.tail.extend(kept);
        self.left_out = self.left_out.saturating_add((skipped.len() + overflow) as u64);
    }

    /// The bytes kept, with a line in place of what was left out.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n[... {} bytes left out ...]\n", self.left_out).as_bytes());
        }
        bytes.extend(&self.tail);
        bytes
    }

    /// [`Log::bytes`] as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_log_keeps_its_beginning_and_its_end(
            capacity in 0usize..40,
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..10),
        ) {
            let mut log = Log::new(capacity);
            for piece in &pieces {
                log.push(piece);
            }
            let all = pieces.concat();
            let kept = log.head.len() + log.tail.len();
            prop_assert!(kept <= capacity);
            prop_assert_eq!(log.left_out, (all.len() - kept) as u64);
            prop_assert_eq!(&log.head[..], &all[..log.head.len()]);
            prop_assert_eq!(log.tail.iter().copied().collect::<Vec<_>>(), &all[all.len() - log.tail.len()..]);
            if all.len() <= capacity {
                prop_assert_eq!(log.bytes(), all);
            }
        }
    }
}
