//! The HTTP API of all nodes of a Network that are caught up.

use crate::{chain::API_PORT, names, owned};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;
use valo_crds::Network;

/// Builds it.
pub fn build(network: &Network) -> Service {
    let name = network.name_any();
    let labels = names::labels(&[(names::COMPONENT, "api"), (names::NETWORK, &name)]);
    Service {
        metadata: owned::metadata(network, names::api(&name), labels),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some([(names::NETWORK.to_owned(), name)].into()),
            ports: Some(vec![ServicePort {
                name: Some("api".to_owned()),
                port: API_PORT.into(),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String("api".to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
