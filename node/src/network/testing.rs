//! Nodes on loopback for the tests of this module and of the blobs.

use std::{collections::BTreeSet, time::Duration};

use valo_protocol::{PublicKey, SecretKey};

use super::{Members, Network, NetworkConfig, Seed};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn secret(byte: u8) -> SecretKey {
    SecretKey::from_seed([byte; 32])
}

pub(crate) fn key(byte: u8) -> PublicKey {
    secret(byte).public()
}

pub(crate) fn members(bytes: impl IntoIterator<Item = u8>) -> Members {
    Members::new(bytes.into_iter().map(key))
}

pub(crate) fn config(byte: u8, seeds: &[Seed]) -> NetworkConfig {
    let mut config = NetworkConfig::new(secret(byte));
    config.seeds = seeds.to_vec();
    config.backoff_start = Duration::from_millis(50);
    config.dial_timeout = Duration::from_secs(1);
    config.exchange_interval = Duration::from_millis(500);
    config.silence = Duration::from_secs(1);
    config
}

pub(crate) async fn network(byte: u8, members: Members, seeds: &[Seed]) -> Network {
    Network::bind(config(byte, seeds), members).await.unwrap()
}

/// Waits until the lasting connections of a node are as wanted.
pub(crate) async fn until_peers(network: &Network, wanted: impl Fn(&BTreeSet<PublicKey>) -> bool) {
    let mut peers = network.peers();
    let reached = tokio::time::timeout(PATIENCE, peers.wait_for(|peers| wanted(peers))).await;
    if reached.is_err() {
        panic!("peers of {} stay {:?}", network.key(), network.peers().borrow());
    }
}
