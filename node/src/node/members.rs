//! Who belongs to the network, and where: every node in the registry that has not left.

use crate::{
    chain::ChainHandle,
    consensus::Peers,
    network::{HostPort, Network, RegisteredEndpoint},
    storage::Storage,
};
use std::collections::BTreeMap;
use tokio::sync::{broadcast::error::RecvError, watch};
use tracing::{info, warn};
use valo_ledger::{LedgerError, View};
use valo_protocol::{
    PublicKey,
    event::Event,
    registry::{NodeId, NodeRole, NodeState},
};

/// Nodes other than validators are connected to this many validators at most.
const FOLLOWED: usize = 16;

/// Who belongs, and where they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// All members, with their addresses for everything but consensus.
    pub nodes: BTreeMap<PublicKey, Vec<HostPort>>,
    /// The validators to be connected to for consensus, with their addresses there.
    pub validators: Peers,
}

/// The registry as `own` needs it. What it has for an address and is none is left out: the owner's mistake.
pub fn directory(view: &View<'_>, own: PublicKey) -> Result<Directory, LedgerError> {
    let mut directory = Directory::default();
    let mut votes = false;
    for (_, node) in view.nodes(NodeId(0), usize::MAX)? {
        if node.state == NodeState::Left {
            continue;
        }
        let (mut consensus, mut network) = (Vec::new(), Vec::new());
        for endpoint in &node.endpoints {
            match endpoint.parse() {
                Ok(RegisteredEndpoint::Consensus(place)) => consensus.push(place),
                Ok(RegisteredEndpoint::Network(place)) => network.push(place),
                Err(_) => {}
            }
        }
        let validator = node.role == NodeRole::Validator;
        votes |= validator && node.key == own;
        if validator && node.key != own && !consensus.is_empty() {
            directory.validators.insert(node.key, consensus);
        }
        directory.nodes.insert(node.key, network);
    }
    if !votes && directory.validators.len() > FOLLOWED {
        // Each node others, so that they share the work.
        let mut ranked: Vec<_> =
            directory.validators.keys().map(|key| (blake3::hash(&[own.0, key.0].concat()), *key)).collect();
        ranked.sort_by_key(|(rank, _)| *rank.as_bytes());
        for (_, key) in ranked.split_off(FOLLOWED) {
            directory.validators.remove(&key);
        }
    }
    Ok(directory)
}

/// Whether an event changes who belongs or where they are.
const fn changes(event: &Event) -> bool {
    matches!(event, Event::NodeRegistered { .. } | Event::NodeStateChanged { .. } | Event::NodeUpdated { .. })
}

/// Keeps members and addresses as the registry has them.
pub async fn follow(storage: Storage, chain: ChainHandle, network: Network, validators: watch::Sender<Peers>) {
    let mut blocks = chain.subscribe();
    let mut changed = true;
    loop {
        if changed {
            match directory(&View::new(&storage), network.key()) {
                Ok(directory) => {
                    info!(members = directory.nodes.len(), "the registry");
                    network.members().replace(directory.nodes.keys().copied());
                    for (key, places) in directory.nodes {
                        network.learn(key, places);
                    }
                    validators.send_if_modified(|known| {
                        let changed = *known != directory.validators;
                        *known = directory.validators;
                        changed
                    });
                }
                Err(error) => warn!(%error, "cannot read the registry"),
            }
        }
        changed = match blocks.recv().await {
            Ok(block) => block.events.iter().any(changes),
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_ledger::testing::{Setup, TestChain, account, node_key};
    use valo_protocol::{
        Action,
        bytes::{BoundedString, BoundedVec},
    };

    #[test]
    fn the_registry_says_where_nodes_are() {
        let mut chain = TestChain::new(&Setup { validators: vec![10, 10], ..Setup::default() });
        let own = node_key(0).public();
        let other = node_key(1).public();
        let text = ["tcp://v1.example.org:7001", "udp://v1.example.org:7002", "203.0.113.4:9", "nonsense"];
        let endpoints = text.map(|text| BoundedString::new(text).unwrap());
        let endpoints = Some(BoundedVec::new(endpoints.to_vec()).unwrap());
        chain.one(account(1), Action::UpdateNode { node: NodeId(1), slots: None, endpoints });
        let read = directory(&chain.view(), own).unwrap();
        let place = |text: &str| text.parse::<HostPort>().unwrap();
        assert_eq!(read.validators, Peers::from([(other, vec![place("v1.example.org:7001")])]));
        assert_eq!(read.nodes[&other], [place("v1.example.org:7002"), place("203.0.113.4:9")]);
        assert_eq!(read.nodes[&own], []);
    }
}
