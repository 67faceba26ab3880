//! What every replica would refuse a module for, found before anybody runs it: by whoever is about to pay for that.

use wasmparser::{Imports, Parser, Payload};
use wasmtime::{Engine, Linker, Module};

use super::{MAXIMUM_MODULE_BYTES, MAXIMUM_TABLE_ELEMENTS, cache, cache::Refusal, check::check, encode};
use crate::{
    engine,
    failure::{Detail, SetupError},
    sandbox,
    state::State,
};

/// The one function of WASI that touches no memory.
const WITHOUT_MEMORY: &str = "proc_exit";

/// Looks at modules with the rules of the sandbox, and compiles and runs none.
pub struct Inspector {
    engine: Engine,
    linker: Linker<State>,
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inspector").finish_non_exhaustive()
    }
}

impl Inspector {
    /// The most bytes of a module: what is longer need not be read.
    pub const MOST: u64 = MAXIMUM_MODULE_BYTES;

    /// # Errors
    /// When the processor is one that wasmtime does not know.
    pub fn new() -> Result<Inspector, SetupError> {
        let engine = engine::build(None)?;
        let linker = sandbox::link(&engine)?;
        Ok(Inspector { engine, linker })
    }

    /// Whether a module is a command that can start within `memory` bytes.
    ///
    /// # Errors
    /// The verdict that every replica would come to; and for a program that calls WASI and exports no memory, which runs
    /// and can do nothing.
    pub fn check(&self, module: &[u8], memory: u64) -> Result<(), Detail> {
        let invalid = |reason: String| Detail::InvalidModule { reason };
        if u64::try_from(module.len()).is_ok_and(|length| length > Self::MOST) {
            return Err(invalid(format!("it is longer than {} bytes", Self::MOST)));
        }
        let facts = check(module)?.facts;
        if facts.memory_bytes > memory {
            return Err(Detail::InitialMemory { needed: facts.memory_bytes, limit: memory });
        }
        if facts.table_elements > MAXIMUM_TABLE_ELEMENTS {
            let (needed, limit) = (facts.table_elements, MAXIMUM_TABLE_ELEMENTS);
            return Err(Detail::InitialTables { needed, limit });
        }
        let interface = Interface::of(module);
        if let Some(name) = interface.needs_memory.filter(|_| !facts.exports_memory) {
            return Err(invalid(format!("it calls {name} and exports no memory named \"memory\" to read and write")));
        }
        self.link(&interface.module)
    }

    /// Whether all imports are there: those of a module of nothing else, which takes no time to compile.
    fn link(&self, imports: &[u8]) -> Result<(), Detail> {
        let invalid = |error: wasmtime::Error| Detail::InvalidModule { reason: format!("{error:#}") };
        let module = Module::new(&self.engine, imports).map_err(invalid)?;
        match cache::link(&self.linker, &module) {
            Err(Refusal::Verdict(detail)) => Err(detail),
            Err(Refusal::Local(_)) | Ok(_) => Ok(()),
        }
    }
}

/// The types and imports of a module as a module of their own. The module was checked before.
struct Interface {
    module: Vec<u8>,
    /// A function that it imports and that could do nothing without memory.
    needs_memory: Option<String>,
}

impl Interface {
    fn of(bytes: &[u8]) -> Interface {
        let mut interface = Interface { module: super::check::HEADER.to_vec(), needs_memory: None };
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            let (id, range) = match payload {
                Payload::TypeSection(reader) => (1, reader.range()),
                Payload::ImportSection(reader) => {
                    let range = reader.range();
                    for import in reader.into_iter().map_while(Result::ok) {
                        if let Imports::Single(_, import) = import
                            && import.name != WITHOUT_MEMORY
                        {
                            interface.needs_memory = Some(import.name.to_owned());
                        }
                    }
                    (2, range)
                }
                _ => continue,
            };
            encode::section(&mut interface.module, id, bytes.get(range).unwrap_or_default());
        }
        interface
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), String> {
        let module = wat::parse_str(text).unwrap();
        Inspector::new().unwrap().check(&module, 1 << 20).map_err(|detail| detail.to_string())
    }

    #[test]
    fn commands_pass() {
        let import = r#"(import "wasi_snapshot_preview1""#;
        for good in [
            r#"(module (func (export "_start")))"#.to_owned(),
            format!(r#"(module {import} "proc_exit" (func (param i32))) (func (export "_start")))"#),
            format!(
                r#"(module {import} "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 16) (func (export "_start")))"#
            ),
        ] {
            assert_eq!(verdict(&good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_could_not_start_is_refused_with_its_reason() {
        let import = r#"(import "wasi_snapshot_preview1""#;
        let start = r#"(func (export "_start"))"#;
        for (bad, reason) in [
            (r#"(module (memory (export "memory") 1))"#.to_owned(), "_start"),
            (r#"(module (func (export "_start") (param i32)))"#.to_owned(), "_start"),
            (format!(r#"(module (import "env" "now" (func)) {start})"#), r#""env" "now""#),
            (format!(r#"(module {import} "fd_fly" (func)) (memory (export "memory") 1) {start})"#), r#""fd_fly""#),
            (format!(r#"(module {import} "fd_close" (func)) (memory (export "memory") 1) {start})"#), "fd_close"),
            (
                format!(r#"(module {import} "fd_close" (func (param i32) (result i32))) (memory 1) {start})"#),
                "exports no memory",
            ),
            (format!(r#"(module (memory (export "memory") 17) {start})"#), "1114112 bytes of memory to start"),
            (format!(r#"(module (table 2000000 funcref) {start})"#), "2000000 elements"),
        ] {
            let refused = verdict(&bad).unwrap_err();
            assert!(refused.contains(reason), "{bad}: {refused}");
        }
        let inspector = Inspector::new().unwrap();
        assert!(inspector.check(b"no module", 1 << 20).is_err());
        assert!(inspector.check(b"", 1 << 20).is_err());
    }
}
