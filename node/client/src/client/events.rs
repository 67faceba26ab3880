//! The stream of events: server-sent events that go on after the last one seen when a connection breaks.

use super::{Client, Query};
use crate::{
    error::ClientError,
    types::{EventFilter, EventId, EventRecord},
};
use eventsource_stream::{EventStreamError, Eventsource};
use futures::{Stream, StreamExt, stream::BoxStream};
use reqwest::{Method, header};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// The first pause before a broken connection is taken up again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

type Received = BoxStream<'static, Result<eventsource_stream::Event, ClientError>>;

/// Events in order, without gaps or repetitions, until it is dropped. An error is the last item: the
/// node could not be reached again in time, or it refused.
pub struct EventStream {
    records: BoxStream<'static, Result<EventRecord, ClientError>>,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EventStream")
    }
}

impl Stream for EventStream {
    type Item = Result<EventRecord, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.records.poll_next_unpin(context)
    }
}

struct Subscription {
    client: Client,
    filter: EventFilter,
    last: Option<EventId>,
    patience: Duration,
    /// Since when the node has not been reached.
    away_since: Option<Instant>,
    pause: Duration,
    connection: Option<Received>,
    over: bool,
}

impl Client {
    /// Events after the given one; without one, those that happen from now on. A connection that breaks is
    /// taken up again; the stream fails when that takes longer than `patience`.
    pub fn events(&self, filter: EventFilter, after: Option<EventId>, patience: Duration) -> EventStream {
        let subscription = Subscription {
            client: self.clone(),
            filter,
            last: after,
            patience,
            away_since: None,
            pause: FIRST_PAUSE,
            connection: None,
            over: false,
        };
        let records = futures::stream::unfold(subscription, |mut subscription| async move {
            let item = subscription.next().await?;
            Some((item, subscription))
        });
        EventStream { records: records.boxed() }
    }
}

impl Subscription {
    async fn next(&mut self) -> Option<Result<EventRecord, ClientError>> {
        while !self.over {
            let Some(connection) = &mut self.connection else {
                if let Err(error) = self.reconnect().await {
                    self.over = true;
                    return Some(Err(error));
                }
                continue;
            };
            match connection.next().await {
                Some(Ok(message)) => {
                    self.away_since = None;
                    self.pause = FIRST_PAUSE;
                    match self.take(&message) {
                        Ok(Some(record)) => return Some(Ok(record)),
                        Ok(None) => {}
                        Err(error) => {
                            self.over = true;
                            return Some(Err(error));
                        }
                    }
                }
                // Broken, or ended by a node that stops or found us too slow.
                Some(Err(_)) | None => self.connection = None,
            }
        }
        None
    }

    fn take(&mut self, message: &eventsource_stream::Event) -> Result<Option<EventRecord>, ClientError> {
        let malformed = |reason: String| ClientError::Malformed { what: "/v1/events".to_owned(), reason };
        // The first message of a stream names the place it starts from, so that nothing is lost if it
        // breaks before the first event.
        if message.event == "start" {
            let place = message.id.parse().map_err(|error| malformed(format!("{error}")))?;
            self.last = self.last.max(Some(place));
            return Ok(None);
        }
        let record: EventRecord = serde_json::from_str(&message.data).map_err(|error| malformed(error.to_string()))?;
        if self.last.is_some_and(|last| record.id <= last) {
            return Ok(None);
        }
        self.last = Some(record.id);
        Ok(Some(record))
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        match self.connect().await {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) if error.is_transient() => {
                let since = *self.away_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.patience {
                    return Err(error);
                }
                tokio::time::sleep(self.pause).await;
                self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn connect(&mut self) -> Result<Received, ClientError> {
        let mut query = Query::new();
        if let Some(job) = self.filter.job {
            query.push(("job", job.to_string()));
        }
        if let Some(account) = self.filter.account {
            query.push(("account", account.to_string()));
        }
        if !self.filter.types.is_empty() {
            query.push(("type", self.filter.types.join(",")));
        }
        let mut request =
            self.client.request(Method::GET, "v1/events", &query)?.header(header::ACCEPT, "text/event-stream");
        if let Some(last) = self.last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = self.client.send(request).await?;
        let client = self.client.clone();
        let messages = response.bytes_stream().eventsource().map(move |message| {
            message.map_err(|error| match error {
                EventStreamError::Transport(error) => client.transport(&error),
                other => ClientError::Malformed { what: "/v1/events".to_owned(), reason: other.to_string() },
            })
        });
        Ok(messages.boxed())
    }
}
