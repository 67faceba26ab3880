//! What a job contract asks for, field by field.
//!
//! Reading is strict: an unknown field, a wrong unit or a missing field is an error that names the field. The rules
//! over several fields are in the schema too, for Kubernetes to check; the command line checks them with the files.

use crate::{
    Entry, Source,
    quantity::{Count, MilliCpu, Money, Size, Span, texts},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use valo_protocol::Timestamp;

/// A rule in CEL that Kubernetes checks, with what it says when it is broken, and of which field: its path from
/// where the rule stands, or nothing where it is of all that stands there.
fn rule(rule: &str, message: &str, field: &str) -> serde_json::Value {
    match field {
        "" => serde_json::json!({ "rule": rule, "message": message }),
        field => serde_json::json!({ "rule": rule, "message": message, "fieldPath": field }),
    }
}

/// A name of an object of Kubernetes: labels of a-z, 0-9 and `-`, with dots between them.
const OBJECT: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// An argument of a program, which ends at a NUL.
const ARGUMENT: &str = r"^[^\x00]*$";

/// The `apiVersion` of the document.
pub const API_VERSION: &str = "valo.network/v1alpha1";
/// The `kind` of the document.
pub const KIND: &str = "JobContract";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("double(self.budget) > 0.0", "budget: it must be more than 0", ".budget"),
    rule("!has(self.tip) || double(self.tip) <= double(self.budget)", "tip: it is part of the budget and cannot be more", ".tip"),
    rule("self.stages.all(stage, self.stages.exists_one(other, other.name == stage.name))", "stages: two stages have the same name", ".stages"),
    rule("self.stages.all(stage, !has(stage.input) || !has(stage.input.stage) || self.stages.exists(other, other.name == stage.input.stage && other.name != stage.name))", "stages.input.stage: it names no other stage of this contract", ".stages")
]))]
pub struct Spec {
    /// For Kubernetes: the Network it goes to. For the command line the profile says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_ref: Option<Reference>,
    /// For Kubernetes: the Wallet that pays and signs. For the command line the profile says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_ref: Option<Reference>,
    /// For Kubernetes: ConfigMaps that hold the files which the contract names by path. For the command line paths
    /// are relative to the document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub files_from: Vec<FilesFrom>,
    /// For Kubernetes: what becomes of the job when the object is deleted while it runs.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// The most the job may cost, in VALO, such as `"5"`; held in escrow, and what is not earned comes back.
    pub budget: Money,
    /// Shared by the workers of accepted shards, in VALO, such as `"0.5"`; part of the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<Money>,
    /// When the chain closes the job whatever its state: a span from submission (`10m`), or a moment
    /// (`2030-01-31T12:00:00Z`).
    pub deadline: Deadline,
    /// How results are checked; two of three unless said.
    #[serde(default)]
    pub verification: VerificationSpec,
    /// The stages, in order of reading.
    #[schemars(length(min = 1, max = 16))]
    pub stages: Vec<StageSpec>,
    /// What becomes of the outputs.
    #[serde(default)]
    pub result: ResultSpec,
}

/// A reference to another Kubernetes object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub name: String,
}

/// Files that the contract names by path, from a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilesFrom {
    /// The ConfigMap. Each of its keys, of `data` or `binaryData`, is a file of that name.
    pub config_map_ref: Reference,
    /// Keys with the paths they get, where the names differ: a key cannot hold a slash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub items: Vec<KeyPath>,
}

/// A key of a ConfigMap and the path that the contract names it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyPath {
    /// The key.
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]{1,253}$"))]
    pub key: String,
    /// The path, such as `in/a.txt`: relative, and without `..`.
    #[schemars(length(max = 255), regex(pattern = r"^[^/\x00]+(/[^/\x00]+)*$"))]
    pub path: String,
}

/// What becomes of a job when its object is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeletionPolicy {
    /// It is cancelled, and what is left of its budget comes back.
    #[default]
    Cancel,
    /// It goes on without the object.
    Leave,
}

