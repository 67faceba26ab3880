//! A job contract as a file: the YAML document around the specification.
//!
//! Reading is strict: an unknown field, a wrong unit or a missing field is an error that names the field, the
//! line and the column. What cannot be said about one field alone is checked by [`plan`](super::plan).

use crate::Spec;
use serde::Deserialize;

/// The document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a job contract")]
pub struct Document {
    /// Group and version, [`crate::API_VERSION`].
    pub api_version: String,
    /// [`crate::KIND`].
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
