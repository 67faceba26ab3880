//! Connections that several callers share: one for each protocol with each node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iroh::endpoint::Connection;
use valo_protocol::PublicKey;

use super::{DialError, Network};

/// Connections kept in the pool; beyond it the longest unused is closed.
const POOL_LIMIT: usize = 128;
const POOL_IDLE: Duration = Duration::from_secs(60);

type PoolKey = (PublicKey, &'static [u8]);

/// Open connections by node and protocol.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Mutex<HashMap<PoolKey, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Held while dialing, so that callers who want the same connection share one dial.
    connection: tokio::sync::Mutex<Option<Connection>>,
    used: Mutex<Option<Instant>>,
}

impl Pool {
    pub(crate) async fn get(
        &self,
        network: &Network,
        key: PublicKey,
        alpn: &'static [u8],
    ) -> Result<Connection, DialError> {
        let slot = self.slot(key, alpn);
        let mut connection = slot.connection.lock().await;
        if let Some(open) = connection.as_ref()
            && open.close_reason().is_none()
        {
            return Ok(open.clone());
        }
        let fresh = network.dial(key, alpn).await?;
        *connection = Some(fresh.clone());
        Ok(fresh)
    }

    /// Gives up a connection that does not answer: the node may have been restarted and not know it
    /// any more. Who still uses it may go on; the next caller dials.
    pub(crate) async fn forget(&self, key: PublicKey, alpn: &'static [u8], stale: &Connection) {
        let slot = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.get(&(key, alpn)).cloned()
        };
        if let Some(slot) = slot {
            slot.connection.lock().await.take_if(|open| open.stable_id() == stale.stable_id());
        }
    }

    fn slot(&self, key: PublicKey, alpn: &'static [u8]) -> Arc<Slot> {
        let now = Instant::now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(&(key, alpn)) {
            Self::evict(&mut slots, now);
        }
        let slot = slots.entry((key, alpn)).or_default().clone();
        *slot.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        slot
    }

    /// Drops what nobody used for a while, and the longest unused when there are too many. A caller
    /// that still holds the connection keeps it: dropping ends only what nobody holds.
    fn evict(slots: &mut HashMap<PoolKey, Arc<Slot>>, now: Instant) {
        let used = |slot: &Arc<Slot>| *slot.used.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| used(slot).is_none_or(|used| now.saturating_duration_since(used) < POOL_IDLE));
        while slots.len() >= POOL_LIMIT {
            let Some(oldest) = slots.iter().min_by_key(|(_, slot)| used(slot)).map(|(key, _)| *key) else {
                return;
            };
            slots.remove(&oldest);
        }
    }
}