/// A deadline: a span from now, or a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// From the moment of submission.
    After(Span),
    /// A moment.
    At(Timestamp),
}

impl std::str::FromStr for Deadline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            let moment = u64::try_from(moment.as_millisecond());
            return moment.map(|moment| Self::At(Timestamp(moment))).map_err(|_| format!("`{text}` is before 1970"));
        }
        text.parse().map(Self::After).map_err(|_| {
            format!("`{text}` is not a deadline; write a span such as 90s, 10m or 24h, or a moment such as 2030-01-31T12:00:00Z")
        })
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => fmt::Display::fmt(span, formatter),
            Self::At(moment) => {
                let moment = i64::try_from(moment.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
                fmt::Display::fmt(&moment.ok_or(fmt::Error)?, formatter)
            }
        }
    }
}

texts!(Deadline, "a span such as 10m, or a moment");

/// How results are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.quorum) || self.quorum <= self.replicas", "quorum: it cannot be more than replicas", ".quorum"),
    rule("!has(self.quorum) || self.quorum * 2 > self.replicas", "quorum: it must be more than half of replicas", ".quorum")
]))]
pub struct VerificationSpec {
    /// Nodes that run each shard, all of different owners.
    #[schemars(range(min = 1, max = 13))]
    pub replicas: u8,
    /// Equal results that accept it; more than half of the replicas unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 13))]
    pub quorum: Option<u8>,
}

impl Default for VerificationSpec {
    fn default() -> Self {
        Self { replicas: 3, quorum: Some(2) }
    }
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.wasm) != has(self.container)", "wasm: say exactly one of wasm and container", ".wasm"),
    rule("!has(self.shards) || !has(self.input) || !has(self.input.split)", "shards: with a split, shards go into input.split", ".shards"),
    rule("!has(self.input) || !has(self.input.manifest) || has(self.shards)", "shards: a manifest does not say how many; say it beside input", ".shards"),
    rule("!has(self.retries) || self.onFailure == 'fail'", "retries: they go with onFailure: fail", ".retries")
]))]
pub struct StageSpec {
    /// Unique name, 1 to 32 of a-z, 0-9 and `-`.
    #[schemars(length(max = 32), regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    pub name: String,
    /// Tier it runs in: `valo tier list`.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    pub tier: String,
    /// A WebAssembly program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<WasmSpec>,
    /// A container, in place of `wasm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSpec>,
    /// Into how many shards a stage without a split is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub shards: Option<u32>,
    /// What happens when a shard fails.
    #[serde(default)]
    pub on_failure: OnFailureSpec,
    /// How often a failed shard is drawn anew before the job fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u8>,
}

/// A WebAssembly program with its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WasmSpec {
    /// The module: a file such as `count.wasm`, or `blake3:` and the digest of a blob that the network has.
    pub module: Source,
    /// Arguments after the program's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096), regex(pattern = ARGUMENT)))]
    pub args: Vec<String>,
    /// The most instructions a shard may run, such as `170M` or `2G`.
    #[serde(default = "default_fuel")]
    pub fuel: Count,
    /// The most memory of a shard in bytes, such as `64Mi`; at most `1Gi`.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// The most output of a shard in bytes, such as `8Mi`; at most `1Gi`.
    #[serde(default = "default_output")]
    pub output: Size,
}

/// A container with its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSpec {
    /// Image with its digest: `registry/name@sha256:...`.
    #[schemars(
        length(max = 512),
        regex(
            pattern = r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[a-zA-Z0-9_][-a-zA-Z0-9._]{0,127})?@sha256:[0-9a-f]{64}$"
        )
    )]
    pub image: String,
    /// Command and arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096), regex(pattern = ARGUMENT)))]
    pub command: Vec<String>,
    /// The most seconds a shard may take; at most a week.
    #[schemars(range(min = 1, max = 604_800))]
    pub seconds: u32,
    /// Processor share: cores, or thousandths with `m`, such as `1` or `500m`.
    #[serde(default = "default_cpu")]
    pub cpu: MilliCpu,
    /// The most memory of a shard in bytes, such as `64Mi`; at most `1Gi`.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// The most output of a shard in bytes, such as `8Mi`; at most `1Gi`.
    #[serde(default = "default_output")]
    pub output: Size,
}

