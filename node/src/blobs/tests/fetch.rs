//! Blobs between nodes, honest and hostile.

use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use iroh_blobs::{protocol::ChunkRanges, store::mem::MemStore};

use super::*;

/// What a hostile provider does with a request.
#[derive(Clone, Debug)]
enum Hostile {
    /// Sends these bytes and ends.
    Send(Vec<u8>),
    /// Sends these bytes, then nothing, for ever.
    Hang(Vec<u8>),
    /// Sends these bytes, then closes the connection.
    Die(Vec<u8>),
}

impl ProtocolHandler for Hostile {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let _ = receive.read_to_end(1 << 20).await;
            let (Self::Send(bytes) | Self::Hang(bytes) | Self::Die(bytes)) = self;
            let _ = send.write_all(bytes).await;
            match self {
                Self::Send(_) => {
                    let _ = send.finish();
                }
                Self::Hang(_) => std::future::pending().await,
                Self::Die(_) => {
                    // What was written is read before the connection breaks.
                    let _ = timeout(Duration::from_millis(300), send.stopped()).await;
                    connection.close(0u32.into(), b"gone");
                }
            }
        }
        Ok(())
    }
}

async fn hostile(byte: u8, how: Hostile) -> Network {
    let network = network(byte, members(0..20), &[]).await;
    let handler = Box::new(how);
    network.serve([Protocol { alpn: iroh_blobs::ALPN, handler }]).unwrap();
    network
}

/// What an honest provider would send for the whole blob.
async fn encoded(bytes: &[u8]) -> Vec<u8> {
    let store = MemStore::new();
    let tag = store.add_slice(bytes).await.unwrap();
    store.blobs().export_bao(tag.hash, ChunkRanges::all()).bao_to_vec().await.unwrap()
}

#[tokio::test]
async fn downloads_make_way_when_the_node_is_full() {
    let provider = Node::start(0, &[]).await;
    let node = Node::start_with(1, &[provider.seed()], |config| config.node_quota = 250_000).await;
    let mut hashes = vec![];
    for length in [100_000, 100_001, 100_002] {
        let hash = provider.blobs.put_bytes(content(length), None).await.unwrap();
        node.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap();
        if length == 100_000 {
            node.blobs.pin(&hash, "needed").await.unwrap();
        }
        hashes.push(hash);
    }
    let here: Vec<_> = hashes.iter().map(|hash| node.blobs.has(hash)).collect();
    assert_eq!(here, [true, false, true]);
    // What made way can be had again.
    node.blobs.fetch(hashes[1], &[provider.key()], ANY).await.unwrap();
    assert_eq!(read(&node.blobs, &hashes[1]).await, content(100_001));
    let own = node.blobs.put_bytes(content(200_000), Some("a")).await;
    assert!(matches!(own, Err(BlobError::QuotaExceeded { quota: Quota::Node, .. })));
}

#[tokio::test]
async fn a_blob_is_fetched_from_the_first_that_has_it() {
    let provider = Node::start(0, &[]).await;
    let without = Node::start(1, &[]).await;
    let node = Node::start(2, &[provider.seed(), without.seed()]).await;
    for length in [0, 10, 20_000, 5 << 20] {
        let bytes = content(length);
        let hash = provider.blobs.put_bytes(bytes.clone(), None).await.unwrap();
        // 9 is a member nobody can reach, 1 has it not.
        let providers = [key(9), without.key(), provider.key()];
        assert_eq!(node.blobs.fetch(hash, &providers, ANY).await.unwrap(), length as u64);
        assert_eq!(read(&node.blobs, &hash).await, bytes);
        assert_eq!(node.blobs.fetch(hash, &[], ANY).await.unwrap(), length as u64);
    }
    let nowhere = BlobHash([1; 32]);
    let error = node.blobs.fetch(nowhere, &[key(9), without.key()], ANY).await.unwrap_err();
    let BlobError::Unavailable { hash, attempts } = &error else { panic!("{error}") };
    assert_eq!((*hash, attempts.len()), (nowhere, 2));
    assert!(error.to_string().contains("no address known"), "{error}");
    assert!(error.to_string().contains("does not have the blob"), "{error}");
    assert_eq!(node.blobs.usage().0, 20_010 + (5 << 20));
}

#[tokio::test]
async fn the_announced_size_is_checked_before_the_download() {
    let provider = Node::start(0, &[]).await;
    let node = Node::start_with(1, &[provider.seed()], |config| config.node_quota = 2 << 20).await;
    let hash = provider.blobs.put_bytes(content(3 << 20), None).await.unwrap();
    let error = node.blobs.fetch(hash, &[provider.key()], 1 << 20).await.unwrap_err();
    assert!(matches!(error, BlobError::TooLarge { size, limit } if size == 3 << 20 && limit == 1 << 20));
    let error = node.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap_err();
    assert!(matches!(error, BlobError::QuotaExceeded { .. }));
    assert_eq!(node.disk(), 0);
    let small = provider.blobs.put_bytes(content(1000), None).await.unwrap();
    node.blobs.fetch(small, &[provider.key()], 1000).await.unwrap();
    assert!(matches!(node.blobs.fetch(small, &[], 999).await, Err(BlobError::TooLarge { .. })));
}

