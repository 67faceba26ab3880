//! A job contract as users write it: the YAML document, field by field.
//!
//! Reading is strict: an unknown field, a wrong unit or a missing field is an error that names the field, the
//! line and the column. What cannot be said about one field alone is checked by [`plan`](super::plan).

use super::quantity::{Count, MilliCpu, Money, Size, Span, parsed};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};
use std::fmt;
use valo_protocol::{BlobHash, Timestamp};

/// The `apiVersion` of this document.
pub const API_VERSION: &str = "valo.network/v1alpha1";
/// The `kind` of this document.
pub const KIND: &str = "JobContract";

/// The document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a job contract")]
pub struct Document {
    /// Group and version, [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What is asked for.
    pub spec: Spec,
}

/// Name and, for Kubernetes, where it lives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name of the job.
    pub name: String,
    /// For Kubernetes; of no meaning here.
    #[serde(default)]
    pub namespace: Option<String>,
    /// For Kubernetes; of no meaning here.
    #[serde(default)]
    pub labels: Option<serde_yaml::Mapping>,
    /// For Kubernetes; of no meaning here.
    #[serde(default)]
    pub annotations: Option<serde_yaml::Mapping>,
}

/// What is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// For Kubernetes: the profile says which network here.
    #[serde(default)]
    pub network_ref: Option<Reference>,
    /// For Kubernetes: the profile says which key here.
    #[serde(default)]
    pub wallet_ref: Option<Reference>,
    /// The most the job may cost.
    pub budget: Money,
    /// Paid on top to the workers; part of the budget.
    #[serde(default)]
    pub tip: Option<Money>,
    /// When the chain closes the job whatever its state.
    pub deadline: Deadline,
    /// How results are checked; two of three unless said.
    #[serde(default)]
    pub verification: VerificationSpec,
    /// The stages, in order of reading.
    pub stages: Vec<StageSpec>,
    /// What becomes of the outputs.
    #[serde(default)]
    pub result: ResultSpec,
}

/// A reference to another Kubernetes object.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// Its name.
    pub name: String,
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

impl<'de> Deserialize<'de> for Deadline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "a span such as 10m, or a moment")
    }
}

/// How results are checked.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerificationSpec {
    /// Nodes that run each shard.
    pub replicas: u8,
    /// Equal results that accept it; more than half of the replicas unless said.
    #[serde(default)]
    pub quorum: Option<u8>,
}

impl Default for VerificationSpec {
    fn default() -> Self {
        Self { replicas: 3, quorum: Some(2) }
    }
}

/// A stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageSpec {
    /// Unique name.
    pub name: String,
    /// Tier it runs in.
    pub tier: String,
    /// A WebAssembly program.
    #[serde(default)]
    pub wasm: Option<WasmSpec>,
    /// A container, in place of `wasm`.
    #[serde(default)]
    pub container: Option<ContainerSpec>,
    /// What it reads.
    #[serde(default)]
    pub input: Option<InputSpec>,
    /// Into how many shards a stage without a split is cut.
    #[serde(default)]
    pub shards: Option<u32>,
    /// What happens when a shard fails.
    #[serde(default)]
    pub on_failure: OnFailureSpec,
}

/// A WebAssembly program with its limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WasmSpec {
    /// The module.
    pub module: Source,
    /// Arguments after the program's name.
    #[serde(default)]
    pub args: Vec<String>,
    /// The most fuel a shard may use.
    #[serde(default = "default_fuel")]
    pub fuel: Count,
    /// The most memory.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// The most output of a shard.
    #[serde(default = "default_output")]
    pub output: Size,
}

