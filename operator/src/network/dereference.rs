//! What a Network refers to: its NodeTiers, its Wallets, its genesis, its pods, and the chain.

use super::Error;
use crate::{
    Context,
    chain::{Chain, ChainError},
    names::{self, namespace_of},
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_client::types::Validators;
use valo_crds::{Network, NodeTier, Wallet};
use valo_protocol::Genesis;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The genesis as it was made, if it was.
    pub genesis: Option<ConfigMap>,
    /// The ConfigMap that `spec.join.genesisRef` names, if it is there.
    pub given: Option<ConfigMap>,
    /// The genesis as a node serves it that got it from its seeds: its hash was checked there, and is again here.
    pub served: Option<Genesis>,
    /// The NodeTiers of the Network.
    pub tiers: Vec<NodeTier>,
    /// The Wallets of the namespace.
    pub wallets: Vec<Wallet>,
    /// The pods of the Network.
    pub pods: Vec<Pod>,
    /// The Services by which the world reaches nodes, by pod.
    pub external: BTreeMap<String, Service>,
    /// The chain, if a node answers.
    pub chain: Option<Chain>,
    /// Its validators.
    pub validators: Option<Validators>,
    /// Why no node answers.
    pub silent: Option<String>,
}

/// Asks for everything that the Network refers to.
pub async fn dereference(context: &Context, network: &Network) -> Result<Found, Error> {
    let (namespace, name) = (namespace_of(network), network.name_any());
    let cluster = &context.cluster;
    let tiers: Vec<NodeTier> = cluster.list(&namespace, "").await?;
    let of_world = names::selector(&[(names::NETWORK, &name), (names::COMPONENT, names::EXTERNAL)]);
    let services: Vec<Service> = cluster.list(&namespace, &of_world).await?;
    let by_pod = services
        .into_iter()
        .filter_map(|service| Some((service.name_any().strip_suffix("-external")?.to_owned(), service)));
    let mut found = Found {
        external: by_pod.collect(),
        genesis: cluster.get(&namespace, &names::genesis(&name)).await?,
        tiers: tiers.into_iter().filter(|tier| tier.spec.network_ref.name == name).collect(),
        wallets: cluster.list(&namespace, "").await?,
        pods: cluster.list(&namespace, &names::selector(&[(names::NETWORK, &name)])).await?,
        ..Found::default()
    };
    let reference = network.spec.join.as_ref().and_then(|join| join.genesis_ref.as_ref());
    if let Some(reference) = reference {
        found.given = cluster.get(&namespace, &reference.name).await?;
    }
    let hash = network.status.as_ref().and_then(|status| status.genesis_hash.as_ref()?.parse().ok());
    if let Some(hash) = hash {
        match context.chain(&namespace, &name, hash).await {
            Ok(chain) => {
                if found.genesis.is_none() && super::is_by_hash(network) {
                    found.served = Some(chain.client.genesis().await.map_err(ChainError::from)?);
                }
                found.validators = Some(chain.client.validators().await.map_err(ChainError::from)?);
                found.chain = Some(chain);
            }
            Err(error @ ChainError::Silent { .. }) => found.silent = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
