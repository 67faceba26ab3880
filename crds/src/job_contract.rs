//! JobContract: the same YAML that `valo job submit -f` takes.

use crate::common::{Condition, conditions, moment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::borrow::Cow;
use valo_contract::{Spec, quantity::Money};

/// What is asked for: the specification that the command line takes, with the network and the wallet named.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Serialize)]
#[kube(
    group = "valo.network",
    version = "v1alpha1",
    kind = "JobContract",
    namespaced,
    status = "JobContractStatus",
    derive = "PartialEq",
    category = "valo",
    shortname = "vjob",
    doc = "A job: stages, shards and replicas, with budget, deadline and verification. The YAML that `valo job submit -f` takes.",
    validation = ("self.metadata.name.size() <= 64", "metadata.name: the chain takes names of at most 64 characters"),
    printcolumn(name = "Job", type_ = "string", json_path = ".status.job"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Accepted", type_ = "integer", json_path = ".status.accepted"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.shards"),
    printcolumn(name = "Paid", type_ = "string", json_path = ".status.paid"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Deadline", type_ = "string", json_path = ".status.deadline", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct JobContractSpec(pub Spec);

impl JsonSchema for JobContractSpec {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JobContractSpec".into()
    }

    /// That of the command line, and what only Kubernetes needs: the references, and that a signed contract stays.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Spec::json_schema(generator);
        if let Some(required) = schema.get_mut("required").and_then(|required| required.as_array_mut()) {
            required.extend(["networkRef".into(), "walletRef".into()]);
        }
        if let Some(rules) = schema.get_mut("x-kubernetes-validations").and_then(|rules| rules.as_array_mut()) {
            let fields = [
                ("networkRef", false),
                ("walletRef", false),
                ("filesFrom", true),
                ("budget", false),
                ("tip", true),
                ("deadline", false),
                ("verification", false),
                ("stages", false),
                ("result", false),
            ];
            rules.extend(fields.map(|(field, optional)| immutable(field, optional)));
        }
        schema
    }
}

/// A rule that a field of the contract stays as it was signed. `deletionPolicy` alone may change.
fn immutable(field: &str, optional: bool) -> serde_json::Value {
    let same = format!("self.{field} == oldSelf.{field}");
    let rule = match optional {
        true => format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"),
        false => same,
    };
    serde_json::json!({
        "rule": rule,
        "message": format!("spec.{field} is immutable: the contract is signed as it is; make another JobContract"),
        "fieldPath": format!(".{field}"),
    })
}

impl<'de> Deserialize<'de> for JobContractSpec {
    /// Reads JSON the way the command line reads YAML, so that both take the same and refuse the same, with the field
    /// in the message: JSON is YAML, and `fuel: 1000` is a count in both.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let spec = serde_yaml::from_str(&value.to_string()).map_err(|error| {
            let text = error.to_string();
            // The line is that of the JSON made above: it means nothing to anyone.
            D::Error::custom(text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason))
        })?;
        Ok(Self(spec))
    }
}

/// Where the job stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobContractStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its number on the chain, as `valo job` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Hash of the contract as the chain has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<JobPhase>,
    /// Why it stands where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<JobReason>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Block time of its submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "moment")]
    pub submitted_at: Option<Time>,
    /// Block time by which it must be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "moment")]
    pub deadline: Option<Time>,
    /// VALO that workers have been paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<Money>,
    /// VALO that is left of the budget in escrow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<Money>,
    /// Shards over all stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub shards: Option<i32>,
    /// Of those, accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub accepted: Option<i32>,
    /// How far each stage is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageStatus>,
    /// The result, once the job is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// `Submitted`: the chain has it. `Complete`: its result is there for good. `Failed`: it ended without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JobPhase {
    /// Not on the chain yet: the reason says what it waits for.
    Pending,
    /// Its budget is in escrow.
    Funded,
    /// Waits for its first draws.
    Placing,
    /// Shards are being worked on.
    Running,
    /// All results are there; they can still be disputed.
    Accepted,
    /// All results are there for good.
    Final,
    /// It ended without a result.
    Failed,
    /// It never came onto the chain, and as it is never will.
    Rejected,
}

