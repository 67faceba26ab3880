//! The HTTP API of a Valo node, as a Rust client: the types of all requests and responses, a method for
//! each route, streams of events and blobs, sessions that sign and submit, and the light check of results.
//!
//! JSON is camelCase. Amounts (VALO as a decimal), hashes, keys and account numbers are strings; heights, nonces and
//! numbers of jobs, nodes and tiers are integers. All times are integers: milliseconds since the Unix
//! epoch, as block headers carry them, and spans are milliseconds too. Errors are problem documents (RFC 9457) with a
//! stable `code` ([`types::Problem`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), valo_client::ClientError> {
//! let client = valo_client::Client::new("http://127.0.0.1:8080")?;
//! let status = client.status().await?;
//! println!("{} is at height {}", status.chain, status.height);
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
pub mod fees;
pub mod light;
pub mod session;
pub mod types;

pub use client::{BlobStream, Client, EventStream};
pub use error::ClientError;
pub use session::AccountSession;
