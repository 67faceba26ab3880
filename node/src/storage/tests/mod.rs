//! What users of storage rely on: what was reported as written is there, whole, and nothing that looks wrong is taken.

mod chain;
mod crash;
mod damage;
mod history;
mod opening;

use std::{path::Path, sync::Arc};

use valo_ledger::{Changes, Table};
use valo_protocol::{
    AccountNumber, Action, Amount, Block, GenesisHash, Hash, Header, Height, PublicKey, Round, SecretKey,
    SignedTransaction, Timestamp, Transaction, TransactionId, Validator, ValidatorSet, Varint,
    bytes::BoundedVec,
    event::Event,
    hash::BlockId,
    job::JobId,
    receipt::{Made, Outcome, Receipt},
    vote::Certificate,
    vrf::VrfProof,
};

use super::{Settings, Storage, StorageError};
use crate::chain::{BlockStore, FinalizedBlock};

pub(super) const GENESIS: GenesisHash = GenesisHash([7; 32]);
/// Rows that every block of these tests rewrites, so that a half-written block would show.
pub(super) const ROWS: u64 = 50;

pub(super) fn small() -> Settings {
    Settings { cache: 1 << 20, write_buffers: 4 << 20, open_files: 64 }
}

pub(super) fn state_of(height: u64) -> Changes {
    let mut changes = Changes::default();
    for row in 0..ROWS {
        let table = if row % 2 == 0 { Table::Accounts } else { Table::Shards };
        changes.insert(table, row.to_be_bytes().to_vec(), Some(height.to_be_bytes().to_vec()));
    }
    changes.insert(Table::Deadlines, height.to_be_bytes().to_vec(), Some(vec![1]));
    if let Some(before) = height.checked_sub(1) {
        changes.insert(Table::Deadlines, before.to_be_bytes().to_vec(), None);
    }
    changes
}

pub(super) fn create(path: &Path) -> Storage {
    Storage::open_or_create(path, GENESIS, small(), || Ok::<_, StorageError>(state_of(0))).unwrap()
}

pub(super) fn open(path: &Path) -> Result<Storage, StorageError> {
    Storage::open(path, GENESIS, small())
}

pub(super) fn transaction(nonce: u64) -> SignedTransaction {
    let transaction = Transaction {
        sender: AccountNumber::default(),
        nonce: Varint(nonce),
        max_fee: Amount::from_units(1),
        action: Action::Transfer { to: AccountNumber::default(), amount: Amount::from_units(nonce) },
    };
    transaction.sign(&GENESIS, &SecretKey::from_seed([1; 32]))
}

/// A block of a height with so many transactions; nothing about it is valid but its shape.
pub(super) fn block(height: u64, parent: BlockId, transactions: u32) -> FinalizedBlock {
    let key = SecretKey::from_seed([1; 32]).public();
    let header = Header {
        version: Header::VERSION,
        height: Height(height),
        round: Round(0),
        time: Timestamp(height),
        parent,
        proposer: key,
        vrf_proof: VrfProof([0; 80]),
        transactions: Hash::default(),
        last_commit: Hash::default(),
        evidence: Hash::default(),
        state: Hash::default(),
        next_validators: None,
    };
    let transactions: Vec<SignedTransaction> =
        (0..transactions).map(|n| transaction(height * 100_000 + u64::from(n))).collect();
    let receipts = (0u32..)
        .zip(&transactions)
        .map(|(index, signed)| Receipt {
            transaction: signed.id(&GENESIS),
            height: Height(height),
            index,
            fee: Amount::from_units(u64::from(index)),
            outcome: Outcome::Done(Made::Nothing),
        })
        .collect();
    let events = (0..transactions.len())
        .map(|n| match n % 3 {
            0 => Event::Refunded {
                job: JobId(height % 2),
                account: AccountNumber::default(),
                amount: Amount::from_units(n as u64),
            },
            _ => Event::EpochStarted { epoch: n as u64, validators: Hash::default() },
        })
        .collect();
    let id = header.id();
    let certificate =
        Certificate { height: Height(height), round: Round(0), block: id, signatures: BoundedVec::default() };
    let validator = Validator { key, power: 1, owner: AccountNumber::default() };
    FinalizedBlock {
        id,
        block: Block { header, last_commit: None, evidence: BoundedVec::default(), transactions },
        certificate,
        receipts,
        events,
        validators: Arc::new(ValidatorSet::new(vec![validator]).unwrap()),
    }
}

/// Writes the next block; gives its height.
pub(super) fn write_next(storage: &Storage, transactions: u32) -> Result<u64, String> {
    let (head, parent) = storage.head();
    let next = head.next().0;
    storage.save_decided(&block(next, parent, transactions), &state_of(next)).map_err(|error| error.to_string())?;
    Ok(next)
}

/// Checks that the state is that of the head, whole, and that the head's block is there with all that belongs to it.
pub(super) fn check_whole(storage: &Storage) {
    use super::BlockReader;
    use valo_ledger::Store;
    let (height, id) = storage.head();
    for row in 0..ROWS {
        let table = if row % 2 == 0 { Table::Accounts } else { Table::Shards };
        let value = storage.get(table, &row.to_be_bytes()).unwrap().unwrap();
        assert_eq!(value, height.0.to_be_bytes(), "row {row} of {table:?} is not of block {height}");
    }
    let deadlines = storage.scan(Table::Deadlines, &[], 10).unwrap();
    assert_eq!(deadlines, vec![(height.0.to_be_bytes().to_vec(), vec![1])]);
    if height == Height(0) {
        return;
    }
    let block = storage.block(height).unwrap().unwrap();
    assert_eq!(block.header.id(), id);
    assert_eq!(storage.height_of(&id).unwrap(), Some(height));
    assert_eq!(storage.receipts(height).unwrap().len(), block.transactions.len());
    for signed in block.transactions.iter().take(3) {
        let included = storage.transaction(&signed.id(&GENESIS)).unwrap().unwrap();
        assert_eq!(included.transaction, *signed);
    }
}

pub(super) fn unknown() -> TransactionId {
    TransactionId([9; 32])
}

pub(super) fn someone() -> PublicKey {
    SecretKey::from_seed([2; 32]).public()
}
