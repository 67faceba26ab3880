//! What can go wrong with a blob, in words for whoever asked for it.

use std::{fmt, path::PathBuf};

use valo_protocol::{BlobHash, PublicKey};

/// Which quota has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quota {
    /// All blobs of the node.
    Node,
    /// The blobs of one owner.
    Owner(String),
}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => formatter.write_str("the node"),
            Self::Owner(owner) => write!(formatter, "owner {owner}"),
        }
    }
}

/// Why one node did not give us a blob.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The node that was asked.
    pub provider: PublicKey,
    /// What happened.
    pub reason: String,
}

/// Why something with a blob did not work.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// This node does not have the blob.
    #[error("blob {0} is not on this node")]
    Missing(BlobHash),
    /// No node that was asked gave us the blob.
    #[error("blob {hash} is unavailable: {}", list(.attempts))]
    Unavailable {
        /// The blob.
        hash: BlobHash,
        /// Who was asked, and what happened.
        attempts: Vec<Attempt>,
    },
    /// The blob is larger than whoever wants it allows.
    #[error("a blob of {size} bytes or more is too large; the limit is {limit} bytes")]
    TooLarge {
        /// As announced, or as far as it was read.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// There is no room for the blob.
    #[error(
        "no room for {wanted} more bytes: {used} of {limit} bytes of {quota} are used; \
         delete blobs, or wait until old ones expire"
    )]
    QuotaExceeded {
        /// Whose quota.
        quota: Quota,
        /// Bytes in use, those being written included.
        used: u64,
        /// Bytes allowed.
        limit: u64,
        /// Bytes asked for.
        wanted: u64,
    },
    /// The blob is needed by the node itself.
    #[error("blob {hash} is pinned ({reasons}); it cannot be deleted now")]
    Pinned {
        /// The blob.
        hash: BlobHash,
        /// The labels of the pins.
        reasons: String,
    },
    /// A label is empty or too long.
    #[error("{label:?} is not a label; 1 to {limit} bytes are allowed")]
    Label {
        /// As given.
        label: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes on disk do not have the hash they are stored under.
    #[error("blob {0} was damaged on this disk and is dropped; fetch it again")]
    Corrupt(BlobHash),
    /// The sender of the blob stopped sending.
    #[error("no data for {} s; send the blob again", .0.as_secs())]
    Stalled(std::time::Duration),
    /// Reading what is to be stored failed.
    #[error("cannot read the data to store: {0}")]
    Source(#[source] std::io::Error),
    /// The file system failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store's own database failed.
    #[error("blob store: cannot {action}: {reason}")]
    Store {
        /// What was being done.
        action: &'static str,
        /// What the store said.
        reason: String,
    },
    /// The blobs are shut down.
    #[error("the blob store is shutting down")]
    Stopping,
}

impl BlobError {
    /// Any of the store's own error types, as text.
    pub(super) fn store<E: fmt::Display>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Store { action, reason: format!("{error:#}") }
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}

fn list(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "no node is known to have it".to_owned();
    }
    let mut text = String::new();
    for attempt in attempts {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&format!("node {}: {}", attempt.provider.short(), attempt.reason));
    }
    text
}
