//! From a document and its files to a contract, up to the moment of submission: names resolved to stages, files
//! split and named by their hashes, every rule that needs no network checked.

use super::{
    FieldError,
    blobs::{Blob, Blobs},
    document::Document,
    inputs::{self, Inputs},
};
use crate::{API_VERSION, Deadline, Entry, InputSpec, KIND, MergeSpec, OnFailureSpec, Source, StageSpec, WasmSpec};
use std::{collections::BTreeMap, fs::File, io::Read, path::Path};
use valo_protocol::{
    Amount, BlobHash, Duration, JobContract, Timestamp, Varint,
    bytes::{BoundedString, BoundedVec},
    job::{
        ContractError, Input, MAX_NAME, MAX_SHARDS, MAX_STAGES, Merge, OnFailure, Program, Stage, StageIndex,
        Verification, is_name,
    },
};

/// A contract that lacks only its moment, and what must be uploaded for it.
#[derive(Debug)]
pub struct Plan {
    deadline: Deadline,
    contract: JobContract,
    /// The blobs it needs.
    pub blobs: Blobs,
}

/// Digests of inputs for which the document says no length: the network is asked for it.
pub fn digests_without_size(document: &Document) -> Vec<BlobHash> {
    let inputs = document.spec.stages.iter().filter_map(|stage| stage.input.as_ref());
    let entries = inputs.flat_map(|input| {
        let lists = input.shards.iter().flatten().flatten();
        input.file.iter().chain(input.files.iter().flatten()).chain(lists)
    });
    let unsized_blobs = entries.filter_map(|entry| match entry {
        Entry::Blob { digest, size: None, .. } => Some(*digest),
        _ => None,
    });
    let unique: std::collections::BTreeSet<BlobHash> = unsized_blobs.collect();
    unique.into_iter().collect()
}

/// Resolves a document. `folder` is where its paths start; `sizes` are those of [`digests_without_size`].
pub fn plan(document: &Document, folder: &Path, sizes: &BTreeMap<BlobHash, u64>) -> Result<Plan, FieldError> {
    if document.api_version != API_VERSION {
        return Err(FieldError::new(
            "apiVersion",
            format!("`{}` is not known here; this is for {API_VERSION}", document.api_version),
        ));
    }
    if document.kind != KIND {
        return Err(FieldError::new("kind", format!("`{}` is not a {KIND}", document.kind)));
    }
    check_name(&document.metadata.name).map_err(|reason| FieldError::new("metadata.name", reason))?;
    let spec = &document.spec;
    if spec.stages.is_empty() || spec.stages.len() > MAX_STAGES {
        return Err(FieldError::new(
            "spec.stages",
            format!("there must be 1 to {MAX_STAGES} stages, not {}", spec.stages.len()),
        ));
    }
    let mut planner =
        Planner { document, inputs: Inputs { folder, sizes }, blobs: Blobs::default(), stages: Vec::new() };
    for (index, stage) in spec.stages.iter().enumerate() {
        let stage = planner.stage(&format!("spec.stages[{index}]"), index, stage)?;
        planner.stages.push(stage);
    }
    let Planner { blobs, stages, .. } = planner;
    let replicas = spec.verification.replicas;
    let quorum = spec.verification.quorum.unwrap_or_else(|| (replicas / 2).saturating_add(1));
    let contract = JobContract {
        name: BoundedString::new(&document.metadata.name).map_err(|error| FieldError::new("metadata.name", error))?,
        stages: BoundedVec::new(stages).map_err(|error| FieldError::new("spec.stages", error))?,
        verification: Verification::Replicated { replicas, quorum },
        budget: spec.budget.0,
        tip: spec.tip.map_or(Amount::ZERO, |tip| tip.0),
        deadline: Timestamp::default(),
        retention: Duration(spec.result.retention.0),
        merge: match spec.result.merge {
            MergeSpec::Folders => Merge::Folders,
            MergeSpec::Concatenate => Merge::Concatenate,
        },
    };
    if contract.tip > contract.budget {
        return Err(FieldError::new(
            "spec.tip",
            format!("{} VALO is more than the budget of {} VALO", contract.tip, contract.budget),
        ));
    }
    contract.check().map_err(|error| at_field(document, error))?;
    Ok(Plan { deadline: spec.deadline, contract, blobs })
}

