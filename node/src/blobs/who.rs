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
use iroh::endpoint::Connection;
use tokio::time::{Instant, timeout, timeout_at};
use valo_protocol::{BlobHash, PublicKey};

use super::{Blobs, Shared};
use crate::network::{
    Protocol,
    questions::{self, Answers},
};

pub(super) const ALPN: &[u8] = b"valo/blobs-who/1";
const TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer the others may take than the quickest.
const MOMENT: Duration = Duration::from_millis(150);
/// Nodes asked at once.
const AT_ONCE: usize = 16;
/// With so many providers, nobody else needs to be asked.
const ENOUGH: usize = 4;

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
    let answer = questions::ask(connection, hash.as_bytes(), 9).await?;
    match answer.split_first()? {
        (1, size) => Some(u64::from_le_bytes(size.try_into().ok()?)),
        _ => None,
    }
}

#[derive(Debug)]
struct Index(Arc<Shared>);

impl Answers for Index {
    const MOST: usize = 32;
    const UNUSED: Duration = Duration::from_secs(120);

    async fn answer(&self, _: PublicKey, question: Vec<u8>) -> Option<Vec<u8>> {
        let hash = BlobHash(question.try_into().ok()?);
        let size = self.0.index(|index| index.get(&hash).map(|entry| entry.size));
        let mut answer = vec![u8::from(size.is_some())];
        answer.extend(size.unwrap_or(0).to_le_bytes());
        Some(answer)
    }
}

pub(super) fn protocol(shared: &Arc<Shared>) -> Protocol {
    questions::protocol(ALPN, Index(shared.clone()))
}
