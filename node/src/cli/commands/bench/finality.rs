//! How soon a single transfer is final: from the moment it is signed until the node has answered that it is.

use crate::cli::{context::FINALITY, devnet::DevNetwork};
use serde::Serialize;
use std::time::{Duration, Instant};
use valo_client::AccountSession;
use valo_protocol::{AccountNumber, Action, Amount, SecretKey};

/// The most transfers.
const MOST: usize = 200;

/// Milliseconds until a transfer is final.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finality {
    /// How many were sent.
    pub transfers: usize,
    /// Half of them.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
}

/// Sends one transfer after the other.
pub async fn measure(network: &DevNetwork, user: &SecretKey, span: Duration) -> anyhow::Result<Finality> {
    let session = AccountSession::open_on(network.client()?, user.clone(), network.description.genesis).await?;
    let fee = Amount::from_units(1_000_000);
    let action = Action::Transfer { to: AccountNumber::new(1)?, amount: Amount::from_units(1) };
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < MOST && (start.elapsed() < span || times.len() < 3) {
        let sent = Instant::now();
        let id = session.submit_with_fee(action.clone(), fee).await?;
        session.client().await_final(id, FINALITY).await?;
        times.push(u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    Ok(Finality { transfers: times.len(), p50: rank(&times, 50), p90: rank(&times, 90), p99: rank(&times, 99) })
}

/// The smallest value that at least `percent` of the sorted values do not exceed.
fn rank(sorted: &[u64], percent: usize) -> u64 {
    let place = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!((rank(&values, 50), rank(&values, 90), rank(&values, 99)), (50, 90, 99));
        assert_eq!((rank(&[7], 50), rank(&[7], 99), rank(&[], 50)), (7, 7, 0));
    }
}
