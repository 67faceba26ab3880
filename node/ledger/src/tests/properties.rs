//! Properties of random chains.

use crate::{Ledger, MemoryStore, testing::*};
use proptest::prelude::*;
use valo_protocol::{
    Action, Amount, Block, Hash, Header, PublicKey, SignedTransaction,
    bytes::BoundedVec,
    encoding::{decode, encode},
    files::RunStatus,
    hash::Digest,
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    receipt::Outcome,
    time::{Duration, Round},
    transaction::{AbstainEntry, AbstainReason, Answer, CommitEntry, RevealEntry},
};

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        4 => 0..3_000_000_000u64,
        2 => 0..2_000_000u64,
        1 => 900_000_000_000..1_100_000_000_000u64,
        1 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 1_000_000), Just(0)],
    ]
    .prop_map(Amount::from_units)
}

fn key() -> impl Strategy<Value = PublicKey> {
    prop_oneof![
        3 => (0u32..30).prop_map(|n| account_key(n).public()),
        1 => (0u32..4).prop_map(|n| node_key(n).public()),
        1 => any::<[u8; 32]>().prop_map(PublicKey),
        1 => prop_oneof![Just([0; 32]), Just([255; 32])].prop_map(PublicKey),
    ]
}

fn shard() -> impl Strategy<Value = ShardKey> {
    (0u64..3, 0u8..2, 0u32..3).prop_map(|(job, stage, shard)| ShardKey {
        job: JobId(job),
        stage: StageIndex(stage),
        shard: ShardIndex(shard),
    })
}

fn list<T: Clone + std::fmt::Debug, const MAX: usize>(
    entry: impl Strategy<Value = T>,
) -> impl Strategy<Value = BoundedVec<T, MAX>> {
    proptest::collection::vec(entry, 0..3).prop_map(|entries| BoundedVec::new(entries).unwrap())
}

fn action() -> impl Strategy<Value = Action> {
    let answer = Answer { digest: Digest::default(), status: RunStatus::Exited(0), fuel: 7.into() };
    prop_oneof![
        8 => (0u64..20, amount()).prop_map(|(to, amount)| Action::Transfer { to: account(to), amount }),
        6 => (key(), amount()).prop_map(|(key, amount)| Action::TransferToKey { key, amount }),
        1 => (0u64..3).prop_map(|job| Action::CancelJob { job: JobId(job) }),
        1 => Just(Action::Return),
        1 => list(shard().prop_map(|shard| CommitEntry { shard, attempt: Attempt(0), commitment: Hash::default() }))
            .prop_map(|entries| Action::Commit { entries }),
        1 => list(shard().prop_map(move |shard| RevealEntry { shard, attempt: Attempt(0), answer, salt: [0; 32] }))
            .prop_map(|entries| Action::Reveal { entries }),
        1 => list(shard().prop_map(|shard| AbstainEntry { shard, attempt: Attempt(0), reason: AbstainReason::Memory }))
            .prop_map(|entries| Action::Abstain { entries }),
    ]
}

/// A transaction, more or less as it should be.
#[derive(Debug, Clone)]
struct Attempted {
    sender: u64,
    action: Action,
    gap: u64,
    max_fee: Option<Amount>,
}

fn attempted() -> impl Strategy<Value = Attempted> {
    let gap = prop_oneof![12 => Just(0u64), 1 => 1u64..3];
    let max_fee = prop_oneof![8 => Just(None), 2 => amount().prop_map(Some)];
    (0u64..14, action(), gap, max_fee).prop_map(|(sender, action, gap, max_fee)| Attempted {
        sender,
        action,
        gap,
        max_fee,
    })
}

#[derive(Debug, Clone)]
struct Step {
    round: u32,
    after: u64,
    transactions: Vec<Attempted>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop_oneof![6 => Just(0u32), 1 => 1u32..5],
        prop_oneof![4 => 1u64..500, 1 => 9_000u64..30_000],
        proptest::collection::vec(attempted(), 0..12),
    );
    let step = step.prop_map(|(round, after, transactions)| Step { round, after, transactions });
    proptest::collection::vec(step, 1..8)
}

fn transactions(chain: &TestChain, attempted: &[Attempted]) -> Vec<SignedTransaction> {
    let mut ahead = std::collections::BTreeMap::<u64, u64>::new();
    let signed = attempted.iter().map(|Attempted { sender, action, gap, max_fee }| {
        let next = ahead.entry(*sender).or_default();
        let mut transaction = chain.transaction(account(*sender), *next + gap, action.clone());
        *next += 1;
        transaction.max_fee = max_fee.unwrap_or(transaction.max_fee);
        chain.sign(transaction)
    });
    signed.collect()
}

fn setup() -> Setup {
    Setup { validators: vec![40, 30, 20, 10], ..Setup::default() }
}

