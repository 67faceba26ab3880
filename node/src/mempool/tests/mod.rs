//! The mempool as its users meet it: bytes in, answers out.

mod flooding;
mod following;
mod submitting;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use valo_ledger::{Ledger, View};
use valo_protocol::{
    AccountNumber, Action, Amount, Genesis, GenesisHash, Parameters, PublicKey, SecretKey, SignedTransaction,
    Timestamp, Transaction, TransactionId, Varint,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    receipt::{Invalid, Receipt},
    registry::NodeRole,
};

use super::*;

/// As many accounts as these tests use, and one validator.
pub(super) const ACCOUNTS: u64 = 40;

pub(super) fn key(number: u64) -> SecretKey {
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed)
}

pub(super) fn account(number: u64) -> AccountNumber {
    AccountNumber::new(number).unwrap()
}

pub(super) fn genesis() -> Genesis {
    let balance = Amount::from_valo(10).unwrap();
    let accounts = (0..ACCOUNTS).map(|number| GenesisAccount { key: key(number).public(), balance }).collect();
    let validator = GenesisNode {
        key: key(1000).public(),
        owner: account(0),
        role: NodeRole::Validator,
        stake: Amount::from_valo(100).unwrap(),
    };
    Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("test").unwrap(),
        time: Timestamp(1),
        fully_connected: false,
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(accounts).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(vec![validator]).unwrap(),
    }
}

/// State in memory that tests can change, as blocks would.
pub(super) struct FakeState {
    genesis: Genesis,
    store: valo_ledger::MemoryStore,
    /// Accounts that are not as in genesis.
    senders: Mutex<HashMap<AccountNumber, Sender>>,
    /// Accounts that no block has made yet.
    pub(super) unborn: Mutex<HashSet<AccountNumber>>,
    pub(super) receipts: Mutex<HashMap<TransactionId, Receipt>>,
}

impl FakeState {
    pub(super) fn new() -> Arc<Self> {
        let genesis = genesis();
        let mut store = valo_ledger::MemoryStore::default();
        store.apply(&Ledger::<valo_ledger::MemoryStore>::genesis_changes(&genesis).unwrap());
        Arc::new(Self {
            genesis,
            store,
            senders: Mutex::default(),
            unborn: Mutex::default(),
            receipts: Mutex::default(),
        })
    }

    pub(super) fn set(&self, number: u64, nonce: u64) {
        let present = self.sender(account(number)).unwrap().unwrap().sender;
        self.senders.lock().unwrap().insert(account(number), Sender { nonce, ..present });
    }

    pub(super) fn hash(&self) -> GenesisHash {
        self.genesis.hash()
    }
}

impl ChainState for FakeState {
    fn sender(&self, account: AccountNumber) -> Result<Option<SenderAccount>, StateError> {
        if self.unborn.lock().unwrap().contains(&account) {
            return Ok(None);
        }
        let record = View::new(&self.store).account(account).unwrap();
        let changed = self.senders.lock().unwrap().get(&account).copied();
        Ok(record.map(|record| {
            let balance = valo_ledger::validity::spendable(&record, &self.genesis.parameters).units();
            let sender = changed.unwrap_or(Sender { nonce: record.nonce.0, balance });
            SenderAccount { key: record.key, sender }
        }))
    }

    fn validity(&self, transaction: &SignedTransaction, size: usize) -> Result<Result<(), Invalid>, StateError> {
        let expected = match self.sender(transaction.transaction.sender)? {
            Some(account) => account.sender.nonce,
            None => return Ok(Err(Invalid::NoSender(transaction.transaction.sender))),
        };
        let nonce = transaction.transaction.nonce.0;
        if nonce < expected {
            return Ok(Err(Invalid::NonceUsed { nonce, expected }));
        }
        if nonce > expected {
            return Ok(Err(Invalid::NonceGap { nonce, expected }));
        }
        // The rest by the rules of the ledger, as if the account were as in genesis.
        let mut fresh = transaction.clone();
        fresh.transaction.nonce = Varint(0);
        Ok(View::new(&self.store).validity(&self.genesis.parameters, &fresh, size).unwrap())
    }

    fn cost(&self, transaction: &SignedTransaction, size: usize) -> Result<Cost, StateError> {
        let params = &self.genesis.parameters;
        Ok(Cost {
            units: valo_ledger::validity::cost(transaction, size, params).units(),
            weight: params.weights.of(&transaction.transaction.action),
            max_weight: valo_ledger::validity::max_weight(transaction, params),
        })
    }

    fn receipt(&self, id: &TransactionId) -> Result<Option<Receipt>, StateError> {
        Ok(self.receipts.lock().unwrap().get(id).cloned())
    }
}

pub(super) fn start(state: &Arc<FakeState>, limits: Limits) -> Mempool {
    Mempool::start(state.hash(), state.clone(), Wake::default(), limits).unwrap()
}

pub(super) fn signed(state: &FakeState, sender: u64, nonce: u64) -> SignedTransaction {
    with_fee(state, sender, nonce, 100_000)
}

pub(super) fn with_fee(state: &FakeState, sender: u64, nonce: u64, fee: u64) -> SignedTransaction {
    let transaction = Transaction {
        sender: account(sender),
        nonce: Varint(nonce),
        max_fee: Amount::from_units(fee),
        action: Action::Transfer { to: account(1), amount: Amount::from_units(5) },
    };
    transaction.sign(&state.hash(), &key(sender))
}

pub(super) fn wire(signed: &SignedTransaction) -> Bytes {
    signed.to_bytes().into()
}

pub(super) fn stranger() -> PublicKey {
    key(5000).public()
}
