//! Deterministic runs of WebAssembly programs: the same request gives the same record, byte for
//! byte, on every machine.
//!
//! A program is a WASI preview 1 command, from whatever language. It reads `/in`, writes `/out`,
//! and exits; nothing else of the machine reaches it:
//!
//! | what programs differ by | what they get here |
//! | --- | --- |
//! | files | `/in` with the inputs, `/out` empty; sorted listings, fixed inode numbers and times |
//! | time, randomness | from the contract ([`World`]); every look at the clock takes a microsecond |
//! | environment | `VALO_SHARD`, `VALO_SHARDS`, `VALO_STAGE` |
//! | speed | fuel, counted alike everywhere |
//! | memory | a limit, beyond which `memory.grow` gives -1 everywhere |
//! | depth of recursion | metered in the module itself, not by the native stack |
//! | NaN bits, threads, relaxed SIMD | canonical, none, none |
//!
//! ```text
//! RunRequest --submit--> Sandbox --> RunHandle (a future) --> RunOutput { record, files, logs }
//!                          |                             \--> LocalFailure: abstain
//!                          +-- threads, compiled modules, ticker
//! ```
//!
//! What replicas agree on is the [`OutputRecord`](valo_protocol::files::OutputRecord): exit code or
//! [`RunFailure`](valo_protocol::files::RunFailure), fuel, and the tree of output files. What only this machine knows is a
//! [`LocalFailure`] and never becomes a record.
//!
//! ```
//! use valo_protocol::BlobHash;
//! use valo_sandbox::*;
//!
//! let module = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).unwrap();
//! let sandbox = Sandbox::new(&SandboxConfig { threads: 1, ..SandboxConfig::default() }).unwrap();
//! let output = sandbox.run(RunRequest {
//!     module: ModuleSource { hash: BlobHash::of(&module), source: Source::Bytes(module.into()) },
//!     arguments: vec!["nothing".into()],
//!     shard: 0,
//!     shards: 1,
//!     stage: "only".into(),
//!     inputs: Vec::new(),
//!     world: World { seed: [0; 32], start: 0 },
//!     limits: Limits { fuel: 1_000, memory: 1 << 20, output: 0, wall: std::time::Duration::from_secs(1), log: 1024 },
//! }).unwrap();
//! assert!(output.record.status.is_success());
//! ```

#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod cost;
mod engine;
mod failure;
mod fs;
mod module;
mod pool;
mod request;
mod run;
mod sandbox;
mod state;
mod ticker;
mod wasi;

pub use failure::{Detail, LocalFailure, SetupError, SubmitError};
pub use module::Inspector;
pub use pool::RunHandle;
pub use request::{InputFile, Limits, Log, ModuleSource, OutputFile, RunOutput, RunRequest, Source, World};
pub use sandbox::{Sandbox, SandboxConfig};
