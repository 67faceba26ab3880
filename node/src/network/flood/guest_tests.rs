//! Guests, with real nodes on loopback.

use tokio::time::timeout;

use super::{
    tests::{Node, by_hand, closed, items, send_items},
    *,
};
use crate::network::{
    CloseCode, NetworkConfig,
    guests::{FROM_GUEST, PER_NODE, Prefix, SAVED},
    testing::{PATIENCE, config, key, members, until_peers},
};

/// Sends items in as few frames as they take.
async fn send_all(stream: &mut iroh::endpoint::SendStream, items: &[Bytes]) {
    let mut items = items.iter().cloned().peekable();
    while items.peek().is_some() {
        let mut frame = frame::FrameBuilder::new();
        while let Some(item) = items.peek()
            && frame.push(item.clone()).is_ok()
        {
            items.next();
        }
        stream.write_chunk(frame.finish().unwrap()).await.unwrap();
    }
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let looking = async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, looking).await.is_ok(), "{what}");
}

#[tokio::test]
async fn strangers_are_refused_with_a_reason_where_the_lane_is_closed_and_blobs_always() {
    let closed_node = Node::start(0, members([0, 1]), &[]).await;
    let (_network, stranger) = by_hand(5, &closed_node).await;
    let (code, reason) = closed(&stranger).await;
    assert_eq!((code, reason.as_str()), (CloseCode::NotMember as u64, "not a member of this network"));
    assert_eq!(closed_node.network.metrics().guests_refused.get(), 1);

    let open = Node::open(6, members([6, 1]), 8).await;
    let (network, guest) = by_hand(5, &open).await;
    let mut stream = guest.open_uni().await.unwrap();
    send_items(&mut stream, &[b"from a guest"]).await;
    open.recorder.until(1).await;
    let blobs = network.dial(key(6), iroh_blobs::ALPN).await;
    if let Ok(connection) = blobs {
        assert_eq!(closed(&connection).await.0, CloseCode::NotMember as u64);
    }
    assert!(open.network.peers().borrow().is_empty(), "nobody asks a guest for anything");
    assert_eq!(open.network.metrics().guests.get(), 1);
}

#[tokio::test]
async fn a_stranger_hands_in_what_is_its_own_and_hears_the_rest() {
    let everyone = members([0, 1]);
    let open = Node::open(0, everyone.clone(), 8).await;
    let member = Node::start(1, everyone.clone(), &[open.seed()]).await;
    open.until_peers(1).await;
    let stranger = Node::start(5, everyone, &[]).await;
    // Before it knows anybody.
    stranger.flood.publish(vec![Bytes::from_static(b"registration")]);
    stranger.network.learn(key(0), open.seed().addresses);
    member.recorder.until_has(b"registration").await;
    stranger.flood.publish(vec![Bytes::from_static(b"bond")]);
    member.recorder.until_has(b"bond").await;
    member.flood.publish(vec![Bytes::from_static(b"of others")]);
    stranger.recorder.until_has(b"of others").await;
}

#[tokio::test]
async fn a_stranger_passes_nothing_on() {
    // Two members that know only the stranger.
    let both = [Node::open(0, members([0]), 8).await, Node::open(1, members([1]), 8).await];
    let stranger = Node::start(5, members([0, 1]), &[both[0].seed(), both[1].seed()]).await;
    stranger.until_peers(2).await;
    until("the guest is not counted", || both.iter().all(|node| node.network.metrics().guests.get() == 1)).await;
    both[0].flood.publish(vec![Bytes::from_static(b"heard")]);
    stranger.recorder.until_has(b"heard").await;
    stranger.flood.publish(vec![Bytes::from_static(b"own")]);
    both[1].recorder.until_has(b"own").await;
    assert_eq!(both[1].recorder.arrived(), 1);
}

#[tokio::test]
async fn a_guest_is_heard_in_its_measure_and_members_do_not_notice() {
    let everyone = members([0, 1]);
    let node = Node::open(0, everyone.clone(), 8).await;
    let member = Node::start(1, everyone, &[node.seed()]).await;
    node.until_peers(1).await;
    let (_network, guest) = by_hand(5, &node).await;
    let mut stream = guest.open_uni().await.unwrap();
    let many = items(20_000, 100);
    let flooding = async {
        send_all(&mut stream, &many).await;
        std::future::pending::<()>().await;
    };
    let flooded = || node.flood.metrics().guest_limited.get() > 1000;
    let of_member: Vec<Bytes> = (0..2000u32).map(|number| Bytes::from(format!("member {number}"))).collect();
    let publishing = async {
        until("the guest is not limited", flooded).await;
        member.flood.publish(of_member.clone());
        for item in &of_member {
            node.recorder.until_has(item).await;
        }
    };
    let began = Instant::now();
    tokio::select! {
        () = flooding => {}
        done = timeout(PATIENCE, publishing) => done.expect("the member is held up"),
    }
    let seconds = u64::from(FROM_GUEST.items) * (SAVED + began.elapsed()).as_secs().saturating_add(1);
    assert!(node.flood.metrics().guest_items.get() <= seconds, "{}", node.flood.metrics().guest_items.get());
    assert_eq!(node.network.peers().borrow().len(), 1);
}