#[tokio::test]
async fn liars_the_silent_and_the_dying_are_passed_over() {
    let bytes = content(4 << 20);
    let honest = encoded(&bytes).await;
    let mut flipped = honest.clone();
    flipped[3 << 20] ^= 1;
    let mut wrong_size = honest.clone();
    wrong_size[..8].copy_from_slice(&((4u64 << 20) + 1).to_le_bytes());
    let half = honest[..2 << 20].to_vec();

    let bad = [
        hostile(1, Hostile::Send(flipped)).await,
        hostile(2, Hostile::Send(wrong_size)).await,
        hostile(3, Hostile::Hang(half.clone())).await,
        hostile(4, Hostile::Die(half)).await,
        hostile(5, Hostile::Send(vec![])).await,
        hostile(6, Hostile::Send(vec![255; 100])).await,
        hostile(7, Hostile::Send(0u64.to_le_bytes().to_vec())).await,
    ];
    let good = Node::start(0, &[]).await;
    let hash = good.blobs.put_bytes(bytes.clone(), None).await.unwrap();
    for bad in &bad {
        let node = Node::start(10, &[bad.as_seed(), good.seed()]).await;
        let alone = node.blobs.fetch(hash, &[bad.key()], ANY).await.unwrap_err();
        assert!(matches!(alone, BlobError::Unavailable { .. } | BlobError::TooLarge { .. }), "{alone}");
        assert!(!node.blobs.has(&hash));
        assert!(node.blobs.get(&hash).await.is_err());
        node.blobs.fetch(hash, &[bad.key(), good.key()], ANY).await.unwrap();
        assert_eq!(read(&node.blobs, &hash).await, bytes);
        assert_eq!(node.blobs.usage().0, bytes.len() as u64);
        node.stop().await;
    }
    // All of them one after the other, on one node.
    let mut seeds: Vec<_> = bad.iter().map(Network::as_seed).collect();
    seeds.push(good.seed());
    let providers: Vec<_> = seeds.iter().map(|seed| seed.key).collect();
    let node = Node::start(10, &seeds).await;
    node.blobs.fetch(hash, &providers, ANY).await.unwrap();
    assert_eq!(read(&node.blobs, &hash).await, bytes);
    assert!(node.blobs.metrics().liars.get() >= 1);
}