impl Plan {
    /// The contract without its deadline: enough to estimate what it costs.
    pub fn draft(&self) -> &JobContract {
        &self.contract
    }

    /// The contract as of a moment of block time.
    pub fn contract(&self, now: Timestamp) -> Result<JobContract, FieldError> {
        let deadline = match self.deadline {
            Deadline::After(span) => now.after(Duration(span.0)),
            Deadline::At(moment) => moment,
        };
        if deadline <= now {
            let over = now.since(deadline);
            let reason = match over.0 {
                0 => "it leaves no time".to_owned(),
                _ => format!("it is in the past, by {}", crate::quantity::in_words(over.into())),
            };
            return Err(FieldError::new("spec.deadline", reason));
        }
        Ok(JobContract { deadline, ..self.contract.clone() })
    }
}

struct Planner<'a> {
    document: &'a Document,
    inputs: Inputs<'a>,
    blobs: Blobs,
    stages: Vec<Stage>,
}

impl Planner<'_> {
    fn stage(&mut self, field: &str, index: usize, spec: &StageSpec) -> Result<Stage, FieldError> {
        let name_field = format!("{field}.name");
        if !is_name(&spec.name) {
            return Err(FieldError::new(
                name_field,
                format!("`{}` is not a usable name: it takes 1 to 32 of a-z, 0-9 and -", spec.name),
            ));
        }
        if self.stages.iter().any(|stage| *stage.name == *spec.name) {
            return Err(FieldError::new(name_field, format!("there are two stages `{}`", spec.name)));
        }
        let (program, memory, output) = self.program(field, spec)?;
        let (input, shards) = self.input(field, index, spec)?;
        Ok(Stage {
            name: BoundedString::new(&spec.name).map_err(|error| FieldError::new(name_field, error))?,
            tier: BoundedString::new(&spec.tier).map_err(|error| FieldError::new(format!("{field}.tier"), error))?,
            program,
            memory,
            output,
            input,
            shards,
            on_failure: match (spec.on_failure, spec.retries) {
                (OnFailureSpec::Fail, None | Some(0)) => OnFailure::Fail,
                (OnFailureSpec::Fail, Some(times)) => OnFailure::Retry(times),
                (OnFailureSpec::Continue, None) => OnFailure::Continue,
                (OnFailureSpec::Continue, Some(_)) => {
                    return Err(FieldError::new(format!("{field}.retries"), "they go with onFailure: fail"));
                }
            },
        })
    }

    fn program(&mut self, field: &str, spec: &StageSpec) -> Result<(Program, u64, u64), FieldError> {
        match (&spec.wasm, &spec.container) {
            (Some(wasm), None) => {
                let field = format!("{field}.wasm");
                let program = Program::Wasm {
                    module: self.module(&format!("{field}.module"), wasm)?,
                    args: texts(&format!("{field}.args"), &wasm.args)?,
                    fuel: Varint(wasm.fuel.0),
                };
                Ok((program, wasm.memory.0, wasm.output.0))
            }
            (None, Some(container)) => {
                let field = format!("{field}.container");
                let milli_cpu = u32::try_from(container.cpu.0);
                let program = Program::Container {
                    image: BoundedString::new(&container.image)
                        .map_err(|error| FieldError::new(format!("{field}.image"), error))?,
                    command: texts(&format!("{field}.command"), &container.command)?,
                    seconds: container.seconds,
                    milli_cpu: milli_cpu.map_err(|_| FieldError::new(format!("{field}.cpu"), "it is too large"))?,
                };
                Ok((program, container.memory.0, container.output.0))
            }
            _ => Err(FieldError::new(field, "a stage runs exactly one of `wasm` and `container`")),
        }
    }

    fn module(&mut self, field: &str, wasm: &WasmSpec) -> Result<BlobHash, FieldError> {
        let path = match &wasm.module {
            Source::Blob(hash) => {
                self.blobs.need(*hash, field);
                return Ok(*hash);
            }
            Source::Path(path) => self.inputs.folder.join(path),
        };
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => FieldError::new(field, format!("there is no file `{}`", path.display())),
            _ => FieldError::new(field, format!("cannot read `{}`: {error}", path.display())),
        };
        // Of a pipe nobody may ever write, and it would be waited for.
        if !std::fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(FieldError::new(field, format!("`{}` is not a regular file", path.display())));
        }
        let mut magic = [0u8; 4];
        let file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let begins = (&file).read_exact(&mut magic).is_ok() && magic == *b"\0asm";
        if !begins {
            return Err(FieldError::new(field, format!("`{}` is not a WebAssembly module", path.display())));
        }
        let blob = Blob::of_file(&path, 0..size).map_err(|error| FieldError::new(field, error))?;
        let hash = blob.hash;
        self.blobs.add(blob);
        Ok(hash)
    }

    fn input(&mut self, stage_field: &str, index: usize, spec: &StageSpec) -> Result<(Input, u32), FieldError> {
        let field = format!("{stage_field}.input");
        let shards_field = format!("{stage_field}.shards");
        let Some(input) = &spec.input else {
            return Ok((Input::None, spec.shards.unwrap_or(1)));
        };
        check_alone(&field, input)?;
        if let Some(name) = &input.stage {
            return self.upstream(&field, index, name, input, spec.shards);
        }
        if let Some(manifest) = &input.manifest {
            let Source::Blob(manifest) = manifest else {
                return Err(FieldError::new(
                    format!("{field}.manifest"),
                    "it takes blake3: and 64 hexadecimal characters",
                ));
            };
            let (Some(bytes), Some(shards)) = (input.shard_bytes, spec.shards) else {
                return Err(FieldError::new(field, "with a manifest, say `shardBytes` here and `shards` beside it"));
            };
            self.blobs.need(*manifest, &format!("{field}.manifest"));
            return Ok((Input::Files { manifest: *manifest, shard_bytes: bytes.0 }, shards));
        }
        if spec.shards == Some(0) {
            return Err(FieldError::new(shards_field, "there must be at least one"));
        }
        let trees = self.inputs.trees(&field, input, spec.shards, &mut self.blobs)?;
        let count = u32::try_from(trees.len()).unwrap_or(u32::MAX);
        if spec.shards.is_some_and(|shards| shards != count) {
            return Err(FieldError::new(
                shards_field,
                format!("the input makes {count} shards; leave `shards` away, or put it into the split"),
            ));
        }
        let (manifest, shard_bytes) = inputs::manifest(&field, trees, &mut self.blobs)?;
        Ok((Input::Files { manifest, shard_bytes }, count))
    }

    fn upstream(
        &self,
        field: &str,
        index: usize,
        name: &str,
        input: &InputSpec,
        shards: Option<u32>,
    ) -> Result<(Input, u32), FieldError> {
        let stage_field = format!("{field}.stage");
        let position = self.document.spec.stages.iter().position(|stage| stage.name == name);
        let Some(position) = position else {
            let names: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
            let earlier = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(FieldError::new(
                stage_field,
                format!("there is no stage `{name}`; earlier ones are: {earlier}"),
            ));
        };
        let Some(upstream) = self.stages.get(position) else {
            return Err(FieldError::new(stage_field, self.not_earlier(index, position, name)));
        };
        let stage = StageIndex(u8::try_from(position).unwrap_or(u8::MAX));
        match (input.each, input.all) {
            (true, false) => match shards {
                Some(shards) if shards != upstream.shards => Err(FieldError::new(
                    field,
                    format!(
                        "with each: true there are as many shards as in `{name}`, {}, not {shards}",
                        upstream.shards
                    ),
                )),
                _ => Ok((Input::Each { stage }, upstream.shards)),
            },
            (false, true) => Ok((Input::All { stage }, shards.unwrap_or(1))),
            _ => Err(FieldError::new(
                field,
                "say each: true (shard i reads shard i) or all: true (every shard reads all)",
            )),
        }
    }

    /// Why a stage cannot read from one that does not come before it.
    fn not_earlier(&self, index: usize, position: usize, name: &str) -> String {
        let stages = &self.document.spec.stages;
        let reads = |from: usize| {
            let upstream = stages.get(from)?.input.as_ref()?.stage.as_deref()?;
            stages.iter().position(|stage| stage.name == upstream)
        };
        // A stage reads from one other at most, so following that for as many steps as there are stages finds a cycle.
        let mut at = Some(position);
        for _ in 0..stages.len() {
            if at == Some(index) {
                return match position == index {
                    true => "a stage cannot read what it writes itself".to_owned(),
                    false => format!("a cycle: `{name}` reads, in the end, from this stage"),
                };
            }
            at = at.and_then(reads);
        }
        format!("`{name}` comes later; put it before this stage")
    }
}

