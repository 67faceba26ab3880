//! Real nodes on loopback.

use std::{collections::HashMap, sync::Mutex};

use futures::FutureExt;
use iroh::endpoint::{Connection, ConnectionError, SendStream};
use tokio::{sync::watch, time::timeout};

use super::*;
use crate::network::{
    CloseCode, DialError, Members, NetworkConfig, Seed,
    testing::{PATIENCE, config, key, members, network, until_peers},
};

/// Remembers what it was given. Items that begin with `bad` are invalid, with `keep` not forwarded.
#[derive(Default)]
pub(super) struct Recorder {
    pending: Vec<Bytes>,
    received: Mutex<HashMap<Bytes, u32>>,
    count: watch::Sender<usize>,
}

impl Recorder {
    pub(super) fn with_pending(pending: Vec<Bytes>) -> Arc<Self> {
        Arc::new(Self { pending, ..Self::default() })
    }

    pub(super) async fn until(&self, count: usize) {
        let mut counts = self.count.subscribe();
        let reached = timeout(PATIENCE, counts.wait_for(|now| *now >= count)).await;
        assert!(reached.is_ok(), "only {} of {count} items arrived", *self.count.borrow());
    }

    pub(super) fn arrived(&self) -> usize {
        *self.count.borrow()
    }

    pub(super) async fn until_has(&self, item: &[u8]) {
        let mut counts = self.count.subscribe();
        let looking = async {
            while !self.received().contains_key(item) {
                counts.changed().await.unwrap();
            }
        };
        assert!(timeout(PATIENCE, looking).await.is_ok(), "{} did not arrive", String::from_utf8_lossy(item));
    }

    pub(super) fn received(&self) -> HashMap<Bytes, u32> {
        self.received.lock().unwrap().clone()
    }
}

impl FloodHandler for Recorder {
    fn receive(&self, _from: Origin, items: Vec<Bytes>) -> BoxFuture<'_, Vec<Verdict>> {
        let mut received = self.received.lock().unwrap();
        let verdicts = items
            .iter()
            .map(|item| match item {
                item if item.starts_with(b"bad") => Verdict::Invalid,
                item if item.starts_with(b"keep") => Verdict::Keep,
                _ => Verdict::Forward,
            })
            .collect();
        let count = items.len();
        for item in items {
            *received.entry(item).or_default() += 1;
        }
        self.count.send_modify(|total| *total += count);
        async move { verdicts }.boxed()
    }

    fn pending(&self, limit: usize) -> BoxFuture<'_, Vec<Bytes>> {
        let pending = self.pending.iter().take(limit).cloned().collect();
        async move { pending }.boxed()
    }
}

pub(super) struct Node {
    pub(super) network: Network,
    pub(super) flood: Flood,
    pub(super) recorder: Arc<Recorder>,
}

impl Node {
    pub(super) async fn start(byte: u8, members: Members, seeds: &[Seed]) -> Self {
        Self::start_with(byte, members, seeds, FloodConfig::default(), Recorder::with_pending(vec![])).await
    }

    async fn start_with(
        byte: u8,
        members: Members,
        seeds: &[Seed],
        flood: FloodConfig,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self::bind(config(byte, seeds), members, flood, recorder).await
    }

    /// One that admits guests.
    pub(super) async fn open(byte: u8, members: Members, guests: usize) -> Self {
        let network = NetworkConfig { guests, ..config(byte, &[]) };
        Self::bind(network, members, FloodConfig::default(), Recorder::with_pending(vec![])).await
    }

    async fn bind(network: NetworkConfig, members: Members, config: FloodConfig, recorder: Arc<Recorder>) -> Self {
        let network = Network::bind(network, members).await.unwrap();
        let flood = Flood::start(&network, config, recorder.clone());
        network.serve([flood.protocol()]).unwrap();
        Self { network, flood, recorder }
    }

    pub(super) fn seed(&self) -> Seed {
        self.network.as_seed()
    }

