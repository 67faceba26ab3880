//! The stream of events (server-sent events).

use super::Shared;
use crate::api::{
    Api,
    events::{Follower, Next, Wanted},
    extract::{Query, parse, parse_named},
    problem::ApiError,
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as Message, KeepAlive, Sse},
    },
};
use futures::Stream;
use serde::Deserialize;
use std::{convert::Infallible, sync::Arc};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use valo_client::types::{EVENT_TYPES, EventId, EventRecord, event_type};
use valo_protocol::job::JobId;

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Which events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only those of this job.
    job: Option<u64>,
    /// Only those that name this account (a number).
    account: Option<String>,
    /// Only those of these types, separated by commas.
    #[serde(rename = "type")]
    types: Option<String>,
    /// Only those after this place (`height.index`); the header `last-event-id` says the same.
    after: Option<String>,
}

/// What happens, as server-sent events: `id` is the place of the event (`height.index`), `event` its type, `data` an
/// `EventRecord`. The first message, `start`, names the place the stream starts after. Without `last-event-id` it starts
/// now. A stream that is not read is dropped.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(EventsQuery, ("last-event-id" = Option<String>, Header, description = "the last event seen")),
    responses((status = 200, body = EventRecord, content_type = "text/event-stream")))]
async fn events(
    State(api): Shared,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let types = query.types.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let mut wanted = Wanted { job: query.job.map(JobId), ..Wanted::default() };
    for name in types {
        if !EVENT_TYPES.contains(&name) {
            return Err(ApiError::malformed(format!(
                "there is no event `{name}`; there are {}",
                EVENT_TYPES.join(", ")
            )));
        }
        wanted.types.insert(name.to_owned());
    }
    wanted.account = query.account.as_deref().map(|text| parse("an account", text)).transpose()?;
    let last = match headers.get("last-event-id") {
        Some(value) => Some(value.to_str().map_err(|_| ApiError::malformed("the header last-event-id is no text"))?),
        None => query.after.as_deref(),
    };
    let after: Option<EventId> = last.map(parse_named).transpose()?;
    let keep_alive = KeepAlive::new().interval(api.limits.keep_alive).text("nothing new");
    let follower = Follower::open(api, wanted, after).await?;
    let mut response = Sse::new(messages(follower)).keep_alive(keep_alive).into_response();
    // Proxies that collect answers would hold events back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

enum Phase {
    Start(Follower),
    Running(Follower),
    Over,
}

fn messages(follower: Follower) -> impl Stream<Item = Result<Message, Infallible>> {
    futures::stream::unfold(Phase::Start(follower), |state| async move {
        match state {
            Phase::Start(follower) => {
                let start = Message::default().event("start").id(follower.start().to_string()).data("{}");
                Some((Ok(start), Phase::Running(follower)))
            }
            Phase::Running(mut follower) => match follower.next().await {
                Next::Event(record) => Some((Ok(message(&record)), Phase::Running(follower))),
                Next::TooSlow => {
                    let last = "too slow: come back with the id of the last event you saw";
                    Some((Ok(Message::default().comment(last)), Phase::Over))
                }
                Next::End => None,
            },
            Phase::Over => None,
        }
    })
}

fn message(record: &EventRecord) -> Message {
    let data = serde_json::to_string(record).unwrap_or_default();
    Message::default().id(record.id.to_string()).event(event_type(&record.event)).data(data)
}
