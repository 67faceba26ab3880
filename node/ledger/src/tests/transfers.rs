//! Money moves, accounts are made, and what is not valid costs nothing.

use super::{transfer, units};
use crate::{BlockError, Ledger, testing::*};
use valo_protocol::{
    AccountNumber, Action, Amount, Parameters, PublicKey, SignedTransaction,
    bytes::BoundedVec,
    encoding::{Varint, decode},
    event::Event,
    hash::Hash,
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    params::Preset,
    proof::StateTable,
    receipt::{Invalid, Made, Outcome, Reason},
    state::KeyRecord,
    time::{Duration, Round},
    transaction::CommitEntry,
};

fn to_key(key: PublicKey, amount: Amount) -> Action {
    Action::TransferToKey { key, amount }
}

fn less(a: Amount, b: Amount) -> Amount {
    a.checked_sub(b).unwrap()
}

/// Changes a transaction of account 7 and asks what is wrong with it, alone and in a block.
fn invalid(chain: &TestChain, transaction: SignedTransaction) -> Invalid {
    let size = transaction.to_bytes().len();
    let reason = chain.ledger.validity(&transaction, size).unwrap().unwrap_err();
    let mut block = chain.draft(Round(0), Duration(50), vec![transaction.clone()]);
    assert!(block.transactions.is_empty(), "a draft leaves it out");
    block.transactions.push(transaction);
    block.header.transactions = valo_protocol::block::transactions_root(&block.transactions);
    assert_eq!(chain.ledger.check(&block), Err(BlockError::Transaction { index: 0, reason: reason.clone() }));
    assert!(chain.ledger.execute(&block).is_err(), "a block with it does not execute");
    reason
}

#[test]
fn a_transfer_moves_the_amount_and_pays_the_fee() {
    let mut chain = TestChain::new(&Setup::default());
    let transactions = chain.actions(account(7), [transfer(6, valo(5))]);
    let fee = transactions[0].transaction.max_fee;
    // 83 bytes at 10 units and a weight of 1,000 at 1 unit.
    assert_eq!(fee, units(83 * 10 + 1000));
    let owner = chain.ledger.proposer(Round(0)).unwrap().owner;
    let effects = chain.block(transactions);
    assert_eq!(effects.receipts[0].outcome, Outcome::Done(Made::Nothing));
    assert_eq!(effects.receipts[0].fee, fee);
    assert!(effects.events.contains(&Event::Transferred { from: account(7), to: account(6), amount: valo(5) }));
    assert_eq!(chain.balance(account(6)), valo(1005));
    assert_eq!(chain.balance(account(7)), less(valo(995), fee));
    // A tenth to the proposer's owner, the rest to the pool.
    assert_eq!(chain.view().supply().unwrap().rewards, units(fee.units() - fee.units() / 10));
    assert_eq!(chain.balance(owner), valo(1000).checked_add(units(fee.units() / 10)).unwrap());
}

#[test]
fn what_is_not_used_of_max_fee_returns() {
    let mut chain = TestChain::new(&Setup::default());
    let mut transaction = chain.transaction(account(7), 0, transfer(6, valo(5)));
    transaction.max_fee = valo(3);
    let signed = chain.sign(transaction);
    let fee = chain.block(vec![signed]).receipts[0].fee;
    assert!(fee < valo(1));
    assert_eq!(chain.balance(account(7)), less(valo(995), fee));
}

#[test]
fn nonces_count_up_without_gaps() {
    let mut chain = TestChain::new(&Setup::default());
    let first = chain.actions(account(7), [transfer(6, valo(1)), transfer(6, valo(2)), transfer(6, valo(3))]);
    assert_eq!(invalid(&chain, first[1].clone()), Invalid::NonceGap { nonce: 1, expected: 0 });
    // In one block, in order.
    chain.block(first.clone());
    assert_eq!(chain.balance(account(6)), valo(1006));
    assert_eq!(invalid(&chain, first[2].clone()), Invalid::NonceUsed { nonce: 2, expected: 3 });
}

