//! Compiled modules, kept by the hash of their bytes.
//!
//! Two runs of the same module that start together compile it once: the second waits for the
//! first. What was used longest ago goes when the bound is reached; wasmtime's own cache on disk,
//! when there is one, then still has the machine code.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use valo_protocol::BlobHash;
use wasmtime::{Engine, InstancePre, Linker, Module};

use super::{Facts, MAXIMUM_MODULE_BYTES, check::check};
use crate::{
    failure::{Detail, LocalFailure, printable},
    request::ModuleSource,
    state::State,
};

/// A module that is ready to be instantiated.
pub(crate) struct Compiled {
    pub(crate) instance: InstancePre<State>,
    pub(crate) facts: Facts,
}

/// Why a module did not get that far.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// By its own fault, as every replica finds.
    Verdict(Detail),
    Local(LocalFailure),
}

impl From<Detail> for Refusal {
    fn from(detail: Detail) -> Refusal {
        Refusal::Verdict(detail)
    }
}

impl From<LocalFailure> for Refusal {
    fn from(failure: LocalFailure) -> Refusal {
        Refusal::Local(failure)
    }
}

type Outcome = Result<Arc<Compiled>, Refusal>;
type Slot = Arc<OnceLock<Outcome>>;

pub(crate) struct ModuleCache {
    engine: Engine,
    linker: Linker<State>,
    /// The module used last is at the end.
    slots: Mutex<Vec<(BlobHash, Slot)>>,
    bound: usize,
}

impl ModuleCache {
    pub(crate) fn new(engine: &Engine, linker: Linker<State>, bound: usize) -> ModuleCache {
        ModuleCache { engine: engine.clone(), linker, slots: Mutex::default(), bound: bound.max(1) }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<(BlobHash, Slot)>> {
        // Every change leaves the list whole, so a panic elsewhere does not spoil it.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, hash: BlobHash) -> Slot {
        let mut slots = self.slots();
        if let Some(at) = slots.iter().position(|(known, _)| *known == hash) {
            let found = slots.remove(at);
            let slot = found.1.clone();
            slots.push(found);
            return slot;
        }
        if slots.len() >= self.bound {
            slots.remove(0);
        }
        let slot = Slot::default();
        slots.push((hash, slot.clone()));
        slot
    }

    /// Gives the compiled module, which takes as long as compiling it when it is new.
    pub(crate) fn get(&self, module: &ModuleSource) -> Outcome {
        let slot = self.slot(module.hash);
        let outcome = slot.get_or_init(|| self.prepare(module).map(Arc::new)).clone();
        if let Err(Refusal::Local(_)) = &outcome {
            // It may go better next time.
            self.slots().retain(|(_, known)| !Arc::ptr_eq(known, &slot));
        }
        outcome
    }

    fn prepare(&self, source: &ModuleSource) -> Result<Compiled, Refusal> {
        let started = Instant::now();
        let Some(bytes) = source.read(MAXIMUM_MODULE_BYTES)? else {
            let reason = format!("it is longer than {MAXIMUM_MODULE_BYTES} bytes");
            return Err(Detail::InvalidModule { reason }.into());
        };
        let checked = check(&bytes)?;
        let module = Module::new(&self.engine, &checked.bytes)
            .map_err(|error| LocalFailure::Compiler { reason: format!("{error:#}") })?;
        let instance = link(&self.linker, &module)?;
        tracing::debug!(hash = %source.hash, bytes = bytes.len(), took = ?started.elapsed(), "compiled a module");
        Ok(Compiled { instance, facts: checked.facts })
    }
}

/// All imports are functions of WASI's module; some may have another name or type than WASI's.
pub(super) fn link(linker: &Linker<State>, module: &Module) -> Result<InstancePre<State>, Refusal> {
    linker.instantiate_pre(module).map_err(|error| {
        match error.downcast_ref::<wasmtime::UnknownImportError>() {
            Some(unknown) => {
                Detail::MissingImport { module: unknown.module().to_string(), name: unknown.name().to_string() }
            }
            None => Detail::InvalidModule { reason: printable(&format!("{error:#}")) },
        }
        .into()
    })
}
