//! The vocabulary of the Valo chain: types, canonical encodings, hashes, signatures, VRF and Merkle proofs.
//!
//! Everything here is pure: no I/O, no clock, no threads, no floats, and no panics on any input.
//! One encoding serves the wire, the disk and every hash: [borsh](https://borsh.io) with two field
//! types of our own, the five-byte [`AccountNumber`] and the minimal LEB128 [`Varint`].
//! Decoding is strict ([`encoding::decode`]): trailing bytes, non-minimal integers, unknown tags
//! and oversized vectors are errors, so that a value has exactly one encoding.
//!
//! Whatever is signed or hashed starts with a domain string of its own ([`domain`]), and what is
//! signed also with the genesis hash, so that no signature can be carried to another chain or purpose.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::cast_possible_truncation))]

pub mod account;
pub mod amount;
pub mod block;
pub mod bytes;
pub mod clock;
pub mod domain;
pub mod encoding;
pub mod event;
pub mod files;
pub mod genesis;
pub mod grant;
pub mod hash;
pub mod job;
pub mod keys;
pub mod merkle;
mod number;
pub mod params;
pub mod proof;
pub mod receipt;
pub mod registry;
pub mod shard;
pub mod state;
pub mod time;
pub mod transaction;
pub mod validator;
pub mod vote;
pub mod vrf;

pub use account::AccountNumber;
pub use amount::Amount;
pub use block::{Block, Header};
pub use clock::WorkClock;
pub use encoding::Varint;
pub use genesis::Genesis;
pub use grant::{Grant, SignedGrant};
pub use hash::{BlobHash, BlockId, Digest, GenesisHash, Hash, TransactionId};
pub use job::JobContract;
pub use keys::{PublicKey, SecretKey, Signature};
pub use params::Parameters;
pub use time::{Duration, Height, Round, Timestamp};
pub use transaction::{Action, SignedTransaction, Transaction};
pub use validator::{Validator, ValidatorSet};