/// Refuses a name of a job that people could not tell from another, or not type.
fn check_name(name: &str) -> Result<(), String> {
    // Characters that show nothing, or turn what stands around them.
    let unseen = |letter: char| matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let refuse = |reason: &str| Err(format!("the name of the job {reason}"));
    match name {
        "" => Err("the job has no name".to_owned()),
        _ if name.len() > MAX_NAME => refuse(&format!("has {} bytes; {MAX_NAME} are allowed", name.len())),
        _ if name.trim() != name => refuse("begins or ends with a blank"),
        _ if name.chars().any(char::is_control) => refuse("holds control characters"),
        _ if name.chars().any(unseen) => refuse("holds characters that cannot be seen"),
        _ => Ok(()),
    }
}

/// Refuses an input that says two things.
fn check_alone(field: &str, input: &InputSpec) -> Result<(), FieldError> {
    let kinds = [
        ("file", input.file.is_some()),
        ("files", input.files.is_some()),
        ("shards", input.shards.is_some()),
        ("manifest", input.manifest.is_some()),
        ("stage", input.stage.is_some()),
    ];
    let said: Vec<&str> = kinds.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect();
    let [kind] = said.as_slice() else {
        return Err(FieldError::new(field, "say exactly one of file, files, shards, manifest and stage"));
    };
    let stray = [
        ("split", input.split.is_some(), &["file", "files"][..]),
        ("shardBytes", input.shard_bytes.is_some(), &["manifest"]),
        ("each", input.each, &["stage"]),
        ("all", input.all, &["stage"]),
    ];
    for (name, said, with) in stray {
        if said && !with.contains(kind) {
            return Err(FieldError::new(
                format!("{field}.{name}"),
                format!("it goes with {}, not with {kind}", with.join(" or ")),
            ));
        }
    }
    Ok(())
}

