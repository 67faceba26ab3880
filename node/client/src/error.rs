//! What can go wrong between a client and a node, each as one clear line.

use crate::types::{Problem, Rejection};
use std::time::Duration;
use valo_protocol::{BlobHash, TransactionId, receipt::Reason};

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address of the node is not one.
    #[error("`{endpoint}` is not the address of a node: {reason}; write it as http://host:port")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
    /// Nobody answers there, or the connection broke.
    #[error("cannot reach the node at {endpoint}: {reason}")]
    Connection {
        /// Where it should be.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The node took too long.
    #[error("the node at {endpoint} did not answer in time")]
    Timeout {
        /// Where it is.
        endpoint: String,
    },
    /// The node answered with a problem document.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// Something that is no Valo node answered.
    #[error("{endpoint} answered with HTTP status {status} and no problem document; is it a Valo node?")]
    NotANode {
        /// Who answered.
        endpoint: String,
        /// With what.
        status: u16,
    },
    /// The answer could not be read.
    #[error("cannot read the node's answer for {what}: {reason}")]
    Malformed {
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The bytes are not those that were asked for.
    #[error("the node sent other bytes than those of blob {expected}: their hash is {found}")]
    WrongBlob {
        /// What was asked for.
        expected: BlobHash,
        /// What came.
        found: BlobHash,
    },
    /// More bytes than a blob can have.
    #[error("{what} has more than the {max} bytes of a blob")]
    UploadTooLarge {
        /// What was to be uploaded.
        what: String,
        /// The most bytes.
        max: u64,
    },
    /// More bytes than the caller wants to hold.
    #[error("blob {hash} has more than {max} bytes")]
    BlobTooLarge {
        /// The blob.
        hash: BlobHash,
        /// The most bytes.
        max: u64,
    },
    /// A local file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What happened.
        source: std::io::Error,
    },
    /// The transaction never will be in a block.
    #[error("transaction {} was dropped: {}", .id.short(), .rejection.detail)]
    Dropped {
        /// Which.
        id: TransactionId,
        /// Why.
        rejection: Rejection,
    },
    /// The transaction is final, and what it asked for was refused.
    #[error("{reason}")]
    Refused {
        /// Which.
        id: TransactionId,
        /// Why.
        reason: Reason,
    },
    /// The transaction is not final yet.
    #[error("transaction {} is not final after {} s; it may still become final", .id.short(), .waited.as_secs())]
    NotFinal {
        /// Which.
        id: TransactionId,
        /// How long was waited.
        waited: Duration,
    },
    /// A fee beyond what can exist.
    #[error("the fee of this transaction is more than can exist")]
    Fee,
}

impl ClientError {
    /// The problem document, if the node sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The stable code of the problem document, if the node sent one.
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// Whether the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// Whether the same call may succeed a little later: the connection broke, the node is busy or starting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 408 | 429 | 502..=504),
            _ => false,
        }
    }
}

/// Who the words of a transport error come from: the innermost cause says most.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string().to_lowercase()
}
