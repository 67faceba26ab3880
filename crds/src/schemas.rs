//! JSON schemas for tools that check manifests without a cluster, such as kubeconform: of our kinds, and of those kinds
//! of Kubernetes that the charts make (not definitions themselves: k8s-openapi's schema of them is wrong). Strict: a
//! field that they do not know is an error.

use crate::generate;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

/// Every schema, with the name of its file: kind and version in small letters, as kubeconform's
/// `{{.ResourceKind}}_{{.ResourceAPIVersion}}.json` has them.
pub fn schemas() -> Vec<(String, Value)> {
    let ours = generate::all().into_iter().flat_map(|definition| {
        let kind = definition.spec.names.kind;
        definition.spec.versions.into_iter().filter_map(move |version| {
            let schema = version.schema?.open_api_v3_schema?;
            let mut schema = serde_json::to_value(schema).ok()?;
            // What every object has; the API server adds it to a definition's schema itself.
            let object =
                json!({"apiVersion": {"type": "string"}, "kind": {"const": &kind}, "metadata": {"type": "object"}});
            schema.get_mut("properties")?.as_object_mut()?.extend(object.as_object()?.clone());
            Some((file(&kind, &version.name), schema))
        })
    });
    let theirs = [
        of::<ClusterRole>("ClusterRole"),
        of::<ClusterRoleBinding>("ClusterRoleBinding"),
        of::<ConfigMap>("ConfigMap"),
        of::<Deployment>("Deployment"),
        of::<NetworkPolicy>("NetworkPolicy"),
        of::<Pod>("Pod"),
        of::<PodDisruptionBudget>("PodDisruptionBudget"),
        of::<Role>("Role"),
        of::<RoleBinding>("RoleBinding"),
        of::<Service>("Service"),
        of::<ServiceAccount>("ServiceAccount"),
    ];
    let mut all: Vec<_> = ours.chain(theirs).collect();
    all.iter_mut().for_each(|(_, schema)| close(schema));
    all
}

fn of<K: JsonSchema>(kind: &str) -> (String, Value) {
    (file(kind, "v1"), schema_for!(K).to_value())
}

fn file(kind: &str, version: &str) -> String {
    format!("{}_{version}.json", kind.to_lowercase())
}

/// Refuses unknown fields wherever fields are listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let is_open = object.contains_key("additionalProperties")
                || object.contains_key("x-kubernetes-preserve-unknown-fields");
            if object.get("properties").is_some_and(Value::is_object) && !is_open {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            object.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}
