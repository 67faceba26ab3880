//! What tests of a cluster need, and nothing that knows of Valo.

mod cluster;
mod command;
mod forward;
mod namespace;
mod suite;

pub use cluster::Cluster;
pub use forward::Forward;
pub use namespace::Namespace;
pub use suite::Suite;
