//! The commands, one file each.

pub mod account;
pub mod bench;
pub mod blob;
pub mod block;
pub mod completions;
pub mod dev;
pub mod genesis;
pub mod grant;
pub mod init;
pub mod job;
pub mod key;
pub mod node;
pub mod profile;
pub mod run;
pub mod send;
pub mod stake;
pub mod tier;
pub mod tx;
pub mod verify;
