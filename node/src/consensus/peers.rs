//! Keeps consensus connected to the validators that the registry names.
//!
//! The engine dials the peers of the configuration for ever. Those of the registry come and go; each is given to the
//! engine with the identity that its key makes, so that whoever else answers at its address is not taken for it. One that
//! stays away is given anew now and then: the engine gives up an address at which it met somebody else, and behind the
//! name of a pod that is soon the right one again.

use super::peer_address;
use crate::network::HostPort;
use malachitebft_app_channel::{ConsensusRequestError, NetworkRequest, app::net::Multiaddr};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use valo_protocol::PublicKey;

/// Consensus addresses by key.
pub type Peers = BTreeMap<PublicKey, Vec<HostPort>>;

/// How often the connections are looked at.
const LOOK: Duration = Duration::from_secs(3);
/// After how long a peer that stays away is given to the engine anew.
const ANEW: Duration = Duration::from_secs(20);

/// A peer that the engine was given.
#[derive(Debug)]
struct Given {
    addresses: Vec<Multiaddr>,
    at: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Add(Multiaddr),
    Remove(Multiaddr),
}

/// Runs until the engine stops.
pub(super) async fn keep(requests: mpsc::Sender<NetworkRequest>, mut wanted: watch::Receiver<Peers>) {
    let mut given = BTreeMap::new();
    loop {
        let connected = match NetworkRequest::dump_state(&requests).await {
            Ok(dump) => dump.map(|dump| dump.peers.keys().map(|peer| peer.to_bytes()).collect()).unwrap_or_default(),
            Err(ConsensusRequestError::Full) => BTreeSet::new(),
            Err(_) => return,
        };
        let now = wanted.borrow_and_update().clone();
        for step in steps(&now, &mut given, &connected, Instant::now()) {
            let done = match step {
                Step::Add(address) => NetworkRequest::add_persistent_peer(&requests, address).await,
                Step::Remove(address) => NetworkRequest::remove_persistent_peer(&requests, address).await,
            };
            if let Err(ConsensusRequestError::Closed | ConsensusRequestError::Recv) = done {
                return;
            }
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}

/// What to tell the engine, so that it dials whom the registry names and who is not connected.
fn steps(
    wanted: &Peers,
    given: &mut BTreeMap<PublicKey, Given>,
    connected: &BTreeSet<Vec<u8>>,
    now: Instant,
) -> Vec<Step> {
    let mut steps = Vec::new();
    given.retain(|key, given| {
        let keep = wanted.contains_key(key);
        if !keep {
            steps.extend(given.addresses.drain(..).map(Step::Remove));
        }
        keep
    });
    for (key, places) in wanted {
        let identity = identity(key);
        let addresses: Vec<_> = places.iter().filter_map(|place| address(place, &identity)).collect();
        if let Some(old) = given.get(key) {
            let rest = now.saturating_duration_since(old.at) < ANEW || connected.contains(&identity);
            if rest && old.addresses == addresses {
                continue;
            }
            steps.extend(old.addresses.iter().cloned().map(Step::Remove));
        } else if connected.contains(&identity) {
            // By its configuration, or because it dialed us. If it goes away it is given to the engine.
            continue;
        }
        steps.extend(addresses.iter().cloned().map(Step::Add));
        given.insert(*key, Given { addresses, at: now });
    }
    steps
}

/// The identity in libp2p that an ed25519 key makes: the key itself, as protobuf in an identity multihash
/// (libp2p specification, "Peer Ids and Keys").
fn identity(key: &PublicKey) -> Vec<u8> {
    [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], &key.0].concat()
}

/// An address with the identity of who has to answer there.
fn address(place: &HostPort, identity: &[u8]) -> Option<Multiaddr> {
    let place = peer_address(&place.to_string()).ok()?;
    // Protocol 421, `p2p`, as a varint, and the length of the identity.
    let bytes = [&place.to_vec()[..], &[0xa5, 0x03, 0x26], identity].concat();
    Multiaddr::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachitebft_app_channel::app::types::Keypair;
    use valo_protocol::SecretKey;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    fn place(text: &str) -> Vec<HostPort> {
        vec![text.parse().unwrap()]
    }

    fn text(steps: Vec<Step>) -> Vec<String> {
        let text = |step| match step {
            Step::Add(address) => format!("+{address}"),
            Step::Remove(address) => format!("-{address}"),
        };
        steps.into_iter().map(text).collect()
    }

    #[test]
    fn an_address_names_who_has_to_answer() {
        let peer = Keypair::ed25519_from_bytes([1; 32]).unwrap().public().to_peer_id();
        assert_eq!(identity(&key(1)), peer.to_bytes());
        let address = address(&"demo-0.demo:7001".parse().unwrap(), &identity(&key(1))).unwrap();
        assert_eq!(address.to_string(), format!("/dns/demo-0.demo/tcp/7001/p2p/{peer}"));
    }

    #[test]
    fn the_engine_dials_who_is_in_the_registry_and_not_connected() {
        let now = Instant::now();
        let (first, second) = (key(1), key(2));
        let there = |key: &PublicKey| BTreeSet::from([identity(key)]);
        let at = |key: &PublicKey, place: &str| {
            let peer = address(&place.parse().unwrap(), &identity(key)).unwrap();
            (format!("+{peer}"), format!("-{peer}"))
        };
        let mut given = BTreeMap::new();
        let mut wanted = Peers::from([(first, place("a:1")), (second, place("b:1"))]);
        // The first is connected by the configuration.
        assert_eq!(text(steps(&wanted, &mut given, &there(&first), now)), [at(&second, "b:1").0]);
        // Nothing is done twice, and nothing to one that is there.
        assert_eq!(text(steps(&wanted, &mut given, &there(&first), now)), [] as [String; 0]);
        assert_eq!(text(steps(&wanted, &mut given, &there(&second), now)), [at(&first, "a:1").0]);
        // Who stays away is given anew; who has moved, at once.
        let later = now + ANEW;
        let anew = text(steps(&wanted, &mut given, &there(&second), later));
        assert_eq!(anew, [at(&first, "a:1").1, at(&first, "a:1").0]);
        wanted.insert(first, place("c:1"));
        let moved = text(steps(&wanted, &mut given, &there(&second), later));
        assert_eq!(moved, [at(&first, "a:1").1, at(&first, "c:1").0]);
        // Who has left is forgotten.
        wanted.remove(&second);
        assert_eq!(text(steps(&wanted, &mut given, &there(&second), later)), [at(&second, "b:1").1]);
    }
}