#[test]
fn strangers_poor_senders_and_low_fees_are_not_valid() {
    let chain = TestChain::new(&Setup::default());
    let signed = |change: &dyn Fn(&mut valo_protocol::Transaction)| {
        let mut transaction = chain.transaction(account(7), 0, transfer(6, valo(1)));
        change(&mut transaction);
        chain.sign(transaction)
    };
    let stranger = AccountNumber::MAX;
    assert_eq!(invalid(&chain, signed(&|transaction| transaction.sender = stranger)), Invalid::NoSender(stranger));
    let (allowed, needed) = (units(1829), units(1830));
    assert_eq!(
        invalid(&chain, signed(&|transaction| transaction.max_fee = allowed)),
        Invalid::FeeTooLow { allowed, needed }
    );
    // The minimum balance stays.
    let available = less(valo(1000), units(1_000_000));
    assert_eq!(
        invalid(&chain, signed(&|transaction| transaction.max_fee = valo(1000))),
        Invalid::CannotPayFee { available, needed: valo(1000) }
    );
    let largest = units(u64::MAX);
    assert_eq!(
        invalid(&chain, signed(&|transaction| transaction.max_fee = largest)),
        Invalid::CannotPayFee { available, needed: largest }
    );
}

#[test]
fn transactions_of_one_sender_are_covered_together_and_credits_of_the_block_do_not_count() {
    let mut chain = TestChain::new(&Setup::default());
    let mut transactions = chain.actions(account(5), [transfer(7, valo(900))]);
    for ahead in 0..2 {
        let mut transaction = chain.transaction(account(7), ahead, transfer(6, units(1)));
        transaction.max_fee = valo(600);
        transactions.push(chain.sign(transaction));
    }
    let mut block = chain.draft(Round(0), Duration(50), transactions.clone());
    assert_eq!(block.transactions, transactions[..2], "the draft leaves the second out");
    block.transactions = transactions;
    block.header.transactions = valo_protocol::block::transactions_root(&block.transactions);
    let Err(BlockError::Transaction { index: 2, reason: Invalid::CannotPayFee { .. } }) = chain.ledger.check(&block)
    else {
        panic!("600 VALO twice of 1000, though 900 arrive in the same block");
    };
    block.transactions.pop();
    block.header.transactions = valo_protocol::block::transactions_root(&block.transactions);
    chain.execute(&block);
    chain.audit();
}

#[test]
fn a_failed_action_pays_its_fee_and_changes_nothing_else() {
    let mut chain = TestChain::new(&Setup::default());
    let before: Vec<Amount> = (0..8).map(|n| chain.balance(account(n))).collect();
    let keys = chain.ledger.table_roots()[2];
    let new = account_key(99).public();
    let actions = [
        transfer(6, valo(1000)),
        transfer(6, units(u64::MAX)),
        transfer(1 << 39, valo(1)),
        to_key(new, valo(1000)),
        to_key(new, units(u64::MAX)),
        to_key(new, units(999_999)),
        to_key(PublicKey([0; 32]), valo(1)),
        to_key(PublicKey([255; 32]), valo(1)),
        Action::CancelJob { job: JobId(1) },
    ];
    let transactions = chain.actions(account(7), actions);
    let effects = chain.block(transactions.clone());
    let minimum = chain.ledger.params().minimum_balance;
    let reasons: Vec<&Reason> = effects.receipts.iter().map(|receipt| reason(receipt).unwrap()).collect();
    assert!(matches!(reasons[0], Reason::InsufficientBalance { needed, .. } if *needed == valo(1000)));
    assert!(matches!(reasons[1], Reason::InsufficientBalance { needed, .. } if *needed == units(u64::MAX)));
    assert_eq!(reasons[2], &Reason::NoAccount(account(1 << 39)));
    assert!(matches!(reasons[3], Reason::InsufficientBalance { .. }));
    assert!(matches!(reasons[4], Reason::InsufficientBalance { .. }));
    assert_eq!(reasons[5], &Reason::BelowMinimum(minimum));
    assert_eq!(reasons[6], &Reason::UnusableKey);
    assert_eq!(reasons[7], &Reason::UnusableKey);
    assert_eq!(effects.events, vec![], "nothing happened");
    assert_eq!(chain.ledger.table_roots()[2], keys, "no key was added");
    let fees = effects.receipts.iter().fold(0, |sum, receipt| sum + receipt.fee.units());
    let allowed = transactions.iter().fold(0, |sum, signed| sum + signed.transaction.max_fee.units());
    assert_eq!(fees, allowed, "each pays its fee in full");
    assert_eq!(chain.balance(account(7)), less(before[7], units(fees)));
    assert_eq!(chain.balance(account(6)), before[6]);
    assert_eq!(chain.view().account(account(7)).unwrap().unwrap().nonce, Varint(9));
}

