//! The address book: where each known node may be reached, and when to try it next.
//!
//! Addresses are hints. Every dial is authenticated by the node's key, so a wrong address costs one
//! failed dial and nothing else; that is why hearsay is allowed in, but ranks last and is never
//! passed on.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use valo_protocol::PublicKey;

use super::HostPort;

/// Nodes in the book. Only seeds and members enter, so this is a second line of defence.
const MAX_NODES: usize = 2048;
/// Addresses kept for a node.
const MAX_ADDRESSES: usize = 6;
/// Names kept for a node: those of the configuration and those of the registry.
const MAX_NAMES: usize = 8;

/// Where an address comes from; the better source ranks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A dial of it succeeded, or the node came to us from it.
    Proven,
    /// The operator's configuration.
    Seed,
    /// The node itself said so.
    Own,
    /// Another node said so.
    Hearsay,
}

#[derive(Clone, Debug)]
struct Node {
    addresses: Vec<(Source, SocketAddr)>,
    /// Places to resolve at each dial.
    names: Vec<(Source, HostPort)>,
    failures: u32,
    next_dial: Instant,
}

impl Node {
    const fn new(now: Instant) -> Self {
        Self { addresses: Vec::new(), names: Vec::new(), failures: 0, next_dial: now }
    }

    /// What was proven may be stale: it ranks with what the node says of itself from now on.
    fn demote(&mut self) {
        for known in &mut self.addresses {
            if known.0 == Source::Proven {
                known.0 = Source::Own;
            }
        }
    }
}

/// All known nodes.
#[derive(Debug)]
pub(crate) struct AddressBook {
    own: PublicKey,
    backoff_start: Duration,
    backoff_limit: Duration,
    nodes: HashMap<PublicKey, Node>,
}

impl AddressBook {
    pub(crate) fn new(own: PublicKey, backoff_start: Duration, backoff_limit: Duration) -> Self {
        Self { own, backoff_start, backoff_limit, nodes: HashMap::new() }
    }

