//! Who may talk to the nodes, and to whom they may.
//!
//! Nodes answer each other on their two ports; who speaks there is known by its key. The HTTP API answers the pods of
//! the namespace, the operator, and namespaces that carry the label [`API_ACCESS`]; everyone if it has an Ingress, whose
//! pods are known to nobody here. Nodes never reach the metadata services of clouds.

use super::{labels, selector};
use crate::{
    addresses::{CONSENSUS_PORT, NETWORK_PORT},
    chain::API_PORT,
    context::Settings,
    node_tier::validate::PodSettings,
    owned,
};
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::ResourceExt;
use valo_crds::{AddressType, NodeTier};

/// The label of namespaces whose pods may use the HTTP API.
pub const API_ACCESS: &str = "valo.network/api-access";

/// Builds it.
pub fn build(tier: &NodeTier, pods: &PodSettings, settings: &Settings) -> NetworkPolicy {
    let is_public = pods.external.type_ != AddressType::None;
    let nodes = NetworkPolicyIngressRule {
        // Without `from`: from everywhere.
        from: (!is_public).then(|| vec![namespaces(LabelSelector::default())]),
        ports: Some(node_ports()),
    };
    let api = NetworkPolicyIngressRule {
        from: (!pods.has_ingress).then(|| {
            vec![
                NetworkPolicyPeer { pod_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() },
                namespaces(labelled("kubernetes.io/metadata.name", &settings.namespace)),
                namespaces(labelled(API_ACCESS, "true")),
            ]
        }),
        ports: Some(vec![port("TCP", API_PORT)]),
    };
    let mut egress = vec![
        NetworkPolicyEgressRule { to: None, ports: Some(vec![port("UDP", 53), port("TCP", 53)]) },
        NetworkPolicyEgressRule { to: Some(vec![namespaces(LabelSelector::default())]), ports: Some(node_ports()) },
    ];
    if is_public || pods.joins {
        // Nodes of elsewhere listen on whatever port their clusters gave them.
        egress.push(NetworkPolicyEgressRule {
            to: Some(vec![anywhere("0.0.0.0/0", "169.254.0.0/16"), anywhere("::/0", "fe80::/10")]),
            ports: None,
        });
    }
    NetworkPolicy {
        metadata: owned::metadata(tier, tier.name_any(), labels(tier)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector { match_labels: Some(selector(tier)), match_expressions: None }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![nodes, api]),
            egress: Some(egress),
        }),
    }
}

fn node_ports() -> Vec<NetworkPolicyPort> {
    vec![port("TCP", CONSENSUS_PORT), port("UDP", NETWORK_PORT)]
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number.into())),
        end_port: None,
    }
}

fn labelled(name: &str, value: &str) -> LabelSelector {
    LabelSelector { match_labels: Some([(name.to_owned(), value.to_owned())].into()), match_expressions: None }
}

fn namespaces(selector: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

fn anywhere(cidr: &str, except: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: Some(vec![except.to_owned()]) }),
        ..NetworkPolicyPeer::default()
    }
}
