//! Proofs as JSON, for people and for programs without a borsh decoder. The canonical bytes say the same.

use super::chain::BlockHeader;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use valo_protocol::{
    proof::{RowProof, StateTable},
    validator::ValidatorSet,
    vote::Certificate,
};

/// A row of the state with everything that makes it certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The row, and the way from it to the state root.
    pub row: RowProof,
    /// The header whose `state` is that root.
    pub header: BlockHeader,
    /// What makes the header final.
    pub certificate: Certificate,
    /// The validators of its height.
    pub validators: ValidatorSet,
}

/// The name of a table in paths: as in JSON.
pub const fn table_name(table: StateTable) -> &'static str {
    match table {
        StateTable::System => "system",
        StateTable::Accounts => "accounts",
        StateTable::Keys => "keys",
        StateTable::Validators => "validators",
        StateTable::Nodes => "nodes",
        StateTable::Tiers => "tiers",
        StateTable::Groups => "groups",
        StateTable::Jobs => "jobs",
        StateTable::Results => "results",
        StateTable::Shards => "shards",
    }
}

/// The table of a name, as [`table_name`] writes it.
pub fn table_named(name: &str) -> Option<StateTable> {
    StateTable::ALL.into_iter().find(|table| table_name(*table) == name)
}
