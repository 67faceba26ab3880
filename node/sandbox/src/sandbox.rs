//! The sandbox: engine, compiled modules and threads together.

use std::{fmt, path::PathBuf, sync::Arc};

use wasmtime::{Engine, Linker};

use crate::{
    engine,
    failure::{LocalFailure, SetupError, SubmitError},
    module::ModuleCache,
    pool::{Pool, RunHandle},
    request::{RunOutput, RunRequest},
    run::run,
    ticker::Ticker,
    wasi,
};

/// How a sandbox is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Threads that runs happen on; each run can take up to its memory and output limits.
    pub threads: usize,
    /// Runs that may wait for a thread.
    pub queue: usize,
    /// Compiled modules kept in memory.
    pub modules: usize,
    /// Where compiled modules are kept across restarts. Nobody else may be able to write there:
    /// what lies in it is run as machine code.
    pub cache_directory: Option<PathBuf>,
}

impl Default for SandboxConfig {
    fn default() -> SandboxConfig {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        SandboxConfig { threads, queue: 64, modules: 64, cache_directory: None }
    }
}

/// Runs programs. Clones share the same threads and modules; the last to go ends what still runs.
#[derive(Clone)]
pub struct Sandbox {
    core: Arc<Core>,
    pool: Arc<Pool>,
}

struct Core {
    modules: ModuleCache,
    ticker: Ticker,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the cache directory cannot be made, a thread cannot be started, or the processor is
    /// one that wasmtime does not know.
    pub fn new(config: &SandboxConfig) -> Result<Sandbox, SetupError> {
        let engine = engine::build(config.cache_directory.as_deref())?;
        let linker = link(&engine)?;
        let modules = ModuleCache::new(&engine, linker, config.modules);
        let ticker = Ticker::start(engine)?;
        let pool = Pool::new(config.threads, config.queue)?;
        Ok(Sandbox { core: Arc::new(Core { modules, ticker }), pool: Arc::new(pool) })
    }

    /// Takes on a run, which begins when a thread is free.
    ///
    /// # Errors
    /// [`SubmitError::Full`] when as many runs wait as may.
    pub fn submit(&self, request: RunRequest) -> Result<RunHandle, SubmitError> {
        let core = self.core.clone();
        self.pool.submit(move |cancelled| run(&core.modules, &core.ticker, &request, cancelled))
    }

    /// Runs a request and blocks until it is done.
    ///
    /// # Errors
    /// A [`LocalFailure`] when this machine could not do the run, or not take it on.
    pub fn run(&self, request: RunRequest) -> Result<RunOutput, LocalFailure> {
        let handle = self.submit(request).map_err(|error| LocalFailure::Runtime { reason: error.to_string() })?;
        handle.wait()
    }
}

/// WASI, for modules of this engine.
pub(crate) fn link(engine: &Engine) -> Result<Linker<crate::state::State>, SetupError> {
    let mut linker = Linker::new(engine);
    wasi::define(&mut linker).map_err(|error| SetupError::Engine { reason: format!("{error:#}") })?;
    Ok(linker)
}
