//! The Secret with a wallet's key.

use crate::{keys, names};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use valo_crds::Wallet;
use valo_protocol::SecretKey;

/// Builds it, under the name of the Wallet.
pub fn build(wallet: &Wallet, key: &SecretKey) -> Secret {
    let network = &wallet.spec.network_ref.name;
    let labels = names::labels(&[(names::COMPONENT, "wallet-key"), (names::NETWORK, network)]);
    keys::secret(&names::namespace_of(wallet), &wallet.name_any(), labels, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_immutable_and_owned_by_nobody() {
        let wallet: Wallet = serde_json::from_value(serde_json::json!({
            "apiVersion": "valo.network/v1alpha1", "kind": "Wallet",
            "metadata": {"name": "alice", "namespace": "valo", "uid": "1"}, "spec": {"networkRef": {"name": "demo"}},
        }))
        .unwrap();
        insta::assert_yaml_snapshot!(build(&wallet, &SecretKey::from_seed([1; 32])));
    }
}