/// As nodes that were killed: their connections are there, and nothing comes.
#[tokio::test]
async fn whoever_says_nothing_does_not_hold_up_the_next() {
    let silent = [
        hostile(1, Hostile::Hang(vec![])).await,
        hostile(2, Hostile::Hang(vec![])).await,
        hostile(3, Hostile::Hang(vec![])).await,
    ];
    let good = Node::start(0, &[]).await;
    let bytes = content(1 << 20);
    let hash = good.blobs.put_bytes(bytes.clone(), None).await.unwrap();
    let mut seeds: Vec<_> = silent.iter().map(Network::as_seed).collect();
    seeds.push(good.seed());
    let providers: Vec<_> = seeds.iter().map(|seed| seed.key).collect();
    // Each of them alone has five seconds twice to answer: one after the other they would take longer than we wait.
    let node = Node::start_with(10, &seeds, |config| config.fetch_idle = Duration::from_secs(60)).await;
    timeout(PATIENCE, node.blobs.fetch(hash, &providers, ANY)).await.expect("held up").unwrap();
    assert_eq!(read(&node.blobs, &hash).await, bytes);
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped_even_after_a_restart() {
    let bytes = content(4 << 20);
    let honest = encoded(&bytes).await;
    let dying = hostile(1, Hostile::Die(honest[..3 << 20].to_vec())).await;
    let good = Node::start(0, &[]).await;
    let hash = good.blobs.put_bytes(bytes.clone(), None).await.unwrap();
    let node = Node::start(2, &[dying.as_seed()]).await;
    node.blobs.fetch(hash, &[dying.key()], ANY).await.unwrap_err();
    let kept = node.blobs.usage().0;
    assert!(kept > 2 << 20, "only {kept} bytes were kept");

    let folder = node.stop().await;
    let node = Node::start_in(folder, 2, members(0..20), &[good.seed()], |_| {}).await;
    assert!(!node.blobs.has(&hash));
    assert!(node.blobs.usage().0 > 2 << 20);
    node.blobs.fetch(hash, &[good.key()], ANY).await.unwrap();
    assert_eq!(read(&node.blobs, &hash).await, bytes);
    assert!(node.blobs.metrics().fetched_bytes.get() < 2 << 20, "it was fetched from the start");
    assert_eq!(node.blobs.usage().0, bytes.len() as u64);
}

#[tokio::test]
async fn many_at_once_want_the_same_blob() {
    let provider = Node::start(0, &[]).await;
    let node = Node::start(1, &[provider.seed()]).await;
    let bytes = content(2 << 20);
    let hash = provider.blobs.put_bytes(bytes.clone(), None).await.unwrap();
    let providers = [provider.key()];
    let fetches = (0..20).map(|_| node.blobs.fetch(hash, &providers, ANY));
    for fetched in futures::future::join_all(fetches).await {
        assert_eq!(fetched.unwrap(), 2 << 20);
    }
    assert_eq!(node.blobs.metrics().fetched.get(), 1);
    let puts = (0..20).map(|number| {
        let owner = (number % 4).to_string();
        let (blobs, bytes) = (node.blobs.clone(), content(300_000));
        async move { blobs.put_bytes(bytes, Some(&owner)).await }
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    assert_eq!(node.blobs.usage().0, (2 << 20) + 300_000);
    assert_eq!(node.blobs.usage_of("3").0, 300_000);
}

#[tokio::test]
async fn strangers_get_no_blobs_and_hidden_blobs_are_not_given() {
    let provider = Node::start_in(tempfile::tempdir().unwrap(), 0, members([1]), &[], |_| {}).await;
    let hash = provider.blobs.put_bytes(content(1000), None).await.unwrap();
    let stranger = Node::start(5, &[provider.seed()]).await;
    let error = stranger.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap_err();
    assert!(error.to_string().contains("not a member"), "{error}");
    let member = Node::start(1, &[provider.seed()]).await;
    provider.blobs.shared.index(|index| index.remove(&hash));
    let error = member.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap_err();
    assert!(error.to_string().contains("does not have"), "{error}");
    assert_eq!(provider.blobs.metrics().refused.get(), 1);
}

#[tokio::test]
async fn whoever_asks_and_does_not_read_is_disconnected() {
    let provider = Node::start_with(0, &[], |config| config.serve_idle = Duration::from_millis(400)).await;
    let hash = provider.blobs.put_bytes(content(20 << 20), None).await.unwrap();
    let reader = network(1, members(0..20), &[provider.seed()]).await;
    let connection = reader.dial(provider.key(), iroh_blobs::ALPN).await.unwrap();
    let request = iroh_blobs::protocol::GetRequest::blob(store::to_iroh(&hash));
    let mut unread = vec![];
    for _ in 0..4 {
        let start = iroh_blobs::get::fsm::start(connection.clone(), request.clone(), Default::default());
        unread.push(start.next().await.unwrap().next().await.unwrap());
    }
    let closed = timeout(PATIENCE, connection.closed()).await.expect("it stays open");
    assert!(closed.to_string().contains("not read"), "{closed}");
}

#[tokio::test]
async fn connected_nodes_are_asked_who_has_a_blob() {
    use crate::network::flood::{Flood, FloodConfig, FloodHandler, Origin, Verdict};
    struct Nothing;
    impl FloodHandler for Nothing {
        fn receive(&self, _: Origin, items: Vec<bytes::Bytes>) -> futures::future::BoxFuture<'_, Vec<Verdict>> {
            Box::pin(async move { vec![Verdict::Keep; items.len()] })
        }
        fn pending(&self, _: usize) -> futures::future::BoxFuture<'_, Vec<bytes::Bytes>> {
            Box::pin(async { vec![] })
        }
    }
    let mut nodes: Vec<(Network, Blobs, TempDir)> = vec![];
    for byte in 0..4u8 {
        let seeds: Vec<_> = nodes.first().map(|node| node.0.as_seed()).into_iter().collect();
        let network = network(byte, members(0..4), &seeds).await;
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(BlobsConfig::new(folder.path()), &network).await.unwrap();
        let flood = Flood::start(&network, FloodConfig::default(), Arc::new(Nothing));
        network.serve(blobs.protocols().into_iter().chain([flood.protocol()])).unwrap();
        nodes.push((network, blobs, folder));
    }
    for node in &nodes {
        crate::network::testing::until_peers(&node.0, |peers| peers.len() == 3).await;
    }
    let hash = nodes[3].1.put_bytes(content(70_000), None).await.unwrap();
    assert_eq!(nodes[1].1.who_has(&hash).await, [key(3)]);
    let fetched = nodes[1].1.fetch_anywhere(hash, &[key(2)], ANY).await.unwrap();
    assert_eq!(fetched, 70_000);
    let mut who = nodes[0].1.who_has(&hash).await;
    who.sort();
    let mut both = [key(1), key(3)];
    both.sort();
    assert_eq!(who, both);
    let error = nodes[0].1.fetch_anywhere(BlobHash([3; 32]), &[], ANY).await.unwrap_err();
    assert!(error.to_string().contains("no node is known to have it"), "{error}");
}
