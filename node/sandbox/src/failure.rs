//! Why runs do not end well, in two kinds that must never be confused.
//!
//! A *verdict* ([`RunFailure`], in the record) is what every honest replica finds: the program
//! trapped, ran out of fuel, wrote too much. A [`LocalFailure`] is this machine's own trouble:
//! a full disk, too little memory, too slow. Replicas vote on the first and abstain on the second,
//! because a worker that reports its own trouble as a verdict is slashed for it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;
use valo_protocol::{
    BlobHash,
    files::{FilePath, RunFailure, Trap},
};

/// A verdict with what a person needs to understand it. Only [`Detail::failure`] is agreed upon.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Detail {
    #[error("the program used up its {limit} units of fuel")]
    OutOfFuel { limit: u64 },
    #[error("the program needs {needed} bytes of memory to start, its limit is {limit}")]
    InitialMemory { needed: u64, limit: u64 },
    #[error("the program trapped ({trap}) after it was refused more than its {limit} bytes of memory")]
    OutOfMemory { trap: String, limit: u64 },
    #[error("the program needs tables of {needed} elements to start, {limit} are allowed")]
    InitialTables { needed: u64, limit: u64 },
    #[error("the program wrote more than its limit of {limit} bytes to /out")]
    OutputTooLarge { limit: u64 },
    #[error("the program made more than {limit} files and directories in /out")]
    TooManyOutputs { limit: usize },
    #[error("the program trapped: {message}{trace}")]
    Trap { kind: Trap, message: String, trace: String },
    #[error("the module imports {module:?} {name:?}, which is not there; only functions of wasi_snapshot_preview1 are")]
    MissingImport { module: String, name: String },
    #[error("the module is not valid: {reason}")]
    InvalidModule { reason: String },
}

impl Detail {
    /// The verdict that goes into the record.
    #[must_use]
    pub fn failure(&self) -> RunFailure {
        match self {
            Detail::OutOfFuel { .. } => RunFailure::OutOfFuel,
            Detail::InitialMemory { .. } | Detail::OutOfMemory { .. } | Detail::InitialTables { .. } => {
                RunFailure::OutOfMemory
            }
            Detail::OutputTooLarge { .. } | Detail::TooManyOutputs { .. } => RunFailure::OutputTooLarge,
            Detail::Trap { kind, .. } => RunFailure::Trap(*kind),
            Detail::MissingImport { .. } => RunFailure::MissingImport,
            Detail::InvalidModule { .. } => RunFailure::InvalidModule,
        }
    }
}

/// Trouble of this machine, about which other replicas know nothing: the worker abstains.
#[derive(Clone, Debug, Error)]
pub enum LocalFailure {
    #[error("the run took longer than the {limit:?} this node gives it")]
    WallLimit { limit: Duration },
    #[error("the run was cancelled")]
    Cancelled,
    #[error("cannot read {what} from {path}: {error}; check this node's disk")]
    HostIo { what: String, path: PathBuf, error: Arc<std::io::Error> },
    #[error(
        "{what} does not have the expected hash {expected}; this node's copy is damaged, delete it so that it is fetched again"
    )]
    Damaged { what: String, expected: BlobHash },
    #[error("this node has no memory left for the run: {reason}")]
    Memory { reason: String },
    #[error("input {path} is both a file and a directory, or there twice; no replica can run this")]
    ConflictingInput { path: FilePath },
    #[error("{what} holds a zero byte; no replica can run this")]
    ZeroByte { what: &'static str },
    #[error("the compiler refused a valid module: {reason}")]
    Compiler { reason: String },
    #[error("the program overflowed the native stack before its metered one; please report this module")]
    NativeStack,
    #[error("the runtime failed: {reason}")]
    Runtime { reason: String },
    #[error("the sandbox was shut down before the run was done")]
    ShutDown,
}

/// Why a run was not taken on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    #[error("the sandbox has {waiting} runs waiting, which is its bound; try again when one is done")]
    Full { waiting: usize },
    #[error("the sandbox is shut down")]
    ShutDown,
}

/// Why a sandbox could not be made.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error("cannot make the directory {path} for compiled modules: {error}")]
    CacheDirectory { path: PathBuf, error: std::io::Error },
    #[error("wasmtime refused its configuration: {reason}")]
    Engine { reason: String },
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a host function ends a run from within; it travels through the guest's frames as a trap.
#[derive(Debug, Error)]
pub(crate) enum Stop {
    #[error("exit {0}")]
    Exit(u32),
    #[error("out of fuel")]
    OutOfFuel,
    #[error("{0}")]
    Verdict(Detail),
    #[error("{0}")]
    Local(LocalFailure),
}

/// Text from a module, for people: without control characters, and no longer than a line or two.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown: String =
        text.chars().take(LONGEST).map(|character| if character.is_control() { ' ' } else { character }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}
