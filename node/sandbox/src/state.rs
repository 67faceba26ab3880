//! Everything that belongs to one run.

use std::fmt;

use blake3::OutputReader;
use wasmtime::{Memory, ResourceLimiter};

use crate::{
    failure::{LocalFailure, Stop},
    fs::{Descriptor, Descriptors, Directory, IN, OUT, OpenFiles, ROOT, Tree, descriptor::LogStream},
    module::{Facts, MAXIMUM_TABLE_ELEMENTS},
    request::{Log, RunRequest},
    wasi::world::{Clock, randomness},
};

pub(crate) struct State {
    /// The guest's exported memory, once a host function has looked for it.
    pub(crate) memory: Option<Memory>,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) environment: Vec<Vec<u8>>,
    pub(crate) clock: Clock,
    pub(crate) randomness: OutputReader,
    pub(crate) tree: Tree,
    pub(crate) open_files: OpenFiles,
    pub(crate) descriptors: Descriptors,
    pub(crate) stdout: Log,
    pub(crate) stderr: Log,
    pub(crate) budget: Budget,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Directories a program finds open, from descriptor 3 on. wasi-libc takes the longest that a path
/// begins with; the root is there so that listing it, and a path to nowhere, mean what they should.
const PREOPENED: [(&str, crate::fs::NodeId); 3] = [("/in", IN), ("/out", OUT), ("/", ROOT)];

impl State {
    pub(crate) fn new(request: &RunRequest) -> Result<State, LocalFailure> {
        let limits = &request.limits;
        let environment = [
            format!("VALO_SHARD={}", request.shard),
            format!("VALO_SHARDS={}", request.shards),
            format!("VALO_STAGE={}", request.stage),
        ];
        let mut tree = Tree::new(&request.inputs, limits.output)?;
        let mut descriptors = Descriptors::default();
        let streams = [Descriptor::Empty, Descriptor::Log(LogStream::Output), Descriptor::Log(LogStream::Error)];
        let directories = PREOPENED
            .map(|(path, node)| Descriptor::Directory(Directory { node, preopened: Some(path), cursor: None }));
        for descriptor in streams.into_iter().chain(directories) {
            let opened = descriptor.node().map_or(Ok(()), |node| tree.open(node));
            opened.and_then(|()| descriptors.add(descriptor)).map_err(|errno| LocalFailure::Runtime {
                reason: format!("cannot open the first descriptors: {errno:?}"),
            })?;
        }
        Ok(State {
            memory: None,
            arguments: strings(&request.arguments, "an argument")?,
            environment: strings(&environment, "the stage's name")?,
            clock: Clock::new(&request.world),
            randomness: randomness(&request.world),
            tree,
            open_files: OpenFiles::default(),
            descriptors,
            stdout: Log::new(limits.log),
            stderr: Log::new(limits.log),
            budget: Budget::new(limits.memory),
        })
    }
}

fn strings(strings: &[String], what: &'static str) -> Result<Vec<Vec<u8>>, LocalFailure> {
    if strings.iter().any(|string| string.contains('\0')) {
        return Err(LocalFailure::ZeroByte { what });
    }
    Ok(strings.iter().map(|string| string.clone().into_bytes()).collect())
}

/// What the guest may take of memory and tables.
///
/// A growth beyond the limit is refused as WebAssembly has it, with -1, on every machine alike, and
/// remembered; one that the limit allows but this machine cannot give ends the run locally.
#[derive(Debug)]
pub(crate) struct Budget {
    memory_limit: u64,
    table_elements: u64,
    /// A growth was refused.
    pub(crate) refused: bool,
}

/// wasmtime's own words for a growth past what the memory's type can address, which it reports
/// without asking [`ResourceLimiter::memory_growing`] first; a test holds them to it.
const PAST_TYPE: &str = "memory growth exceeds memory type's limits";

impl Budget {
    fn new(memory_limit: u64) -> Budget {
        Budget { memory_limit, table_elements: 0, refused: false }
    }

    /// What a module needs before its first instruction.
    pub(crate) fn admits(&self, facts: &Facts) -> Result<(), crate::failure::Detail> {
        if facts.memory_bytes > self.memory_limit {
            return Err(crate::failure::Detail::InitialMemory { needed: facts.memory_bytes, limit: self.memory_limit });
        }
        if facts.table_elements > MAXIMUM_TABLE_ELEMENTS {
            return Err(crate::failure::Detail::InitialTables {
                needed: facts.table_elements,
                limit: MAXIMUM_TABLE_ELEMENTS,
            });
        }
        Ok(())
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired as u64 <= self.memory_limit && maximum.is_none_or(|maximum| desired <= maximum);
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        let reason = error.to_string();
        if reason == PAST_TYPE {
            self.refused = true;
            return Ok(());
        }
        Err(Stop::Local(LocalFailure::Memory { reason }).into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add((desired.saturating_sub(current)) as u64);
        let allowed = total <= MAXIMUM_TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.table_elements = total;
        }
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop::Local(LocalFailure::Memory { reason: error.to_string() }).into())
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        1
    }
}
