//! Errors as problem documents ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The content type of a problem document.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Names the kind of problem: `urn:valo:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words; the same for all of a kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, and the way out.
    pub detail: String,
    /// Stable name of the kind of problem, for programs: `notFound`, `rateLimited`, `nonceUsed`, ...
    pub code: String,
    /// The typed reason behind it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Value>,
}
