//! Asking other nodes whether they have a blob (`valo/blobs-who/1`).
//!
//! ```text
//! question = hash (32)
//! answer   = 0 | 1, size (u64, little-endian)
//! ```
//!
//! Each question is a stream of its own on a connection that stays open for more.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};

use tokio::time::{Instant, timeout, timeout_at};
use valo_protocol::{BlobHash, PublicKey};

use super::{Blobs, Shared};
use crate::network::{CloseCode, Protocol};

pub(super) const ALPN: &[u8] = b"valo/blobs-who/1";
const TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer the others may take than the quickest.
const MOMENT: Duration = Duration::from_millis(150);
/// Nodes asked at once.
const AT_ONCE: usize = 16;
/// With so many providers, nobody else needs to be asked.
const ENOUGH: usize = 4;
/// A connection that asks nothing for this long is closed.
const UNUSED: Duration = Duration::from_secs(120);

impl Blobs {
    /// Which of the connected nodes say that they have a blob, the quickest first. After the first
    /// answer the others get only a moment more; with none it takes at most four seconds for each
    /// sixteen nodes.
    pub async fn who_has(&self, hash: &BlobHash) -> Vec<PublicKey> {
        let peers: Vec<_> = self.shared.network.peers().borrow().iter().copied().collect();
        let mut answers = stream::iter(peers)
            .map(|peer| async move { self.ask(peer, hash).await.map(|_| peer) })
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .take(ENOUGH)
            .boxed();
        let Some(first) = answers.next().await else {
            return Vec::new();
        };
        let mut providers = vec![first];
        let until = Instant::now() + MOMENT;
        while let Ok(Some(provider)) = timeout_at(until, answers.next()).await {
            providers.push(provider);
        }
        providers
    }

    /// The size a node says a blob has; `None` when it has it not or does not answer.
    async fn ask(&self, peer: PublicKey, hash: &BlobHash) -> Option<u64> {
        let network = &self.shared.network;
        let connection = timeout(TIMEOUT, network.connection(peer, ALPN)).await.ok()?.ok()?;
        match timeout(TIMEOUT, question(&connection, hash)).await {
            Ok(answer) => answer,
            Err(_) => {
                network.forget(peer, ALPN, &connection).await;
                None
            }
        }
    }
}

async fn question(connection: &Connection, hash: &BlobHash) -> Option<u64> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(hash.as_bytes()).await.ok()?;
    send.finish().ok()?;
    let answer = receive.read_to_end(9).await.ok()?;
    match answer.split_first()? {
        (1, size) => Some(u64::from_le_bytes(size.try_into().ok()?)),
        _ => None,
    }
}

#[derive(Debug)]
struct Handler(Arc<Shared>);

impl Handler {
    async fn answer(&self, connection: &Connection) -> Option<()> {
        let (mut send, mut receive) = connection.accept_bi().await.ok()?;
        let question = receive.read_to_end(32).await.ok()?;
        let hash = BlobHash(question.try_into().ok()?);
        let size = self.0.index(|index| index.get(&hash).map(|entry| entry.size));
        let mut answer = vec![u8::from(size.is_some())];
        answer.extend(size.unwrap_or(0).to_le_bytes());
        send.write_all(&answer).await.ok()?;
        send.finish().ok()
    }
}

impl ProtocolHandler for Handler {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        // One question after the other: an answer is a look into a map, so nobody waits long.
        while let Ok(Some(())) = timeout(UNUSED, self.answer(&connection)).await {}
        connection.close(CloseCode::Done.into(), b"unused");
        Ok(())
    }
}

pub(super) fn protocol(shared: &Arc<Shared>) -> Protocol {
    Protocol { alpn: ALPN, handler: Box::new(Handler(shared.clone())) }
}
