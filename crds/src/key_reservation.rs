//! ConsensusKeyReservation: at most one pod of the cluster signs with a consensus key.

use crate::common::{HEX, LABEL, OBJECT};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The right of one pod to sign with a consensus key. Its name is the hash of chain and key, and nothing in it can
/// change: two pods that want one key meet in one name, and the second is refused.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "valo.network",
    version = "v1alpha1",
    kind = "ConsensusKeyReservation",
    derive = "PartialEq",
    category = "valo",
    shortname = "vckr",
    doc = "The right of one pod of the cluster to sign with a consensus key. Made and released by the operator.",
    validation = Rule::new("self.spec == oldSelf.spec").message("spec is immutable: a key is released by deleting the reservation, once its pod is gone").field_path(".spec"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.holder.namespace"),
    printcolumn(name = "NodeTier", type_ = "string", json_path = ".spec.holder.nodeTier"),
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.holder.pod"),
    printcolumn(name = "Key", type_ = "string", json_path = ".spec.publicKey", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsensusKeyReservationSpec {
    /// Hash of the chain's genesis, 64 hexadecimal characters.
    #[schemars(regex(pattern = HEX))]
    pub genesis_hash: String,
    /// The consensus key, 64 hexadecimal characters.
    #[schemars(regex(pattern = HEX))]
    pub public_key: String,
    /// The pod that may sign with it.
    pub holder: Holder,
}

/// A pod of a StatefulSet: at most one of its name runs at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holder {
    /// Namespace of the pod.
    #[schemars(length(max = 63), regex(pattern = LABEL))]
    pub namespace: String,
    /// The NodeTier it belongs to.
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub node_tier: String,
    /// UID of that NodeTier: one of the same name made later is another.
    #[schemars(regex(pattern = "^[0-9a-zA-Z-]{1,64}$"))]
    pub node_tier_uid: String,
    /// Name of the pod.
    #[schemars(length(max = 253), regex(pattern = OBJECT))]
    pub pod: String,
}
