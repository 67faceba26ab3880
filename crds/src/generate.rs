//! The files that are generated from the types: a manifest for each kind, the same as a template of the chart, and the
//! reference of all.

use crate::{ConsensusKeyReservation, JobContract, Network, NodeTier, ShardGroup, Wallet, reference};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

const HEADER: &str = "# Generated from the types in crds/src by `make generate`. Changes are made there.\n";

/// The templates of the chart.
const CHART: &str = "charts/valo-crds/templates";

/// The definitions of all kinds.
pub fn all() -> Vec<CustomResourceDefinition> {
    let all = [
        Network::crd(),
        NodeTier::crd(),
        Wallet::crd(),
        JobContract::crd(),
        ShardGroup::crd(),
        ConsensusKeyReservation::crd(),
    ];
    all.into_iter().map(tidy).collect()
}

/// A definition as YAML.
pub fn manifest(definition: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    Ok(format!("{HEADER}{}", serde_yaml::to_string(definition)?))
}

/// What the chart adds to a definition: it stays when the release goes, for all objects of its kind would go with it.
const CHART_METADATA: &str = "metadata:
  labels:
    app.kubernetes.io/name: valo-crds
    app.kubernetes.io/part-of: valo
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    app.kubernetes.io/instance: {{ .Release.Name }}
{{- if .Values.keep }}
  annotations:
    helm.sh/resource-policy: keep
{{- end }}
";

/// A definition as a template of the chart `valo-crds`.
fn template(definition: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    // What is written in braces in a description is text.
    let manifest = manifest(definition)?.replace("{{", "{{`{{`}}");
    Ok(manifest.replacen("metadata:\n", CHART_METADATA, 1))
}

/// Every generated file, as path from the root of the repository and content.
pub fn generated() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    let all = all();
    let mut files = Vec::new();
    for definition in &all {
        let name = format!("{}.yaml", definition.spec.names.plural);
        files.push((format!("crds/manifests/{name}"), manifest(definition)?));
        files.push((format!("{CHART}/{name}"), template(definition)?));
    }
    files.push(("docs/reference/resources.md".to_owned(), reference::page(&all)));
    Ok(files)
}

/// Brings the schemas of a definition to the form that Kubernetes takes without a warning.
fn tidy(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        let tidied = serde_json::to_value(&*schema).map(|mut value| {
            tidy_schema(&mut value);
            value
        });
        if let Ok(tidied) = tidied.and_then(serde_json::from_value) {
            *schema = tidied;
        }
    }
    definition
}

/// Drops what means nothing to Kubernetes, all the way down: `nullable` (a null is dropped and the default takes its
/// place; we never write one) and the formats of Rust's unsigned integers (their ranges say the same).
fn tidy_schema(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("nullable");
    if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        object.remove("format");
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(tidy_schema);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(inner) {
            tidy_schema(inner);
        }
    }
}
