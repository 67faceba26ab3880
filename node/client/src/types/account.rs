//! Accounts.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use valo_protocol::{AccountNumber, Amount, PublicKey, registry::NodeId};

/// An account of the finalized state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its number.
    pub number: AccountNumber,
    /// The key that signs for it.
    pub key: PublicKey,
    /// What it can spend, the minimum balance included.
    pub balance: Amount,
    /// The nonce of its next transaction, as far as finalized.
    pub nonce: u64,
    /// The nonce of its next transaction, counting those that wait in this node's mempool.
    pub next_nonce: u64,
    /// The node, if this is a node's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
}

/// An account as people name it: by number or by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountReference {
    /// Eight characters of base32.
    Number(AccountNumber),
    /// 64 hexadecimal characters.
    Key(PublicKey),
}

/// Neither a number nor a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no account: write its number (8 characters of base32, such as 0000002A) or its key (64 hexadecimal characters)"
)]
pub struct AccountReferenceError(pub String);

impl FromStr for AccountReference {
    type Err = AccountReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().map(Self::Number).ok();
        number.or_else(|| text.parse().map(Self::Key).ok()).ok_or_else(|| AccountReferenceError(text.to_owned()))
    }
}

impl fmt::Display for AccountReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, formatter),
            Self::Key(key) => fmt::Display::fmt(key, formatter),
        }
    }
}

impl From<AccountNumber> for AccountReference {
    fn from(number: AccountNumber) -> Self {
        Self::Number(number)
    }
}

impl From<PublicKey> for AccountReference {
    fn from(key: PublicKey) -> Self {
        Self::Key(key)
    }
}
