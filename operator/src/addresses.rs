//! Where nodes are reached.

use crate::names;
use k8s_openapi::api::core::v1::Service;
use valo_crds::{AddressType, ExternalAddress};

/// The port of consensus, TCP.
pub const CONSENSUS_PORT: u16 = 7001;
/// The port of everything else between nodes, UDP.
pub const NETWORK_PORT: u16 = 7002;

/// The addresses of a node, `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Consensus, TCP.
    pub consensus: String,
    /// Everything else, UDP.
    pub network: String,
}

impl Addresses {
    /// As the registry of the chain has them.
    pub fn endpoints(&self) -> Vec<String> {
        vec![format!("tcp://{}", self.consensus), format!("udp://{}", self.network)]
    }
}

/// What the world reaches a node at, once its Service has an address. `hosts` go before what Kubernetes knows, one for
/// each ordinal in turn; node ports are known by them only.
pub fn outside(external: &ExternalAddress, ordinal: i32, service: &Service) -> Option<Addresses> {
    let spec = service.spec.as_ref()?;
    let ports = spec.ports.as_ref()?;
    let place = usize::try_from(ordinal).ok()?.checked_rem(external.hosts.len());
    let given = place.and_then(|place| external.hosts.get(place)).cloned();
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first());
    let known = balancer.and_then(|at| at.hostname.clone().or_else(|| at.ip.clone()));
    let (host, is_node_port) = match external.type_ {
        AddressType::None => return None,
        AddressType::LoadBalancer => (given.or(known)?, false),
        AddressType::NodePort => (given?, true),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let port = |name: &str| {
        let port = ports.iter().find(|port| port.name.as_deref() == Some(name))?;
        if is_node_port { port.node_port } else { Some(port.port) }
    };
    Some(Addresses {
        consensus: format!("{host}:{}", port("consensus")?),
        network: format!("{host}:{}", port("network")?),
    })
}

/// Ports of all machines by which a node is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodePorts {
    /// Consensus, TCP.
    pub consensus: Option<i32>,
    /// Everything else, UDP.
    pub network: Option<i32>,
}

impl NodePorts {
    /// Those that a Service has.
    pub fn of(service: &Service) -> Self {
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let port = |name: &str| ports.iter().find(|port| port.name.as_deref() == Some(name))?.node_port;
        Self { consensus: port("consensus"), network: port("network") }
    }

    /// Those that others dial, by what they were told: `tcp://host:port` and `udp://host:port`, of which the hosts of this
    /// Network count. Those of a load balancer are none.
    pub fn told<'a>(external: &ExternalAddress, endpoints: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for (scheme, address) in endpoints.into_iter().filter_map(|endpoint| endpoint.split_once("://")) {
            let Some((host, port)) = address.rsplit_once(':') else { continue };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let Ok(port) = port.parse::<u16>() else { continue };
            match scheme {
                _ if !external.hosts.iter().any(|known| known == host) => {}
                "tcp" if port != CONSENSUS_PORT => found.consensus = Some(port.into()),
                "udp" if port != NETWORK_PORT => found.network = Some(port.into()),
                _ => {}
            }
        }
        found
    }

    /// These, and where there is none, the other's.
    pub fn or(self, other: Self) -> Self {
        Self { consensus: self.consensus.or(other.consensus), network: self.network.or(other.network) }
    }
}

/// The names under which pods of the same cluster reach a node, whether it is ready or not.
pub fn inside(namespace: &str, node_tier: &str, pod: &str) -> Addresses {
    let host = format!("{pod}.{}.{namespace}.svc", names::headless(node_tier));
    Addresses { consensus: format!("{host}:{CONSENSUS_PORT}"), network: format!("{host}:{NETWORK_PORT}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn external(spec: serde_json::Value) -> ExternalAddress {
        serde_json::from_value(spec).unwrap()
    }

    fn service(ingress: serde_json::Value) -> Service {
        serde_json::from_value(json!({
            "spec": {"ports": [
                {"name": "consensus", "port": 7001, "nodePort": 30701}, {"name": "network", "port": 7002, "nodePort": 30702},
            ]},
            "status": {"loadBalancer": {"ingress": ingress}},
        }))
        .unwrap()
    }

    #[test]
    fn the_world_is_told_what_it_can_dial() {
        let at = |spec, ordinal, ingress| {
            outside(&external(spec), ordinal, &service(ingress)).map(|found| (found.consensus, found.network))
        };
        let ports = |host: &str, one: u16, two: u16| Some((format!("{host}:{one}"), format!("{host}:{two}")));
        let balanced = json!([{"ip": "203.0.113.4"}]);
        let of_balancer = json!({"type": "LoadBalancer"});
        assert_eq!(at(of_balancer.clone(), 0, balanced.clone()), ports("203.0.113.4", 7001, 7002));
        assert_eq!(at(of_balancer.clone(), 0, json!([])), None, "it has no address yet");
        assert_eq!(at(of_balancer, 0, json!([{"ip": "2001:db8::1"}])), ports("[2001:db8::1]", 7001, 7002));
        let hosts = json!({"type": "NodePort", "hosts": ["a.example.org", "b.example.org"]});
        assert_eq!(at(hosts.clone(), 1, json!([])), ports("b.example.org", 30701, 30702));
        assert_eq!(at(hosts, 2, json!([])), ports("a.example.org", 30701, 30702));
        assert_eq!(at(json!({"type": "NodePort"}), 0, json!([])), None, "nobody knows the machines");
        assert_eq!(at(json!({"type": "None"}), 0, balanced), None);
    }

    #[test]
    fn what_others_dial_is_told_from_what_they_do_not() {
        let hosts = external(json!({"type": "NodePort", "hosts": ["a.example.org", "2001:db8::1"]}));
        let told = |endpoints: &[&str]| {
            let ports = NodePorts::told(&hosts, endpoints.iter().copied());
            (ports.consensus, ports.network)
        };
        assert_eq!(told(&["tcp://a.example.org:30701", "udp://[2001:db8::1]:30702"]), (Some(30701), Some(30702)));
        assert_eq!(told(&["tcp://b.example.org:30701", "udp://a.example.org"]), (None, None));
        assert_eq!(told(&["tcp://a.example.org:7001", "udp://a.example.org:7002"]), (None, None), "a load balancer's");
    }
}