#[tokio::test]
async fn a_guest_is_heard_in_its_measure_of_bytes() {
    let node = Node::open(0, members([0]), 8).await;
    let (_network, guest) = by_hand(5, &node).await;
    let mut stream = guest.open_uni().await.unwrap();
    send_all(&mut stream, &items(4, 60_000)).await;
    until("large items are not limited", || node.flood.metrics().guest_limited.get() > 0).await;
    assert!((1..=3).contains(&node.flood.metrics().guest_items.get()), "two seconds of bytes, and what is heard later");
}

#[tokio::test]
async fn a_guest_that_sends_garbage_is_disconnected_and_nobody_else() {
    let everyone = members([0, 1]);
    let node = Node::open(0, everyone.clone(), 8).await;
    let member = Node::start(1, everyone, &[node.seed()]).await;
    node.until_peers(1).await;
    let (_network, honest) = by_hand(6, &node).await;
    let mut good = honest.open_uni().await.unwrap();
    let (network, guest) = by_hand(5, &node).await;
    let mut stream = guest.open_uni().await.unwrap();
    send_items(&mut stream, &[b"bad 1", b"bad 2", b"bad 3", b"bad 4"]).await;
    assert_eq!(closed(&guest).await.0, CloseCode::Banned as u64);
    let again = network.dial(key(0), ALPN).await.unwrap();
    assert_eq!(closed(&again).await.0, CloseCode::Banned as u64);
    send_items(&mut good, &[b"good"]).await;
    node.recorder.until_has(b"good").await;
    member.flood.publish(vec![Bytes::from_static(b"fine")]);
    node.recorder.until_has(b"fine").await;
}

#[tokio::test]
async fn guests_have_few_places_and_a_member_takes_one_when_there_is_no_other() {
    let network =
        NetworkConfig { guests: 2, max_connections: 3, max_connections_per_node: 2 * PER_NODE, ..config(0, &[]) };
    let network = Network::bind(network, members([0, 1, 2])).await.unwrap();
    let recorder = tests::Recorder::with_pending(vec![]);
    let flood = Flood::start(&network, FloodConfig::default(), recorder.clone());
    network.serve([flood.protocol()]).unwrap();
    let node = Node { network, flood, recorder };
    let (_first_network, first) = by_hand(5, &node).await;
    let (_second_network, second) = by_hand(6, &node).await;
    let (_third_network, third) = by_hand(7, &node).await;
    let (code, reason) = closed(&third).await;
    assert_eq!((code, reason.as_str()), (CloseCode::Busy as u64, "too many guests, try again later"));
    let (_member_network, _member) = by_hand(1, &node).await;
    let (_other_network, _other) = by_hand(2, &node).await;
    node.until_peers(2).await;
    assert_eq!(closed(&second).await.0, CloseCode::Busy as u64);
    assert!(first.close_reason().is_none());
    assert_eq!(node.network.metrics().guests_made_way.get(), 1);
}

#[tokio::test]
async fn places_are_counted_for_each_prefix() {
    let network = NetworkConfig { guests: 8, guests_per_prefix: 1, ..config(0, &[]) };
    let network = Network::bind(network, members([0])).await.unwrap();
    let recorder = tests::Recorder::with_pending(vec![]);
    let flood = Flood::start(&network, FloodConfig::default(), recorder.clone());
    network.serve([flood.protocol()]).unwrap();
    let node = Node { network, flood, recorder };
    let (_first_network, _first) = by_hand(5, &node).await;
    let (_second_network, second) = by_hand(6, &node).await;
    assert_eq!(node.network.inner.connections.prefixes(), [Prefix::V4([127, 0, 0])]);
    assert_eq!(closed(&second).await.1, "too many guests from this network, try again later");
}

#[tokio::test]
async fn a_guest_that_is_registered_is_a_peer_without_a_new_connection() {
    let set = members([0]);
    let node = Node::open(0, set.clone(), 8).await;
    let of_newcomer = members([0]);
    let newcomer = Node::start(5, of_newcomer.clone(), &[node.seed()]).await;
    newcomer.until_peers(1).await;
    until("the guest is not counted", || node.network.metrics().guests.get() == 1).await;
    newcomer.flood.publish(vec![Bytes::from_static(b"register me")]);
    node.recorder.until_has(b"register me").await;
    set.replace([key(0), key(5)]);
    of_newcomer.replace([key(0), key(5)]);
    until_peers(&node.network, |peers| peers.contains(&key(5))).await;
    assert_eq!(node.network.metrics().guests.get(), 0);
    // A guest would take a minute for as much.
    let much = items(6000, 150);
    newcomer.flood.publish(much.clone());
    timeout(PATIENCE, node.recorder.until(much.len() + 1)).await.unwrap();
    assert_eq!(node.flood.metrics().guest_items.get(), 1);
    assert_eq!(node.flood.metrics().guest_limited.get(), 0);
    let (refused, reconnected) = (node.network.metrics().guests_refused.get(), node.flood.metrics().peers.get());
    assert_eq!((refused, reconnected), (0, 1));
}