/// Why a job stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobReason {
    /// There is no such Network.
    NetworkMissing,
    /// The Network has no genesis yet.
    WaitingForNetwork,
    /// No node answers.
    ChainUnreachable,
    /// The wallet, its key or its account is not there yet.
    WalletNotReady,
    /// Another transaction of the wallet is under way.
    WalletBusy,
    /// A file that it names is in no ConfigMap.
    MissingInput,
    /// No node has a program that it names by digest.
    ModuleNotFound,
    /// No node has an input that it names by digest.
    InputNotFound,
    /// The chain has too few workers for it.
    TooFewWorkers,
    /// The wallet cannot pay the budget.
    InsufficientFunds,
    /// Its files are uploaded, and it is submitted.
    Submitting,
    /// The API server did not do something: the message says what.
    ClusterError,
    /// The Secret of the wallet holds no key.
    KeyMalformed,
    /// The operator could not lay out its files.
    FilesUnreadable,
    /// The chain refused another transaction for it: the message says why.
    ChainRefused,
    /// Its shards are being placed or worked on.
    UnderWay,
    /// All results are there; they can be disputed.
    Disputable,
    /// All results are there for good.
    Final,
    /// A shard failed.
    ShardFailed,
    /// The deadline passed.
    DeadlinePassed,
    /// The escrow does not cover the next shard at its limit.
    BudgetExhausted,
    /// Its submitter cancelled it.
    Cancelled,
    /// The contract cannot be: the message names the field.
    Invalid,
    /// The chain refused the transaction: the message says why.
    Refused,
}

impl JobReason {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::NetworkMissing,
        Self::WaitingForNetwork,
        Self::ChainUnreachable,
        Self::WalletNotReady,
        Self::WalletBusy,
        Self::MissingInput,
        Self::ModuleNotFound,
        Self::InputNotFound,
        Self::TooFewWorkers,
        Self::InsufficientFunds,
        Self::Submitting,
        Self::ClusterError,
        Self::KeyMalformed,
        Self::FilesUnreadable,
        Self::ChainRefused,
        Self::UnderWay,
        Self::Disputable,
        Self::Final,
        Self::ShardFailed,
        Self::DeadlinePassed,
        Self::BudgetExhausted,
        Self::Cancelled,
        Self::Invalid,
        Self::Refused,
    ];

    /// The word by which programs know it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NetworkMissing => "NetworkMissing",
            Self::WaitingForNetwork => "WaitingForNetwork",
            Self::ChainUnreachable => "ChainUnreachable",
            Self::WalletNotReady => "WalletNotReady",
            Self::WalletBusy => "WalletBusy",
            Self::MissingInput => "MissingInput",
            Self::ModuleNotFound => "ModuleNotFound",
            Self::InputNotFound => "InputNotFound",
            Self::TooFewWorkers => "TooFewWorkers",
            Self::InsufficientFunds => "InsufficientFunds",
            Self::Submitting => "Submitting",
            Self::ClusterError => "ClusterError",
            Self::KeyMalformed => "KeyMalformed",
            Self::FilesUnreadable => "FilesUnreadable",
            Self::ChainRefused => "ChainRefused",
            Self::UnderWay => "UnderWay",
            Self::Disputable => "Disputable",
            Self::Final => "Final",
            Self::ShardFailed => "ShardFailed",
            Self::DeadlinePassed => "DeadlinePassed",
            Self::BudgetExhausted => "BudgetExhausted",
            Self::Cancelled => "Cancelled",
            Self::Invalid => "Invalid",
            Self::Refused => "Refused",
        }
    }

    /// The reason of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Its name.
    pub name: String,
    /// Its shards.
    #[schemars(range(min = 0))]
    pub shards: i32,
    /// Of those, being worked on.
    #[schemars(range(min = 0))]
    pub running: i32,
    /// Of those, accepted.
    #[schemars(range(min = 0))]
    pub accepted: i32,
    /// Of those, failed for good.
    #[schemars(range(min = 0))]
    pub failed: i32,
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// Merkle root over the results of all shards, as the chain has it.
    pub root: String,
    /// Whether they are there for good: the dispute window has passed.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Until when workers keep the outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "moment")]
    pub kept_until: Option<Time>,
    /// The command that fetches and proves it.
    pub command: String,
}
