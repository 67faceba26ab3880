//! What becomes of transactions that clients bring.

use std::time::Duration;

use valo_protocol::{
    BlobHash, JobContract,
    job::{Input, Merge, OnFailure, Program, Stage, Verification},
    receipt::Invalid,
};

use super::*;
use crate::chain::TransactionSource;

#[tokio::test]
async fn good_ones_are_taken_once_published_each_time_and_wake_the_chain() {
    let state = FakeState::new();
    let wake = Wake::default();
    let mempool = Mempool::start(state.hash(), state.clone(), wake.clone(), Limits::default()).unwrap();
    let published = Arc::new(Mutex::new(Vec::new()));
    let sink = published.clone();
    mempool.set_publisher(move |items| sink.lock().unwrap().extend(items));
    let transaction = signed(&state, 2, 0);
    assert!(mempool.is_empty() && TransactionSource::is_empty(&mempool));
    let id = mempool.submit(wire(&transaction)).await.unwrap();
    assert_eq!(id, transaction.id(&state.hash()));
    tokio::time::timeout(Duration::from_secs(60), wake.woken()).await.expect("the chain was not woken");
    assert_eq!(mempool.submit(wire(&transaction)).await, Ok(id), "sending it again is no error");
    // Whoever sends it again thinks that others have not heard of it: they are told again, and drop what they know.
    assert_eq!(*published.lock().unwrap(), vec![wire(&transaction); 2]);
    assert_eq!(mempool.candidates(usize::MAX), vec![transaction.clone()]);
    assert!(mempool.verified(&id, &transaction));
    let mut forged = transaction;
    forged.signature.0[0] ^= 1;
    assert!(!mempool.verified(&id, &forged), "the id does not cover the signature");
}

#[tokio::test]
async fn each_fault_has_its_reason() {
    let state = FakeState::new();
    state.set(3, 7);
    let mempool = start(&state, Limits::default());
    let mut bad_signature = signed(&state, 2, 0);
    bad_signature.signature.0[3] ^= 1;
    let other_chain = signed(&state, 2, 0).transaction.sign(&GenesisHash([9; 32]), &key(2));
    let other_key = signed(&state, 2, 0).transaction.sign(&state.hash(), &key(4));
    let mut trailing = signed(&state, 2, 0).to_bytes();
    trailing.push(0);
    for (bytes, code) in [
        (Bytes::new(), "malformed"),
        (trailing.into(), "malformed"),
        (Bytes::from(vec![0; 70_000]), "malformed"),
        (wire(&bad_signature), "signature"),
        (wire(&other_chain), "signature"),
        (wire(&other_key), "signature"),
        (wire(&signed(&state, 9_999, 0)), "noSender"),
        (wire(&signed(&state, 3, 6)), "nonceUsed"),
        (wire(&signed(&state, 3, 71)), "tooFarAhead"),
        (wire(&with_fee(&state, 2, 0, 3)), "feeTooLow"),
        (wire(&with_fee(&state, 2, 4, 3)), "feeTooLow"),
        (wire(&with_fee(&state, 2, 0, u64::MAX)), "cannotPayFee"),
        (wire(&with_fee(&state, 2, 3, u64::MAX)), "cannotPayFee"),
    ] {
        let rejection = mempool.submit(bytes.clone()).await.unwrap_err();
        assert_eq!(rejection.code(), code, "{bytes:?}: {rejection}");
        assert!(!rejection.to_string().is_empty());
    }
    assert!(mempool.is_empty());
    // None of it stands in the way of the good one.
    mempool.submit(wire(&signed(&state, 2, 0))).await.unwrap();
}

#[tokio::test]
async fn a_job_too_heavy_for_any_block_is_refused() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let contract: JobContract = heavy_contract();
    assert!(contract.total_shards() >= 30_000);
    let transaction = Transaction {
        sender: account(2),
        nonce: Varint(0),
        max_fee: Amount::from_valo(1).unwrap(),
        action: Action::SubmitJob { client_id: None, contract },
    };
    let rejection = mempool.submit(wire(&transaction.sign(&state.hash(), &key(2)))).await.unwrap_err();
    assert_eq!(rejection.code(), "tooHeavy", "{rejection}");
}

