//! What the flood is told about transactions that peers send.

use super::*;
use crate::network::flood::{FloodHandler, Origin, Verdict};

#[tokio::test]
async fn only_what_no_honest_node_sends_counts_against_the_peer() {
    let state = FakeState::new();
    state.set(3, 2);
    let mempool = start(&state, Limits::default());
    let published = Arc::new(Mutex::new(0));
    let count = published.clone();
    mempool.set_publisher(move |items| *count.lock().unwrap() += items.len());
    let mut forged = signed(&state, 4, 0);
    forged.signature.0[9] ^= 1;
    let items = vec![
        wire(&signed(&state, 2, 0)),
        wire(&signed(&state, 2, 0)),
        wire(&signed(&state, 3, 1)),
        wire(&signed(&state, 9_999, 0)),
        wire(&with_fee(&state, 5, 0, 1)),
        wire(&signed(&state, 5, 64)),
        wire(&forged),
        Bytes::from_static(b"not a transaction"),
        wire(&signed(&state, 5, 3)),
    ];
    let verdicts = mempool.receive(Origin::Member(stranger()), items).await;
    assert_eq!(
        verdicts,
        vec![
            Verdict::Forward,
            Verdict::Keep,
            Verdict::Keep,
            Verdict::Later,
            Verdict::Keep,
            Verdict::Keep,
            Verdict::Invalid,
            Verdict::Invalid,
            Verdict::Forward,
        ]
    );
    assert_eq!(*published.lock().unwrap(), 0, "the flood passes on what it brought by itself");
    assert_eq!(mempool.metrics().offences.get(), 2);
}

#[tokio::test]
async fn a_new_peer_gets_what_is_pending_best_first() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let (cheap, dear) = (with_fee(&state, 2, 0, 50_000), with_fee(&state, 3, 0, 90_000));
    for transaction in [&cheap, &dear] {
        mempool.submit(wire(transaction)).await.unwrap();
    }
    assert_eq!(mempool.pending(10).await, vec![wire(&dear), wire(&cheap)]);
    assert_eq!(mempool.pending(1).await, vec![wire(&dear)]);
}