    pub(super) async fn until_peers(&self, count: usize) {
        until_peers(&self.network, |peers| peers.len() == count).await;
    }
}

/// A node that speaks the protocol by hand.
pub(super) async fn by_hand(byte: u8, target: &Node) -> (Network, Connection) {
    let network = network(byte, members(0..20), &[target.seed()]).await;
    let connection = network.dial(target.network.key(), ALPN).await.unwrap();
    (network, connection)
}

pub(super) async fn closed(connection: &Connection) -> (u64, String) {
    match timeout(PATIENCE, connection.closed()).await.expect("the connection stays open") {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap())
        }
        other => panic!("closed without a reason: {other}"),
    }
}

pub(super) async fn send_items(stream: &mut SendStream, items: &[&'static [u8]]) {
    let mut frame = frame::FrameBuilder::new();
    for item in items {
        frame.push(Bytes::from_static(item)).unwrap();
    }
    stream.write_chunk(frame.finish().unwrap()).await.unwrap();
}

pub(super) fn items(count: u32, size: usize) -> Vec<Bytes> {
    (0..count)
        .map(|number| {
            let mut item = vec![7; size];
            item[..4].copy_from_slice(&number.to_le_bytes());
            item.into()
        })
        .collect()
}

#[tokio::test]
async fn a_line_of_five_delivers_everything_exactly_once() {
    let mut nodes: Vec<Node> = Vec::new();
    for byte in 0..5u8 {
        // Only neighbours are members of each other, so nothing can take a short cut.
        let neighbours = members([byte.wrapping_sub(1), byte, byte + 1]);
        let seeds: Vec<_> = nodes.last().map(Node::seed).into_iter().collect();
        nodes.push(Node::start(byte, neighbours, &seeds).await);
    }
    for (index, node) in nodes.iter().enumerate() {
        node.until_peers(if index == 0 || index == 4 { 1 } else { 2 }).await;
    }
    let sent = items(2000, 150);
    for part in sent.chunks(100) {
        nodes[0].flood.publish(part.to_vec());
    }
    for node in &nodes[1..] {
        node.recorder.until(sent.len()).await;
        let received = node.recorder.received();
        assert_eq!(received.len(), sent.len());
        assert!(received.values().all(|times| *times == 1));
    }
    assert!(nodes[0].recorder.received().is_empty(), "the sender got its own items back");
}

#[tokio::test]
async fn nodes_that_know_one_seed_find_each_other() {
    let everyone = members(0..4);
    let seed = Node::start(0, everyone.clone(), &[]).await;
    let mut nodes = vec![];
    for byte in 1..4u8 {
        nodes.push(Node::start(byte, everyone.clone(), &[seed.seed()]).await);
    }
    for node in nodes.iter().chain([&seed]) {
        node.until_peers(3).await;
    }
    // What all publish reaches all, once, whatever the meshes of duplicates under way.
    for (node, item) in nodes.iter().zip([b"a", b"b", b"c"]) {
        node.flood.publish(vec![Bytes::from_static(item)]);
    }
    seed.recorder.until(3).await;
    for node in &nodes {
        node.recorder.until(2).await;
        assert!(node.recorder.received().values().all(|times| *times == 1));
    }
}

#[tokio::test]
async fn a_peer_that_stops_reading_stalls_nobody_and_is_dropped() {
    let config = FloodConfig { queue_bytes: 8 << 20, ..FloodConfig::default() };
    let everyone = members(0..3);
    let sender = Node::start_with(0, everyone.clone(), &[], config, Recorder::with_pending(vec![])).await;
    let healthy = Node::start(1, everyone.clone(), &[sender.seed()]).await;
    let (_network, deaf) = by_hand(2, &sender).await;
    sender.until_peers(2).await;

    let sent = items(400, 60_000);
    let mut arrived = 0;
    for part in sent.chunks(20) {
        sender.flood.publish(part.to_vec());
        arrived += part.len();
        // The healthy peer keeps up all the time, the deaf one or not.
        timeout(Duration::from_secs(2), healthy.recorder.until(arrived)).await.expect("stalled");
    }
    assert_eq!(closed(&deaf).await.0, CloseCode::TooSlow as u64);
    assert_eq!(sender.flood.metrics().slow.get(), 1);
    sender.until_peers(1).await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_dropped_even_when_there_is_little_to_send() {
    let config = FloodConfig { write_timeout: Duration::from_millis(300), ..FloodConfig::default() };
    let sender = Node::start_with(0, members(0..3), &[], config, Recorder::with_pending(vec![])).await;
    let (_network, deaf) = by_hand(2, &sender).await;
    sender.until_peers(1).await;
    sender.flood.publish(items(100, 60_000));
    let (code, reason) = closed(&deaf).await;
    assert_eq!(code, CloseCode::TooSlow as u64);
    assert!(reason.contains("does not read"), "{reason}");
}

#[tokio::test]
async fn invalid_data_bans_and_the_rest_is_still_handled() {
    let everyone = members(0..3);
    let node = Node::start(0, everyone.clone(), &[]).await;
    let other = Node::start(1, everyone, &[node.seed()]).await;
    node.until_peers(1).await;
    let (network, connection) = by_hand(2, &node).await;
    let mut stream = connection.open_uni().await.unwrap();
    send_items(&mut stream, &[b"good", b"bad 1", b"keep this"]).await;
    other.recorder.until(1).await;
    assert_eq!(other.recorder.received().keys().collect::<Vec<_>>(), [&Bytes::from("good")]);
    send_items(&mut stream, &[b"bad 2", b"bad 3", b"bad 4"]).await;
    assert_eq!(closed(&connection).await.0, CloseCode::Banned as u64);
    assert_eq!(node.flood.metrics().invalid.get(), 4);

    let again = network.dial(node.network.key(), ALPN).await.unwrap();
    let (code, reason) = closed(&again).await;
    assert_eq!(code, CloseCode::Banned as u64);
    assert!(reason.contains("banned for invalid data, 5"), "{reason}");
    assert_eq!(node.network.peers().borrow().len(), 1);
}

#[tokio::test]
async fn an_oversize_frame_is_refused_before_it_is_read() {
    let node = Node::start(0, members(0..3), &[]).await;
    let (_network, connection) = by_hand(2, &node).await;
    let mut stream = connection.open_uni().await.unwrap();
    let length = u32::try_from(MAX_FRAME + 1).unwrap();
    stream.write_all(&length.to_le_bytes()).await.unwrap();
    let (code, reason) = closed(&connection).await;
    assert_eq!(code, CloseCode::Broken as u64);
    assert!(reason.contains("262145 bytes"), "{reason}");
    assert_eq!(node.flood.metrics().broken.get(), 1);
    assert!(node.network.refusal(&key(2)).is_some());
}

#[tokio::test]
async fn a_late_joiner_gets_what_is_pending() {
    let everyone = members(0..2);
    // More than one frame of it.
    let pending = items(50, 20_000);
    let first = Node::start_with(
        0,
        everyone.clone(),
        &[],
        FloodConfig { pending_items: 40, ..FloodConfig::default() },
        Recorder::with_pending(pending.clone()),
    )
    .await;
    let late = Node::start(1, everyone, &[first.seed()]).await;
    late.recorder.until(40).await;
    let received = late.recorder.received();
    assert!(pending[..40].iter().all(|item| received.contains_key(item)));
    assert_eq!(received.len(), 40);
}

#[tokio::test]
async fn a_node_that_restarts_elsewhere_is_found_again() {
    let everyone = members(0..2);
    let first = Node::start(0, everyone.clone(), &[]).await;
    let second = Node::start(1, everyone.clone(), &[first.seed()]).await;
    first.until_peers(1).await;
    second.network.shutdown().await;
    first.until_peers(0).await;
    let second = Node::start(1, everyone, &[first.seed()]).await;
    first.until_peers(1).await;
    first.flood.publish(vec![Bytes::from_static(b"hello again")]);
    second.recorder.until(1).await;
}

#[tokio::test]
async fn members_that_leave_are_disconnected_and_come_back_when_they_return() {
    let mine = members([1]);
    let node = Node::start(0, mine.clone(), &[]).await;
    let other = Node::start(1, members([0]), &[node.seed()]).await;
    node.until_peers(1).await;
    mine.replace([]);
    node.until_peers(0).await;
    assert!(matches!(node.network.dial(other.network.key(), ALPN).await, Err(DialError::NotMember(_))));
    mine.replace([key(1)]);
    node.until_peers(1).await;
}

#[tokio::test]
async fn crossing_dials_leave_one_connection() {
    for round in 0..5u8 {
        let everyone = members([10 * round + 1, 10 * round + 2]);
        let left = network(10 * round + 1, everyone.clone(), &[]).await;
        let right = network(10 * round + 2, everyone, &[]).await;
        left.learn(right.key(), right.as_seed().addresses);
        right.learn(left.key(), left.as_seed().addresses);
        let nodes = [left, right].map(|network| {
            let recorder = Recorder::with_pending(vec![]);
            let flood = Flood::start(&network, FloodConfig::default(), recorder.clone());
            network.serve([flood.protocol()]).unwrap();
            Node { network, flood, recorder }
        });
        for (node, item) in nodes.iter().zip([b"left ", b"right"]) {
            node.until_peers(1).await;
            node.flood.publish(vec![Bytes::from_static(item)]);
        }
        // What a replaced connection swallowed would be sent again by the mempool; here it is enough
        // that the one that stays carries both ways.
        for (node, item) in nodes.iter().zip([b"more left ", b"more right"]) {
            let published = async {
                loop {
                    node.flood.publish(vec![Bytes::from_static(item)]);
                    tokio::task::yield_now().await;
                }
            };
            let other = if node.network.key() == nodes[0].network.key() { &nodes[1] } else { &nodes[0] };
            tokio::select! {
                () = published => {}
                () = async {
                    other.recorder.until_has(&item[..]).await;
                } => {}
                () = tokio::time::sleep(PATIENCE) => panic!("nothing arrives"),
            }
        }
        // A connection that gives way to the crossing one may leave a short gap.
        for node in &nodes {
            node.until_peers(1).await;
        }
        for node in nodes {
            node.network.shutdown().await;
        }
    }
}

#[tokio::test]
async fn shutdown_is_quick_and_told_to_the_peers() {
    let everyone = members(0..2);
    let first = Node::start(0, everyone, &[]).await;
    let (_network, connection) = by_hand(1, &first).await;
    first.until_peers(1).await;
    timeout(Duration::from_secs(2), first.network.shutdown()).await.expect("slow shutdown");
    assert_eq!(closed(&connection).await, (CloseCode::Stopping as u64, "the node stops".to_owned()));
}

/// A handler with a bug.
struct Broken;

impl FloodHandler for Broken {
    fn receive(&self, _from: Origin, _items: Vec<Bytes>) -> BoxFuture<'_, Vec<Verdict>> {
        panic!("a bug in the handler")
    }

    fn pending(&self, _limit: usize) -> BoxFuture<'_, Vec<Bytes>> {
        async { panic!("another bug") }.boxed()
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_session_and_not_the_network() {
    let network = network(0, members(0..3), &[]).await;
    let flood = Flood::start(&network, FloodConfig::default(), Arc::new(Broken));
    network.serve([flood.protocol()]).unwrap();
    let recorder = Recorder::with_pending(vec![]);
    let node = Node { network, flood, recorder };
    for byte in [1, 2] {
        let (_network, connection) = by_hand(byte, &node).await;
        timeout(PATIENCE, connection.closed()).await.expect("the session hangs");
        node.until_peers(0).await;
    }
}