fn heavy_contract() -> JobContract {
    let stage = Stage {
        name: BoundedString::new("all").unwrap(),
        tier: BoundedString::new("small").unwrap(),
        program: Program::Wasm { module: BlobHash([1; 32]), args: BoundedVec::default(), fuel: Varint(1_000_000) },
        memory: 1 << 20,
        output: 1 << 20,
        input: Input::None,
        shards: 30_000,
        on_failure: OnFailure::default(),
    };
    JobContract {
        name: BoundedString::new("heavy").unwrap(),
        stages: BoundedVec::new(vec![stage]).unwrap(),
        verification: Verification::Replicated { replicas: 3, quorum: 2 },
        budget: Amount::from_valo(5).unwrap(),
        tip: Amount::ZERO,
        deadline: Timestamp(60_000),
        retention: valo_protocol::Duration::from_seconds(60),
        merge: Merge::default(),
    }
}

#[tokio::test]
async fn one_bad_signature_among_many_spoils_only_itself() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let mut items: Vec<SignedTransaction> = (2..ACCOUNTS).map(|sender| signed(&state, sender, 0)).collect();
    items[10].signature.0[5] ^= 4;
    let answers = mempool.submit_many(items.iter().map(wire).collect()).await;
    for (index, answer) in answers.iter().enumerate() {
        match index {
            10 => assert_eq!(answer, &Err(Rejection::Invalid(Invalid::Signature(account(12))))),
            _ => assert_eq!(answer.as_ref().unwrap().id, items[index].id(&state.hash())),
        }
    }
    assert_eq!(mempool.len(), items.len() - 1);
}

#[tokio::test]
async fn nonces_that_come_early_wait_for_those_before_them() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let later = signed(&state, 2, 1);
    mempool.submit(wire(&later)).await.unwrap();
    assert!(TransactionSource::is_empty(&mempool), "a block is not due for what cannot be in it");
    assert_eq!(mempool.next_nonce(account(2)), Some(0));
    let first = signed(&state, 2, 0);
    mempool.submit(wire(&first)).await.unwrap();
    assert_eq!(mempool.candidates(usize::MAX), vec![first, later]);
    assert_eq!(mempool.next_nonce(account(2)), Some(2));
}

#[tokio::test]
async fn more_than_can_be_verified_is_refused_and_not_queued() {
    let state = FakeState::new();
    let mempool = start(&state, Limits { unverified_bytes: 1000, ..Limits::default() });
    // As if that much were on its way.
    let _taken = mempool.shared.room.clone().acquire_many_owned(1000).await.unwrap();
    assert_eq!(mempool.submit(wire(&signed(&state, 2, 0))).await, Err(Rejection::Busy));
}

#[tokio::test]
async fn a_request_larger_than_the_room_is_still_served() {
    let state = FakeState::new();
    let mempool = start(&state, Limits { unverified_bytes: 100, ..Limits::default() });
    let items: Vec<Bytes> = (2..12).map(|sender| wire(&signed(&state, sender, 0))).collect();
    assert!(mempool.submit_many(items).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_stopping_everybody_is_answered() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let waiting = {
        let (mempool, id) = (mempool.clone(), signed(&state, 2, 0).id(&state.hash()));
        tokio::spawn(async move { mempool.await_final(id, Duration::from_secs(60)).await })
    };
    while !mempool.shared.outcomes().has_waiters() {
        tokio::task::yield_now().await;
    }
    mempool.stop();
    assert_eq!(mempool.submit(wire(&signed(&state, 2, 0))).await, Err(Rejection::Stopping));
    assert_eq!(waiting.await.unwrap(), Err(NotFinal::Rejected(Rejection::Stopping)));
}

#[test]
fn a_stopped_mempool_lets_go_of_the_state_also_when_its_publisher_holds_the_mempool() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let held = mempool.clone();
    mempool.set_publisher(move |_| assert!(held.is_empty()));
    mempool.stop();
    drop(mempool);
    assert_eq!(Arc::strong_count(&state), 1, "a storage held here could not be opened again");
    // Without stopping, the last handle takes the threads with it.
    drop(start(&state, Limits::default()));
    assert_eq!(Arc::strong_count(&state), 1);
}