fn reopen(chain: &TestChain) -> Ledger<MemoryStore> {
    Ledger::open(chain.ledger.genesis().clone(), chain.ledger.store().clone()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a proposer drafts every other node accepts, and all come to the same state, receipts and events;
    /// money is kept; a reopened state is the same; what fails changes only its sender and the pools.
    #[test]
    fn random_chains_keep_every_promise(steps in steps()) {
        let mut chain = TestChain::new(&setup());
        let mut other = TestChain::new(&setup());
        for step in steps {
            let candidates = transactions(&chain, &step.transactions);
            let block = chain.draft(Round(step.round), Duration(step.after), candidates.clone());
            for taken in &block.transactions {
                prop_assert!(candidates.contains(taken));
            }
            prop_assert_eq!(chain.ledger.check(&block), Ok(()));
            prop_assert_eq!(chain.ledger.check_certificate(&block), Ok(()));
            let before = chain.ledger.clone();
            let effects = chain.ledger.execute(&block).unwrap();
            prop_assert_eq!(before.store(), chain.ledger.store(), "execution changes nothing");
            prop_assert_eq!(&effects, &chain.execute(&block));
            prop_assert_eq!(&effects, &other.execute(&block), "another node");
            prop_assert_eq!(effects.receipts.len(), block.transactions.len());
            chain.audit();
            let reopened = reopen(&chain);
            prop_assert_eq!(reopened.head(), chain.ledger.head());
            prop_assert_eq!(reopened.table_roots(), chain.ledger.table_roots());
            prop_assert_eq!(reopened.due(), chain.ledger.due());
            let unchanged = block.transactions.iter().zip(&effects.receipts).all(|(signed, receipt)| {
                signed.transaction.action.is_protocol_message() || !receipt.fee.is_zero()
            });
            prop_assert!(unchanged, "everything but messages of the protocol pays");
        }
    }

    /// A block in which every action fails leaves the same accounts, but for fees and nonces, as an empty one.
    #[test]
    fn failures_cost_fees_and_nothing_else(steps in steps()) {
        let mut chain = TestChain::new(&setup());
        for step in steps {
            let signed = transactions(&chain, &step.transactions);
            let before = chain.view().accounts(account(0), usize::MAX).unwrap();
            let owner = chain.ledger.proposer(Round(0)).unwrap().owner;
            let block = chain.draft(Round(0), Duration(50), signed);
            let effects = chain.ledger.execute(&block).unwrap();
            if effects.receipts.iter().any(|receipt| matches!(receipt.outcome, Outcome::Done(_))) {
                continue;
            }
            chain.execute(&block);
            let after = chain.view().accounts(account(0), usize::MAX).unwrap();
            prop_assert_eq!(before.len(), after.len());
            for ((number, mut expected), (_, found)) in before.into_iter().zip(after) {
                let sent = block.transactions.iter().zip(&effects.receipts)
                    .filter(|(signed, _)| signed.transaction.sender == number);
                for (_, receipt) in sent {
                    expected.balance = expected.balance.checked_sub(receipt.fee).unwrap();
                    expected.nonce.0 += 1;
                }
                if number != owner {
                    prop_assert_eq!(expected, found);
                }
            }
        }
    }

    /// A block with one bit turned is no block, or not acceptable; and to judge or execute it panics nowhere.
    #[test]
    fn a_mutated_body_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut chain = TestChain::new(&setup());
        chain.block(vec![]);
        let actions = [
            Action::Transfer { to: account(6), amount: valo(1) },
            Action::TransferToKey { key: account_key(20).public(), amount: valo(1) },
            Action::CancelJob { job: JobId(1) },
        ];
        let transactions = chain.actions(account(7), actions);
        let block = chain.draft(Round(0), Duration(500), transactions);
        let mut bytes = block.to_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(mutated) = Block::from_bytes(&bytes) {
            let verdict = chain.ledger.check(&mutated);
            let executed = chain.ledger.execute(&mutated);
            if mutated.header == block.header {
                prop_assert!(verdict.is_err());
            }
            if verdict.is_ok() {
                prop_assert!(executed.is_ok(), "what is acceptable executes");
            }
        }
    }

    /// Any other header than the drafted one is refused, unless it is one that this proposer could have drafted
    /// at another time or in another of its rounds.
    #[test]
    fn a_mutated_header_is_refused(position in 0usize..400, bit in 0u8..8, round in 0u32..3) {
        let mut chain = TestChain::new(&setup());
        let transactions = chain.actions(account(7), [Action::Transfer { to: account(6), amount: valo(1) }]);
        chain.block(transactions.clone());
        let mut block = chain.draft(Round(round), Duration(500), vec![]);
        let mut bytes = encode(&block.header);
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        let Ok(header) = decode::<Header>("header", &bytes) else { return Ok(()) };
        let drafted = std::mem::replace(&mut block.header, header.clone());
        prop_assert_ne!(header.id(), drafted.id());
        let free = Header { time: drafted.time, round: drafted.round, ..header.clone() };
        let legitimate = free == drafted
            && header.time > chain.ledger.head().time
            && header.time.since(chain.ledger.head().epoch_started) < chain.ledger.params().epoch
            && chain.ledger.proposer(header.round).map(|validator| validator.key) == Some(header.proposer);
        prop_assert_eq!(chain.ledger.check(&block).is_ok(), legitimate);
    }
}
