//! The cluster, as the steps that have a client use it: read, apply, make once, delete. Errors name the object.

use crate::names::MANAGER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, DeserializeGuard, DynamicObject, NamespaceResourceScope},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
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

    /// The objects with labels; all of the namespace without. Those that cannot be read are left out.
    pub async fn list<K: Object>(&self, namespace: &str, selector: &str) -> Result<Vec<K>, ClusterError> {
        Ok(self.list_all(namespace, selector).await?.0)
    }

    /// The same, and the names of those that cannot be read: for whoever must not take them for gone.
    pub async fn list_all<K: Object>(
        &self,
        namespace: &str,
        selector: &str,
    ) -> Result<(Vec<K>, Vec<String>), ClusterError> {
        let params = ListParams::default().labels(selector);
        let api: Api<DeserializeGuard<K>> = Api::namespaced(self.client.clone(), namespace);
        let list = api.list(&params).await.map_err(|error| ClusterError::new::<K>("list", selector, error))?;
        let (mut readable, mut malformed) = (Vec::new(), Vec::new());
        for guarded in list.items {
            match guarded.0 {
                Ok(object) => readable.push(object),
                Err(invalid) => malformed.push(invalid.metadata.name.unwrap_or_default()),
            }
        }
        Ok((readable, malformed))
    }

    /// Brings an object into the cluster as it is given: what the operator says of it holds, what others added stays, but
    /// for what would contradict it (see [`undo`]).
    pub async fn apply<K: Object>(&self, object: &K) -> Result<K, ClusterError> {
        let name = object.name_any();
        let params = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(&object.namespace().unwrap_or_default());
        let wanted = serde_json::to_value(object).unwrap_or_default();
        let found = match api.patch(&name, &params, &Patch::Apply(object)).await {
            Ok(applied) => {
                let found = serde_json::to_value(&applied).unwrap_or_default();
                if !has_more_ports(&wanted, &found) {
                    return Ok(applied);
                }
                found
            }
            // With what others put there it makes no sense.
            Err(kube::Error::Api(status)) if status.code == 422 => {
                let found = api.get_opt(&name).await.map_err(|error| ClusterError::new::<K>("read", &name, error))?;
                let refused = || ClusterError::new::<K>("apply", &name, kube::Error::Api(status));
                serde_json::to_value(&found.ok_or_else(refused)?).unwrap_or_default()
            }
            Err(error) => return Err(ClusterError::new::<K>("apply", &name, error)),
        };
        let own = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let undone = api.patch(&name, &own, &Patch::Merge(undo(&wanted, &found))).await;
        undone.map_err(|error| ClusterError::new::<K>("undo changes of", &name, error))?;
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

/// Whether others added ports: an apply keeps those, since they have keys of their own.
fn has_more_ports(wanted: &Value, found: &Value) -> bool {
    let count = |object: &Value| object.pointer("/spec/ports").and_then(Value::as_array).map_or(0, Vec::len);
    count(found) > count(wanted)
}

/// The merge patch that takes away what an apply cannot: lists become those that are wanted, with the node ports that were
/// given out, and a budget says one thing only.
fn undo(wanted: &Value, found: &Value) -> Value {
    let mut spec = wanted.get("spec").cloned().unwrap_or_else(|| json!({}));
    let given = found.pointer("/spec/ports").and_then(Value::as_array);
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_same = |other: &&Value| other.get("name") == port.get("name");
        let node_port = given.and_then(|given| given.iter().find(is_same)?.get("nodePort").cloned());
        if let (Some(port), Some(node_port)) = (port.as_object_mut(), node_port) {
            port.insert("nodePort".to_owned(), node_port);
        }
    }
    if let (Some(_), Some(spec)) = (found.pointer("/spec/minAvailable"), spec.as_object_mut()) {
        spec.insert("minAvailable".to_owned(), Value::Null);
    }
    json!({ "spec": spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, ApiServer};
    use k8s_openapi::api::{core::v1::Service, policy::v1::PodDisruptionBudget};

    fn read<K: DeserializeOwned>(object: Value) -> K {
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn what_others_change_is_undone_and_what_they_add_beside_it_stays() {
        let server = ApiServer::start().await;
        let cluster = &testing::context(&server).cluster;
        let metadata = json!({"name": "v-0-external", "namespace": "valo"});
        let port = |name: &str, port: u16, protocol: &str| json!({"name": name, "port": port, "protocol": protocol});
        let ports = [port("consensus", 7001, "TCP"), port("network", 7002, "UDP")];
        let wanted: Service = read(json!({"metadata": metadata, "spec": {"type": "NodePort", "ports": ports}}));
        cluster.apply(&wanted).await.unwrap();
        let with_node_port = |mut port: Value, node_port: u16| {
            port["nodePort"] = json!(node_port);
            port
        };
        // One of its own beside them; and one of the name of ours, which no API server takes twice.
        for added in [port("mine", 9000, "TCP"), with_node_port(port("consensus", 7009, "TCP"), 30701)] {
            let mut found = server.get("services", "valo", "v-0-external").unwrap();
            let others: Vec<&Value> = ports.iter().filter(|port| port["name"] != added["name"]).collect();
            found["spec"]["ports"] = json!([others, vec![&added]].concat());
            found["spec"]["externalTrafficPolicy"] = json!("Local");
            server.put("services", found);
            let applied = cluster.apply(&wanted).await.unwrap();
            let spec = applied.spec.unwrap();
            let mut numbers: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, [7001, 7002]);
            assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
        }
        let found: Service = server.read("valo", "v-0-external").unwrap();
        let node_ports: Vec<i32> =
            found.spec.unwrap().ports.iter().flatten().filter_map(|port| port.node_port).collect();
        assert_eq!(node_ports, [30701], "the world goes on dialing it");
    }

    #[tokio::test]
    async fn a_budget_says_what_consensus_can_lose_and_nothing_else() {
        let server = ApiServer::start().await;
        let cluster = &testing::context(&server).cluster;
        let metadata = json!({"name": "v", "namespace": "valo"});
        server.put_as::<PodDisruptionBudget>(json!({"metadata": metadata, "spec": {"minAvailable": 0}}));
        let wanted: PodDisruptionBudget = read(json!({"metadata": metadata, "spec": {"maxUnavailable": 1}}));
        cluster.apply(&wanted).await.unwrap();
        let found = server.get("poddisruptionbudgets", "valo", "v").unwrap();
        assert_eq!(found["spec"], json!({"maxUnavailable": 1}));
        let writes = server.writes().len();
        cluster.apply(&wanted).await.unwrap();
        assert_eq!(server.writes().len(), writes + 1, "what is as it should be is applied once");
    }
}
