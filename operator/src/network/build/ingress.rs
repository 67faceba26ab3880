//! The HTTP API by a name of its own.

use crate::{names, owned};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};
use kube::ResourceExt;
use valo_crds::Network;

/// Builds it.
pub fn build(network: &Network, wanted: &valo_crds::Ingress) -> Ingress {
    let name = names::api(&network.name_any());
    let labels = names::labels(&[(names::COMPONENT, "api"), (names::NETWORK, &network.name_any())]);
    let mut metadata = owned::metadata(network, name.clone(), labels);
    metadata.annotations = (!wanted.annotations.is_empty()).then(|| wanted.annotations.clone());
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name,
            port: Some(ServiceBackendPort { name: Some("api".to_owned()), number: None }),
        }),
        resource: None,
    };
    let path = HTTPIngressPath { path: Some("/".to_owned()), path_type: "Prefix".to_owned(), backend };
    let tls = wanted
        .tls_secret_name
        .clone()
        .map(|secret| vec![IngressTLS { hosts: Some(vec![wanted.host.clone()]), secret_name: Some(secret) }]);
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: wanted.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(wanted.host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls,
            default_backend: None,
        }),
        status: None,
    }
}