    /// Notes addresses of a node. True when something new was learned.
    pub(crate) fn learn(
        &mut self,
        key: PublicKey,
        addresses: impl IntoIterator<Item = SocketAddr>,
        source: Source,
        now: Instant,
    ) -> bool {
        let Some(node) = self.entry(key, now) else { return false };
        let before: Vec<_> = node.addresses.iter().map(|known| known.1).collect();
        if source == Source::Own {
            // What a node says of itself replaces what it said before: ports change at a restart.
            node.addresses.retain(|known| known.0 != Source::Own);
        }
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
                continue;
            }
            match node.addresses.iter_mut().find(|known| known.1 == address) {
                Some(known) => known.0 = known.0.min(source),
                None => node.addresses.insert(0, (source, address)),
            }
        }
        // Stable: within a source the newest comes first.
        node.addresses.sort_by_key(|known| known.0);
        node.addresses.truncate(MAX_ADDRESSES);
        let learned = node.addresses.iter().any(|known| !before.contains(&known.1));
        self.learned(key, learned, now)
    }

    /// Notes where a node is by its configuration or by its registry entry, in place of what that said before. True when
    /// something new was learned.
    pub(crate) fn learn_names(
        &mut self,
        key: PublicKey,
        names: impl IntoIterator<Item = HostPort>,
        source: Source,
        now: Instant,
    ) -> bool {
        let Some(node) = self.entry(key, now) else { return false };
        let before = std::mem::take(&mut node.names);
        node.names.extend(before.iter().filter(|known| known.0 != source).cloned());
        node.names.extend(names.into_iter().map(|name| (source, name)));
        node.names.truncate(MAX_NAMES);
        let learned = node.names.iter().any(|known| !before.contains(known));
        self.learned(key, learned, now)
    }

    /// Whether anybody said where a node is.
    pub(crate) fn is_somewhere(&self, key: &PublicKey) -> bool {
        self.nodes.contains_key(key)
    }

    /// The entry of another node, made if there is room.
    fn entry(&mut self, key: PublicKey, now: Instant) -> Option<&mut Node> {
        let has_room = self.nodes.len() < MAX_NODES || self.nodes.contains_key(&key);
        (key != self.own && has_room).then(|| self.nodes.entry(key).or_insert_with(|| Node::new(now)))
    }

    /// What is new of a node is tried at once; a node that is nowhere is forgotten. Gives whether something was new.
    fn learned(&mut self, key: PublicKey, learned: bool, now: Instant) -> bool {
        if let Some(node) = self.nodes.get_mut(&key) {
            if learned {
                node.next_dial = node.next_dial.min(now);
            }
            if node.addresses.is_empty() && node.names.is_empty() {
                self.nodes.remove(&key);
            }
        }
        learned
    }

    /// What has to be resolved for a dial, beside [`AddressBook::addresses`].
    pub(crate) fn names(&self, key: &PublicKey) -> Vec<HostPort> {
        self.nodes.get(key).map(|node| node.names.iter().map(|known| known.1.clone()).collect()).unwrap_or_default()
    }

    /// The addresses to dial, best first.
    pub(crate) fn addresses(&self, key: &PublicKey) -> Vec<SocketAddr> {
        self.nodes.get(key).map(|node| node.addresses.iter().map(|known| known.1).collect()).unwrap_or_default()
    }

    /// The node was met at this address (where it is known).
    pub(crate) fn met(&mut self, key: PublicKey, address: Option<SocketAddr>, now: Instant) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.demote();
        }
        self.learn(key, address, Source::Proven, now);
    }

    /// A connection with the node lasted: it may be dialed again at once when it ends.
    pub(crate) fn settled(&mut self, key: &PublicKey, now: Instant) {
        if let Some(node) = self.nodes.get_mut(key) {
            node.failures = 0;
            node.next_dial = now;
        }
    }

    /// The node is not to be dialed before this moment.
    pub(crate) fn postpone(&mut self, key: &PublicKey, until: Option<Instant>) {
        if let (Some(node), Some(until)) = (self.nodes.get_mut(key), until) {
            node.next_dial = node.next_dial.max(until);
        }
    }

    /// A dial failed, or what it opened did not last: the next one waits, twice as long each time. `jitter` in 0..=255 spreads nodes
    /// that lost the same peer at the same moment.
    pub(crate) fn failed(&mut self, key: &PublicKey, jitter: u8, now: Instant) {
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        node.demote();
        let doubled = 2u32.saturating_pow(node.failures.min(16));
        let wait = self.backoff_start.saturating_mul(doubled).min(self.backoff_limit);
        let spread = wait.saturating_mul(u32::from(jitter)) / 1024;
        node.failures = node.failures.saturating_add(1);
        node.next_dial = now.checked_add(wait.saturating_add(spread)).unwrap_or(now);
    }

    /// Nodes that may be dialed now, and the moment when the next of the others may be.
    pub(crate) fn due(&self, now: Instant, wanted: impl Fn(&PublicKey) -> bool) -> (Vec<PublicKey>, Option<Instant>) {
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (key, node) in self.nodes.iter().filter(|(key, _)| wanted(key)) {
            if node.next_dial <= now {
                due.push(*key);
            } else {
                next = Some(next.map_or(node.next_dial, |next| next.min(node.next_dial)));
            }
        }
        (due, next)
    }

    /// What may be passed on: nodes whose addresses we have not only from hearsay.
    pub(crate) fn introductions(&self, limit: usize) -> Vec<(PublicKey, Vec<SocketAddr>)> {
        self.nodes
            .iter()
            .filter_map(|(key, node)| {
                let addresses: Vec<_> =
                    node.addresses.iter().filter(|known| known.0 != Source::Hearsay).map(|known| known.1).collect();
                (!addresses.is_empty()).then_some((*key, addresses))
            })
            .take(limit)
            .collect()
    }

    /// Forgets nodes that `keep` does not name.
    pub(crate) fn retain(&mut self, keep: impl Fn(&PublicKey) -> bool) {
        self.nodes.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey([byte; 32])
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn book() -> AddressBook {
        AddressBook::new(key(0), Duration::from_secs(1), Duration::from_secs(8))
    }

    #[test]
    fn proven_addresses_come_first_and_hearsay_is_not_passed_on() {
        let now = Instant::now();
        let mut book = book();
        assert!(book.learn(key(1), [address(1)], Source::Hearsay, now));
        assert!(book.introductions(10).is_empty());
        book.met(key(1), Some(address(2)), now);
        assert_eq!(book.addresses(&key(1)), [address(2), address(1)]);
        assert_eq!(book.introductions(10), [(key(1), vec![address(2)])]);
    }

    #[test]
    fn useless_addresses_and_the_own_key_stay_out() {
        let now = Instant::now();
        let mut book = book();
        assert!(!book.learn(key(0), [address(1)], Source::Seed, now));
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 5));
        assert!(!book.learn(key(1), [address(0), unspecified], Source::Own, now));
        assert!(book.addresses(&key(1)).is_empty());
    }

    #[test]
    fn a_node_cannot_fill_the_book_with_addresses() {
        let now = Instant::now();
        let mut book = book();
        book.met(key(1), Some(address(9999)), now);
        for port in 1..100 {
            book.learn(key(1), [address(port)], Source::Hearsay, now);
        }
        assert_eq!(book.addresses(&key(1)).len(), MAX_ADDRESSES);
        assert_eq!(book.addresses(&key(1)).first(), Some(&address(9999)));
    }

    #[test]
    fn a_node_that_restarts_often_is_found_at_its_newest_address() {
        let now = Instant::now();
        let mut book = book();
        for port in 1..20 {
            book.failed(&key(1), 0, now);
            assert!(book.learn(key(1), [address(port)], Source::Own, now));
            book.met(key(1), Some(address(port)), now);
            assert_eq!(book.addresses(&key(1)).first(), Some(&address(port)));
        }
    }

    #[test]
    fn a_node_known_by_name_is_dialed_for_ever_and_the_registry_replaces_only_its_own_word() {
        let now = Instant::now();
        let name = |name: &str| HostPort::Name(name.to_owned(), 1);
        let mut book = book();
        assert!(book.learn_names(key(1), [name("seed")], Source::Seed, now));
        assert!(book.learn_names(key(1), [name("old")], Source::Own, now));
        book.failed(&key(1), 0, now);
        assert!(book.due(now, |_| true).0.is_empty());
        assert!(book.learn_names(key(1), [name("new")], Source::Own, now), "it has moved");
        assert_eq!(book.due(now, |_| true).0, [key(1)], "and is dialed there at once");
        assert_eq!(book.names(&key(1)), [name("seed"), name("new")]);
        assert!(!book.learn_names(key(1), [name("new")], Source::Own, now), "nothing new");
        assert!(!book.learn_names(key(2), [], Source::Own, now));
        assert_eq!(book.due(now + Duration::from_secs(9), |_| true).0, [key(1)], "a node without a place is not kept");
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let now = Instant::now();
        let mut book = book();
        book.learn(key(1), [address(1)], Source::Seed, now);
        for expected in [1, 2, 4, 8, 8] {
            book.failed(&key(1), 0, now);
            let (due, next) = book.due(now, |_| true);
            assert!(due.is_empty());
            assert_eq!(next, Some(now + Duration::from_secs(expected)));
        }
        book.settled(&key(1), now);
        assert_eq!(book.due(now, |_| true).0, [key(1)]);
    }
}
