//! The one wasmtime configuration, and the WebAssembly that is allowed.
//!
//! Nothing in it follows the machine it runs on but the machine code itself: NaNs are canonical,
//! there are no threads, no relaxed SIMD, no garbage collector, and the depth of calls is metered
//! in the module ([`crate::module`]) and not by the native stack.

use std::path::Path;

use wasmparser::WasmFeatures;
use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel};

use crate::{cost, failure::SetupError};

/// What clang and rustc make of programs for `wasm32-wasi` today, and nothing else.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST);

/// Native stack for guest code. The metered stack ([`crate::module::STACK_BYTES`]) is a quarter of
/// it, so that the meter always speaks first.
pub(crate) const NATIVE_STACK: usize = 32 << 20;
/// Stack of a thread that runs guests: the guest's and the host functions' on top of it.
pub(crate) const THREAD_STACK: usize = NATIVE_STACK + (8 << 20);

/// Frames shown of a program that trapped.
const BACKTRACE_FRAMES: usize = 16;

fn refused(error: &wasmtime::Error) -> SetupError {
    SetupError::Engine { reason: format!("{error:#}") }
}

/// Builds the engine; compiled modules are kept below `cache_directory` when one is given.
/// Whoever can write there can run code in this process.
pub(crate) fn build(cache_directory: Option<&Path>) -> Result<Engine, SetupError> {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .consume_fuel(true)
        .operator_cost(cost::operators())
        .epoch_interruption(true)
        .max_wasm_stack(NATIVE_STACK)
        .async_stack_size(THREAD_STACK)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        .generate_address_map(false)
        // A module is compiled on the thread of the run that needs it: there the stack is long, and
        // no more is compiled at once than there are threads, however many cores there are.
        .parallel_compilation(false);
    if let Some(directory) = cache_directory {
        std::fs::create_dir_all(directory)
            .map_err(|error| SetupError::CacheDirectory { path: directory.to_path_buf(), error })?;
        let mut cache = CacheConfig::new();
        cache.with_directory(directory);
        config.cache(Some(Cache::new(cache).map_err(|error| refused(&error))?));
    }
    Engine::new(&config).map_err(|error| refused(&error))
}
