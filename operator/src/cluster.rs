//! The cluster, as the steps that have a client use it: read, apply, make once, delete. Errors name the object.

use crate::names::MANAGER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, DynamicObject, NamespaceResourceScope},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::fmt::{self, Debug};
use valo_crds::Condition;

/// What the cluster did not do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {kind} {name}")]
pub struct ClusterError {
    verb: &'static str,
    kind: String,
    name: String,
    #[source]
    source: Box<kube::Error>,
}

impl ClusterError {
    pub(crate) fn new<K: Resource<DynamicType = ()>>(verb: &'static str, name: &str, source: kube::Error) -> Self {
        Self { verb, kind: K::kind(&()).into_owned(), name: name.to_owned(), source: Box::new(source) }
    }

    /// Whether the answer was an HTTP status.
    pub fn is_status(&self, code: u16) -> bool {
        matches!(&*self.source, kube::Error::Api(status) if status.code == code)
    }
}

/// A kind of object that lives in a namespace and can be read and written.
pub trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// The cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The client, for what is not here.
    pub client: Client,
}

impl Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cluster")
    }
}

impl Cluster {
    fn api<K: Object>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// An object, if it is there.
    pub async fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<Option<K>, ClusterError> {
        self.api::<K>(namespace).get_opt(name).await.map_err(|error| ClusterError::new::<K>("read", name, error))
    }

    /// The objects with labels; all of the namespace without.
    pub async fn list<K: Object>(&self, namespace: &str, selector: &str) -> Result<Vec<K>, ClusterError> {
        let params = ListParams::default().labels(selector);
        let list = self.api::<K>(namespace).list(&params).await;
        list.map(|list| list.items).map_err(|error| ClusterError::new::<K>("list", selector, error))
    }

    /// Brings an object into the cluster as it is given: what the operator says of it holds, what others added stays.
    pub async fn apply<K: Object>(&self, object: &K) -> Result<K, ClusterError> {
        let name = object.name_any();
        let params = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(&object.namespace().unwrap_or_default());
        let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
        applied.map_err(|error| ClusterError::new::<K>("apply", &name, error))
    }

    /// Makes an object that is never overwritten; gives the one that is there, whoever made it.
    pub async fn make_once<K: Object>(&self, object: &K) -> Result<K, ClusterError> {
        let name = object.name_any();
        let api = self.api::<K>(&object.namespace().unwrap_or_default());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&params, object).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                api.get(&name).await.map_err(|error| ClusterError::new::<K>("read", &name, error))
            }
            made => made.map_err(|error| ClusterError::new::<K>("create", &name, error)),
        }
    }

    /// Deletes the very object that was read, if it is still there.
    pub async fn delete<K: Object>(&self, object: &K) -> Result<(), ClusterError> {
        let name = object.name_any();
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), ..Preconditions::default() }),
            ..DeleteParams::background()
        };
        match self.api::<K>(&object.namespace().unwrap_or_default()).delete(&name, &params).await {
            // Gone, or another one by now: that one is looked at in the next pass.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            deleted => deleted.map(drop).map_err(|error| ClusterError::new::<K>("delete", &name, error)),
        }
    }

    /// Writes the status of an object, all of it, if it differs from the one that was read.
    pub async fn apply_status<K: Object, S: Serialize>(
        &self,
        object: &K,
        last: Option<&S>,
        status: &S,
    ) -> Result<(), ClusterError> {
        let name = object.name_any();
        let value = |status: &S| serde_json::to_value(status).unwrap_or_default();
        if last.is_some_and(|last| value(last) == value(status)) {
            return Ok(());
        }
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": name, "uid": object.uid() },
            "status": value(status),
        });
        let params = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(&object.namespace().unwrap_or_default());
        match api.patch_status(&name, &params, &Patch::Apply(&patch)).await {
            // It was deleted meanwhile: nobody reads its status any more.
            Err(kube::Error::Api(status))
                if status.code == 404 || (status.code == 409 && status.message.contains("uid")) =>
            {
                Ok(())
            }
            patched => patched.map(drop).map_err(|error| ClusterError::new::<K>("write the status of", &name, error)),
        }
    }

    /// Writes conditions of an object whose status is not known: all else of it stays, which is why they are those of
    /// another field manager. The next status that is written takes them over.
    pub async fn apply_conditions<K: Object>(
        &self,
        metadata: &ObjectMeta,
        conditions: &[Condition],
    ) -> Result<(), ClusterError> {
        let name = metadata.name.clone().unwrap_or_default();
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": name, "uid": metadata.uid },
            "status": { "conditions": conditions },
        });
        let params = PatchParams::apply(&format!("{MANAGER}-unreadable")).force();
        let api = Api::<DynamicObject>::namespaced_with(
            self.client.clone(),
            metadata.namespace.as_deref().unwrap_or_default(),
            &ApiResource::erase::<K>(&()),
        );
        match api.patch_status(&name, &params, &Patch::Apply(&patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            patched => patched.map(drop).map_err(|error| ClusterError::new::<K>("write a condition of", &name, error)),
        }
    }

    /// Puts a finalizer on an object or takes it away, unless somebody else changed the object meanwhile. Whether
    /// there was anything to do.
    pub async fn set_finalizer<K: Object>(&self, object: &K, name: &str, wanted: bool) -> Result<bool, ClusterError> {
        let mut finalizers = object.finalizers().to_vec();
        let has = finalizers.iter().any(|finalizer| finalizer == name);
        if has == wanted {
            return Ok(false);
        }
        match wanted {
            true => finalizers.push(name.to_owned()),
            false => finalizers.retain(|finalizer| finalizer != name),
        }
        let patch = json!({
            "metadata": { "finalizers": finalizers, "resourceVersion": object.resource_version() },
        });
        let api = self.api::<K>(&object.namespace().unwrap_or_default());
        match api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
            patched => {
                patched
                    .map_err(|error| ClusterError::new::<K>("change the finalizers of", &object.name_any(), error))?;
                Ok(true)
            }
        }
    }
}
