//! A golden vector of the state machine: a genesis state and two blocks on it, down to every row, for another
//! implementation to follow. `VALO_BLESS=1` writes it anew; a difference is a change of the protocol.

use super::transfer;
use crate::{Table, testing::*};
use serde_json::{Value, json};
use std::path::Path;
use valo_protocol::{Action, Block, encoding::encode, proof::StateTable, time::Round};

fn state(chain: &TestChain) -> Value {
    let roots = chain.ledger.table_roots();
    let tables = StateTable::ALL.into_iter().zip(&roots).map(|(table, root)| {
        let rows = crate::Store::scan(chain.ledger.store(), Table::from(table), &[], usize::MAX).unwrap();
        let rows: Vec<String> = rows.into_iter().map(|(_, row)| hex(&row)).collect();
        json!({"table": table, "rows": rows, "root": root.root})
    });
    let head = chain.ledger.head();
    json!({
        "tables": tables.collect::<Vec<Value>>(), "stateRoot": chain.ledger.state_root(), "block": head.block,
        "randomness": head.randomness, "proposer": chain.ledger.proposer(Round(0)).unwrap().key,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn step(chain: &mut TestChain, block: &Block) -> Value {
    let effects = chain.execute(block);
    let receipts: Vec<Value> =
        effects.receipts.iter().map(|receipt| json!({"receipt": receipt, "bytes": hex(&encode(receipt))})).collect();
    json!({
        "header": hex(&encode(&block.header)), "block": hex(&block.to_bytes()), "receipts": receipts,
        "events": effects.events, "after": state(chain),
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
fn a_small_chain() {
    let setup = Setup {
        accounts: 3,
        validators: vec![10],
        tiers: vec![wasm_tier("small")],
        workers: vec![(Default::default(), 2)],
        ..Setup::default()
    };
    let mut chain = TestChain::new(&setup);
    let genesis = setup.genesis();
    let start = state(&chain);
    let transactions = chain.actions(
        account(2),
        [
            transfer(0, valo(5)),
            Action::TransferToKey { key: account_key(9).public(), amount: valo(2) },
            transfer(1, valo(5_000)),
        ],
    );
    let block = chain.draft(Round(0), chain.ledger.params().min_interval, transactions);
    let first = step(&mut chain, &block);
    let block = chain.draft(Round(0), chain.ledger.params().epoch, vec![]);
    let second = step(&mut chain, &block);
    let vector = json!({
        "genesis": genesis, "genesisBytes": hex(&encode(&genesis)), "genesisHash": genesis.hash(), "start": start,
        "blocks": [first, second],
    });

    let path = Path::new("tests/vectors/chain.json");
    if std::env::var("VALO_BLESS").is_ok() {
        std::fs::write(path, serde_json::to_string_pretty(&vector).unwrap() + "\n").unwrap();
    }
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    assert!(recorded == vector, "chain.json differs from what this ledger does: a change of the protocol");
}
