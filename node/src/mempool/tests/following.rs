//! What finalized blocks do to the mempool, and who hears of it.

use std::time::Duration;

use valo_protocol::{
    Block, Hash, Header, Height, Round, Validator, ValidatorSet,
    hash::BlockId,
    receipt::{Made, Outcome},
    vote::Certificate,
    vrf::VrfProof,
};

use super::*;
use crate::{
    chain::{FinalizedBlock, TransactionSource},
    network::flood::{FloodHandler, Origin, Verdict},
};

/// Makes a block of these final: changes the state as it would, then tells the mempool.
fn finalize(state: &FakeState, mempool: &Mempool, transactions: Vec<SignedTransaction>) {
    let header = Header {
        version: Header::VERSION,
        height: Height(1),
        round: Round(0),
        time: Timestamp(2),
        parent: BlockId::default(),
        proposer: stranger(),
        vrf_proof: VrfProof([0; 80]),
        transactions: Hash::default(),
        last_commit: Hash::default(),
        evidence: Hash::default(),
        state: Hash::default(),
        next_validators: None,
    };
    let mut receipts = Vec::new();
    for (index, signed) in (0u32..).zip(&transactions) {
        let id = signed.id(&state.hash());
        let receipt = Receipt {
            transaction: id,
            height: Height(1),
            index,
            fee: Amount::from_units(1),
            outcome: Outcome::Done(Made::Nothing),
        };
        state.receipts.lock().unwrap().insert(id, receipt.clone());
        state.set(signed.transaction.sender.index(), signed.transaction.nonce.0 + 1);
        receipts.push(receipt);
    }
    let id = header.id();
    let certificate = Certificate { height: Height(1), round: Round(0), block: id, signatures: BoundedVec::default() };
    let validator = Validator { key: stranger(), power: 1, owner: account(0) };
    mempool.finalized(&FinalizedBlock {
        id,
        block: Block { header, last_commit: None, evidence: BoundedVec::default(), transactions },
        certificate,
        receipts,
        events: Vec::new(),
        validators: Arc::new(ValidatorSet::new(vec![validator]).unwrap()),
    });
}

async fn until_someone_waits(mempool: &Mempool) {
    while !mempool.shared.outcomes().has_waiters() {
        tokio::task::yield_now().await;
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_gets_the_receipt_and_who_asks_later_as_well() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let transaction = signed(&state, 2, 0);
    let id = mempool.submit(wire(&transaction)).await.unwrap();
    assert_eq!(mempool.await_final(id, Duration::from_millis(5)).await, Err(NotFinal::Waiting));
    let waiting = {
        let mempool = mempool.clone();
        tokio::spawn(async move { mempool.await_final(id, LONG).await })
    };
    until_someone_waits(&mempool).await;
    finalize(&state, &mempool, vec![transaction.clone()]);
    assert_eq!(waiting.await.unwrap().unwrap().transaction, id);
    assert_eq!(mempool.await_final(id, Duration::ZERO).await.unwrap().transaction, id);
    assert!(mempool.is_empty());
    // Sent again after it was final, it is as good as taken.
    assert_eq!(mempool.submit(wire(&transaction)).await, Ok(id));
    assert!(mempool.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_what_can_no_longer_be_is_told_why() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let ours = signed(&state, 2, 0);
    let id = mempool.submit(wire(&ours)).await.unwrap();
    let waiting = {
        let mempool = mempool.clone();
        tokio::spawn(async move { mempool.await_final(id, LONG).await })
    };
    until_someone_waits(&mempool).await;
    // Another one with the same nonce came into a block, by way of another node.
    finalize(&state, &mempool, vec![with_fee(&state, 2, 0, 200_000)]);
    let superseded = Err(NotFinal::Rejected(Rejection::Superseded { nonce: 0 }));
    assert_eq!(waiting.await.unwrap(), superseded);
    assert_eq!(mempool.await_final(id, LONG).await, superseded, "the reason is remembered");
}

#[tokio::test]
async fn what_is_unknown_is_said_to_be_and_waiters_leave_nothing_behind() {
    let state = FakeState::new();
    let mempool = start(&state, Limits { waiters: 1, ..Limits::default() });
    let id = signed(&state, 2, 0).id(&state.hash());
    for _ in 0..5 {
        assert_eq!(mempool.await_final(id, Duration::from_millis(1)).await, Err(NotFinal::Unknown(id)));
    }
    assert!(!mempool.shared.outcomes().has_waiters());
}

#[tokio::test]
async fn a_refused_transaction_is_answered_for_and_may_be_taken_later() {
    let state = FakeState::new();
    state.set(2, 70);
    let mempool = start(&state, Limits::default());
    let transaction = signed(&state, 2, 140);
    let id = transaction.id(&state.hash());
    let refused = mempool.submit(wire(&transaction)).await.unwrap_err();
    assert_eq!(mempool.await_final(id, LONG).await, Err(NotFinal::Rejected(refused)));
    state.set(2, 140);
    mempool.submit(wire(&transaction)).await.unwrap();
    assert_eq!(mempool.await_final(id, Duration::ZERO).await, Err(NotFinal::Waiting));
}

#[tokio::test]
async fn a_bad_signature_says_nothing_about_the_id_it_came_with() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let transaction = signed(&state, 2, 0);
    let mut forged = transaction.clone();
    forged.signature.0[1] ^= 1;
    let id = transaction.id(&state.hash());
    mempool.submit(wire(&forged)).await.unwrap_err();
    assert_eq!(mempool.await_final(id, Duration::ZERO).await, Err(NotFinal::Unknown(id)));
    assert_eq!(mempool.submit(wire(&transaction)).await, Ok(id));
}

#[tokio::test]
async fn blocks_bring_the_next_nonces_to_the_front() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let (first, second, third) = (signed(&state, 2, 0), signed(&state, 2, 1), signed(&state, 2, 3));
    for transaction in [&first, &second, &third] {
        mempool.submit(wire(transaction)).await.unwrap();
    }
    finalize(&state, &mempool, vec![first]);
    assert_eq!(mempool.candidates(usize::MAX), vec![second]);
    // Nonces 1 and 2 came into a block from elsewhere: the last one is ready now.
    finalize(&state, &mempool, vec![signed(&state, 2, 1), signed(&state, 2, 2)]);
    assert_eq!(mempool.candidates(usize::MAX), vec![third]);
}

