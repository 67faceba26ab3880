//! Reading a module once: bounds, validation, imports, and the metered copy.

use wasmparser::{
    ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody, Imports, Parser, Payload, TypeRef,
    ValidPayload, Validator, ValidatorResources,
};

use super::{
    Facts, MAXIMUM_CODE_BYTES, MAXIMUM_FUNCTION_BYTES, MAXIMUM_FUNCTION_WORK, MAXIMUM_ITEMS, MAXIMUM_WORK,
    RESERVED_PREFIX, STACK_EXPORT, START_EXPORT, encode,
    meter::{BlockType, Meter, Signature},
};
use crate::{
    engine::FEATURES,
    failure::{Detail, printable},
    wasi,
};

/// A module that may be compiled.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) bytes: Vec<u8>,
    pub(super) facts: Facts,
}

pub(super) const HEADER: &[u8] = b"\0asm\x01\0\0\0";
const WASM_PAGE: u64 = 1 << 16;

mod id {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const GLOBAL: u8 = 6;
    pub(super) const EXPORT: u8 = 7;
    pub(super) const CODE: u8 = 10;
}

pub(super) fn check(bytes: &[u8]) -> Result<Checked, Detail> {
    let mut copy = Copy::default();
    copy.module.reserve(bytes.len() + bytes.len() / 8);
    copy.module.extend_from_slice(HEADER);
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(|error| invalid(&error))?;
        match validator.payload(&payload).map_err(|error| invalid(&error))? {
            ValidPayload::Func(function, body) => copy.function(function, &body)?,
            ValidPayload::Parser(_) => return Err(refuse("it is a component, not a module".into())),
            ValidPayload::Ok | ValidPayload::End(_) => copy.section(bytes, payload)?,
        }
    }
    copy.write_exports();
    if !copy.names.is_empty() {
        encode::section(&mut copy.module, id::CUSTOM, &copy.names);
    }
    if !copy.has_command {
        return Err(refuse(
            "it exports no function _start without parameters and results, so it is no WASI command".into(),
        ));
    }
    Ok(Checked { bytes: copy.module, facts: copy.facts })
}

/// The meter adds items to lists, which then have to be short of wasmtime's own bounds too.
fn bounded(what: &str, count: u32) -> Result<(), Detail> {
    let refused = || refuse(format!("it has {count} {what}; {MAXIMUM_ITEMS} are allowed"));
    if count > MAXIMUM_ITEMS { Err(refused()) } else { Ok(()) }
}

fn invalid(error: &wasmparser::Error) -> Detail {
    refuse(error.to_string())
}

fn refuse(reason: String) -> Detail {
    Detail::InvalidModule { reason: printable(&reason) }
}

/// The metered copy while it is made.
#[derive(Default)]
struct Copy {
    module: Vec<u8>,
    facts: Facts,
    allocations: FuncValidatorAllocations,
    types: Vec<Signature>,
    /// The type of every function, imported ones first.
    function_types: Vec<u32>,
    /// Globals of the module itself; the meter's comes after them.
    globals: u32,
    global_written: bool,
    start: Option<u32>,
    exports: Vec<u8>,
    exports_count: u32,
    has_command: bool,
    names: Vec<u8>,
    code_count: u32,
    functions_left: u32,
    code: Vec<u8>,
    /// The compiler's work, as estimated.
    work: u64,
}

