//! Where nodes are reached.

use crate::names;

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

/// The names under which pods of the same cluster reach a node, whether it is ready or not.
pub fn inside(namespace: &str, node_tier: &str, pod: &str) -> Addresses {
    let host = format!("{pod}.{}.{namespace}.svc", names::headless(node_tier));
    Addresses { consensus: format!("{host}:{CONSENSUS_PORT}"), network: format!("{host}:{NETWORK_PORT}") }
}