#[tokio::test]
async fn what_a_block_left_behind_and_cannot_be_any_more_is_dropped() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let transaction = signed(&state, 2, 0);
    let id = mempool.submit(wire(&transaction)).await.unwrap();
    finalize(&state, &mempool, vec![]);
    assert_eq!(mempool.len(), 1, "it came too late for this block, perhaps");
    // The state changes in a way that the pool does not follow, as when the window of a message closes.
    state.set(2, 1);
    finalize(&state, &mempool, vec![]);
    assert!(TransactionSource::is_empty(&mempool), "a dead transaction would make blocks due for ever");
    assert!(matches!(mempool.await_final(id, LONG).await, Err(NotFinal::Rejected(Rejection::Invalid(_)))));
}

#[test]
fn a_block_finalized_while_a_signature_was_verified_is_not_missed() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let transaction = signed(&state, 2, 0);
    // Looked up and verified before the block, put into the pool after it.
    let parsed = ParsedTransaction::read(wire(&transaction), &state.hash()).unwrap();
    let before = mempool.shared.version();
    let account = state.sender(transaction.transaction.sender).unwrap().unwrap();
    finalize(&state, &mempool, vec![transaction]);
    let mut answers = verify::insert_for_test(&mempool.shared, parsed, account, before);
    assert_eq!(answers.remove(0).unwrap_err().code(), "nonceUsed");
    assert!(mempool.is_empty());
}

/// A peer a block ahead sends what the next block makes possible. It is taken after that block, passed on, and needs
/// nobody to send it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_a_block_too_early_is_taken_after_that_block() {
    let state = FakeState::new();
    state.unborn.lock().unwrap().insert(account(7));
    let mempool = start(&state, Limits::default());
    let (passed_on, mut published) = mpsc::unbounded_channel();
    mempool.set_publisher(move |items| passed_on.send(items).unwrap());
    let newcomer = wire(&signed(&state, 7, 0));
    let mut forged = signed(&state, 7, 1);
    forged.signature.0[9] ^= 1;
    let verdicts = mempool.receive(Origin::Member(stranger()), vec![newcomer.clone(), wire(&forged)]).await;
    assert_eq!(verdicts, [Verdict::Later, Verdict::Later], "the key of its sender is not known yet");
    finalize(&state, &mempool, vec![signed(&state, 2, 0)]);
    assert_eq!(
        mempool.receive(Origin::Member(stranger()), vec![newcomer.clone()]).await,
        [Verdict::Later],
        "still early"
    );
    assert!(mempool.is_empty());

    state.unborn.lock().unwrap().clear();
    finalize(&state, &mempool, vec![signed(&state, 2, 1)]);
    let published = tokio::time::timeout(LONG, published.recv()).await.unwrap();
    assert_eq!(published, Some(vec![newcomer.clone()]), "once, and without the forged one");
    assert_eq!(mempool.pending(10).await, vec![newcomer.clone()]);
    assert_eq!(mempool.metrics().early.get(), 1);
    assert_eq!(mempool.receive(Origin::Member(stranger()), vec![newcomer]).await, [Verdict::Keep]);
}

/// The block may come between the look at the state and the holding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_in_between_is_not_missed() {
    let state = FakeState::new();
    let mempool = start(&state, Limits::default());
    let early = wire(&signed(&state, 7, 0));
    let before = mempool.shared.version();
    finalize(&state, &mempool, vec![signed(&state, 2, 0)]);
    let answers = [Err(Rejection::Invalid(Invalid::NoSender(account(7))))];
    mempool.hold_early(Origin::Member(stranger()), vec![early.clone()], &answers, before);
    while mempool.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(mempool.pending(10).await, [early]);
}