impl Copy {
    /// Takes over a section that is validated.
    fn section(&mut self, bytes: &[u8], payload: Payload<'_>) -> Result<(), Detail> {
        let raw = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
        match payload {
            Payload::Version { .. } | Payload::End(_) | Payload::CodeSectionEntry(_) => {}
            Payload::TypeSection(reader) => {
                let (count, range) = (reader.count(), reader.range());
                let items = items(raw(range.clone()), reader.original_position() - range.start);
                bounded("types", count)?;
                self.types(reader, count, items)?;
            }
            Payload::ImportSection(reader) => {
                let range = reader.range();
                self.imports(reader)?;
                encode::section(&mut self.module, 2, raw(range));
            }
            Payload::FunctionSection(reader) => {
                let range = reader.range();
                bounded("functions", reader.count())?;
                for index in reader {
                    self.function_types.push(index.map_err(|error| invalid(&error))?);
                }
                encode::section(&mut self.module, 3, raw(range));
            }
            Payload::TableSection(reader) => {
                let range = reader.range();
                for table in reader.clone() {
                    let initial = table.map_err(|error| invalid(&error))?.ty.initial;
                    self.facts.table_elements = self.facts.table_elements.saturating_add(initial);
                }
                encode::section(&mut self.module, 4, raw(range));
            }
            Payload::MemorySection(reader) => {
                let range = reader.range();
                for memory in reader.clone() {
                    let pages = memory.map_err(|error| invalid(&error))?.initial;
                    self.facts.memory_bytes = pages.saturating_mul(WASM_PAGE);
                }
                encode::section(&mut self.module, 5, raw(range));
            }
            Payload::GlobalSection(reader) => {
                let (count, range) = (reader.count(), reader.range());
                let items = items(raw(range.clone()), reader.original_position() - range.start);
                bounded("globals", count)?;
                self.globals = count;
                self.write_globals(count, items);
            }
            Payload::ExportSection(reader) => {
                let (count, range) = (reader.count(), reader.range());
                let items = items(raw(range.clone()), reader.original_position() - range.start);
                bounded("exports", count)?;
                self.exports(reader)?;
                self.exports_count = count;
                self.exports = items.to_vec();
            }
            // Called by its exported name after instantiation, so that an overflow in it is seen.
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(reader) => {
                self.write_exports();
                encode::section(&mut self.module, 9, raw(reader.range()));
            }
            Payload::DataCountSection { range, .. } => {
                self.write_exports();
                encode::section(&mut self.module, 12, raw(range));
            }
            Payload::CodeSectionStart { count, range, .. } => {
                self.write_exports();
                if range.len() > MAXIMUM_CODE_BYTES {
                    return Err(refuse(format!("its code is longer than {MAXIMUM_CODE_BYTES} bytes")));
                }
                self.code_count = count;
                self.functions_left = count;
                if count == 0 {
                    self.finish_code();
                }
            }
            Payload::DataSection(reader) => {
                self.write_exports();
                encode::section(&mut self.module, 11, raw(reader.range()));
            }
            // Names make backtraces readable; whatever else there is speaks of the old bytes.
            Payload::CustomSection(reader) if reader.name() == "name" => self.names = raw(reader.range()).to_vec(),
            Payload::CustomSection(_) => {}
            other => return Err(refuse(format!("it has a section that is not allowed: {other:?}"))),
        }
        Ok(())
    }

    fn types(&mut self, reader: wasmparser::TypeSectionReader<'_>, count: u32, items: &[u8]) -> Result<(), Detail> {
        let mut more = 0u32;
        let mut extra = Vec::new();
        for (index, function) in (0u32..).zip(reader.into_iter_err_on_gc_types()) {
            let function = function.map_err(|error| invalid(&error))?;
            let block = match (function.params(), function.results()) {
                (_, []) => BlockType::Empty,
                ([], _) => BlockType::Index(index),
                (_, results) => {
                    extra.extend_from_slice(&[0x60, 0]);
                    encode::unsigned(&mut extra, results.len() as u64);
                    for result in results {
                        let byte = encode::value_type(*result);
                        extra.push(byte.ok_or_else(|| refuse(format!("type {result} is not allowed")))?);
                    }
                    more += 1;
                    BlockType::Index(count + more - 1)
                }
            };
            let (parameters, results) = (function.params().len(), function.results().len());
            self.types.push(Signature { parameters, results, block });
        }
        encode::section(&mut self.module, id::TYPE, &encode::extended_list(count, items, more, &extra));
        Ok(())
    }

