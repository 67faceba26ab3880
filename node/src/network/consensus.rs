//! Where the consensus of a node is (`valo/consensus/1`).
//!
//! The registry says it of those who wrote it there, to those who have come that far along the chain. A newcomer has not,
//! and nodes of the genesis have written nothing. So a node asks its seeds, and validators of which the registry does not say it,
//! each for itself alone: its key is proven by the connection, and whoever answers for consensus has to have the same key. What it
//! says is dialed and not believed.
//!
//! ```text
//!   asker  ->  (nothing)
//!   node   ->  port: optional u16 | places: at most 4 texts, host:port       borsh, at most 1 KiB
//! ```
//! The port is at the address at which the asker sees the node; the places are those that the registry has of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use borsh::{BorshDeserialize, BorshSerialize};
use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};
use tracing::{debug, info};
use valo_protocol::{
    PublicKey,
    bytes::{BoundedString, BoundedVec},
    encoding::{decode, encode},
};

use super::{
    CloseCode, HostPort, Network, Protocol,
    dial::{finish, remote_address},
};

pub(crate) const ALPN: &[u8] = b"valo/consensus/1";
const MAX_ANSWER: usize = 1 << 10;
const TIMEOUT: Duration = Duration::from_secs(3);
/// After how long one is asked again that did not say it; doubles each time.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest such wait: a node of an earlier version never says it.
const LONGEST: Duration = Duration::from_secs(600);
/// Nodes asked at a time.
const MAX_QUESTIONS: usize = 16;

#[derive(Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Answer {
    port: Option<u16>,
    places: BoundedVec<BoundedString<128>, 4>,
}

impl Answer {
    /// The places that it names, for one who sees the node at an address. What is none is left out.
    fn places(&self, seen: Option<SocketAddr>) -> Vec<HostPort> {
        let named = self.places.iter().filter_map(|text| text.parse().ok());
        let port = self.port.filter(|port| *port != 0);
        let there =
            seen.zip(port).map(|(seen, port)| HostPort::Address(SocketAddr::new(seen.ip().to_canonical(), port)));
        let mut places: Vec<HostPort> = Vec::new();
        for place in named.chain(there) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

/// What this node says of itself. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct OwnConsensus {
    port: u16,
    places: Arc<Mutex<Vec<HostPort>>>,
}

impl OwnConsensus {
    /// Of a node whose consensus listens on this port.
    pub fn new(port: u16) -> Self {
        Self { port, places: Arc::default() }
    }

    /// Notes what the registry has of this node.
    pub fn registered(&self, places: Vec<HostPort>) {
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    fn answer(&self) -> Answer {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = places.iter().filter_map(|place| BoundedString::new(place.to_string()).ok()).take(4);
        Answer {
            port: Some(self.port).filter(|port| *port != 0),
            places: BoundedVec::new(texts.collect()).unwrap_or_default(),
        }
    }

    /// Serves it.
    pub fn protocol(&self) -> Protocol {
        Protocol { alpn: ALPN, handler: Box::new(Handler(self.clone())) }
    }
}

/// When one is asked again. Never, if it has said it.
#[derive(Debug, Default)]
struct Asked {
    again: Option<Instant>,
    wait: Option<Duration>,
}

impl Asked {
    fn answered(&mut self, said: bool, now: Instant) {
        let wait = self.wait.map_or(AGAIN, |wait| wait.saturating_mul(2).min(LONGEST));
        (self.again, self.wait) = if said { (None, None) } else { (now.checked_add(wait), Some(wait)) };
    }
}

#[derive(Debug)]
struct Handler(OwnConsensus);

impl ProtocolHandler for Handler {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let answering = async {
            let mut send = connection.open_uni().await?;
            send.write_all(&encode(&self.0.answer())).await.map_err(AcceptError::from_err)?;
            send.finish().map_err(AcceptError::from_err)?;
            // The asker closes when it has read the answer.
            connection.closed().await;
            Ok(())
        };
        timeout(TIMEOUT, answering).await.unwrap_or_else(|_| {
            connection.close(CloseCode::TooSlow.into(), b"nobody read the answer");
            Ok(())
        })
    }
}

impl Network {
    /// Asks nodes where their consensus is, as soon as anybody says where they are, and again when they come back; tells
    /// `found`. Runs until the network stops.
    pub(crate) async fn find_consensus(
        self,
        mut wanted: watch::Receiver<BTreeSet<PublicKey>>,
        found: watch::Sender<BTreeMap<PublicKey, Vec<HostPort>>>,
    ) {
        let (mut peers, mut news) = (self.peers(), self.news());
        let mut before = BTreeSet::new();
        let mut asked: BTreeMap<PublicKey, Asked> = BTreeMap::new();
        loop {
            news.mark_unchanged();
            let connected = peers.borrow_and_update().clone();
            let nodes = wanted.borrow_and_update().clone();
            // Who comes back may be elsewhere.
            asked.retain(|key, _| nodes.contains(key) && (before.contains(key) || !connected.contains(key)));
            before = connected;
            let now = Instant::now();
            let due =
                |key: &&PublicKey| asked.get(key).is_none_or(|asked| asked.again.is_some_and(|again| again <= now));
            let is_somewhere = |key: &&PublicKey| self.book(|book| book.is_somewhere(key));
            let due: Vec<PublicKey> =
                nodes.iter().filter(due).filter(is_somewhere).take(MAX_QUESTIONS).copied().collect();
            let answers = futures::future::join_all(due.iter().map(|key| self.consensus_of(*key))).await;
            for (key, answer) in due.into_iter().zip(answers) {
                asked.entry(key).or_default().answered(answer.is_some(), Instant::now());
                if let Some(places) = answer {
                    info!(node = %key, ?places, "said where its consensus is");
                    found.send_if_modified(|known| known.insert(key, places.clone()) != Some(places));
                }
            }
            // Gone from registry and configuration; told with the next news.
            found.send_if_modified(|known| {
                known.retain(|key, _| self.knows(key));
                false
            });
            let next = asked.values().filter_map(|asked| asked.again).min();
            let wait = async {
                match next {
                    Some(moment) => sleep_until(moment.into()).await,
                    None => std::future::pending().await,
                }
            };
            let alive = tokio::select! {
                changed = peers.changed() => changed.is_ok(),
                changed = wanted.changed() => changed.is_ok(),
                changed = news.changed() => changed.is_ok(),
                () = wait => true,
            };
            if !alive {
                return;
            }
        }
    }

