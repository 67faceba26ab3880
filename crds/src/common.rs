//! What several resources have in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use valo_contract::quantity::{MilliCpu, Size};

/// A name of an object: labels of a-z, 0-9 and `-`, with dots between them (RFC 1123).
pub(crate) const OBJECT: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A single label: names of namespaces and pods.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A key or a hash.
pub(crate) const HEX: &str = "^[0-9a-f]{64}$";
/// Names of chains, tiers and accelerator classes.
pub(crate) const SHORT: &str = "^[a-z0-9-]{1,32}$";
/// A name, or an address, without a port.
pub(crate) const HOST: &str = r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*)$";
/// A name or an address with a port from 1 to 65535.
pub(crate) const HOST_AND_PORT: &str = r"^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?):([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";
/// An image with a tag, a digest or both.
pub(crate) const IMAGE: &str = r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[a-zA-Z0-9_][-a-zA-Z0-9._]{0,127}(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$";
/// The name of a label, of an annotation or of a resource, with or without a prefix.
pub(crate) const QUALIFIED: &str = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
/// The value of a label.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// An object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalReference {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub name: String,
}

/// A key of a Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub name: String,
    /// The key in it: 64 hexadecimal characters, the seed of an ed25519 key.
    #[serde(default = "default_key")]
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]{1,253}$"))]
    pub key: String,
}

fn default_key() -> String {
    "key".to_owned()
}

/// One aspect of the state of an object, as Kubernetes tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect, such as `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(regex(pattern = "^(True|False|Unknown)$"))]
    pub status: String,
    /// Why, in one word for programs.
    #[schemars(regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"), length(max = 1024))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// When `status` last changed.
    #[schemars(schema_with = "moment")]
    pub last_transition_time: Time,
    /// The generation of the object that this was found for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A moment of real time (RFC 3339).
pub(crate) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// Conditions are a map by their type: two writers do not disturb each other.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let items = Condition::json_schema(generator);
    json_schema!({
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Requests and limits of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// What is set aside for each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// The most that each node may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// Amounts of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceAmounts {
    /// Processor: cores, or thousandths with `m`, such as `2` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub cpu: Option<MilliCpu>,
    /// Memory in bytes, such as `512Mi` or `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub memory: Option<Size>,
}

/// Reads a quantity that may be a bare number in JSON, as in `cpu: 1`.
pub(crate) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let written = Option::<Written>::deserialize(deserializer)?;
    let text = written.map(|written| match written {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    });
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// The same for a quantity that has a default and is never null.
pub(crate) fn required<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    optional(deserializer)?.ok_or_else(|| serde::de::Error::custom("a quantity is missing"))
}

/// Labels or annotations to put on objects.
pub(crate) type Labels = BTreeMap<String, String>;

/// Labels of machines.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    named(
        json_schema!({ "type": "string", "maxLength": 63, "pattern": LABEL_VALUE }),
        "labels have names such as example.org/pool",
    )
}

/// Annotations: any text under a name.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    named(json_schema!({ "type": "string", "maxLength": 16384 }), "annotations have names such as example.org/scheme")
}

/// A map by qualified names. The API server says at which field a rule is broken: the message need not.
fn named(values: Schema, message: &str) -> Schema {
    let rule = format!("self.all(name, name.size() <= 317 && name.matches('{QUALIFIED}'))");
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": values,
        "x-kubernetes-validations": [{ "rule": rule, "message": message }],
    })
}

/// A taint that nodes tolerate, as in a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.operator) && self.operator == 'Exists') || (has(self.key) && self.key != '')").message("tolerations.key: only with operator: Exists it may be left out").field_path(".key"))]
#[x_kube(validation = Rule::new("!has(self.value) || self.value == '' || !has(self.operator) || self.operator == 'Equal'").message("tolerations.value: it goes with operator: Equal").field_path(".value"))]
#[x_kube(validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')").message("tolerations.tolerationSeconds: it goes with effect: NoExecute").field_path(".tolerationSeconds"))]
pub struct Toleration {
    // In order of their names, as Kubernetes writes them: nodes restart when what is written of these changes.
    /// Which effect of the taint; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Key of the taint, such as `example.org/pool`; every key without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), regex(pattern = QUALIFIED))]
    pub key: Option<String>,
    /// How the value is compared; `Equal` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// For `NoExecute`, how many seconds a pod stays on a machine that got the taint; for ever without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub toleration_seconds: Option<i64>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = LABEL_VALUE))]
    pub value: Option<String>,
}

/// How a toleration compares values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Any value.
    Exists,
    /// This value.
    Equal,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// They do not come.
    NoSchedule,
    /// They rather go elsewhere.
    PreferNoSchedule,
    /// They neither come nor stay.
    NoExecute,
}
