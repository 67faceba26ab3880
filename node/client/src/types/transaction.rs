//! Transactions: submitting them and learning what became of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use valo_protocol::{AccountNumber, Action, Amount, Height, TransactionId, receipt::Receipt};

/// Many transactions in one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submission {
    /// Canonical bytes of each, hexadecimal; at most 1,000.
    pub transactions: Vec<String>,
}

/// A transaction that the node took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// Its id.
    pub id: TransactionId,
}

/// What became of each transaction of a [`Submission`], in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmissionResults {
    /// One for each.
    pub results: Vec<SubmissionResult>,
}

/// Taken or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubmissionResult {
    /// It is in the mempool under this id.
    Taken(TransactionId),
    /// It never will be in a block as it is.
    Refused(Rejection),
}

/// Why a transaction was refused or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Stable name of the kind of reason, such as `nonceUsed`.
    pub code: String,
    /// What is wrong and the way out.
    pub detail: String,
    /// The typed reason, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Value>,
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionStatus {
    /// Its id.
    pub id: TransactionId,
    /// Where it stands.
    #[serde(flatten)]
    pub state: TransactionState,
}

/// Where a transaction stands. There is nothing between waiting and final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum TransactionState {
    /// It waits in this node's mempool.
    Pending,
    /// It is in a finalized block; the receipt says what it did.
    Finalized {
        /// What it did.
        receipt: Receipt,
    },
    /// It never will be in a block.
    Dropped {
        /// Why.
        rejection: Rejection,
    },
}

/// A transaction of a finalized block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionDetails {
    /// Its id.
    pub id: TransactionId,
    /// The block it is in.
    pub height: Height,
    /// Who sent it.
    pub sender: AccountNumber,
    /// Its nonce.
    pub nonce: u64,
    /// The most it would have paid in fees.
    pub max_fee: Amount,
    /// What it asked for.
    pub action: Action,
    /// Its length in bytes, signature included.
    pub size: u64,
    /// What it did.
    pub receipt: Receipt,
}
