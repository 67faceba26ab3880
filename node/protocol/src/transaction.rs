//! Transactions: what accounts ask the chain to do.
//!
//! Signed bytes: `"valo/tx/1" || genesis hash || borsh(Transaction)`; the id is their blake3 hash. On the wire
//! follows the 64-byte signature. The chain is signed but not sent: a usual transfer takes at most 86 bytes.
//! ```text
//!   sender 5 | nonce 1-10 | max_fee 1-9 | action tag 1 | fields ... | signature 64
//! ```

use crate::{
    AccountNumber, Amount,
    bytes::BoundedVec,
    domain,
    encoding::{DecodeError, Varint, decode, encode},
    files::RunStatus,
    grant::SignedGrant,
    hash::{Digest, GenesisHash, Hash, TransactionId},
    job::{Attempt, JobContract, JobId, ShardKey},
    keys::{PublicKey, SecretKey, Signature},
    registry::{Endpoints, NodeId},
    vote::Evidence,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The most bytes of a transaction on the wire.
pub const MAX_TRANSACTION: usize = 66 * 1024;
/// The most entries of one commit, reveal or abstention.
pub const MAX_ENTRIES: usize = 256;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Transaction {
    /// The account that pays and acts.
    pub sender: AccountNumber,
    /// How many transactions of this account went before.
    pub nonce: Varint,
    /// The most it will pay in fees. What is not used returns.
    pub max_fee: Amount,
    /// What it asks for.
    pub action: Action,
}

/// What a transaction asks for. The number of each action is fixed for ever.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(tag = "type", rename_all = "camelCase")]
#[repr(u8)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Action {
    /// Moves money to an account.
    Transfer {
        /// To whom.
        to: AccountNumber,
        /// How much.
        amount: Amount,
    } = 0,
    /// Moves money to a key, making an account for it if it has none.
    TransferToKey {
        /// To whom.
        key: PublicKey,
        /// How much.
        amount: Amount,
    } = 1,
    /// Submits a job.
    SubmitJob {
        /// Chosen by the sender, unique among its jobs: a resubmission never makes a second job.
        #[serde(rename = "clientId")]
        #[cfg_attr(feature = "schema", schema(value_type = Option<Vec<u8>>))]
        client_id: Option<[u8; 16]>,
        /// The work.
        contract: JobContract,
    } = 10,
    /// Cancels a job of the sender. What is not earned returns.
    CancelJob {
        /// Which job.
        job: JobId,
    } = 11,
    /// A worker commits to results.
    Commit {
        /// One entry a shard.
        #[cfg_attr(feature = "schema", schema(value_type = Vec<CommitEntry>))]
        entries: BoundedVec<CommitEntry, MAX_ENTRIES>,
    } = 12,
    /// A worker reveals results.
    Reveal {
        /// One entry a shard.
        #[cfg_attr(feature = "schema", schema(value_type = Vec<RevealEntry>))]
        entries: BoundedVec<RevealEntry, MAX_ENTRIES>,
    } = 13,
    /// A worker says that it cannot do what it was drawn for.
    Abstain {
        /// One entry a shard.
        #[cfg_attr(feature = "schema", schema(value_type = Vec<AbstainEntry>))]
        entries: BoundedVec<AbstainEntry, MAX_ENTRIES>,
    } = 14,
    /// A node says that it is ready: a worker that was absent is back, a node that joins is up to date.
    Return = 16,
    /// Proves that a validator signed two things of which it may sign only one. By anybody.
    SubmitEvidence {
        /// What it signed.
        evidence: Box<Evidence>,
    } = 17,
    /// A validator that was jailed asks to be let in again, when its time is over.
    Unjail = 18,
    /// Brings in a node by its owner's permission. The sender pays the stake; it belongs to the owner.
    RegisterNode {
        /// The permission.
        grant: SignedGrant,
    } = 20,
    /// Changes what a node offers. By its owner, or, addresses only, by the node's own account.
    UpdateNode {
        /// Which node.
        node: NodeId,
        /// Shards it runs at a time.
        #[serde(default)]
        slots: Option<u16>,
        /// Where it is reached.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schema(value_type = Option<Vec<String>>))]
        endpoints: Option<Endpoints>,
    } = 21,
    /// A node says that it leaves: it takes nothing new, finishes what it has, and is gone.
    Drain = 22,
    /// The owner takes a node out: as [`Action::Drain`].
    RemoveNode {
        /// Which node.
        node: NodeId,
    } = 23,
    /// The owner keeps a node that is draining.
    ResumeNode {
        /// Which node.
        node: NodeId,
    } = 24,
    /// Adds the sender's money to the stake of a node. It belongs to the node's owner from then on.
    Bond {
        /// Which node.
        node: NodeId,
        /// How much.
        amount: Amount,
    } = 25,
    /// The owner takes free stake of a node back. It is paid after the unbonding time.
    Unbond {
        /// Which node.
        node: NodeId,
        /// How much.
        amount: Amount,
    } = 26,
    /// The owner puts stake that is unbonding back; a node that has left joins again.
    Rebond {
        /// Which node.
        node: NodeId,
        /// How much.
        amount: Amount,
    } = 27,
}

