//! Network: one chain, as nodes of this cluster see it.

use crate::common::{Condition, Labels, LocalReference, conditions, moment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod chain;
mod join;

pub use chain::{
    Disjoint, GenesisAccount, GenesisTier, GenesisValidators, Isolation, NewChain, Parameters, Preset, Runtime,
};
pub use join::{ConsensusPeer, Join, Seed};

/// A chain: a new one that starts on this cluster, or one to join.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "valo.network",
    version = "v1alpha1",
    kind = "Network",
    namespaced,
    status = "NetworkStatus",
    derive = "PartialEq",
    category = "valo",
    shortname = "vnet",
    doc = "A chain: a new one that starts on this cluster, or one to join.",
    printcolumn(name = "Chain", type_ = "string", json_path = ".status.chain"),
    printcolumn(name = "Height", type_ = "integer", json_path = ".status.height"),
    printcolumn(
        name = "Block",
        type_ = "date",
        json_path = ".status.blockTime",
        description = "Time since the last block"
    ),
    printcolumn(name = "Validators", type_ = "integer", json_path = ".status.validators"),
    printcolumn(
        name = "At-Risk",
        type_ = "string",
        json_path = ".status.votingPowerAtRisk",
        description = "Voting power of this cluster that does not take part now"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Genesis", type_ = "string", json_path = ".status.genesisHash", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("has(self.chain) != has(self.join)", "spec.chain: say exactly one of chain and join"))]
#[x_kube(validation = ("has(self.chain) == has(oldSelf.chain)", "spec.chain is immutable: a Network stays the chain that it is"))]
pub struct NetworkSpec {
    /// A new chain, with everything it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "spec.chain is immutable: the hash of the genesis names the chain"))]
    pub chain: Option<NewChain>,
    /// A chain that runs already, in this cluster or elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Image of the nodes, with tag or digest. The operator's own release unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,
    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets of this namespace with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalReference>,
    /// How nodes of other clusters reach the nodes of this one.
    #[serde(default)]
    pub external_address: ExternalAddress,
    /// The HTTP API by a name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// Each time a pod starts.
    Always,
    /// When the machine does not have it.
    #[default]
    IfNotPresent,
    /// Never: it must be there.
    Never,
}

/// How nodes of other clusters reach the nodes of this one: libp2p over TCP for consensus, iroh over UDP for all else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = ("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'", "spec.externalAddress.loadBalancerClass: it goes with type: LoadBalancer"))]
#[x_kube(validation = ("!has(self.hosts) || self.type != 'None'", "spec.externalAddress.hosts: they go with type: LoadBalancer or NodePort"))]
pub struct ExternalAddress {
    /// By which kind of Service, one for each node. With `None` they are reached inside the cluster only, and through
    /// relays.
    #[serde(rename = "type", default)]
    pub type_: AddressType,
    /// Names or addresses that others use in place of those which Kubernetes knows, as behind NAT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
    /// Class of the load balancers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Annotations of the Services, as cloud providers ask for them.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

/// Kinds of Service that are reached from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AddressType {
    /// Not from outside.
    #[default]
    None,
    /// A load balancer for each node.
    LoadBalancer,
    /// A port of every machine for each node.
    NodePort,
}

/// An Ingress to the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingress {
    /// Its host name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub host: String,
    /// Class of the Ingress; the cluster's default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Secret with the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

/// The chain as the nodes of this cluster see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Hash of the genesis, which names the chain to programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis_hash: Option<String>,
    /// The last finalized height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub height: Option<i64>,
    /// Block time of that height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "moment")]
    pub block_time: Option<Time>,
    /// The present epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub epoch: Option<i64>,
    /// Validators of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub validators: Option<i32>,
    /// The sum of their voting power, in whole VALO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total_power: Option<i64>,
    /// Part of the voting power that is of this cluster and does not take part now, such as `12.5%`. Above a third
    /// the chain stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voting_power_at_risk: Option<String>,
    /// Address of the HTTP API inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// What others put into `spec.join.seeds` to join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seeds: Vec<Seed>,
    /// What others put into `spec.join.peers` to join with validators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<ConsensusPeer>,
    /// `Ready`: nodes of this cluster follow the chain. `Genesis`: the genesis is made, or fetched and of the right
    /// hash. `Progressing`: the chain makes blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Whether an amount is some money.
pub(crate) const POSITIVE: &str = "double(self) > 0.0";
