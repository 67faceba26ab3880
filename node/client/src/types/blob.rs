//! Blobs on a node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use valo_protocol::BlobHash;

/// A blob that a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobInfo {
    /// Its name: blake3 of its bytes.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
}

/// The blobs that a node holds, and how much room they take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobList {
    /// The blobs of this page, in order of their hashes.
    pub items: Vec<BlobInfo>,
    /// The `from` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Bytes of all blobs that the node holds.
    pub total_size: u64,
}
