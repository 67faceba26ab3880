//! ShardGroup: a sharding group of the chain, shown in Kubernetes.

use crate::common::{Condition, LocalReference, SHORT, conditions};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sharding group of the chain that nodes of this cluster are in. The operator writes it; changes to it change
/// nothing on the chain and are undone.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "valo.network",
    version = "v1alpha1",
    kind = "ShardGroup",
    namespaced,
    status = "ShardGroupStatus",
    derive = "PartialEq",
    category = "valo",
    shortname = "vsg",
    doc = "A sharding group of the chain that nodes of this cluster are in. Read only: a projection of the chain.",
    validation = Rule::new("self.spec == oldSelf.spec").message("spec is immutable: a ShardGroup shows a group of the chain").field_path(".spec"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Group", type_ = "integer", json_path = ".spec.index"),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.members"),
    printcolumn(name = "Local", type_ = "integer", json_path = ".status.localMembers"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardGroupSpec {
    /// The Network.
    pub network_ref: LocalReference,
    /// Name of the tier.
    #[schemars(regex(pattern = SHORT))]
    pub tier: String,
    /// Place of the group in the tier, from 0.
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub index: i64,
}

/// The group as the chain has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardGroupStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The epoch for which the chain made the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub epoch: Option<i64>,
    /// How many nodes are in it.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub members: i32,
    /// Of those, nodes of this cluster.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub local_members: i32,
    /// How many different owners stand behind the members.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub owners: i32,
    /// The members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<GroupMember>,
    /// `Ready`: the group was read from the chain in its present epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupMember {
    /// Its number on the chain.
    #[schemars(range(min = 0))]
    pub id: i64,
    /// Its owner's account.
    pub owner: String,
    /// Its pod, if it is of this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}
