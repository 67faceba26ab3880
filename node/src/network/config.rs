//! What a node's network needs to know, with defaults that suit a node on one machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use valo_protocol::{PublicKey, SecretKey};

use super::HostPort;

/// Where a node can be reached, as an operator writes it into a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The node's key; a dial reaches this node or nobody.
    pub key: PublicKey,
    /// Its UDP addresses or names, best first.
    pub addresses: Vec<HostPort>,
}

/// Settings of the network. `NetworkConfig::new` gives safe defaults.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// The node's ed25519 key.
    pub secret_key: SecretKey,
    /// The UDP address to listen on; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Addresses told to others. Empty: the bound address, unless it is unspecified; peers then
    /// use the address they see us come from.
    pub advertise: Vec<HostPort>,
    /// Nodes to know from the start.
    pub seeds: Vec<Seed>,
    /// Open connections of all kinds, both directions.
    pub max_connections: usize,
    /// Open connections with one node, all protocols together.
    pub max_connections_per_node: usize,
    /// Open connections with guests: nodes that are neither members nor seeds. 0 admits none.
    pub guests: usize,
    /// Open connections with guests of one prefix of addresses.
    pub guests_per_prefix: usize,
    /// How long a dial may take before the node counts as unreachable.
    pub dial_timeout: Duration,
    /// Wait after the first failed dial of a node; doubles with each further one.
    pub backoff_start: Duration,
    /// The longest wait between two dials of one node.
    pub backoff_limit: Duration,
    /// How often a node asks a peer for the peers it knows.
    pub exchange_interval: Duration,
    /// How long a node that was asked for the genesis, or that asked, may say nothing and take nothing.
    pub silence: Duration,
    /// How long a node is refused that sent invalid data.
    pub ban: Duration,
}

impl NetworkConfig {
    /// The defaults: loopback, a port chosen by the system, no seeds, members only.
    pub fn new(secret_key: SecretKey) -> Self {
        Self {
            secret_key,
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: Vec::new(),
            seeds: Vec::new(),
            max_connections: 512,
            max_connections_per_node: 16,
            guests: 0,
            guests_per_prefix: 16,
            dial_timeout: Duration::from_secs(3),
            backoff_start: Duration::from_millis(500),
            backoff_limit: Duration::from_secs(30),
            exchange_interval: Duration::from_secs(30),
            silence: Duration::from_secs(10),
            ban: Duration::from_secs(600),
        }
    }
}