const fn default_fuel() -> Count {
    Count(1_000_000_000)
}

const fn default_memory() -> Size {
    Size(64 << 20)
}

const fn default_output() -> Size {
    Size(8 << 20)
}

const fn default_cpu() -> MilliCpu {
    MilliCpu(1000)
}

/// What a stage reads. Exactly one of `file`, `files`, `shards`, `manifest` and `stage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("[has(self.file), has(self.files), has(self.shards), has(self.manifest), has(self.stage)].filter(said, said).size() == 1", "input: say exactly one of file, files, shards, manifest and stage", ""),
    rule("!has(self.split) || has(self.file) || has(self.files)", "split: it goes with file or files", ".split"),
    rule("!has(self.shardBytes) || has(self.manifest)", "shardBytes: it goes with manifest", ".shardBytes"),
    rule("!has(self.manifest) || has(self.shardBytes)", "shardBytes: with manifest, say what a shard reads at most", ".shardBytes"),
    rule("has(self.stage) ? self.each != self.all : !self.each && !self.all", "each: with stage, say each: true or all: true; without it, neither", ".each")
]))]
pub struct InputSpec {
    /// One file: a path, or `NAME@blake3:DIGEST` for a blob that the network has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Entry>,
    /// Files by path or pattern, or as `NAME@blake3:DIGEST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub files: Option<Vec<Entry>>,
    /// How the file or the files are dealt over shards; without it every shard reads all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitSpec>,
    /// The files of each shard, named one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), inner(length(max = 256)))]
    pub shards: Option<Vec<Vec<Entry>>>,
    /// An input manifest that is a blob already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Source>,
    /// The most bytes a shard of that manifest reads, such as `64Ki`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_bytes: Option<Size>,
    /// Name of an earlier stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,32}$"))]
    pub stage: Option<String>,
    /// Shard i reads what shard i of it wrote.
    #[serde(default)]
    pub each: bool,
    /// Every shard reads all that it wrote.
    #[serde(default)]
    pub all: bool,
}

/// How input is dealt over shards: one unit that is never cut, and over how many shards the units go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("[has(self.bytes), has(self.records), has(self.lines), has(self.files)].filter(said, said).size() == 1", "split: say exactly one of bytes, records, lines and files", "")
]))]
pub struct SplitSpec {
    /// Units of so many bytes, such as `1Mi`; the last may be shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Size>,
    /// Units of so many bytes, all of them whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Size>,
    /// Units of so many lines; the last may have fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub lines: Option<u64>,
    /// Units of so many files; the last may have fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub files: Option<u64>,
    /// Over how many shards the units are dealt, evenly and in order. One unit a shard without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub shards: Option<u32>,
}

/// What becomes of the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultSpec {
    /// How the outputs of the last stages become one result.
    #[serde(default)]
    pub merge: MergeSpec,
    /// How long workers keep the outputs, such as `24h`; at most 30 days.
    #[serde(default = "default_retention")]
    pub retention: Span,
}

const fn default_retention() -> Span {
    Span(24 * 3_600_000)
}

impl Default for ResultSpec {
    fn default() -> Self {
        Self { merge: MergeSpec::default(), retention: default_retention() }
    }
}

/// How outputs become one result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MergeSpec {
    /// One folder a shard.
    #[default]
    Folders,
    /// Files of one name, one after the other in order of shards.
    Concatenate,
}

/// What happens when a shard fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailureSpec {
    /// The job fails.
    #[default]
    Fail,
    /// The job goes on without it.
    Continue,
}
