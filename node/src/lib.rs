//! The Valo node as a library: consensus, chain, storage, mempool, network, blobs, worker, API and command line.

pub mod api;
pub mod blobs;
pub mod bounded;
pub mod chain;
pub mod cli;
mod clock;
pub mod consensus;
pub mod human;
pub mod mempool;
pub mod network;
pub mod node;
pub mod pulse;
pub mod storage;
pub mod worker;
