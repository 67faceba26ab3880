//! Who may connect, and who is connected.
//!
//! Every connection of the endpoint, dialed or accepted, of whatever protocol, passes here right
//! after its handshake, when the other side's key is proven and nothing has been read yet. Refused
//! nodes are told why in the close frame. The table keeps weak handles, so that it never keeps a
//! connection alive, and can close all connections of a node that is banned or has left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use iroh::endpoint::{AfterHandshakeOutcome, Connection, EndpointHooks, VarInt, WeakConnectionHandle};
use tracing::debug;
use valo_protocol::PublicKey;

use super::{
    key::from_endpoint_id,
    members::Members,
    standing::{Refusal, Standing},
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

/// Limits of [`Connections`]; see [`NetworkConfig`](super::NetworkConfig).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) total: usize,
    pub(crate) per_node: usize,
    pub(crate) guests: usize,
    pub(crate) admit_guests: bool,
}

/// The admission hook and the table of open connections. Clones share the table.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    members: Members,
    standing: Arc<Standing>,
    limits: ConnectionLimits,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    total: usize,
    guests: usize,
    nodes: HashMap<PublicKey, BTreeMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    handle: WeakConnectionHandle,
    guest: bool,
}

impl Connections {
    pub(crate) fn new(members: Members, standing: Arc<Standing>, limits: ConnectionLimits) -> Self {
        Self { members, standing, limits, open: Arc::default() }
    }

    /// Closes every connection with a node.
    pub(crate) fn close(&self, key: &PublicKey, code: CloseCode, reason: &str) {
        for handle in self.handles(|open_key| open_key == key) {
            if let Some(connection) = handle.upgrade() {
                connection.close(code.into(), reason.as_bytes());
            }
        }
    }

    /// Closes the connections of nodes that are no longer members (unless guests are admitted).
    pub(crate) fn close_strangers(&self) {
        if self.limits.admit_guests {
            return;
        }
        for handle in self.handles(|key| !self.members.contains(key)) {
            if let Some(connection) = handle.upgrade() {
                connection.close(CloseCode::NotMember.into(), NOT_MEMBER.as_bytes());
            }
        }
    }

    fn handles(&self, which: impl Fn(&PublicKey) -> bool) -> Vec<WeakConnectionHandle> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.nodes
            .iter()
            .filter(|(key, _)| which(key))
            .flat_map(|(_, entries)| entries.values().map(|entry| entry.handle.clone()))
            .collect()
    }

    fn admit(&self, connection: &Connection) -> Result<u64, (CloseCode, String)> {
        let key = from_endpoint_id(connection.remote_id());
        match self.standing.refusal(&key, Instant::now()) {
            Some(Refusal::Banned { remaining }) => {
                return Err((CloseCode::Banned, format!("banned for invalid data, {} s left", remaining.as_secs())));
            }
            Some(Refusal::Slow { .. }) | None => {}
        }
        let guest = !self.members.contains(&key);
        if guest && !self.limits.admit_guests {
            return Err((CloseCode::NotMember, NOT_MEMBER.to_owned()));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.limits.total || (guest && open.guests >= self.limits.guests) {
            return Err((CloseCode::Busy, "too many connections, try again later".to_owned()));
        }
        if let Some(entries) = open.nodes.get(&key)
            && entries.len() >= self.limits.per_node
            && let Some((_, oldest)) = entries.first_key_value()
            && let Some(connection) = oldest.handle.upgrade()
        {
            // The newest wins: a node that was killed leaves connections behind that only time ends.
            connection.close(CloseCode::Busy.into(), b"too many connections of one node");
        }
        let id = open.next;
        open.next = open.next.wrapping_add(1);
        open.total = open.total.saturating_add(1);
        if guest {
            open.guests = open.guests.saturating_add(1);
        }
        open.nodes.entry(key).or_default().insert(id, Entry { handle: connection.weak_handle(), guest });
        Ok(id)
    }

    fn remove(&self, key: &PublicKey, id: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = open.nodes.get_mut(key) else {
            return;
        };
        let Some(entry) = entries.remove(&id) else {
            return;
        };
        if entries.is_empty() {
            open.nodes.remove(key);
        }
        open.total = open.total.saturating_sub(1);
        if entry.guest {
            open.guests = open.guests.saturating_sub(1);
        }
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
                    connections.remove(&key, id);
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