/// A commitment to the result of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CommitEntry {
    /// The shard.
    pub shard: ShardKey,
    /// The attempt it was drawn for.
    pub attempt: Attempt,
    /// See [`commitment`].
    pub commitment: Hash,
}

/// The result of a shard, to be held against the commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RevealEntry {
    /// The shard.
    pub shard: ShardKey,
    /// The attempt it was drawn for.
    pub attempt: Attempt,
    /// What was committed to.
    pub answer: Answer,
    /// The random bytes that hid it.
    #[serde(with = "hex::serde")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub salt: [u8; 32],
}

/// What a worker found. Two answers agree only if all of it is equal; status and fuel repeat what the
/// record behind the digest says, so that the chain need not fetch it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Answer {
    /// Digest of the output record.
    pub digest: Digest,
    /// How the program ended.
    pub status: RunStatus,
    /// Fuel used (wasm) or seconds taken (container).
    pub fuel: Varint,
}

/// Why a worker does not answer.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum AbstainReason {
    /// A module or an input could not be fetched from anywhere.
    #[error("it could not fetch the program or an input")]
    CannotFetch,
    /// The machine was too slow.
    #[error("its own time limit passed")]
    WallLimit,
    /// The machine has not the memory it promised.
    #[error("it had not enough memory")]
    Memory,
    /// The node is leaving.
    #[error("it is draining")]
    Draining,
    /// The machine failed in another way.
    #[error("its machine failed")]
    Internal,
}

/// An abstention from a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AbstainEntry {
    /// The shard.
    pub shard: ShardKey,
    /// The attempt it was drawn for.
    pub attempt: Attempt,
    /// Why.
    pub reason: AbstainReason,
}

/// The commitment of a node to a digest:
/// `blake3("valo/commit/1" || genesis || job || stage || shard || attempt || node || digest || salt)`,
/// integers little-endian (job u64, stage u8, shard u32, attempt u8, node u32).
pub fn commitment(
    genesis: &GenesisHash,
    shard: ShardKey,
    attempt: Attempt,
    node: NodeId,
    digest: &Digest,
    salt: &[u8; 32],
) -> Hash {
    Hash::of(
        domain::COMMIT,
        &[
            genesis.as_bytes(),
            &shard.job.0.to_le_bytes(),
            &[shard.stage.0],
            &shard.shard.0.to_le_bytes(),
            &[attempt.0],
            &node.0.to_le_bytes(),
            digest.as_bytes(),
            salt,
        ],
    )
}

