//! Keys of nodes: those that Secrets hold, and those that were told of once and that no Secret holds any more.
//!
//! A key that is lost is still the node's: its pod runs on with what it has mounted, and the chain counts on it. So it is
//! looked up on the chain, drained and released as any other; it only starts no more.

use crate::keys::{self, KeyError};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_crds::NodeTier;
use valo_protocol::PublicKey;

/// The keys of the nodes of a tier, by ordinal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeKeys {
    /// Those that Secrets hold.
    pub there: BTreeMap<i32, PublicKey>,
    /// Those whose Secrets are gone.
    pub lost: BTreeMap<i32, PublicKey>,
}

impl NodeKeys {
    /// Reads Secrets, and holds them against what the status told last.
    pub fn of(tier: &NodeTier, secrets: &BTreeMap<i32, Secret>) -> Result<Self, KeyError> {
        let mut there = BTreeMap::new();
        for (ordinal, secret) in secrets {
            there.insert(*ordinal, keys::read(secret, keys::DATA_KEY)?.public());
        }
        let lost = told(tier).into_iter().filter(|(ordinal, _)| !there.contains_key(ordinal)).collect();
        Ok(Self { there, lost })
    }

    /// All of them.
    pub fn known(&self) -> BTreeMap<i32, PublicKey> {
        self.there.iter().chain(&self.lost).map(|(ordinal, key)| (*ordinal, *key)).collect()
    }
}

/// The keys that the status tells, by ordinal.
pub fn told(tier: &NodeTier) -> BTreeMap<i32, PublicKey> {
    let nodes = tier.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
    let key = |node: &valo_crds::NodeStatus| {
        let ordinal = node.pod.strip_prefix(&tier.name_any())?.strip_prefix('-')?.parse().ok()?;
        Some((ordinal, node.public_key.as_ref()?.parse().ok()?))
    };
    nodes.iter().filter_map(key).collect()
}