/// A container with its limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSpec {
    /// Image with its digest.
    pub image: String,
    /// Command and arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// The most seconds a shard may take.
    pub seconds: u32,
    /// Processor share.
    #[serde(default = "default_cpu")]
    pub cpu: MilliCpu,
    /// The most memory.
    #[serde(default = "default_memory")]
    pub memory: Size,
    /// The most output of a shard.
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
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InputSpec {
    /// One file.
    #[serde(default)]
    pub file: Option<Entry>,
    /// Files by path or pattern.
    #[serde(default)]
    pub files: Option<Vec<Entry>>,
    /// How the file or the files are dealt over shards; without it every shard reads all.
    #[serde(default)]
    pub split: Option<SplitSpec>,
    /// The files of each shard, named one by one.
    #[serde(default)]
    pub shards: Option<Vec<Vec<Entry>>>,
    /// An input manifest that is a blob already.
    #[serde(default)]
    pub manifest: Option<Source>,
    /// The most bytes a shard of that manifest reads.
    #[serde(default)]
    pub shard_bytes: Option<Size>,
    /// An earlier stage.
    #[serde(default)]
    pub stage: Option<String>,
    /// Shard i reads what shard i of it wrote.
    #[serde(default)]
    pub each: bool,
    /// Every shard reads all that it wrote.
    #[serde(default)]
    pub all: bool,
}

/// How input is dealt over shards: one unit that is never cut, and over how many shards the units go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitSpec {
    /// Units of so many bytes; the last may be shorter.
    #[serde(default)]
    pub bytes: Option<Size>,
    /// Units of so many bytes, all of them whole.
    #[serde(default)]
    pub records: Option<Size>,
    /// Units of so many lines; the last may have fewer.
    #[serde(default)]
    pub lines: Option<u64>,
    /// Units of so many files; the last may have fewer.
    #[serde(default)]
    pub files: Option<u64>,
    /// Over how many shards the units are dealt, evenly and in order. One unit a shard without it.
    #[serde(default)]
    pub shards: Option<u32>,
}

/// What becomes of the outputs.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultSpec {
    /// How the outputs of the last stages become one result.
    #[serde(default)]
    pub merge: MergeSpec,
    /// How long workers keep the outputs.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MergeSpec {
    /// One folder a shard.
    #[default]
    Folders,
    /// Files of one name, one after the other in order of shards.
    Concatenate,
}

/// What happens when a shard fails: `fail`, `continue`, or `{retries: 2}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailureSpec {
    /// The job fails.
    #[default]
    Fail,
    /// The job goes on without it.
    Continue,
    /// The shard is drawn anew so many times before.
    Retries(u8),
}

impl<'de> Deserialize<'de> for OnFailureSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OnFailureSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("fail, continue or {retries: 2}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OnFailureSpec, E> {
                match text {
                    "fail" => Ok(OnFailureSpec::Fail),
                    "continue" => Ok(OnFailureSpec::Continue),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnFailureSpec, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Retries {
                    retries: u8,
                }
                let retries = Retries::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(OnFailureSpec::Retries(retries.retries))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A file of this machine, or a blob of the network by its digest (`blake3:` and 64 hexadecimal characters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path or pattern, relative to the folder of the document.
    Path(String),
    /// A blob that the network has already.
    Blob(BlobHash),
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("blake3:") {
            Some(digest) => digest
                .parse()
                .map(Self::Blob)
                .map_err(|_| format!("`{text}` is not a digest: it takes blake3: and 64 hexadecimal characters")),
            None if text.is_empty() => Err("the path is empty".to_owned()),
            None => Ok(Self::Path(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "a path, or blake3: and a digest")
    }
}

/// One input: a path or pattern, or a blob with the path it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A path or pattern, relative to the folder of the document.
    Path(String),
    /// A blob that the network has already.
    Blob {
        /// Its digest.
        digest: BlobHash,
        /// Its path in the shard's input.
        path: String,
        /// Its length; asked of the network unless said.
        size: Option<u64>,
    },
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a path, or {digest: \"blake3:...\", path: NAME}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
                match text.parse().map_err(E::custom)? {
                    Source::Path(path) => Ok(Entry::Path(path)),
                    Source::Blob(_) => Err(E::custom(format!(
                        "a digest needs a path for the program to read it at: {{digest: \"{text}\", path: NAME}}"
                    ))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Blob {
                    digest: Source,
                    path: String,
                    #[serde(default)]
                    size: Option<Size>,
                }
                let blob = Blob::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let Source::Blob(digest) = blob.digest else {
                    return Err(de::Error::custom("`digest` takes blake3: and 64 hexadecimal characters"));
                };
                Ok(Entry::Blob { digest, path: blob.path, size: blob.size.map(|size| size.0) })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
