//! The pool against random histories: bounds hold, order holds, and nothing leaves without a reason.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use valo_protocol::{Action, GenesisHash, Signature, SignedTransaction, Transaction, Varint};

use super::{super::transaction::ParsedTransaction, *};

const GENESIS: GenesisHash = GenesisHash([1; 32]);

fn account(number: u64) -> AccountNumber {
    AccountNumber::new(number).unwrap()
}

/// A transaction whose rate is its fee. `salt` makes different ones of the same nonce and fee.
fn transaction(sender: u64, nonce: u64, fee: u64, protocol: bool, salt: u64) -> Arc<VerifiedTransaction> {
    let action =
        if protocol { Action::Return } else { Action::Transfer { to: account(9), amount: Amount::from_units(salt) } };
    let transaction =
        Transaction { sender: account(sender), nonce: Varint(nonce), max_fee: Amount::from_units(fee), action };
    let signed = SignedTransaction { transaction, signature: Signature([0; 64]) };
    ParsedTransaction::read(signed.to_bytes().into(), &GENESIS).unwrap().into_verified(fee)
}

fn transfer(sender: u64, nonce: u64, fee: u64) -> Arc<VerifiedTransaction> {
    transaction(sender, nonce, fee, false, 0)
}

fn rich(nonce: u64) -> Sender {
    Sender { nonce, balance: u64::MAX }
}

fn limits(transactions: usize) -> Limits {
    Limits { transactions, per_account: 5, gap_lifetime: Duration::from_secs(60), ..Limits::default() }
}

fn order(pool: &Pool) -> Vec<(u64, u64)> {
    pool.best(usize::MAX, usize::MAX).iter().map(|found| (found.sender().index(), found.nonce())).collect()
}

#[test]
fn blocks_take_messages_of_the_protocol_first_then_what_offers_most_and_keep_nonces_in_order() {
    let mut pool = Pool::new(limits(100));
    let now = Instant::now();
    for (sender, nonce, fee, protocol) in
        [(1, 1, 90, false), (1, 0, 10, false), (2, 0, 50, false), (3, 0, 50, false), (4, 0, 0, true), (5, 1, 99, false)]
    {
        pool.add(transaction(sender, nonce, fee, protocol, 0), rich(0), now).unwrap();
    }
    // Account 1's first transaction is cheap and holds back the dear one; account 5's nonce 0 is missing.
    assert_eq!(order(&pool), vec![(4, 0), (2, 0), (3, 0), (1, 0), (1, 1)]);
    assert_eq!(pool.next_nonce(account(1)), Some(2));
    assert_eq!(pool.next_nonce(account(5)), Some(0));
    assert_eq!(pool.next_nonce(account(6)), None);
    assert!(pool.add(transfer(5, 0, 1), rich(0), now).unwrap().ready);
    assert_eq!(order(&pool).last(), Some(&(5, 1)));
}

#[test]
fn a_higher_fee_replaces_and_the_replaced_one_is_told_by_what() {
    let mut pool = Pool::new(limits(100));
    let now = Instant::now();
    let first = transfer(1, 0, 80);
    pool.add(first.clone(), rich(0), now).unwrap();
    let needed = Amount::from_units(90);
    let refused = pool.add(transfer(1, 0, 89), rich(0), now).unwrap_err();
    assert_eq!(refused, Rejection::NonceTaken { nonce: 0, present: first.id(), needed });
    let second = transfer(1, 0, 90);
    let dropped = pool.add(second.clone(), rich(0), now).unwrap().dropped;
    assert_eq!(dropped.len(), 1);
    assert_eq!((dropped[0].0.id(), &dropped[0].1), (first.id(), &Rejection::Replaced { by: second.id() }));
    assert_eq!(pool.len(), 1);
    // A message of the protocol replaces at once and is not replaced.
    let message = transaction(1, 0, 0, true, 0);
    assert_eq!(pool.add(message.clone(), rich(0), now).unwrap().dropped.len(), 1);
    let refused = pool.add(transfer(1, 0, 1000), rich(0), now).unwrap_err();
    assert_eq!(refused, Rejection::ProtocolNonce { nonce: 0, present: message.id() });
}

