//! NodeTier: nodes of one role, and for workers of one tier, that are scaled together.

use crate::common::{Condition, Labels, LocalReference, OBJECT, Resources, SHORT, Toleration, conditions, labels};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use valo_contract::quantity::{Money, Size};

/// Nodes of one role on this cluster, scaled together: `kubectl scale nodetier/workers --replicas=8`.
#[derive(Debug, Clone, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "valo.network",
    version = "v1alpha1",
    kind = "NodeTier",
    namespaced,
    status = "NodeTierStatus",
    derive = "PartialEq",
    category = "valo",
    shortname = "vtier",
    doc = "Nodes of one role on this cluster, and for workers of one tier of the chain, scaled together.",
    validation = ("self.metadata.name.size() <= 49 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')", "metadata.name: a NodeTier's name begins those of pods and Services: at most 49 of a-z, 0-9 and -, a letter first"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Leaving", type_ = "integer", json_path = ".status.leaving"),
    printcolumn(name = "Slots", type_ = "integer", json_path = ".status.slots"),
    printcolumn(name = "Stake", type_ = "string", json_path = ".status.stake"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.role == 'worker' ? has(self.tier) : !has(self.tier)").message("spec.tier: a worker has a tier, other roles have none").field_path(".tier"))]
#[x_kube(validation = Rule::new("self.role == 'worker' ? has(self.slots) : !has(self.slots)").message("spec.slots: a worker has slots, other roles have none").field_path(".slots"))]
#[x_kube(validation = Rule::new("self.role == 'full' ? !has(self.stake) : has(self.stake)").message("spec.stake: validators and workers have a stake, a full node has none").field_path(".stake"))]
#[x_kube(validation = Rule::new("!has(self.stake) || (self.role == 'worker' ? has(self.stake.perSlot) : has(self.stake.perNode))").message("spec.stake: a worker says perSlot, a validator perNode").field_path(".stake"))]
#[x_kube(validation = Rule::new("has(self.tier) == has(oldSelf.tier)").message("spec.tier is immutable: make another NodeTier").field_path(".tier"))]
#[x_kube(validation = Rule::new("has(self.stake) == has(oldSelf.stake)").message("spec.stake: it cannot come or go; make another NodeTier").field_path(".stake"))]
pub struct NodeTierSpec {
    /// The Network.
    #[x_kube(validation = ("self == oldSelf", "spec.networkRef is immutable: make another NodeTier"))]
    #[x_kube(validation = Rule::new("self.name.size() <= 58").message("spec.networkRef.name: a Network has a name of at most 58 characters").field_path(".name"))]
    pub network_ref: LocalReference,
    /// What the nodes do.
    #[x_kube(validation = ("self == oldSelf", "spec.role is immutable: make another NodeTier"))]
    pub role: Role,
    /// For workers, the tier of the chain that they offer slots in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = SHORT))]
    #[x_kube(validation = ("self == oldSelf", "spec.tier is immutable: make another NodeTier"))]
    pub tier: Option<String>,
    /// How many nodes. Fewer of them leave one by one, the highest ordinal first, when the chain has let them go.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: i32,
    /// For workers, the shards that each node runs at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    #[x_kube(validation = ("self == oldSelf", "spec.slots is immutable: nodes are registered with it; make another NodeTier"))]
    pub slots: Option<i32>,
    /// What is bonded for each node, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<Stake>,
    /// Requests and limits of each node.
    #[serde(default)]
    pub resources: Resources,
    /// The volume of each node.
    #[serde(default)]
    pub storage: Storage,
    /// RuntimeClass of the pods, such as `gvisor` or `kata`: one more wall around the programs of strangers that workers run
    /// in their own sandbox. The machines have to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub runtime_class_name: Option<String>,
    /// Labels of the machines that the nodes run on.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(schema_with = "labels")]
    pub node_selector: Labels,
    /// Taints that the nodes tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
}

const fn default_replicas() -> i32 {
    1
}

/// What nodes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Take part in consensus.
    Validator,
    /// Run shards of one tier.
    Worker,
    /// Follow the chain and serve its API.
    Full,
}

/// What is bonded for each node, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.perSlot) != has(self.perNode)").message("spec.stake.perSlot: say exactly one of perSlot and perNode").field_path(".perSlot"))]
#[x_kube(validation = Rule::new("has(self.walletRef) != has(self.walletTemplate)").message("spec.stake.walletRef: say exactly one of walletRef and walletTemplate").field_path(".walletRef"))]
#[x_kube(validation = Rule::new("has(self.walletRef) == has(oldSelf.walletRef)").message("spec.stake.walletRef is immutable: make another NodeTier").field_path(".walletRef"))]
pub struct Stake {
    /// For workers, VALO bonded for each slot, such as `"100"`: no less than `stakePerSlot` of the tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("double(self) > 0.0", "spec.stake.perSlot: it must be more than 0"))]
    pub per_slot: Option<Money>,
    /// For validators, VALO bonded for each node, such as `"1000"`: its voting power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("double(self) >= 1.0", "spec.stake.perNode: it must be 1 or more, for voting power counts whole VALO"))]
    pub per_node: Option<Money>,
    /// One Wallet that owns all the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "spec.stake.walletRef is immutable: make another NodeTier"))]
    pub wallet_ref: Option<LocalReference>,
    /// A Wallet of its own for each node: for trials, where shards need different owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "spec.stake.walletTemplate is immutable: make another NodeTier"))]
    pub wallet_template: Option<WalletTemplate>,
}

/// Wallets that are made, one for each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WalletTemplate {
    /// Name of the Wallet that fills them.
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub fund_from: String,
    /// VALO that each is opened with, such as `"250"`: the stake of a node, and something for fees.
    #[x_kube(validation = ("double(self) > 0.0", "spec.stake.walletTemplate.amount: it must be more than 0"))]
    pub amount: Money,
}

