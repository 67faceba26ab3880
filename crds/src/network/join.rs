//! A chain that runs already.

use crate::common::{HEX, HOST_AND_PORT};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use valo_contract::Reference;

/// How to find a chain and to know that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Join {
    /// Hash of the chain's genesis, 64 hexadecimal characters, from a source you trust. Nothing else is believed.
    #[schemars(regex(pattern = HEX))]
    #[x_kube(validation = ("self == oldSelf", "spec.join.genesisHash is immutable: it names the chain"))]
    pub genesis_hash: String,
    /// ConfigMap of this namespace with the genesis under `genesis.json`, as a node serves it under `/v1/genesis`. It must
    /// have that hash; the Network waits for it. Without one the nodes get the genesis from the seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis_ref: Option<Reference>,
    /// Nodes to ask first. They admit the nodes of this Network as guests until these are registered, and pass on their
    /// registration: one has to be reached.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"])
    )]
    pub seeds: Vec<Seed>,
    /// Consensus addresses (TCP) of nodes of the chain, such as `node.example.org:7001`, of which one has to answer: nodes of every kind read the chain from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "set"))]
    pub peers: Vec<ConsensusPeer>,
}

/// A node of the chain, by its key, with where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seed {
    /// The node's key, 64 hexadecimal characters.
    #[schemars(regex(pattern = HEX))]
    pub key: String,
    /// UDP addresses, `host:port`, such as `node.example.org:7002` or `[2001:db8::1]:7002`. Without any, the seed is found only through other seeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(max = 300), regex(pattern = HOST_AND_PORT)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub addresses: Vec<String>,
}

/// The consensus address of a validator, TCP, `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ConsensusPeer(#[schemars(length(max = 300), regex(pattern = HOST_AND_PORT))] pub String);
