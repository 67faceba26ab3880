//! The genesis document by its hash (`valo/genesis/1`).
//!
//! A newcomer that knows the hash of its chain and one node of it needs no file. It asks, and believes the hash alone:
//! nothing of the document is read before its bytes have it, so any node may answer, and a wrong answer costs time only.
//! Every node serves the document of its own chain, to guests in their measure ([`TO_GUEST`], [`DOCUMENTS`]).
//!
//! ```text
//!   asker  ->  hash 32                      of the chain that it wants
//!   node   ->  hash 32 | document           of its own chain; the document (canonical encoding, to the end of the
//!                                           stream, at most MAX_GENESIS bytes) only if it is the one that was asked for
//! ```

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use iroh::{
    endpoint::{Connection, SendStream},
    protocol::{AcceptError, ProtocolHandler},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{sleep, timeout},
};
use tracing::debug;
use valo_protocol::{
    Genesis, GenesisHash, PublicKey,
    encoding::encode,
    genesis::{DocumentError, MAX_GENESIS},
};

use super::{
    CloseCode, DialError, Network, Protocol,
    dial::{close_reason, finish},
    guests::{Pace, Rate, SAVED, TO_GUEST},
    key::from_endpoint_id,
};
use crate::human;

pub(crate) const ALPN: &[u8] = b"valo/genesis/1";
/// What all guests together are sent of documents.
const DOCUMENTS: Rate = Rate { items: 1000, bytes: 4 << 20 };
/// Bytes of a document written at a time: with as many guests as there may be, each waits its turn for a second or so.
const CHUNK: usize = 64 << 10;
/// How long the whole of a document may take: more than the longest takes in the measure of a guest.
const WHOLE: Duration = Duration::from_secs(600);

/// Why a node did not give a genesis.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no connection with it.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It belongs to another chain.
    #[error("it is a node of another chain, {0}")]
    OtherChain(GenesisHash),
    /// It is there and says nothing.
    #[error("it sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// It sends and does not end.
    #[error("it did not send all of it within {} s", WHOLE.as_secs())]
    Slow,
    /// It sent more than any genesis has.
    #[error("it sent more than {}, the most that a genesis can have", human::size(MAX_GENESIS as u64))]
    TooLong,
    /// It claims the chain, and sent something else.
    #[error("it sent another document, with hash {0}")]
    WrongDocument(GenesisHash),
    /// The connection broke, or it refused.
    #[error("{0}")]
    Broken(String),
    /// It sent what the hash names, and that is no genesis that this version can use.
    #[error("the document of that hash is not a usable genesis: {0}")]
    Unusable(DocumentError),
}

impl Network {
    /// Asks a node for the genesis of a hash.
    ///
    /// # Errors
    /// What the node did, if it did not give it.
    pub async fn fetch_genesis(&self, node: PublicKey, hash: GenesisHash) -> Result<Genesis, FetchError> {
        let connection = self.dial(node, ALPN).await?;
        let fetched = timeout(WHOLE, fetch(&connection, hash, self.config().silence)).await;
        let fetched = fetched.unwrap_or(Err(FetchError::Slow));
        finish(&connection);
        fetched
    }
}

async fn fetch(connection: &Connection, hash: GenesisHash, silence: Duration) -> Result<Genesis, FetchError> {
    let ask = async {
        let (mut send, receive) = connection.open_bi().await.map_err(io::Error::other)?;
        send.write_all(hash.as_bytes()).await?;
        send.finish().map_err(io::Error::other)?;
        io::Result::Ok(receive)
    };
    let fetched = match timeout(silence, ask).await {
        Ok(Ok(receive)) => read(receive, hash, silence).await,
        Ok(Err(error)) => Err(FetchError::Broken(error.to_string())),
        Err(_) => Err(FetchError::Silent(silence)),
    };
    // The other side's reason says more than that a stream broke.
    match (fetched, connection.close_reason()) {
        (Err(FetchError::Broken(_)), Some(reason)) => Err(FetchError::Broken(close_reason(&reason))),
        (fetched, _) => fetched,
    }
}