/// The volume of each node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName)").message("spec.storage.storageClassName is immutable: make another NodeTier").field_path(".storageClassName"))]
pub struct Storage {
    /// Its size, such as `20Gi`. It stays: a StatefulSet cannot change the volumes that it asks for.
    #[serde(default = "default_size")]
    #[schemars(schema_with = "text_size")]
    #[x_kube(validation = ("quantity(self).compareTo(quantity(oldSelf)) == 0", "spec.storage.size is immutable: make another NodeTier"))]
    pub size: Size,
    /// Its storage class; the cluster's default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    #[x_kube(validation = ("self == oldSelf", "spec.storage.storageClassName is immutable: make another NodeTier"))]
    pub storage_class_name: Option<String>,
    /// Whether volumes stay when nodes leave or the NodeTier is deleted. Keys stay in any case until the chain has
    /// paid the stake out.
    #[serde(default = "default_retain")]
    pub retain: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: default_size(), storage_class_name: None, retain: default_retain() }
    }
}

/// A size as text only: the API server must know how long it can be to price the rule on it.
fn text_size(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Size::json_schema(generator);
    schema.remove("x-kubernetes-int-or-string");
    schema.remove("minimum");
    schema.insert("type".to_owned(), "string".into());
    schema
}

const fn default_size() -> Size {
    Size(20 << 30)
}

const fn default_retain() -> bool {
    true
}

/// The nodes as cluster and chain have them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeTierStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Nodes that have a pod, leaving ones included.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Of those, nodes that follow the chain and are active on it.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready_replicas: i32,
    /// Of those, nodes on their way out: they take no new work, and their pods go when the chain says `left`.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub leaving: i32,
    /// Slots that the chain counts for active nodes.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub slots: i32,
    /// VALO bonded for all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<Money>,
    /// Selects the pods, for `kubectl scale` and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// The nodes, one by one, in order of their ordinals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// `Ready`: as many nodes as asked for are active, and their keys are there. `Progressing`: nodes come or go.
    /// `Degraded`: something is wrong with a node; the message says with which, and what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its pod.
    pub pod: String,
    /// Its key, 64 hexadecimal characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Its number on the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub id: Option<i64>,
    /// Its state on the chain: `joining`, `active`, `draining`, `jailed` or `left`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The Wallet that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// VALO bonded for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<Money>,
    /// Whether its pod is ready: it follows the chain.
    #[serde(default)]
    pub ready: bool,
    /// What it waits for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