#[test]
fn a_transfer_to_a_new_key_makes_an_account() {
    let mut chain = TestChain::new(&Setup::default());
    let key = account_key(99).public();
    let number = account(12);
    let transactions = chain.actions(account(7), [to_key(key, valo(2)), to_key(key, valo(3))]);
    let allowed = transactions[1].transaction.max_fee;
    let effects = chain.block(transactions);
    assert_eq!(effects.receipts[0].outcome, Outcome::Done(Made::Account(number)));
    assert_eq!(effects.receipts[1].outcome, Outcome::Done(Made::Nothing), "the second is a plain transfer");
    let account_weight = units(chain.ledger.params().weights.account);
    assert_eq!(effects.receipts[1].fee, less(allowed, account_weight), "and does not pay for making one");
    assert_eq!(
        effects.events[..2],
        [
            Event::AccountCreated { account: number, key },
            Event::Transferred { from: account(7), to: number, amount: valo(2) }
        ]
    );
    assert_eq!(chain.balance(number), valo(5));
    assert_eq!(chain.view().account_by_key(&key).unwrap(), Some(number));
    let fees = effects.receipts.iter().fold(Amount::ZERO, |sum, receipt| sum.checked_add(receipt.fee).unwrap());
    let paid = fees.checked_add(chain.ledger.params().account_fee).unwrap().checked_add(valo(5)).unwrap();
    assert_eq!(chain.balance(account(7)), less(valo(1000), paid));
}

#[test]
fn keys_with_and_without_account_are_provable() {
    let mut chain = TestChain::new(&Setup::default());
    for n in 100..110 {
        let actions = chain.actions(account(7), [to_key(account_key(n).public(), valo(1))]);
        chain.block(actions);
    }
    let row = |key: &PublicKey| {
        let (index, _) = chain.view().key_at_or_below(key).unwrap();
        let proof = chain.ledger.prove(StateTable::Keys, index).unwrap().unwrap();
        assert_eq!(proof.root(), Some(chain.ledger.state_root()));
        decode::<KeyRecord>("key", &proof.row).unwrap()
    };
    for n in 100..110 {
        let key = account_key(n).public();
        assert_eq!((row(&key).key, row(&key).account), (key, chain.view().account_by_key(&key).unwrap()));
        assert!(!row(&key).proves_absence(&key));
    }
    let largest = PublicKey([255; 32]);
    for key in (200..230).map(|n| account_key(n).public()).chain([largest]) {
        assert!(row(&key).proves_absence(&key), "{key} has no account");
        assert_eq!(chain.view().account_by_key(&key).unwrap(), None);
    }
}

#[test]
fn a_node_account_starts_empty_and_its_first_transfer_reaches_the_minimum() {
    let mut chain = TestChain::new(&Setup::default());
    let node = chain.node_account(0);
    assert_eq!(chain.balance(node), Amount::ZERO);
    let few = units(999_999);
    let actions = [Action::Transfer { to: node, amount: few }, Action::Transfer { to: node, amount: valo(1) }];
    let transactions = chain.actions(account(7), actions);
    let effects = chain.block(transactions);
    assert_eq!(reason(&effects.receipts[0]), Some(&Reason::BelowMinimum(units(1_000_000))));
    assert_eq!(reason(&effects.receipts[1]), None);
    assert_eq!(chain.balance(node), valo(1));
    // From now on it can send, and keeps the minimum.
    let actions = chain.actions(node, [transfer(7, valo(1)), transfer(7, units(500_000_000))]);
    let effects = chain.block(actions);
    assert!(matches!(reason(&effects.receipts[0]), Some(Reason::InsufficientBalance { .. })));
    assert_eq!(reason(&effects.receipts[1]), None);
}

