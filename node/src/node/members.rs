//! Who belongs to the network, and where: every node in the registry that has not left.

use crate::{
    chain::ChainHandle,
    consensus::Peers,
    network::{HostPort, Network, OwnConsensus, RegisteredEndpoint},
    storage::Storage,
};
use std::collections::{BTreeMap, BTreeSet};
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
    /// All other validators, with an address or without.
    pub voters: BTreeSet<PublicKey>,
    /// The consensus addresses of the node itself.
    pub own: Vec<HostPort>,
    /// Validators to be connected to, as far as the registry does not say where they are.
    pub missing: BTreeSet<PublicKey>,
    /// Whether it is a validator itself, which wants to be connected to all others.
    pub votes: bool,
}

/// The registry as `own` needs it. What it has for an address and is none is left out: the owner's mistake.
pub fn directory(view: &View<'_>, own: PublicKey) -> Result<Directory, LedgerError> {
    let mut directory = Directory::default();
    for (_, node) in view.nodes(NodeId(0), usize::MAX)? {
        if matches!(node.state, NodeState::Left | NodeState::Tombstoned) {
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
        if node.key == own {
            directory.votes |= validator;
            directory.own = consensus;
        } else if validator {
            directory.voters.insert(node.key);
            if !consensus.is_empty() {
                directory.validators.insert(node.key, consensus);
            }
        }
        directory.nodes.insert(node.key, network);
    }
    // Each node others, so that they share the work.
    let rank = |key: &PublicKey| *blake3::hash(&[own.0, key.0].concat()).as_bytes();
    let mut ranked: Vec<_> = directory.voters.iter().copied().collect();
    // Those with an address first.
    ranked.sort_by_key(|key| (!directory.validators.contains_key(key), rank(key)));
    let most = if directory.votes { usize::MAX } else { FOLLOWED };
    ranked.truncate(most);
    directory.validators.retain(|key, _| ranked.contains(key));
    directory.missing = ranked.into_iter().filter(|key| !directory.validators.contains_key(key)).collect();
    Ok(directory)
}

/// Whether an event changes who belongs or where they are.
const fn changes(event: &Event) -> bool {
    matches!(event, Event::NodeRegistered { .. } | Event::NodeStateChanged { .. } | Event::NodeUpdated { .. })
}

impl Directory {
    /// Whether a seed may be followed: a validator, or one that is not registered here, or not yet.
    fn may_lead(&self, seed: &PublicKey) -> bool {
        self.voters.contains(seed) || !self.nodes.contains_key(seed)
    }

    /// Who is asked where its consensus is: validators to be connected to that the registry has no address of, and seeds.
    fn asked(&self, seeds: &BTreeSet<PublicKey>) -> BTreeSet<PublicKey> {
        let seeds = seeds.iter().filter(|seed| self.may_lead(seed));
        self.missing.iter().chain(seeds).copied().collect()
    }

    /// Whom consensus is to be connected to: whom the registry names, and of those that said themselves where they are
    /// the seeds, and validators as far as there is room.
    fn wanted(&self, found: &Peers, seeds: &BTreeSet<PublicKey>) -> Peers {
        let mut wanted = self.validators.clone();
        let most = if self.votes { usize::MAX } else { FOLLOWED };
        for (key, said) in found {
            let is_leader = seeds.contains(key) && self.may_lead(key);
            if wanted.contains_key(key) || is_leader || (self.voters.contains(key) && wanted.len() < most) {
                let places = wanted.entry(*key).or_default();
                let new: Vec<_> = said.iter().filter(|place| !places.contains(place)).cloned().collect();
                places.extend(new);
            }
        }
        wanted
    }
}

/// Where the consensus of nodes is: what they say of themselves, who is asked for it, what this node says, and whom to
/// tell all of it.
pub struct Consensuses {
    pub found: watch::Receiver<Peers>,
    pub asked: watch::Sender<BTreeSet<PublicKey>>,
    pub own: OwnConsensus,
    pub wanted: watch::Sender<Peers>,
}

/// Keeps members and addresses as the registry has them, and as nodes say themselves.
pub async fn follow(storage: Storage, chain: ChainHandle, network: Network, mut consensuses: Consensuses) {
    let mut blocks = chain.subscribe();
    let mut present = Directory::default();
    let (mut changed, mut found) = (true, false);
    loop {
        if changed {
            match directory(&View::new(&storage), network.key()) {
                Ok(directory) => {
                    info!(members = directory.nodes.len(), "the registry");
                    network.members().replace(directory.nodes.keys().copied());
                    for (key, places) in &directory.nodes {
                        network.learn(*key, places.iter().cloned());
                    }
                    consensuses.own.registered(directory.own.clone());
                    let asked = directory.asked(network.seeds());
                    consensuses.asked.send_if_modified(|known| {
                        let changed = *known != asked;
                        *known = asked;
                        changed
                    });
                    present = directory;
                }
                Err(error) => warn!(%error, "cannot read the registry"),
            }
        }
        if changed || found {
            let wanted = present.wanted(&consensuses.found.borrow_and_update(), network.seeds());
            consensuses.wanted.send_if_modified(|known| {
                let changed = *known != wanted;
                *known = wanted;
                changed
            });
        }
        (changed, found) = tokio::select! {
            block = blocks.recv() => match block {
                Ok(block) => (block.events.iter().any(changes), false),
                Err(RecvError::Lagged(_)) => (true, false),
                Err(RecvError::Closed) => return,
            },
            told = consensuses.found.changed() => match told {
                Ok(()) => (false, true),
                // The network stops.
                Err(_) => return,
            },
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
        assert_eq!((read.votes, read.own, read.voters), (true, vec![], BTreeSet::from([other])));
        assert_eq!(read.missing, BTreeSet::new());
        let read = directory(&chain.view(), other).unwrap();
        assert_eq!(read.own, [place("v1.example.org:7001")]);
        assert_eq!(read.missing, BTreeSet::from([own]), "it has no address in the registry");
    }

    #[test]
    fn consensus_is_dialed_where_the_registry_and_the_node_itself_say() {
        let key = |number: u32| node_key(number).public();
        let at = |text: &str| vec![text.parse::<HostPort>().unwrap()];
        let mut directory = Directory {
            nodes: [0, 1, 3, 4].map(|number| (key(number), vec![])).into(),
            validators: Peers::from([(key(0), at("v0.example.org:7001"))]),
            voters: BTreeSet::from([key(0), key(1)]),
            missing: BTreeSet::from([key(1)]),
            ..Directory::default()
        };
        // The third is not registered yet; the fourth and the fifth are workers.
        let seeds = BTreeSet::from([key(2), key(3)]);
        assert_eq!(directory.asked(&seeds), BTreeSet::from([key(1), key(2)]));
        let found = Peers::from([0, 1, 2, 3, 4].map(|number| (key(number), at("203.0.113.4:7001"))));
        let said = at("203.0.113.4:7001");
        let both = [at("v0.example.org:7001"), said.clone()].concat();
        let all = Peers::from([(key(0), both), (key(1), said.clone()), (key(2), said)]);
        assert_eq!(directory.wanted(&found, &seeds), all);
        // A node that does not vote follows a few validators, and its seeds in any case.
        directory.validators = (10..).take(FOLLOWED).map(|number| (key(number), at("a:1"))).collect();
        assert!(!directory.wanted(&found, &seeds).contains_key(&key(1)));
        assert!(directory.wanted(&found, &seeds).contains_key(&key(2)));
        directory.votes = true;
        assert!(directory.wanted(&found, &seeds).contains_key(&key(1)));
    }
}
