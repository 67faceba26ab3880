//! Measurements, run by hand: `cargo test --workspace --lib measure -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::tests::{Node, items};
use crate::network::testing::members;

/// Milliseconds this process has computed.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // User and system time of all threads, in ticks of 10 ms.
    stat.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_flood_among_four() {
    let everyone = members(0..4);
    let seed = Node::start(0, everyone.clone(), &[]).await;
    let mut nodes = vec![];
    for byte in 1..4u8 {
        nodes.push(Node::start(byte, everyone.clone(), &[seed.seed()]).await);
    }
    for node in nodes.iter().chain([&seed]) {
        node.until_peers(3).await;
    }
    let before = processor_time();
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("4 idle nodes: {:.1} ms of processor time a second", (processor_time() - before) / 5.0);
    let mut total = 0usize;
    for (size, count, part) in [(150, 100_000, 100usize), (150, 100_000, 1), (10_000, 10_000, 10)] {
        let sent: Vec<Bytes> =
            items(count, size).into_iter().map(|item| [&item[..], &part.to_le_bytes()].concat().into()).collect();
        let started = Instant::now();
        for part in sent.chunks(part) {
            seed.flood.publish(part.to_vec());
            total += part.len();
            // What a mempool does by its bound: no more is under way than the queues hold.
            for node in &nodes {
                node.recorder.until(total.saturating_sub(2_000_000 / size)).await;
            }
        }
        for node in &nodes {
            node.recorder.until(total).await;
            assert_eq!(node.recorder.arrived(), total);
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{count} items of {size} bytes in parts of {part}: {:.0} items/s to all of 4 nodes",
            f64::from(count) / seconds
        );
    }
    let mut times = vec![];
    for item in items(500, 149) {
        let started = Instant::now();
        seed.flood.publish(vec![item]);
        total += 1;
        for node in &nodes {
            node.recorder.until(total).await;
        }
        times.push(started.elapsed());
    }
    times.sort();
    println!("one item to all of 4 nodes: p50 {:?}, p99 {:?}", times[250], times[495]);
}
