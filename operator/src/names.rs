//! Names and labels of everything that the operator makes. They are part of what users and other tools see, and
//! selectors of StatefulSets cannot change: neither can these.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;

/// The field manager of all that the operator applies.
pub const MANAGER: &str = "valo-operator";
/// The finalizer of objects that have something to end outside of the cluster.
pub const FINALIZER: &str = "valo.network/operator";
/// Whose the object is: always [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The Network that an object belongs to.
pub const NETWORK: &str = "valo.network/network";
/// The NodeTier that an object belongs to.
pub const NODE_TIER: &str = "valo.network/node-tier";
/// What kind of thing an object is: `node-key`, `wallet-key`, `genesis`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The public key that belongs to a Secret.
pub const PUBLIC_KEY: &str = "valo.network/public-key";

/// Labels by their names.
pub type Labels = BTreeMap<String, String>;

/// The labels that everything carries, with those that say what it is.
pub fn labels(more: &[(&str, &str)]) -> Labels {
    let common = [("app.kubernetes.io/name", "valo"), (MANAGED_BY, MANAGER)];
    common.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A label selector that asks for equality.
pub fn selector(labels: &[(&str, &str)]) -> String {
    let parts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join(",")
}

/// The pod of an ordinal, as its StatefulSet names it.
pub fn pod(node_tier: &str, ordinal: i32) -> String {
    format!("{node_tier}-{ordinal}")
}

/// The Secret with the key of a node.
pub fn node_key(node_tier: &str, ordinal: i32) -> String {
    format!("{node_tier}-{ordinal}-node-key")
}

/// The headless Service under which pods have names.
pub fn headless(node_tier: &str) -> String {
    format!("{node_tier}-nodes")
}

/// The component of Services that the world reaches nodes by.
pub const EXTERNAL: &str = "external";

/// The Service that the world reaches a node by.
pub fn external(pod: &str) -> String {
    format!("{pod}-external")
}

/// The ConfigMap with the genesis of a Network.
pub fn genesis(network: &str) -> String {
    format!("{network}-genesis")
}

/// The Service with the HTTP API of a Network.
pub fn api(network: &str) -> String {
    format!("{network}-api")
}

/// The namespace of an object that has one.
pub fn namespace_of(object: &impl ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}

/// A reference to an object, for events about it.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}
