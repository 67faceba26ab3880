//! Protocols of questions and answers: each question is a stream of its own, on a connection that stays open for more.

use super::{CloseCode, Protocol, key::from_endpoint_id};
use iroh::{
    endpoint::Connection,
    protocol::{AcceptError, ProtocolHandler},
};
use std::{fmt, time::Duration};
use tokio::time::timeout;
use valo_protocol::PublicKey;

/// Asks a question; none if the connection breaks, or the answer is longer than `most` bytes. The limit of time is the caller's.
pub(crate) async fn ask(connection: &Connection, question: &[u8], most: usize) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(question).await.ok()?;
    send.finish().ok()?;
    receive.read_to_end(most).await.ok()
}

/// How the questions of a protocol are answered, those of one connection one after the other.
pub(crate) trait Answers: fmt::Debug + Send + Sync + 'static {
    /// Bytes of a question at most.
    const MOST: usize;
    /// A connection that asks nothing for this long is closed.
    const UNUSED: Duration;

    /// The answer; with none the connection ends.
    fn answer(&self, asker: PublicKey, question: Vec<u8>) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

/// The protocol by which they are asked.
pub(crate) fn protocol(alpn: &'static [u8], answers: impl Answers) -> Protocol {
    Protocol { alpn, handler: Box::new(Handler(answers)) }
}

#[derive(Debug)]
struct Handler<A>(A);

impl<A: Answers> Handler<A> {
    async fn next(&self, connection: &Connection) -> Option<()> {
        let (mut send, mut receive) = connection.accept_bi().await.ok()?;
        let question = receive.read_to_end(A::MOST).await.ok()?;
        let answer = self.0.answer(from_endpoint_id(connection.remote_id()), question).await?;
        send.write_all(&answer).await.ok()?;
        send.finish().ok()
    }
}

impl<A: Answers> ProtocolHandler for Handler<A> {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        while let Ok(Some(())) = timeout(A::UNUSED, self.next(&connection)).await {}
        connection.close(CloseCode::Done.into(), b"unused");
        Ok(())
    }
}
