//! Lists come in pages: ask with `from` and `limit`, go on with `next`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The `from` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageRequest {
    /// Where to start: `next` of the page before. Absent: at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The most items; the node caps it at 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl PageRequest {
    /// The first page of the node's usual size.
    pub fn first() -> Self {
        Self::default()
    }

    /// A page of at most `limit` items.
    pub fn limited(limit: u32) -> Self {
        Self { from: None, limit: Some(limit) }
    }

    /// The page that follows; none after the last one.
    pub fn following<T>(&self, page: &Page<T>) -> Option<Self> {
        Some(Self { from: Some(page.next.clone()?), limit: self.limit })
    }
}
