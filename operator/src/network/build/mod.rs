//! What a Network owns in the cluster.

mod config_map;
mod ingress;
mod service;

use super::validate::Checked;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Service},
    networking::v1::Ingress,
};
use valo_crds::Network;

/// What is to be brought into the cluster.
#[derive(Debug)]
pub struct Prepared {
    /// The genesis, once there is one.
    pub genesis: Option<ConfigMap>,
    /// The HTTP API inside the cluster.
    pub api: Service,
    /// The HTTP API by a name of its own, if asked for.
    pub ingress: Option<Ingress>,
}

/// Builds it all.
pub fn build(network: &Network, checked: &Checked) -> Prepared {
    Prepared {
        genesis: checked.genesis.as_ref().ok().map(|genesis| config_map::build(network, genesis)),
        api: service::build(network),
        ingress: network.spec.ingress.as_ref().map(|wanted| ingress::build(network, wanted)),
    }
}
