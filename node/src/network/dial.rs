//! Dialing a node by its key.
//!
//! iroh gives up on a dead address only after a long while, so every dial has an own timeout.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use iroh::{
    EndpointAddr, EndpointId, TransportAddr,
    endpoint::{Connection, ConnectionError},
};

use super::{
    CloseCode, HostPort, Network, Refusal,
    key::{from_endpoint_id, to_endpoint_id},
};

use valo_protocol::PublicKey;

/// Why there is no connection with a node.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// The bytes are no ed25519 public key.
    #[error("{0} is not a valid node key")]
    InvalidKey(PublicKey),
    /// It is this node's own key.
    #[error("{0} is this node itself")]
    Own(PublicKey),
    /// Nobody told us where the node is.
    #[error(
        "no address known for node {0}, or its name does not resolve yet; give one as a seed, or wait until a peer tells it"
    )]
    NoAddress(PublicKey),
    /// The node is neither a member nor a seed.
    #[error("node {0} is not a member of this network")]
    NotMember(PublicKey),
    /// We refuse the node at present.
    #[error("node {key} is refused: {refusal:?}")]
    Refused {
        /// The node.
        key: PublicKey,
        /// Why, and how long still.
        refusal: Refusal,
    },
    /// No answer within the dial timeout.
    #[error("node {key} did not answer within {} ms", timeout.as_millis())]
    Timeout {
        /// The node.
        key: PublicKey,
        /// The configured limit.
        timeout: Duration,
    },
    /// The dial failed, or the other side refused us.
    #[error("cannot connect to node {key}: {reason}")]
    Failed {
        /// The node.
        key: PublicKey,
        /// What iroh or the other side said.
        reason: String,
    },
    /// The network is shutting down.
    #[error("the network is shutting down")]
    Stopping,
}

impl Network {
    /// Dials a node for one protocol and notes in the address book how it went.
    pub(crate) async fn dial(&self, key: PublicKey, alpn: &'static [u8]) -> Result<Connection, DialError> {
        let id = self.dialable(&key)?;
        let timeout = self.config().dial_timeout;
        let connect = async {
            let addresses = self.places(&key).await;
            if addresses.is_empty() {
                return Err(DialError::NoAddress(key));
            }
            let address = EndpointAddr::from_parts(id, addresses.into_iter().map(TransportAddr::Ip));
            match tokio::time::timeout(timeout, self.inner.endpoint.connect(address, alpn)).await {
                Err(_) => Err(DialError::Timeout { key, timeout }),
                Ok(Err(error)) => Err(DialError::Failed { key, reason: format!("{error:#}") }),
                Ok(Ok(connection)) => Ok(connection),
            }
        };
        let result = tokio::select! {
            () = self.stopping().cancelled() => return Err(DialError::Stopping),
            result = connect => result,
        };
        match &result {
            Ok(connection) => self.met(connection),
            Err(_) => self.book(|book| book.failed(&key, jitter(), Instant::now())),
        }
        result
    }

    /// Notes that a node is alive, and where it is seen.
    pub(crate) fn met(&self, connection: &Connection) {
        let key = from_endpoint_id(connection.remote_id());
        if self.knows(&key) {
            let address = remote_address(connection);
            self.book(|book| book.met(key, address, Instant::now()));
        }
    }

    /// Where a node may be now: its addresses, and those behind its names.
    async fn places(&self, key: &PublicKey) -> Vec<SocketAddr> {
        let (mut addresses, names) = self.book(|book| (book.addresses(key), book.names(key)));
        let resolved = futures::future::join_all(names.iter().map(HostPort::resolve)).await;
        for address in resolved.into_iter().flatten() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    fn dialable(&self, key: &PublicKey) -> Result<EndpointId, DialError> {
        if *key == self.key() {
            return Err(DialError::Own(*key));
        }
        if !self.knows(key) {
            return Err(DialError::NotMember(*key));
        }
        if let Some(refusal @ Refusal::Banned { .. }) = self.refusal(key) {
            return Err(DialError::Refused { key: *key, refusal });
        }
        to_endpoint_id(key).ok_or(DialError::InvalidKey(*key))
    }
}

/// The address the other side is seen at. One socket carries all protocols of a node, so it can be
/// dialed there.
pub(crate) fn remote_address(connection: &Connection) -> Option<SocketAddr> {
    let paths = connection.paths();
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    match path.remote_addr() {
        TransportAddr::Ip(address) => Some(*address),
        _ => None,
    }
}

/// Why a connection is over, in words that name the other side's reason when it gave one.
pub(crate) fn close_reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) if !close.reason.is_empty() => {
            format!("refused by the other side: {}", String::from_utf8_lossy(&close.reason))
        }
        other => other.to_string(),
    }
}

pub(crate) fn jitter() -> u8 {
    // Without system randomness nodes back off in step, which is slower but not wrong.
    getrandom::u32().map_or(128, |random| random.to_le_bytes()[0])
}

/// Closes a connection that is no longer needed.
pub(crate) fn finish(connection: &Connection) {
    connection.close(CloseCode::Done.into(), b"done");
}
