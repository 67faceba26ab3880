//! Golden vectors: every encoding, hash and signature of the protocol in files that another implementation can read.
//!
//! `tests/vectors/*.json` are made by this test with `VALO_BLESS=1` and compared otherwise. A difference is
//! a change of the protocol. Bytes are hexadecimal; integers that may pass 2^53 are decimal strings.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a failure here is a failed test")]

#[path = "vectors/blocks.rs"]
mod blocks;
#[path = "vectors/jobs.rs"]
mod jobs;
#[path = "vectors/primitives.rs"]
mod primitives;
#[path = "vectors/transactions.rs"]
mod transactions;

use borsh::{BorshDeserialize, BorshSerialize};
use serde_json::Value;
use std::{fmt::Debug, path::Path};
use valo_protocol::{
    GenesisHash, SecretKey,
    encoding::{decode, encode},
};

/// Compares a vector file with what this implementation gives, or writes it.
#[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
fn golden(name: &str, value: &Value) {
    let path = Path::new("tests/vectors").join(format!("{name}.json"));
    if std::env::var("VALO_BLESS").is_ok() {
        let text = serde_json::to_string_pretty(value).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let recorded: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(
        recorded == *value,
        "{name}.json differs from what this implementation gives: a change of the protocol. \
         If it is meant, run the test again with VALO_BLESS=1 and look at the difference."
    );
}

/// The encoding of a value, which must read back as the value.
fn bytes<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(value: &T) -> String {
    let bytes = encode(value);
    assert_eq!(decode::<T>("vector", &bytes).as_ref(), Ok(value));
    hex::encode(bytes)
}

/// The key of a seed of 32 equal bytes.
fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// The chain that the vectors are signed for.
fn chain() -> GenesisHash {
    GenesisHash([0xaa; 32])
}
