//! How many transfers one core executes, signatures aside: blocks of 1,000 on a state in memory.
//!
//! `cargo run -p valo-ledger --features testing --example throughput [accounts] [blocks]`

#![expect(clippy::disallowed_types, reason = "a benchmark reads the clock")]

use std::time::{Duration, Instant};
use valo_ledger::{
    MemoryStore,
    testing::{Setup, TestChain, account},
};
use valo_protocol::{
    AccountNumber, Action, Amount, SignedTransaction, Transaction, encoding::Varint, keys::Signature, time::Round,
};

const TRANSFERS: u64 = 1000;

#[expect(clippy::print_stdout, clippy::expect_used, reason = "a program for people")]
fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let accounts = numbers.next().unwrap_or(100_000);
    let blocks = numbers.next().unwrap_or(50);

    let started = Instant::now();
    let mut chain = TestChain::new(&Setup { accounts: accounts.try_into().expect("not too many"), ..Setup::default() });
    println!("{accounts} accounts: genesis in {:.2?}", started.elapsed());

    let mut spent = [Duration::ZERO; 5];
    let mut next = 0u64;
    for _ in 0..blocks {
        let transfers = (0..TRANSFERS)
            .map(|_| {
                // Senders in turn, recipients scattered: every account is touched now and then.
                let sender = next % accounts;
                let to = (next.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % accounts;
                next += 1;
                let nonce = Varint((next - 1) / accounts);
                transfer(account(sender), nonce, account(to))
            })
            .collect();
        let mut clock = processor_time();
        let mut lap = |slot: usize| {
            let now = processor_time();
            spent[slot] += now.saturating_sub(clock);
            clock = now;
        };
        let block = chain.draft(Round(0), chain.ledger.params().min_interval, transfers);
        assert_eq!(block.transactions.len() as u64, TRANSFERS);
        lap(0);
        chain.ledger.check(&block).expect("acceptable");
        lap(1);
        let effects = chain.ledger.execute(&block).expect("executes");
        lap(2);
        chain.ledger.store_mut().apply(&effects.changes);
        lap(3);
        chain.ledger.commit(effects).expect("in order");
        lap(4);
    }
    let transfers = (blocks * TRANSFERS) as f64;
    for (name, time) in ["draft", "check", "execute", "store", "commit"].into_iter().zip(spent) {
        let each = time.as_secs_f64() / transfers;
        println!("{name:8} {:6.2} us a transfer   {:9.0} a second", each * 1e6, 1.0 / each);
    }
    let all = spent[1..].iter().sum::<Duration>().as_secs_f64() / transfers;
    println!("check to commit: {:.0} transfers a second", 1.0 / all);

    let store: MemoryStore = chain.ledger.store().clone();
    let started = Instant::now();
    valo_ledger::Ledger::open(chain.ledger.genesis().clone(), store).expect("opens");
    println!("reopened in {:.2?}", started.elapsed());
}

/// What this thread has had of a processor, so that a busy machine does not count; elsewhere than on Linux the time
/// since the start.
fn processor_time() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = text.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn transfer(sender: AccountNumber, nonce: Varint, to: AccountNumber) -> SignedTransaction {
    let action = Action::Transfer { to, amount: Amount::from_units(1_234_567) };
    let transaction = Transaction { sender, nonce, max_fee: Amount::from_units(2000), action };
    SignedTransaction { transaction, signature: Signature([7; 64]) }
}