    fn imports(&mut self, reader: wasmparser::ImportSectionReader<'_>) -> Result<(), Detail> {
        for group in reader {
            let Imports::Single(_, import) = group.map_err(|error| invalid(&error))? else {
                return Err(refuse("it has compact imports, which are not allowed".into()));
            };
            let missing = Detail::MissingImport { module: printable(import.module), name: printable(import.name) };
            match import.ty {
                TypeRef::Func(index) if import.module == wasi::MODULE => self.function_types.push(index),
                _ => return Err(missing),
            }
        }
        Ok(())
    }

    fn exports(&mut self, reader: wasmparser::ExportSectionReader<'_>) -> Result<(), Detail> {
        for export in reader {
            let export = export.map_err(|error| invalid(&error))?;
            if export.name.starts_with(RESERVED_PREFIX) {
                return Err(refuse(format!("it exports {:?}; names in {RESERVED_PREFIX:?} are reserved", export.name)));
            }
            if export.name == "memory" && export.kind == ExternalKind::Memory {
                self.facts.exports_memory = true;
            }
            if export.name == "_start" && export.kind == ExternalKind::Func {
                self.has_command = self.is_plain_function(export.index);
            }
        }
        Ok(())
    }

    fn is_plain_function(&self, function: u32) -> bool {
        let kind = usize::try_from(function).ok().and_then(|index| self.function_types.get(index));
        let signature = kind.and_then(|kind| self.types.get(usize::try_from(*kind).ok()?));
        signature.is_some_and(|signature| signature.parameters == 0 && signature.results == 0)
    }

    /// The module's globals and, behind them, the meter's: `(mut i32) (i32.const 0)`.
    fn write_globals(&mut self, count: u32, items: &[u8]) {
        let meter = [0x7f, 0x01, 0x41, 0x00, 0x0b];
        encode::section(&mut self.module, id::GLOBAL, &encode::extended_list(count, items, 1, &meter));
        self.global_written = true;
    }

    /// Writes the exports, once, when it is known whether there is a start function: that is, before
    /// the first section that comes after both.
    fn write_exports(&mut self) {
        if self.exports_count == 0 {
            return;
        }
        if !self.global_written {
            self.write_globals(0, &[]);
        }
        let mut extra = Vec::new();
        encode::name(&mut extra, STACK_EXPORT);
        extra.push(0x03);
        encode::unsigned(&mut extra, u64::from(self.globals));
        let mut more = 1;
        if let Some(function) = self.start {
            encode::name(&mut extra, START_EXPORT);
            extra.push(0x00);
            encode::unsigned(&mut extra, u64::from(function));
            self.facts.has_start = true;
            more += 1;
        }
        let contents = encode::extended_list(self.exports_count, &self.exports, more, &extra);
        encode::section(&mut self.module, id::EXPORT, &contents);
        self.exports_count = 0;
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), Detail> {
        let index = function.index;
        if body.as_bytes().len() > MAXIMUM_FUNCTION_BYTES {
            return Err(refuse(format!("function {index} is longer than {MAXIMUM_FUNCTION_BYTES} bytes")));
        }
        let meter = Meter { types: &self.types, global: self.globals };
        let metered = meter.rewrite(function, body, &mut self.allocations).map_err(|error| invalid(&error))?;
        let work = metered.work.ok().filter(|work| *work <= MAXIMUM_FUNCTION_WORK);
        let work = work.ok_or_else(|| refuse(format!("function {index} is too complex to compile")))?;
        self.work = self.work.saturating_add(work);
        if self.work > MAXIMUM_WORK {
            return Err(refuse("it is too complex to compile".into()));
        }
        self.code.extend_from_slice(&metered.bytes);
        self.functions_left = self.functions_left.saturating_sub(1);
        if self.functions_left == 0 {
            self.finish_code();
        }
        Ok(())
    }

    fn finish_code(&mut self) {
        let contents = encode::extended_list(self.code_count, &self.code, 0, &[]);
        encode::section(&mut self.module, id::CODE, &contents);
        self.code = Vec::new();
    }
}

/// The items of a list section, behind their count.
fn items(section: &[u8], start: usize) -> &[u8] {
    section.get(start..).unwrap_or_default()
}
