//! The configuration of nodes (docs/node-in-a-pod.md). All pods share it; a change of peers needs no restart.

use super::labels;
use crate::{
    addresses::{CONSENSUS_PORT, NETWORK_PORT},
    chain::API_PORT,
    node_tier::validate::PodSettings,
    owned,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::Serialize;
use valo_crds::{NodeTier, Seed};

/// The key of the ConfigMap, and the name of the file.
pub const FILE: &str = "config.yaml";

/// `config.yaml`, as far as a pod needs it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    name: String,
    api: String,
    consensus: Consensus<'a>,
    network: Network<'a>,
    blobs: Blobs,
}

#[derive(Serialize)]
struct Consensus<'a> {
    listen: String,
    peers: &'a [String],
}

#[derive(Serialize)]
struct Network<'a> {
    listen: String,
    seeds: &'a [Seed],
    #[serde(skip_serializing_if = "Option::is_none")]
    guests: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blobs {
    node_quota: u64,
    owner_quota: u64,
}

/// The name of the ConfigMap.
pub fn name(tier: &NodeTier) -> String {
    format!("{}-config", tier.name_any())
}

/// Builds it.
pub fn build(tier: &NodeTier, pods: &PodSettings) -> ConfigMap {
    let size = tier.spec.storage.size.0;
    let config = Config {
        name: tier.name_any(),
        api: format!("0.0.0.0:{API_PORT}"),
        consensus: Consensus { listen: format!("0.0.0.0:{CONSENSUS_PORT}"), peers: &pods.peers },
        network: Network { listen: format!("0.0.0.0:{NETWORK_PORT}"), seeds: &pods.seeds, guests: pods.guests },
        // Half of the volume for blobs, the rest for the chain; an eighth for one uploader.
        blobs: Blobs { node_quota: size / 2, owner_quota: size / 8 },
    };
    // Plain data: it cannot fail.
    let text = serde_yaml::to_string(&config).unwrap_or_default();
    ConfigMap {
        metadata: owned::metadata(tier, name(tier), labels(tier)),
        data: Some([(FILE.to_owned(), text)].into()),
        ..ConfigMap::default()
    }
}
