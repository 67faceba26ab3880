//! Network: one chain, as nodes of this cluster see it.

use crate::common::{
    Condition, HOST, IMAGE, Labels, LocalReference, OBJECT, QUALIFIED, annotations, conditions, moment,
};
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
    validation = ("self.metadata.name.size() <= 58 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')", "metadata.name: a Network's name begins those of Services: at most 58 of a-z, 0-9 and -, a letter first"),
    validation = Rule::new("!has(self.spec.chain) || has(self.spec.chain.name) || self.metadata.name.size() <= 32").message("spec.chain.name: say it where the name of the Network has more than 32 characters").field_path(".spec.chain.name"),
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
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Genesis", type_ = "string", json_path = ".status.genesisHash", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.chain) != has(self.join)").message("spec.chain: say exactly one of chain and join").field_path(".chain"))]
#[x_kube(validation = Rule::new("has(self.chain) == has(oldSelf.chain)").message("spec.chain is immutable: a Network stays the chain that it is").field_path(".chain"))]
pub struct NetworkSpec {
    /// A new chain, with everything it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "spec.chain is immutable: the hash of the genesis names the chain"))]
    pub chain: Option<NewChain>,
    /// A chain that runs already, in this cluster or elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Image of the nodes, with tag or digest, such as `ghcr.io/valo-network/valo:0.1.0`. The operator's own release
    /// unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = IMAGE))]
    pub image: Option<String>,
    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets of this namespace with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<LocalReference>,
    /// How nodes of other clusters reach the nodes of this one.
    #[serde(default)]
    pub external_address: ExternalAddress,
    /// Connections that each node keeps for guests: nodes that are not registered yet, such as those of others that join.
    /// 64 unless said; 0 admits none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4096))]
    pub guests: Option<i32>,
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
#[x_kube(validation = Rule::new("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'").message("spec.externalAddress.loadBalancerClass: it goes with type: LoadBalancer").field_path(".loadBalancerClass"))]
#[x_kube(validation = Rule::new("!has(self.hosts) || self.type != 'None'").message("spec.externalAddress.hosts: they go with type: LoadBalancer or NodePort").field_path(".hosts"))]
#[x_kube(validation = Rule::new("self.type != 'NodePort' || (has(self.hosts) && self.hosts.size() > 0)").message("spec.externalAddress.hosts: with type: NodePort, say at which names or addresses the machines are reached").field_path(".hosts"))]
#[x_kube(validation = Rule::new("self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))").message("spec.externalAddress.loadBalancerClass: Services keep their class; say type: None first").field_path(".loadBalancerClass"))]
pub struct ExternalAddress {
    /// By which kind of Service, one for each node. With `None` they are reached inside the cluster only, and through
    /// relays.
    #[serde(rename = "type", default)]
    pub type_: AddressType,
    /// Names or addresses that others use in place of those which Kubernetes knows, as behind NAT, such as
    /// `node.example.org` or `2001:db8::1`: without a port, one for each node in turn. With `NodePort` nothing else says them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253), regex(pattern = HOST)))]
    pub hosts: Vec<String>,
    /// Class of the load balancers, such as `example.org/metal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = QUALIFIED))]
    pub load_balancer_class: Option<String>,
    /// Annotations of the Services, as cloud providers ask for them.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(schema_with = "annotations")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingress {
    /// Its host name, such as `api.example.org` or `*.example.org`.
    #[schemars(
        length(max = 253),
        regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[x_kube(validation = ("!self.matches('^[0-9.]+$')", "spec.ingress.host: it takes a name, not an address"))]
    pub host: String,
    /// Class of the Ingress; the cluster's default unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub class_name: Option<String>,
    /// Secret with the certificate, of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(schema_with = "annotations")]
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