    async fn consensus_of(&self, key: PublicKey) -> Option<Vec<HostPort>> {
        let asking = async {
            let connection = self.dial(key, ALPN).await.map_err(|error| error.to_string())?;
            let mut receive = connection.accept_uni().await.map_err(|error| error.to_string())?;
            let answer = receive.read_to_end(MAX_ANSWER).await.map_err(|error| error.to_string())?;
            let answer: Answer = decode("answer", &answer).map_err(|error| error.to_string())?;
            let places = answer.places(remote_address(&connection));
            finish(&connection);
            Ok::<_, String>(places)
        };
        match timeout(TIMEOUT, asking).await {
            Ok(Ok(places)) => Some(places),
            Ok(Err(error)) => {
                debug!(peer = %key, %error, "does not say where its consensus is");
                None
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use valo_mutation::damaged;

    use super::*;
    use crate::network::testing::{PATIENCE, config, key, members, network};

    fn place(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_says_its_port_and_what_the_registry_has_of_it() {
        let own = OwnConsensus::new(7001);
        let seen = Some("[::ffff:203.0.113.4]:7002".parse().unwrap());
        assert_eq!(own.answer().places(seen), [place("203.0.113.4:7001")]);
        assert_eq!(own.answer().places(None), []);
        own.registered(vec![place("v1.example.org:30701"), place("203.0.113.4:7001")]);
        assert_eq!(own.answer().places(seen), [place("v1.example.org:30701"), place("203.0.113.4:7001")]);
        assert_eq!(OwnConsensus::new(0).answer(), Answer::default(), "a port that only the system knows");
        let longest = Answer {
            port: Some(1),
            places: BoundedVec::new(vec![BoundedString::new("x".repeat(128)).unwrap(); 4]).unwrap(),
        };
        assert!(encode(&longest).len() <= MAX_ANSWER);
    }

    #[tokio::test]
    async fn a_stranger_learns_where_the_consensus_of_its_seed_is() {
        let mut open = config(0, &[]);
        open.guests = 8;
        open.guests_per_prefix = 8;
        let seed = Network::bind(open, members([0])).await.unwrap();
        seed.serve([OwnConsensus::new(7001).protocol()]).unwrap();
        let newcomer = network(9, members([0]), &[seed.as_seed()]).await;
        let (tell, mut found) = watch::channel(BTreeMap::new());
        let (want, wanted) = watch::channel(BTreeSet::new());
        newcomer.spawn(newcomer.clone().find_consensus(wanted, tell));
        want.send_replace(BTreeSet::from([key(0)]));
        let told = timeout(PATIENCE, found.wait_for(|found| !found.is_empty())).await.unwrap().unwrap().clone();
        assert_eq!(told, BTreeMap::from([(key(0), vec![place("127.0.0.1:7001")])]));
    }

    #[test]
    fn who_does_not_say_it_is_asked_less_and_less() {
        let now = Instant::now();
        let mut asked = Asked::default();
        let mut wait = || {
            asked.answered(false, now);
            asked.again.unwrap().saturating_duration_since(now).as_secs()
        };
        let waits: Vec<_> = (0..9).map(|_| wait()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        asked.answered(true, now);
        assert_eq!(asked.again, None);
    }

    proptest! {
        #[test]
        fn damaged_answers_are_places_or_refused(bytes in damaged(vec![encode(&{
            let own = OwnConsensus::new(7001);
            own.registered(vec![place("v1.example.org:30701"), place("[2001:db8::1]:7001")]);
            own.answer()
        })])) {
            if let Ok(answer) = decode::<Answer>("answer", &bytes) {
                prop_assert!(answer.places(Some("203.0.113.4:7002".parse().unwrap())).len() <= 5);
                prop_assert_eq!(encode(&answer), bytes);
            }
        }
    }
}
