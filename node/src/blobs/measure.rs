//! Measurements, run by hand: `cargo test --workspace --lib measure -- --ignored --nocapture`.

use std::time::Instant;

use super::tests::{ANY, Node, content};
use crate::network::testing::{members, network};

fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_blobs() {
    let provider = Node::start(0, &[]).await;
    let node = Node::start(1, &[provider.seed()]).await;
    let bytes = content(256 << 20);
    let rate = |started: Instant| 256.0 / started.elapsed().as_secs_f64();

    let started = Instant::now();
    let hash = provider.blobs.put_stream(&*bytes, None).await.unwrap();
    println!("put_stream: {:.0} MiB/s", rate(started));
    let started = Instant::now();
    node.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap();
    println!("fetch: {:.0} MiB/s", rate(started));
    let started = Instant::now();
    node.blobs.export(&hash, &node.folder.path().join("output")).await.unwrap();
    println!("export, verified: {:.0} MiB/s", rate(started));

    let started = Instant::now();
    for number in 0..500u32 {
        node.blobs.put_bytes(number.to_le_bytes().repeat(500), Some("a")).await.unwrap();
    }
    println!("put_bytes of 2 kB, one after the other: {:.2} ms each", started.elapsed().as_secs_f64() * 2.0);
    let puts = (0..500u32).map(|number| node.blobs.put_bytes(number.to_le_bytes().repeat(600), Some("a")));
    let started = Instant::now();
    futures::future::join_all(puts).await;
    println!("put_bytes of 2 kB, many at once: {:.2} ms each", started.elapsed().as_secs_f64() * 2.0);

    let small: Vec<_> = node.blobs.list(None, 500).into_iter().map(|info| info.hash).collect();
    let reader = Node::start(2, &[node.seed()]).await;
    let started = Instant::now();
    for hash in &small {
        reader.blobs.fetch(*hash, &[node.key()], ANY).await.unwrap();
    }
    println!("fetch of 2 kB, one after the other: {:.2} ms each", started.elapsed().as_secs_f64() * 2.0);

    let before = memory();
    let mut unread = vec![];
    let mut networks = vec![];
    for byte in 3..19 {
        let reader = network(byte, members(0..20), &[provider.seed()]).await;
        for _ in 0..3 {
            let connection = reader.dial(provider.key(), iroh_blobs::ALPN).await.unwrap();
            for _ in 0..4 {
                let request = iroh_blobs::protocol::GetRequest::blob(super::store::to_iroh(&hash));
                let start = iroh_blobs::get::fsm::start(connection.clone(), request, Default::default());
                unread.push(start.next().await.unwrap().next().await.unwrap());
            }
        }
        networks.push(reader);
    }
    let mut most = 0;
    for _ in 0..30 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        most = most.max(memory());
    }
    println!("48 connections with 4 unread requests each: {before} MiB before, {most} MiB at most");
}
