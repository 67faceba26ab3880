//! The Services of a NodeTier: names for its pods, and its HTTP API.

use super::{labels, selector};
use crate::{
    addresses::{CONSENSUS_PORT, NETWORK_PORT, NodePorts},
    chain::API_PORT,
    names, owned,
};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_crds::{AddressType, ExternalAddress, NodeTier};

/// The label that StatefulSets put on each pod.
const POD: &str = "statefulset.kubernetes.io/pod-name";

fn port(name: &str, number: u16, protocol: &str) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        protocol: Some(protocol.to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}

/// Names for pods, ready or not: validators find each other before any of them is ready.
pub fn headless(tier: &NodeTier) -> Service {
    Service {
        metadata: owned::metadata(tier, names::headless(&tier.name_any()), labels(tier)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(tier)),
            ports: Some(vec![
                port("consensus", CONSENSUS_PORT, "TCP"),
                port("network", NETWORK_PORT, "UDP"),
                port("api", API_PORT, "TCP"),
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// One Service for each node, by which the world reaches it, if that is asked for. Node ports are those by which it is
/// dialed already.
pub fn external(
    tier: &NodeTier,
    external: &ExternalAddress,
    replicas: i32,
    node_ports: &BTreeMap<i32, NodePorts>,
) -> Vec<Service> {
    let type_ = match external.type_ {
        AddressType::None => return Vec::new(),
        AddressType::LoadBalancer => "LoadBalancer",
        AddressType::NodePort => "NodePort",
    };
    (0..replicas)
        .map(|ordinal| {
            let pod = names::pod(&tier.name_any(), ordinal);
            let mut all = labels(tier);
            all.insert(names::COMPONENT.to_owned(), names::EXTERNAL.to_owned());
            let mut metadata = owned::metadata(tier, names::external(&pod), all);
            let dialed = node_ports.get(&ordinal).copied().unwrap_or_default();
            let port = |name, number, protocol, node_port| ServicePort { node_port, ..port(name, number, protocol) };
            metadata.annotations = (!external.annotations.is_empty()).then(|| external.annotations.clone());
            Service {
                metadata,
                spec: Some(ServiceSpec {
                    type_: Some(type_.to_owned()),
                    load_balancer_class: external.load_balancer_class.clone(),
                    // Nodes are reached before they are ready: they get ready by being reached.
                    publish_not_ready_addresses: Some(true),
                    selector: Some([(POD.to_owned(), pod)].into()),
                    ports: Some(vec![
                        port("consensus", CONSENSUS_PORT, "TCP", dialed.consensus),
                        port("network", NETWORK_PORT, "UDP", dialed.network),
                    ]),
                    ..ServiceSpec::default()
                }),
                status: None,
            }
        })
        .collect()
}

/// The HTTP API of nodes that are caught up.
pub fn client(tier: &NodeTier) -> Service {
    Service {
        metadata: owned::metadata(tier, tier.name_any(), labels(tier)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector(tier)),
            ports: Some(vec![port("api", API_PORT, "TCP")]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