#[test]
fn messages_of_the_protocol_are_free_and_only_for_what_is_open() {
    let chain = TestChain::new(&Setup::default());
    let entry = |shard| CommitEntry {
        shard: ShardKey { job: JobId(1), stage: StageIndex(0), shard: ShardIndex(shard) },
        attempt: Attempt(0),
        commitment: Hash::default(),
    };
    let message = |sender, entries: Vec<CommitEntry>| {
        let transaction = chain.transaction(sender, 0, Action::Commit { entries: BoundedVec::new(entries).unwrap() });
        assert_eq!(transaction.max_fee, Amount::ZERO);
        chain.sign(transaction)
    };
    let node = chain.node_account(0);
    assert_eq!(invalid(&chain, message(account(7), vec![entry(0)])), Invalid::NotANode(account(7)));
    assert_eq!(invalid(&chain, message(node, vec![])), Invalid::Entries);
    assert_eq!(invalid(&chain, message(node, vec![entry(0), entry(0)])), Invalid::Entries);
    assert_eq!(invalid(&chain, message(node, vec![entry(0)])), Invalid::NotOpen(entry(0).shard));
    let returning = chain.actions(node, [Action::Return]).remove(0);
    assert_eq!(invalid(&chain, returning), Invalid::NotAbsent);
}

#[test]
fn a_quarter_of_a_block_is_kept_for_messages_of_the_protocol() {
    let parameters = Parameters { block_bytes: 4_000, ..Parameters::preset(Preset::Dev) };
    let mut chain = TestChain::new(&Setup { parameters, ..Setup::default() });
    let transactions = chain.actions(account(7), (0..60).map(|_| transfer(6, valo(1))));
    let size = transactions[0].to_bytes().len();
    assert_eq!(size, 83);
    let mut block = chain.draft(Round(0), Duration(50), transactions.clone());
    assert_eq!(block.transactions.len(), 3_000 / size);
    assert_eq!(chain.ledger.check(&block), Ok(()));
    block.transactions = transactions[..=3_000 / size].to_vec();
    block.header.transactions = valo_protocol::block::transactions_root(&block.transactions);
    assert_eq!(chain.ledger.check(&block), Err(BlockError::Limit { kind: "bytes", limit: 3_000 }));
    let parameters = Parameters { block_weight: 40_000, ..Parameters::preset(Preset::Dev) };
    chain = TestChain::new(&Setup { parameters, ..Setup::default() });
    assert_eq!(chain.draft(Round(0), Duration(50), transactions).transactions.len(), 30, "of weight 1,000 each");
}

#[test]
fn the_same_key_made_twice_in_a_block_is_one_account() {
    let mut chain = TestChain::new(&Setup::default());
    let key = account_key(99).public();
    let mut transactions = chain.actions(account(7), [to_key(key, valo(1))]);
    transactions.extend(chain.actions(account(6), [to_key(key, valo(1))]));
    let effects = chain.block(transactions);
    assert_eq!(effects.receipts[0].outcome, Outcome::Done(Made::Account(account(12))));
    assert_eq!(effects.receipts[1].outcome, Outcome::Done(Made::Nothing));
    assert_eq!(chain.balance(account(12)), valo(2));
}

#[test]
fn a_reopened_state_knows_its_accounts() {
    let mut chain = TestChain::new(&Setup::default());
    let key = account_key(99).public();
    let transactions = chain.actions(account(7), [to_key(key, valo(1))]);
    chain.block(transactions);
    let store = chain.ledger.store().clone();
    let reopened = Ledger::open(chain.ledger.genesis().clone(), store).unwrap();
    assert_eq!(reopened.account_by_key(&key).unwrap(), Some(account(12)));
    assert_eq!(reopened.sender_key(account(12)).unwrap(), Some(key));
    assert_eq!(reopened.head(), chain.ledger.head());
    assert_eq!(reopened.due(), chain.ledger.due());
}

#[test]
fn a_gap_in_nonces_says_that_nothing_else_is_wrong() {
    let chain = TestChain::new(&Setup::default());
    let mut transaction = chain.transaction(account(7), 3, transfer(6, valo(1)));
    let valid = |transaction: &valo_protocol::Transaction| {
        let signed = chain.sign(transaction.clone());
        let size = signed.to_bytes().len();
        chain.ledger.validity(&signed, size).unwrap()
    };
    assert_eq!(valid(&transaction), Err(Invalid::NonceGap { nonce: 3, expected: 0 }));
    transaction.max_fee = units(1);
    assert!(matches!(valid(&transaction), Err(Invalid::FeeTooLow { .. })));
    transaction.max_fee = valo(2000);
    assert!(matches!(valid(&transaction), Err(Invalid::CannotPayFee { .. })));
}
