//! Metadata of objects that go with the one that they were made for.

use crate::names::{Labels, namespace_of};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

/// Metadata of an object of the owner's namespace, with the owner as its controller.
pub fn metadata<K>(owner: &K, name: String, labels: Labels) -> ObjectMeta
where
    K: Resource<DynamicType = ()> + ResourceExt,
{
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace_of(owner)),
        labels: Some(labels),
        owner_references: owner.controller_owner_ref(&()).map(|reference| vec![reference]),
        ..ObjectMeta::default()
    }
}