fn texts<const EACH: usize, const MANY: usize>(
    field: &str,
    texts: &[String],
) -> Result<BoundedVec<BoundedString<EACH>, MANY>, FieldError> {
    let bounded: Result<Vec<_>, _> = texts.iter().map(BoundedString::new).collect();
    bounded.and_then(BoundedVec::new).map_err(|error| FieldError::new(field, error))
}

/// Puts the field in front of what [`JobContract::check`] says, which knows stages by number only.
fn at_field(document: &Document, error: ContractError) -> FieldError {
    let at = |stage: StageIndex, rest: &str| format!("spec.stages[{stage}]{rest}");
    let program = |stage: StageIndex| {
        let wasm = document.spec.stages.get(usize::from(stage.0)).is_some_and(|stage| stage.wasm.is_some());
        if wasm { "wasm" } else { "container" }
    };
    match &error {
        ContractError::JobName => FieldError::new("metadata.name", error),
        ContractError::Retention(_) => FieldError::new("spec.result.retention", error),
        ContractError::NoStages | ContractError::TooLarge(_) => FieldError::new("spec.stages", error),
        ContractError::Name { stage, .. } => FieldError::new(at(*stage, ".name"), error),
        ContractError::Shards { stage } => {
            let reason = format!("there must be at least one, and at most {MAX_SHARDS} in all stages");
            FieldError::new(at(*stage, ".shards"), reason)
        }
        ContractError::Input { stage } => FieldError::new(at(*stage, ".input"), error),
        ContractError::Limit { stage, what, max } => {
            let field = at(*stage, &format!(".{}.{what}", program(*stage)));
            FieldError::new(field, format!("it must be between 1 and {max}"))
        }
        ContractError::Image { stage } => {
            FieldError::new(at(*stage, ".container.image"), "it must end in a digest, as in name@sha256:...")
        }
        ContractError::Argument { stage, argument } => {
            let list = if program(*stage) == "wasm" { "args" } else { "command" };
            let field = at(*stage, &format!(".{}.{list}[{argument}]", program(*stage)));
            FieldError::new(field, "it holds a NUL character, where programs take an argument to end")
        }
        ContractError::Quorum { .. } => FieldError::new("spec.verification", error),
    }
}
