//! The operator of Valo: what people write as objects of Kubernetes becomes nodes of a chain, accounts and jobs.
//!
//! One folder a kind, five steps in each, a file for each step:
//!
//! ```text
//!   dereference   asks the cluster and the chain for what an object refers to     client
//!   validate      refuses what cannot be, with the field's name                   no client
//!   build         makes the child objects, one builder for each                   no client
//!   apply         brings them into the cluster, and actions onto the chain        client
//!   status        says what came of it                                            client
//! ```
//! Controllers are level-triggered: a pass starts from what is observed now, of the cluster and of the finalized chain,
//! and every pass can be the first after a restart. Nothing is remembered between passes but connections.

pub mod addresses;
pub mod arguments;
pub mod chain;
pub mod cluster;
pub mod conditions;
pub mod context;
pub mod controller;
pub mod job_contract;
pub mod key_reservation;
pub mod keys;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod network;
pub mod node_tier;
pub mod owned;
pub mod rbac;
pub mod run;
pub mod server;
pub mod shard_group;
#[cfg(test)]
mod testing;
pub mod wallet;
#[cfg(test)]
mod words;

pub use context::Context;
