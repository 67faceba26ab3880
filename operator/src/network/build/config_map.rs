//! The genesis, for all nodes to mount. Immutable: a chain has one.

use crate::{names, network::genesis::DOCUMENT, owned};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use valo_crds::Network;
use valo_protocol::Genesis;

/// The annotation with the hash, for people.
const HASH: &str = "valo.network/genesis-hash";

/// Builds it: the text is the one that `valo genesis new` writes.
pub fn build(network: &Network, genesis: &Genesis) -> ConfigMap {
    let text = serde_json::to_string_pretty(genesis).unwrap_or_default() + "\n";
    let labels = [(names::COMPONENT, "genesis"), (names::NETWORK, &network.name_any())];
    let mut metadata = owned::metadata(network, names::genesis(&network.name_any()), names::labels(&labels));
    metadata.annotations = Some([(HASH.to_owned(), genesis.hash().to_string())].into());
    ConfigMap {
        metadata,
        data: Some([(DOCUMENT.to_owned(), text)].into()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}
