//! Blocks: a header that says everything in hashes, and what the hashes stand for.

use crate::{
    bytes::BoundedVec,
    domain,
    encoding::{DecodeError, decode, encode},
    hash::{BlockId, Hash},
    keys::PublicKey,
    merkle,
    time::{Height, Round, Timestamp},
    transaction::SignedTransaction,
    vote::{Certificate, Evidence},
    vrf::VrfProof,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// The most bytes of an encoded block: two MiB of transactions, and the certificate.
pub const MAX_BLOCK: usize = 4 * 1024 * 1024;

/// The most proofs of faults in a block.
pub const MAX_EVIDENCE: usize = 64;

/// The header of a block. Its hash is the block's id, and what validators sign.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Version of the rules: 1.
    pub version: u8,
    /// Height, from 1.
    pub height: Height,
    /// The round in which this was first proposed. A later round may decide it unchanged.
    pub round: Round,
    /// Block time: later than the parent's.
    pub time: Timestamp,
    /// The block before; the genesis hash at height 1.
    pub parent: BlockId,
    /// Who made it.
    pub proposer: PublicKey,
    /// The proposer's proof of randomness.
    pub vrf_proof: VrfProof,
    /// Merkle root over the transactions' wire forms.
    pub transactions: Hash,
    /// Hash of the parent's certificate in this block; zero at height 1.
    pub last_commit: Hash,
    /// Merkle root over the evidence.
    pub evidence: Hash,
    /// State root after the parent.
    pub state: Hash,
    /// In the last header of an epoch: hash of the validator set that is active from the next height.
    pub next_validators: Option<Hash>,
}

impl Header {
    /// The present version.
    pub const VERSION: u8 = 1;

    /// The id of the block.
    pub fn id(&self) -> BlockId {
        BlockId(Hash::of(domain::HEADER, &[&encode(self)]).0)
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The parent's certificate: who took part. None at height 1.
    pub last_commit: Option<Certificate>,
    /// Proofs of faults.
    pub evidence: BoundedVec<Evidence, MAX_EVIDENCE>,
    /// Transactions in order of execution.
    pub transactions: Vec<SignedTransaction>,
}

impl Block {
    /// Reads a block, strictly.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_BLOCK {
            return Err(DecodeError {
                what: "block",
                reason: format!("{} bytes are more than the {MAX_BLOCK} allowed", bytes.len()),
            });
        }
        decode("block", bytes)
    }

    /// Encodes the block.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Whether the header's hashes are those of the contents.
    pub fn is_consistent(&self) -> bool {
        let last_commit = self.last_commit.as_ref().map(Certificate::hash).unwrap_or_default();
        self.header.transactions == transactions_root(&self.transactions)
            && self.header.evidence == evidence_root(&self.evidence)
            && self.header.last_commit == last_commit
    }
}

/// Merkle root over the wire forms of transactions.
pub fn transactions_root(transactions: &[SignedTransaction]) -> Hash {
    merkle::root(transactions.iter().map(SignedTransaction::to_bytes))
}

/// Merkle root over evidence.
pub fn evidence_root(evidence: &[Evidence]) -> Hash {
    merkle::root(evidence.iter().map(encode))
}

/// A header with the certificate that makes it final.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalizedHeader {
    /// The header.
    pub header: Header,
    /// More than two thirds of the precommits for it.
    pub certificate: Certificate,
}