impl Action {
    /// Whether this is a message of the protocol itself, which pays no market price: the stake of the sender or
    /// a job's escrow has prepaid it, and assignments bound how many there can be.
    pub const fn is_protocol_message(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. }
                | Self::Reveal { .. }
                | Self::Abstain { .. }
                | Self::Return
                | Self::SubmitEvidence { .. }
                | Self::Unjail
                | Self::Drain
        )
    }
}

impl Transaction {
    /// The bytes that are signed.
    pub fn signed_bytes(&self, genesis: &GenesisHash) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(domain::TRANSACTION);
        bytes.extend_from_slice(genesis.as_bytes());
        bytes.extend_from_slice(&encode(self));
        bytes
    }

    /// The id on a chain.
    pub fn id(&self, genesis: &GenesisHash) -> TransactionId {
        blake3::hash(&self.signed_bytes(genesis)).into()
    }

    /// Signs for a chain.
    pub fn sign(self, genesis: &GenesisHash, key: &SecretKey) -> SignedTransaction {
        let signature = key.sign(&self.signed_bytes(genesis));
        SignedTransaction { transaction: self, signature }
    }
}

/// A transaction with its signature.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SignedTransaction {
    /// What is signed.
    pub transaction: Transaction,
    /// By the key of the sender.
    pub signature: Signature,
}

impl SignedTransaction {
    /// Reads the wire form, strictly.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TRANSACTION {
            return Err(DecodeError {
                what: "transaction",
                reason: format!("{} bytes are more than the {MAX_TRANSACTION} allowed", bytes.len()),
            });
        }
        decode("transaction", bytes)
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The id on a chain.
    pub fn id(&self, genesis: &GenesisHash) -> TransactionId {
        self.transaction.id(genesis)
    }

    /// Whether `key` signed it for this chain.
    pub fn verify(&self, genesis: &GenesisHash, key: &PublicKey) -> bool {
        key.verify(&self.transaction.signed_bytes(genesis), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(amount: u64, nonce: u64, fee: u64) -> SignedTransaction {
        let transaction = Transaction {
            sender: AccountNumber::MAX,
            nonce: Varint(nonce),
            max_fee: Amount::from_units(fee),
            action: Action::Transfer { to: AccountNumber::MAX, amount: Amount::from_units(amount) },
        };
        transaction.sign(&GenesisHash::default(), &SecretKey::from_seed([1; 32]))
    }

    #[test]
    fn a_transfer_is_small() {
        assert_eq!(transfer((1 << 42) - 1, (1 << 14) - 1, (1 << 21) - 1).to_bytes().len(), 86);
        let supply = crate::amount::MAX_SUPPLY.units();
        assert!(transfer(supply, u64::MAX, supply).to_bytes().len() <= 105);
    }

    #[test]
    fn signatures_hold_for_one_chain_and_one_text() {
        let key = SecretKey::from_seed([1; 32]).public();
        let mut signed = transfer(1, 2, 3);
        assert!(signed.verify(&GenesisHash::default(), &key));
        assert!(!signed.verify(&GenesisHash([1; 32]), &key));
        signed.transaction.nonce = Varint(3);
        assert!(!signed.verify(&GenesisHash::default(), &key));
    }

    #[test]
    fn trailing_bytes_and_unknown_actions_are_refused() {
        let mut bytes = transfer(1, 2, 3).to_bytes();
        assert!(SignedTransaction::from_bytes(&bytes).is_ok());
        bytes.push(0);
        assert!(SignedTransaction::from_bytes(&bytes).is_err());
        bytes.pop();
        bytes.pop();
        assert!(SignedTransaction::from_bytes(&bytes).is_err());
        let mut bytes = transfer(1, 2, 3).to_bytes();
        bytes[7] = 99;
        assert!(SignedTransaction::from_bytes(&bytes).is_err());
        assert!(SignedTransaction::from_bytes(&vec![0; MAX_TRANSACTION + 1]).is_err());
    }
}
