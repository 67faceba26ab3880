//! How nodes that know one seed learn the others (`valo/peers/1`).
//!
//! A node connects, says where it can be reached, and gets back members its peer has talked to.
//! Both messages are borsh, at most [`MAX_MESSAGE`] bytes; only members are asked about, told about
//! and believed, and what they say is only a hint (see [`super::addresses`]).

use std::net::SocketAddr;

use borsh::{BorshDeserialize, BorshSerialize};
use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use tracing::debug;
use valo_protocol::PublicKey;

use super::{
    CloseCode, DialError, HostPort, Network, Protocol,
    addresses::Source,
    dial::{close_reason, finish},
    key::from_endpoint_id,
};

pub(crate) const ALPN: &[u8] = b"valo/peers/1";
const MAX_MESSAGE: usize = 16 << 10;
/// Nodes told in one answer. Asked again and again of different peers, this is enough to learn all.
const MAX_INTRODUCTIONS: usize = 64;
const MAX_ADDRESSES: usize = 4;
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

#[derive(BorshSerialize, BorshDeserialize)]
struct Question {
    reachable_at: Vec<SocketAddr>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Answer {
    reachable_at: Vec<SocketAddr>,
    nodes: Vec<Introduction>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Introduction {
    key: PublicKey,
    addresses: Vec<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no answer within {} ms", TIMEOUT.as_millis())]
    Timeout,
    #[error("{0}")]
    Stream(String),
    #[error("unreadable message: {0}")]
    Message(std::io::Error),
}

fn stream(error: impl std::fmt::Display) -> ExchangeError {
    ExchangeError::Stream(error.to_string())
}

impl Network {
    /// Asks a peer for the nodes it knows and notes them.
    pub(crate) async fn exchange_peers(&self, peer: PublicKey) {
        match tokio::time::timeout(TIMEOUT, self.ask(peer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%peer, %error, "could not exchange peers"),
            Err(_) => debug!(%peer, error = %ExchangeError::Timeout, "could not exchange peers"),
        }
    }

    async fn ask(&self, peer: PublicKey) -> Result<(), ExchangeError> {
        let connection = self.dial(peer, ALPN).await?;
        let (mut send, mut receive) = connection.open_bi().await.map_err(stream)?;
        let question =
            borsh::to_vec(&Question { reachable_at: self.told_addresses().await }).map_err(ExchangeError::Message)?;
        send.write_all(&question).await.map_err(stream)?;
        send.finish().map_err(stream)?;
        let answer = receive.read_to_end(MAX_MESSAGE).await.map_err(stream)?;
        finish(&connection);
        let answer = Answer::try_from_slice(&answer).map_err(ExchangeError::Message)?;
        self.hear(peer, answer.reachable_at, Source::Own);
        for node in answer.nodes.into_iter().take(MAX_INTRODUCTIONS) {
            self.hear(node.key, node.addresses, Source::Hearsay);
        }
        Ok(())
    }

    fn hear(&self, key: PublicKey, addresses: Vec<SocketAddr>, source: Source) {
        if !self.knows(&key) {
            return;
        }
        // A loopback address means something only to nodes of the same machine.
        let local = self.local_address().is_some_and(|address| address.ip().is_loopback());
        let usable = addresses.into_iter().filter(|address| local || !address.ip().is_loopback()).take(MAX_ADDRESSES);
        self.note(key, usable, source);
    }

    async fn told_addresses(&self) -> Vec<SocketAddr> {
        let places = self.own_places();
        let addresses = futures::future::join_all(places.iter().map(HostPort::resolve)).await;
        addresses.into_iter().flatten().take(MAX_ADDRESSES).collect()
    }

    async fn answer(&self, connection: &Connection) -> Result<(), ExchangeError> {
        let peer = from_endpoint_id(connection.remote_id());
        let (mut send, mut receive) = connection.accept_bi().await.map_err(stream)?;
        let question = receive.read_to_end(MAX_MESSAGE).await.map_err(stream)?;
        let question = Question::try_from_slice(&question).map_err(ExchangeError::Message)?;
        let nodes = self
            .book(|book| book.introductions(MAX_INTRODUCTIONS))
            .into_iter()
            .filter(|(key, _)| *key != peer && self.inner.members.contains(key))
            .map(|(key, mut addresses)| {
                addresses.truncate(MAX_ADDRESSES);
                Introduction { key, addresses }
            })
            .collect();
        let answer = borsh::to_vec(&Answer { reachable_at: self.told_addresses().await, nodes })
            .map_err(ExchangeError::Message)?;
        send.write_all(&answer).await.map_err(stream)?;
        send.finish().map_err(stream)?;
        self.met(connection);
        self.hear(peer, question.reachable_at, Source::Own);
        Ok(())
    }
}

#[derive(Debug)]
struct Handler(Network);

impl ProtocolHandler for Handler {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let answered = tokio::time::timeout(TIMEOUT, self.0.answer(&connection)).await;
        match answered {
            Ok(Ok(())) => {
                // The asker closes when it has read the answer.
                let _ = tokio::time::timeout(TIMEOUT, connection.closed()).await;
            }
            Ok(Err(error)) => {
                debug!(%error, closed = ?connection.close_reason().map(|error| close_reason(&error)), "peer exchange failed");
                connection.close(CloseCode::Broken.into(), b"unreadable question");
            }
            Err(_) => connection.close(CloseCode::TooSlow.into(), b"no question in time"),
        }
        Ok(())
    }
}

pub(crate) fn protocol(network: &Network) -> Protocol {
    Protocol { alpn: ALPN, handler: Box::new(Handler(network.clone())) }
}
