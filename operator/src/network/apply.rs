//! Brings a Network into the cluster.

use super::{Error, build::Prepared};
use crate::{
    Context,
    names::{self, FINALIZER, namespace_of, reference},
};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use valo_crds::Network;
use valo_protocol::GenesisHash;

/// What came of it.
#[derive(Debug)]
pub struct Applied {
    /// The hash of the genesis that nodes mount, once there is one.
    pub genesis: Option<GenesisHash>,
}

/// Applies what was built.
pub async fn apply(context: &Context, network: &Network, prepared: Prepared) -> Result<Applied, Error> {
    let Prepared { genesis, api, ingress } = prepared;
    let (cluster, namespace) = (&context.cluster, namespace_of(network));
    cluster.set_finalizer(network, FINALIZER, true).await?;
    cluster.apply(&api).await?;
    match ingress {
        Some(ingress) => drop(cluster.apply(&ingress).await?),
        None => {
            let name = names::api(&network.name_any());
            let left: Option<Ingress> = cluster.get(&namespace, &name).await?;
            if let Some(left) = left.filter(|left| is_ours(left, network)) {
                cluster.delete(&left).await?;
            }
        }
    }
    let mut hash = None;
    if let Some(genesis) = genesis {
        let made = cluster.make_once(&genesis).await?;
        // What nodes mount decides, whoever made it.
        let found = super::genesis::read(&made)?.hash();
        let known = network.status.as_ref().is_some_and(|status| status.genesis_hash.is_some());
        if !known {
            let note = format!("the chain is {found}; its genesis is in ConfigMap {}", made.name_any());
            context.tell(&reference(network), "GenesisMade", "Genesis", note).await;
        }
        hash = Some(found);
    }
    Ok(Applied { genesis: hash })
}

impl Applied {
    /// What came of it the last time.
    pub fn before(network: &Network) -> Self {
        let known = network.status.as_ref().and_then(|status| status.genesis_hash.as_ref()?.parse().ok());
        Self { genesis: known }
    }
}

fn is_ours(ingress: &Ingress, network: &Network) -> bool {
    ingress.owner_references().iter().any(|owner| Some(&owner.uid) == network.metadata.uid.as_ref())
}
