//! The time by this machine's clock: the one place where it is read as the chain counts it.

use std::time::{SystemTime, UNIX_EPOCH};
use valo_protocol::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