#[test]
fn when_full_the_cheapest_makes_way_for_what_offers_more_and_only_for_that() {
    let mut pool = Pool::new(limits(3));
    let now = Instant::now();
    for (sender, nonce, fee) in [(1, 0, 5), (1, 1, 100), (2, 0, 50)] {
        pool.add(transfer(sender, nonce, fee), rich(0), now).unwrap();
    }
    assert!(matches!(pool.add(transfer(3, 0, 5), rich(0), now), Err(Rejection::Full { .. })));
    // The dear one behind the cheap one could not go before it.
    let dropped = pool.add(transfer(3, 0, 6), rich(0), now).unwrap().dropped;
    assert_eq!((dropped[0].0.nonce(), &dropped[0].1), (1, &Rejection::Outbid));
    assert_eq!(order(&pool), vec![(2, 0), (3, 0), (1, 0)]);
    // An account does not push out what its own transaction waits for.
    let refused = pool.add(transfer(1, 1, 5), rich(0), now).unwrap_err();
    assert!(matches!(refused, Rejection::Full { .. }), "{refused}");
    assert_eq!(pool.len(), 3);
}

#[test]
fn messages_of_the_protocol_push_others_out_up_to_their_share() {
    let mut pool = Pool::new(limits(8));
    let now = Instant::now();
    for sender in 0..8 {
        pool.add(transfer(sender, 0, 1_000_000), rich(0), now).unwrap();
    }
    for sender in 10..12 {
        assert_eq!(pool.add(transaction(sender, 0, 0, true, 0), rich(0), now).unwrap().dropped.len(), 1);
    }
    let refused = pool.add(transaction(12, 0, 0, true, 0), rich(0), now).unwrap_err();
    assert_eq!(refused, Rejection::ProtocolFull);
    assert_eq!(pool.len(), 8);
    // They do not make way for money.
    pool.add(transfer(20, 0, u64::MAX), rich(0), now).unwrap();
    assert_eq!(order(&pool)[..2], [(10, 0), (11, 0)]);
}

#[test]
fn the_balance_covers_all_that_wait_together() {
    let mut pool = Pool::new(limits(100));
    let now = Instant::now();
    let sender = Sender { nonce: 0, balance: 100 };
    pool.add(transfer(1, 0, 60), sender, now).unwrap();
    let refused = pool.add(transfer(1, 1, 41), sender, now).unwrap_err();
    let (available, needed) = (Amount::from_units(100), Amount::from_units(101));
    assert_eq!(refused, Rejection::Invalid(Invalid::CannotPayFee { available, needed }));
    pool.add(transfer(1, 1, 40), sender, now).unwrap();
    pool.add(transfer(1, 2, 0), sender, now).unwrap();
    // After a block the account has less: what it no longer covers goes, with what is behind.
    let dropped = pool.finalized([], [(account(1), Sender { nonce: 0, balance: 70 })]);
    assert_eq!(dropped.iter().map(|(gone, _)| gone.nonce()).collect::<Vec<_>>(), vec![1, 2]);
    assert_eq!(order(&pool), vec![(1, 0)]);
}

#[test]
fn a_gap_is_waited_for_only_so_long() {
    let mut pool = Pool::new(limits(100));
    let start = Instant::now();
    pool.add(transfer(1, 0, 1), rich(0), start).unwrap();
    pool.add(transfer(1, 2, 1), rich(0), start).unwrap();
    let refused = pool.add(transfer(1, 5, 1), rich(0), start).unwrap_err();
    assert_eq!(refused, Rejection::TooFarAhead { nonce: 5, expected: 0, limit: 5 });
    assert!(pool.expire(start + Duration::from_secs(59)).is_empty());
    let late = start + Duration::from_secs(60);
    let expired = pool.expire(late);
    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].1, Rejection::Expired { missing: 1, waited: Duration::from_secs(60) });
    assert_eq!(order(&pool), vec![(1, 0)]);
}

