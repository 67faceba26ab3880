//! The chain as a node sees it: status, parameters, blocks.

use super::transaction::TransactionDetails;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use valo_protocol::{
    AccountNumber, Amount, BlockId, GenesisHash, Hash, Height, Parameters, PublicKey, Round, Timestamp,
    registry::{NodeId, NodeRole, NodeState},
    vote::Certificate,
};

/// Where a node and its chain stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Name of the chain.
    pub chain: String,
    /// Hash of its genesis document, which names it to programs.
    pub genesis: GenesisHash,
    /// Version of the node's software.
    pub version: String,
    /// The last finalized height.
    pub height: Height,
    /// The block there; at height 0 the genesis hash.
    pub block: BlockId,
    /// Block time of that block.
    pub time: Timestamp,
    /// State root after that block.
    pub state_root: Hash,
    /// The present epoch.
    pub epoch: u64,
    /// Validators of the next height.
    pub validators: u32,
    /// Their voting power.
    pub total_power: u64,
    /// This node.
    pub node: NodeStatus,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its key.
    pub key: PublicKey,
    /// Its number, if it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NodeId>,
    /// Its account, if it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountNumber>,
    /// The account whose stake stands behind it, if it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountNumber>,
    /// What it does, if it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<NodeRole>,
    /// Where it stands, if it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeState>,
    /// Bonded for it.
    #[serde(default)]
    pub stake: Amount,
    /// Of that, locked until shards are final.
    #[serde(default)]
    pub locked: Amount,
    /// Its voting power at the next height: 0 unless it is in the validator set.
    #[serde(default)]
    pub power: u64,
    /// Whether it follows the chain: see `/readyz`.
    pub ready: bool,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Whether its process may be stopped for good: nobody counts on it any more.
    #[serde(default)]
    pub removable: bool,
    /// Why it may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_removable: Option<String>,
    /// Nodes it is connected to.
    pub peers: u32,
    /// Transactions that wait in its mempool.
    pub pending_transactions: u64,
    /// How long it has been running, in milliseconds.
    pub uptime: u64,
}

/// The parameters in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParametersInForce {
    /// Height at which these hold: the next one.
    pub height: Height,
    /// The parameters. Durations are block time in milliseconds.
    pub parameters: Parameters,
    /// What a byte of a transaction costs now.
    pub byte_price: Amount,
    /// What a unit of weight costs now.
    pub weight_price: Amount,
}

/// A block in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockSummary {
    /// Height.
    pub height: Height,
    /// Its id: the hash of its header.
    pub id: BlockId,
    /// Block time.
    pub time: Timestamp,
    /// Who made it.
    pub proposer: PublicKey,
    /// The round that decided it; above 0 somebody missed a turn.
    pub round: Round,
    /// How many transactions it holds.
    pub transactions: u32,
    /// Its length in bytes.
    pub size: u64,
}

/// A header, all of it: the id is the hash of its canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockHeader {
    /// Version of the rules.
    pub version: u8,
    /// Height.
    pub height: Height,
    /// The round in which the block was first proposed.
    pub round: Round,
    /// Block time.
    pub time: Timestamp,
    /// The block before; the genesis hash at height 1.
    pub parent: BlockId,
    /// Who made it.
    pub proposer: PublicKey,
    /// The proposer's proof of randomness (RFC 9381), hexadecimal.
    pub vrf_proof: String,
    /// Merkle root over the transactions.
    pub transactions: Hash,
    /// Hash of the parent's certificate.
    pub last_commit: Hash,
    /// Merkle root over the evidence.
    pub evidence: Hash,
    /// State root after the parent.
    pub state: Hash,
    /// In the last header of an epoch: hash of the next validator set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_validators: Option<Hash>,
}

/// A header with what makes it final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinalizedHeader {
    /// The header.
    pub header: BlockHeader,
    /// More than two thirds of the precommits for it.
    pub certificate: Certificate,
}

/// Who made a block final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSummary {
    /// The round that decided.
    pub round: Round,
    /// Who signed.
    pub signers: Vec<PublicKey>,
}

/// A finalized block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: BlockHeader,
    /// Its length in bytes.
    pub size: u64,
    /// Who made it final.
    pub certificate: CertificateSummary,
    /// Validators at fault, as proven by evidence in the block.
    pub faults: Vec<PublicKey>,
    /// Its transactions with their receipts, in order.
    pub transactions: Vec<TransactionDetails>,
}
