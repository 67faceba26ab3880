//! Who may connect, and who is connected.
//!
//! Every connection of the endpoint, dialed or accepted, of whatever protocol, passes here right
//! after its handshake, when the other side's key is proven and nothing has been read yet. Refused
//! nodes are told why in the close frame. Guests are let in within their bounds ([`super::guests`]).
//! The table keeps weak handles, so that it never keeps a connection alive, and can close all
//! connections of a node that is banned or has left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use iroh::endpoint::{AfterHandshakeOutcome, Connection, EndpointHooks, VarInt, WeakConnectionHandle};
use tracing::debug;
use valo_protocol::PublicKey;

use super::{
    dial::remote_address,
    guests::{ConnectionLimits, Known, PROTOCOLS, Place, Prefix, Standings, make_way, too_many},
    key::from_endpoint_id,
    metrics::NetworkMetrics,
    standing::Refusal,
};

/// Application close codes that all of Valo's protocols share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// Nothing wrong, no longer needed.
    Done = 0,
    /// The other side's key is not in the set of members.
    NotMember = 0x100,
    /// The other side sent invalid data and is refused for a while.
    Banned = 0x101,
    /// A limit on connections is reached; try again later.
    Busy = 0x102,
    /// The other side does not read what is sent to it.
    TooSlow = 0x103,
    /// There is a newer connection for the same purpose.
    Replaced = 0x104,
    /// The node stops.
    Stopping = 0x105,
    /// The other side broke the protocol.
    Broken = 0x106,
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        VarInt::from_u32(code as u32)
    }
}

/// The admission hook and the table of open connections. Clones share the table.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    known: Known,
    standings: Arc<Standings>,
    limits: ConnectionLimits,
    metrics: NetworkMetrics,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    handle: WeakConnectionHandle,
    key: PublicKey,
    prefix: Prefix,
    since: Instant,
}

impl Open {
    /// The open connections in the order of their opening. Who is a guest is asked each time: it changes with the registry.
    fn places(&self, known: &Known) -> Vec<Place> {
        let place = |(id, entry): (&u64, &Entry)| Place {
            id: *id,
            key: entry.key,
            prefix: entry.prefix,
            since: entry.since,
            guest: !known.contains(&entry.key),
        };
        self.connections.iter().map(place).collect()
    }
}

impl Connections {
    pub(crate) fn new(
        known: Known,
        standings: Arc<Standings>,
        limits: ConnectionLimits,
        metrics: NetworkMetrics,
    ) -> Self {
        Self { known, standings, limits, metrics, open: Arc::default() }
    }

    /// Closes every connection with a node.
    pub(crate) fn close(&self, key: &PublicKey, code: CloseCode, reason: &str) {
        let handles: Vec<_> = {
            let open = self.open();
            let of_node = open.connections.values().filter(|entry| entry.key == *key);
            of_node.map(|entry| entry.handle.clone()).collect()
        };
        close_all(handles, code, reason);
    }

    /// Closes the connections of nodes that are no longer members, as far as there is no room for them as guests.
    pub(crate) fn close_strangers(&self) {
        let handles = {
            let mut open = self.open();
            let strangers = too_many(&open.places(&self.known), &self.limits);
            take(&mut open, &strangers)
        };
        close_all(handles, CloseCode::NotMember, NOT_MEMBER);
    }

    #[cfg(test)]
    pub(crate) fn prefixes(&self) -> Vec<Prefix> {
        self.open().connections.values().map(|entry| entry.prefix).collect()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, connection: &Connection) -> Result<u64, (CloseCode, String)> {
        let key = from_endpoint_id(connection.remote_id());
        let now = Instant::now();
        match self.standings.refusal(&key, now) {
            Some(Refusal::Banned { remaining }) => {
                return Err((CloseCode::Banned, format!("banned for invalid data, {} s left", remaining.as_secs())));
            }
            Some(Refusal::Slow { .. }) | None => {}
        }
        let guest = !self.known.contains(&key);
        if guest && (self.limits.guests == 0 || !PROTOCOLS.contains(&connection.alpn())) {
            self.metrics.guests_refused.inc();
            return Err((CloseCode::NotMember, NOT_MEMBER.to_owned()));
        }
        let prefix = Prefix::of(remote_address(connection));
        let mut open = self.open();
        let id = open.next;
        let asking = Place { id, key, prefix, since: now, guest };
        let leaving = make_way(&open.places(&self.known), &asking, &self.limits).map_err(|reason| {
            if guest {
                self.metrics.guests_refused.inc();
            }
            (CloseCode::Busy, reason.to_owned())
        })?;
        // Their places are free at once: the end of a connection takes its time.
        let handles = take(&mut open, &leaving);
        open.next = open.next.wrapping_add(1);
        open.connections.insert(id, Entry { handle: connection.weak_handle(), key, prefix, since: now });
        drop(open);
        let of_others = leaving.iter().filter(|place| place.guest && place.key != key).count();
        self.metrics.guests_made_way.inc_by(of_others as u64);
        close_all(handles, CloseCode::Busy, "others need the connection, try again later");
        Ok(id)
    }

    fn remove(&self, id: u64) {
        self.open().connections.remove(&id);
    }
}

/// Takes connections out of the table.
fn take(open: &mut Open, places: &[Place]) -> Vec<WeakConnectionHandle> {
    places.iter().filter_map(|place| open.connections.remove(&place.id)).map(|entry| entry.handle).collect()
}

fn close_all(handles: Vec<WeakConnectionHandle>, code: CloseCode, reason: &str) {
    for connection in handles.iter().filter_map(WeakConnectionHandle::upgrade) {
        connection.close(code.into(), reason.as_bytes());
    }
}

const NOT_MEMBER: &str = "not a member of this network";

impl EndpointHooks for Connections {
    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        let key = from_endpoint_id(connection.remote_id());
        match self.admit(connection) {
            Ok(id) => {
                let closed = connection.weak_handle().closed();
                let connections = self.clone();
                tokio::spawn(async move {
                    closed.await;
                    connections.remove(id);
                });
                AfterHandshakeOutcome::Accept
            }
            Err((code, reason)) => {
                debug!(peer = %key, %reason, "refused a connection");
                AfterHandshakeOutcome::Reject { error_code: code.into(), reason: reason.into_bytes() }
            }
        }
    }
}