#[test]
fn a_block_of_limited_bytes_is_filled_with_what_fits() {
    let mut pool = Pool::new(limits(100));
    let now = Instant::now();
    for sender in 0..5 {
        pool.add(transfer(sender, 0, 10), rich(0), now).unwrap();
    }
    let size = transfer(0, 0, 10).bytes().len();
    assert_eq!(pool.best(size * 3 + 1, usize::MAX).len(), 3);
    assert_eq!(pool.best(usize::MAX, 2).len(), 2);
    assert_eq!(pool.best(size - 1, usize::MAX).len(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Add {
        sender: u64,
        ahead: u64,
        fee: u64,
        protocol: bool,
        salt: u64,
    },
    /// A block with the first so many of the pool's own candidates.
    Block {
        taken: usize,
    },
    /// A block with somebody else's transactions of an account, which leave it a balance.
    Foreign {
        sender: u64,
        count: u64,
        balance: u64,
    },
    Wait {
        seconds: u64,
    },
    Drop {
        salt: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u64..6, 0u64..7, 0u64..50, prop::bool::weighted(0.15), 0u64..3)
            .prop_map(|(sender, ahead, fee, protocol, salt)| Step::Add { sender, ahead, fee, protocol, salt }),
        1 => (0usize..8).prop_map(|taken| Step::Block { taken }),
        1 => (0u64..6, 0u64..3, 0u64..150).prop_map(|(sender, count, balance)| Step::Foreign { sender, count, balance }),
        1 => (0u64..90).prop_map(|seconds| Step::Wait { seconds }),
        1 => any::<usize>().prop_map(|salt| Step::Drop { salt }),
    ]
}

/// Everything that must hold of a pool at any time.
fn check(pool: &Pool, bounds: &Limits, senders: &BTreeMap<u64, Sender>) {
    let all: Vec<&Waiting> = pool.queues.values().flat_map(|queue| queue.waiting.values()).collect();
    let size = |waiting: &&&Waiting| waiting.transaction.bytes().len();
    let is_protocol = |waiting: &&&Waiting| waiting.transaction.is_protocol_message();
    assert!(all.len() <= bounds.transactions);
    assert!(pool.bytes <= bounds.bytes);
    assert_eq!(pool.bytes, all.iter().map(|waiting| size(&waiting)).sum::<usize>());
    assert_eq!(pool.protocol, all.iter().filter(is_protocol).count());
    assert_eq!(pool.protocol_bytes, all.iter().filter(is_protocol).map(|waiting| size(&waiting)).sum::<usize>());
    assert!(pool.protocol <= Limits::protocol_share(bounds.transactions));
    assert_eq!(pool.ids.len(), all.len());
    for waiting in &all {
        let (sender, nonce) = (waiting.transaction.sender(), waiting.transaction.nonce());
        assert_eq!(pool.ids.get(&waiting.transaction.id()), Some(&(sender, nonce)));
    }
    let heads: BTreeSet<Rank> = pool.queues.values().filter_map(Queue::head).map(rank).collect();
    assert_eq!(pool.ready, heads);
    let market: BTreeSet<Cheapness> =
        all.iter().filter(|waiting| !is_protocol(waiting)).map(|waiting| cheapness(waiting)).collect();
    assert_eq!(pool.cheapest, market);
    for (account, queue) in &pool.queues {
        assert!(!queue.waiting.is_empty());
        let sender = senders[&account.index()];
        assert_eq!(queue.sender, sender);
        assert!(queue.waiting.keys().all(|nonce| (sender.nonce..sender.nonce + bounds.per_account).contains(nonce)));
        assert!(queue.fees_without(u64::MAX) <= sender.balance, "more waits than the balance covers");
    }
    let best = pool.best(usize::MAX, usize::MAX);
    let mut next: BTreeMap<AccountNumber, u64> = BTreeMap::new();
    for transaction in &best {
        let sender = transaction.sender();
        let expected = next.entry(sender).or_insert(senders[&sender.index()].nonce);
        assert_eq!(transaction.nonce(), *expected, "nonces of an account out of order");
        *expected += 1;
    }
    for queue in pool.queues.values().filter(|queue| queue.head().is_some()) {
        let account = queue.last().unwrap().transaction.sender();
        assert_eq!(next.get(&account), pool.next_nonce(account).as_ref(), "a ready transaction was left out");
    }
    let ranks: Vec<Rank> = pool.ready.iter().copied().collect();
    let firsts: Vec<u64> = best
        .iter()
        .filter(|found| found.nonce() == senders[&found.sender().index()].nonce)
        .map(|found| found.sender().index())
        .collect();
    assert_eq!(firsts, ranks.iter().map(|rank| rank.account.index()).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_histories(steps in prop::collection::vec(step(), 1..120), bytes in prop::sample::select(vec![600usize, 1500, 1 << 20])) {
        let bounds = Limits { bytes, ..limits(12) };
        let mut pool = Pool::new(bounds);
        let mut senders: BTreeMap<u64, Sender> = (0..6).map(|n| (n, Sender { nonce: 0, balance: 120 })).collect();
        let mut now = Instant::now();
        let mut waiting: BTreeMap<TransactionId, ()> = BTreeMap::new();
        for step in steps {
            let mut gone: Vec<Dropped> = Vec::new();
            let mut included: Vec<TransactionId> = Vec::new();
            match step {
                Step::Add { sender, ahead, fee, protocol, salt } => {
                    let state = senders[&sender];
                    let fee = if protocol { 0 } else { fee };
                    let transaction = transaction(sender, state.nonce + ahead, fee, protocol, salt);
                    let before: Vec<TransactionId> = waiting.keys().copied().collect();
                    match pool.add(transaction.clone(), state, now) {
                        Ok(added) => {
                            waiting.insert(transaction.id(), ());
                            gone = added.dropped;
                        }
                        // A refusal changes nothing.
                        Err(_) => for id in before { prop_assert!(pool.contains(&id)); },
                    }
                }
                Step::Block { taken } => {
                    let block = pool.best(usize::MAX, taken);
                    for transaction in &block {
                        let state = senders.get_mut(&transaction.sender().index()).unwrap();
                        state.nonce += 1;
                        state.balance -= transaction.max_fee();
                        included.push(transaction.id());
                    }
                    let touched = block.iter().map(|found| (found.sender(), senders[&found.sender().index()])).collect::<Vec<_>>();
                    gone = pool.finalized(included.clone(), touched);
                }
                Step::Foreign { sender, count, balance } => {
                    let state = senders.get_mut(&sender).unwrap();
                    *state = Sender { nonce: state.nonce + count, balance };
                    gone = pool.finalized([], [(account(sender), *state)]);
                }
                Step::Wait { seconds } => {
                    now += Duration::from_secs(seconds);
                    gone = pool.expire(now);
                }
                Step::Drop { salt } => {
                    let ids: Vec<TransactionId> = waiting.keys().copied().collect();
                    if let Some(id) = ids.get(salt % ids.len().max(1)) {
                        let removed = pool.remove(id).unwrap();
                        gone.push((removed, Rejection::Outbid));
                    }
                }
            }
            for (transaction, _) in &gone {
                prop_assert!(waiting.remove(&transaction.id()).is_some(), "dropped twice, or never there");
            }
            for id in included {
                prop_assert!(waiting.remove(&id).is_some());
            }
            // What is neither final nor dropped for a reason waits, and nothing else does.
            prop_assert_eq!(waiting.len(), pool.len());
            for id in waiting.keys() { prop_assert!(pool.contains(id)); }
            check(&pool, &bounds, &senders);
        }
    }
}
