//! The real chain over this storage and the mempool: after a restart it stands where it stood, with the same state.

use std::{path::Path, sync::Arc};

use valo_ledger::{Ledger, MemoryStore, View};
use valo_protocol::{
    AccountNumber, Action, Amount, Genesis, Height, Parameters, Round, SecretKey, SignedTransaction, Timestamp,
    Transaction, TransactionId, Varint,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    registry::NodeRole,
    vote::{Certificate, CommitSignature, Vote, VoteKind},
};

use super::small;
use crate::{
    chain::{BlockStore, Chain, TransactionSource, Wake},
    mempool::{FinalizedState, Limits, Mempool},
    storage::{BlockReader, Storage},
};

fn validator() -> SecretKey {
    SecretKey::from_seed([100; 32])
}

fn sender(number: u8) -> SecretKey {
    SecretKey::from_seed([number.wrapping_add(1); 32])
}

fn genesis() -> Arc<Genesis> {
    let balance = Amount::from_valo(10).unwrap();
    let accounts = (0..20).map(|number| GenesisAccount { key: sender(number).public(), balance }).collect();
    let node = GenesisNode {
        key: validator().public(),
        owner: AccountNumber::default(),
        role: NodeRole::Validator,
        stake: Amount::from_valo(100).unwrap(),
    };
    Arc::new(Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("test").unwrap(),
        time: Timestamp(1000),
        fully_connected: false,
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(accounts).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(vec![node]).unwrap(),
    })
}

/// A node of one validator without an engine: what the engine would decide is decided at once.
struct Machine {
    chain: Chain<Storage>,
    storage: Storage,
    mempool: Mempool,
    genesis: Arc<Genesis>,
}

impl Machine {
    fn start(path: &Path) -> Self {
        let genesis = genesis();
        let state = || Ledger::<MemoryStore>::genesis_changes(&genesis);
        let storage = Storage::open_or_create(path, genesis.hash(), small(), state).unwrap();
        let finalized = Arc::new(FinalizedState::new(storage.clone()).unwrap());
        let mempool = Mempool::start(genesis.hash(), finalized, Wake::default(), Limits::default()).unwrap();
        let blocks: Arc<dyn BlockStore> = Arc::new(storage.clone());
        let source: Arc<dyn TransactionSource> = Arc::new(mempool.clone());
        let chain = Chain::open(genesis.clone(), validator(), storage.clone(), blocks, source).unwrap();
        Self { chain, storage, mempool, genesis }
    }

    fn transfer(&self, from: u8, nonce: u64, amount: u64) -> SignedTransaction {
        let transaction = Transaction {
            sender: AccountNumber::new(u64::from(from)).unwrap(),
            nonce: Varint(nonce),
            max_fee: Amount::from_units(100_000),
            action: Action::Transfer {
                to: AccountNumber::new(u64::from((from + 1) % 20)).unwrap(),
                amount: Amount::from_units(amount),
            },
        };
        transaction.sign(&self.genesis.hash(), &sender(from))
    }

    async fn send(&self, transaction: &SignedTransaction) -> TransactionId {
        self.mempool.submit(transaction.to_bytes().into()).await.unwrap()
    }

    /// Decides the next block; gives its number of transactions.
    fn block(&mut self) -> usize {
        let height = self.chain.next_height();
        let stream = self.chain.propose(Round(0), Timestamp(self.chain.head().time.0 + 100)).unwrap();
        let key = validator();
        let vote = Vote {
            kind: VoteKind::Precommit,
            height,
            round: Round(0),
            block: Some(stream.block),
            validator: key.public(),
        };
        let signature = key.sign(&vote.signed_bytes(&self.genesis.hash()));
        let signatures = BoundedVec::new(vec![CommitSignature { validator: key.public(), signature }]).unwrap();
        let certificate = Certificate { height, round: Round(0), block: stream.block, signatures };
        self.chain.decide(certificate).unwrap().block.transactions.len()
    }

    fn balance(&self, number: u8) -> Amount {
        let number = AccountNumber::new(u64::from(number)).unwrap();
        View::new(&self.storage.snapshot()).account(number).unwrap().unwrap().balance
    }
}

#[tokio::test]
async fn after_a_restart_the_chain_stands_where_it_stood_with_the_same_state_root() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut machine = Machine::start(&path);
    let mut sent = Vec::new();
    for nonce in 0..4 {
        for from in 0..20 {
            sent.push(machine.send(&machine.transfer(from, nonce, 1000 + u64::from(from))).await);
        }
        assert_eq!(machine.block(), 20);
    }
    assert!(machine.mempool.is_empty());
    let (head, root, balance) = (machine.storage.head(), machine.chain.ledger().state_root(), machine.balance(3));
    assert_eq!(head.0, Height(4));
    // Nothing is closed in order: what counts is on disk.
    drop(machine);

    let mut machine = Machine::start(&path);
    assert_eq!(machine.storage.head(), head);
    assert_eq!(machine.chain.head().block, head.1);
    assert_eq!(machine.chain.ledger().state_root(), root);
    assert_eq!(machine.balance(3), balance);
    for id in &sent {
        assert_eq!(machine.storage.transaction(id).unwrap().unwrap().receipt.transaction, *id);
    }
    // It goes on, and the header of the next block carries the very root.
    let id = machine.send(&machine.transfer(3, 4, 5)).await;
    assert_eq!(machine.block(), 1);
    assert_eq!(machine.storage.header(Height(5)).unwrap().unwrap().header.state, root);
    let receipt = machine.mempool.await_final(id, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(receipt.height, Height(5));
}

#[tokio::test]
async fn a_changed_row_is_found_by_the_state_root_when_the_chain_is_opened() {
    use crate::storage::columns::Column;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut machine = Machine::start(&path);
    machine.send(&machine.transfer(1, 0, 7)).await;
    machine.block();
    let storage = machine.storage.clone();
    let key = 5u64.to_be_bytes();
    let accounts = storage.column(Column::State(valo_ledger::Table::Accounts)).unwrap();
    let mut row = storage.inner.db.get_cf(accounts, key).unwrap().unwrap();
    *row.get_mut(33).unwrap() ^= 1;
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(accounts, key, row);
    storage.write(batch, true).unwrap();
    drop((storage, machine));
    let genesis = genesis();
    let storage = Storage::open(&path, genesis.hash(), small()).unwrap();
    let error = Ledger::open(genesis, storage).unwrap_err().to_string();
    assert!(error.contains("root"), "{error}");
}
