//! What one node lets its clients do. Everything here is a bound: what goes beyond it is answered with a problem document.

use std::{num::NonZeroU32, time::Duration};
use valo_protocol::job::MAX_BLOB;

/// The most transactions of one submission.
pub const MAX_SUBMISSION: usize = 1000;
/// The most items of a page.
pub const MAX_PAGE: usize = 1000;
/// Items of a page when the client does not say.
pub const DEFAULT_PAGE: usize = 100;
/// The most blocks of a page: each is read as a whole.
pub const MAX_BLOCKS: usize = 100;
/// The longest wait for the end of a transaction in one request.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Bounds of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections of one client address at a time.
    pub connections_per_client: usize,
    /// Requests of one client address a second, on average.
    pub requests_per_second: NonZeroU32,
    /// Requests that one client address may make at once before that rate holds.
    pub burst: NonZeroU32,
    /// How long the headers of a request may take, and how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a request body may pause.
    pub body_idle: Duration,
    /// How long a client may read nothing of what it is sent.
    pub write_stall: Duration,
    /// How long a request may take, beside the wait that it asks for and the streaming of blobs.
    pub request: Duration,
    /// Bytes of a submission of transactions.
    pub submission_bytes: usize,
    /// Bytes of an uploaded blob.
    pub blob_bytes: u64,
    /// Streams of events at a time.
    pub event_streams: usize,
    /// Reads of the state at a time; further ones wait.
    pub reads: usize,
    /// Explanations and other long reads at a time; further ones wait.
    pub long_reads: usize,
    /// Pause after which an idle stream of events sends a comment.
    pub keep_alive: Duration,
    /// How long connections may take to end when the node stops.
    pub grace: Duration,
}

const fn nonzero(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_client: 256,
            requests_per_second: nonzero(1000),
            burst: nonzero(2000),
            header_timeout: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
            request: Duration::from_secs(20),
            submission_bytes: 8 * 1024 * 1024,
            blob_bytes: MAX_BLOB,
            event_streams: 256,
            reads: 64,
            long_reads: 4,
            keep_alive: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }
}