/// Reads an answer. No more is kept than a genesis has, and nothing is parsed but what has the hash.
async fn read(mut answer: impl AsyncRead + Unpin, hash: GenesisHash, silence: Duration) -> Result<Genesis, FetchError> {
    let broken = |error: io::Error| FetchError::Broken(error.to_string());
    let silent = |_| FetchError::Silent(silence);
    let mut chain = GenesisHash::default();
    timeout(silence, answer.read_exact(&mut chain.0)).await.map_err(silent)?.map_err(broken)?;
    if chain != hash {
        return Err(FetchError::OtherChain(chain));
    }
    let mut document = BytesMut::new();
    loop {
        document.reserve(CHUNK);
        if timeout(silence, answer.read_buf(&mut document)).await.map_err(silent)?.map_err(broken)? == 0 {
            break;
        }
        if document.len() > MAX_GENESIS {
            return Err(FetchError::TooLong);
        }
    }
    Genesis::of_document(hash, &document).map_err(|error| match error {
        DocumentError::Hash(found) => FetchError::WrongDocument(found),
        unusable => FetchError::Unusable(unusable),
    })
}

/// Serves the genesis of a node.
pub(crate) fn protocol(network: &Network, genesis: &Genesis) -> Protocol {
    let handler = Handler {
        network: network.clone(),
        hash: genesis.hash(),
        document: encode(genesis).into(),
        guests: Arc::new(Mutex::new(Pace::new(DOCUMENTS, Instant::now()))),
    };
    Protocol { alpn: ALPN, handler: Box::new(handler) }
}

#[derive(Debug)]
struct Handler {
    network: Network,
    hash: GenesisHash,
    document: Bytes,
    guests: Arc<Mutex<Pace>>,
}

impl Handler {
    async fn answer(&self, connection: &Connection) -> Result<(), String> {
        let silence = self.network.config().silence;
        let asked = async {
            let (send, mut receive) = connection.accept_bi().await.map_err(|error| error.to_string())?;
            let mut hash = GenesisHash::default();
            receive.read_exact(&mut hash.0).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((send, hash))
        };
        let asked = timeout(silence, asked).await;
        let (mut send, hash) = asked.map_err(|_| format!("nothing for {} s", silence.as_secs()))??;
        self.write(&mut send, Bytes::copy_from_slice(self.hash.as_bytes())).await?;
        if hash == self.hash {
            let asker = from_endpoint_id(connection.remote_id());
            let mut pace = Pace::new(TO_GUEST, Instant::now());
            for at in (0..self.document.len()).step_by(CHUNK) {
                let chunk = self.document.slice(at..self.document.len().min(at.saturating_add(CHUNK)));
                if !self.network.knows(&asker) {
                    sleep(turn(&mut pace, &self.guests, chunk.len(), Instant::now())).await;
                }
                self.write(&mut send, chunk).await?;
            }
        }
        send.finish().map_err(|error| error.to_string())
    }

    async fn write(&self, send: &mut SendStream, bytes: Bytes) -> Result<(), String> {
        let silence = self.network.config().silence;
        match timeout(silence, send.write_chunk(bytes)).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err(format!("takes nothing for {} s", silence.as_secs())),
        }
    }
}

/// How long a guest waits for its next bytes: for its own measure, and for that of all guests.
fn turn(own: &mut Pace, all: &Mutex<Pace>, bytes: usize, now: Instant) -> Duration {
    let own = own.reserve(1, bytes, now).saturating_sub(SAVED);
    let all = all.lock().unwrap_or_else(PoisonError::into_inner).reserve(1, bytes, now);
    own.max(all)
}

impl ProtocolHandler for Handler {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        match timeout(WHOLE, self.answer(&connection)).await {
            Ok(Ok(())) => {
                // The asker closes when it has read the answer.
                let _ = timeout(self.network.config().silence, connection.closed()).await;
            }
            Ok(Err(reason)) => {
                debug!(%reason, "could not give the genesis");
                connection.close(CloseCode::Broken.into(), b"no question for the genesis");
            }
            Err(_) => connection.close(CloseCode::TooSlow.into(), b"the genesis took too long"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
