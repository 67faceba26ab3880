//! The stream of events: in order, complete, resumed where it broke.

use super::{TestNode, http, workers::stage};
use crate::api::Limits;
use futures::StreamExt;
use std::time::Duration;
use valo_client::{
    EventStream,
    types::{EventFilter, EventId, EventRecord, event_type},
};
use valo_ledger::testing::{account, valo};
use valo_protocol::{
    Action, Height,
    event::{Event, JobPhase},
    job::Input,
};

const PATIENCE: Duration = Duration::from_secs(60);
const START: EventId = EventId { height: Height(0), index: 0 };

async fn next(stream: &mut EventStream) -> EventRecord {
    let item = tokio::time::timeout(PATIENCE, stream.next()).await.expect("an event in time");
    item.expect("more events").expect("no error")
}

/// Opens a stream and waits until the node has it.
async fn follow(node: &TestNode, filter: EventFilter, after: Option<EventId>) -> EventStream {
    let open = || async { node.client.metrics().await.unwrap() };
    let count = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("api_event_streams ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()
    };
    let before = count(&open().await);
    let mut stream = node.client.events(filter, after, PATIENCE);
    // Nothing is sent before the stream is polled.
    let mut polled = Box::pin(stream.next());
    for _ in 0..200 {
        let waiting = tokio::time::timeout(Duration::from_millis(5), &mut polled).await.is_err();
        assert!(waiting, "an event before anything happened");
        if count(&open().await) > before {
            break;
        }
    }
    drop(polled);
    stream
}

async fn transfer(node: &TestNode, amount: u64) {
    let transaction = node.signed(0, 0, Action::Transfer { to: account(1), amount: valo(amount) });
    node.client.submit(&transaction).await.unwrap();
    node.block();
}

#[tokio::test]
async fn live_events_come_in_order_and_past_ones_from_storage() {
    let node = TestNode::start().await;
    let mut live = follow(&node, EventFilter::default(), None).await;
    for amount in 1..=3 {
        transfer(&node, amount).await;
    }
    let mut seen = Vec::new();
    for amount in 1..=3 {
        let record = next(&mut live).await;
        assert!(
            matches!(record.event, Event::Transferred { amount: moved, .. } if moved == valo(amount)),
            "{record:?}"
        );
        seen.push(record);
    }
    // From before the first, and from the middle: the same events with the same ids.
    let before = EventId { height: Height(2), index: 0 };
    let mut past = node.client.events(EventFilter::default(), Some(before), PATIENCE);
    for record in &seen {
        assert_eq!(next(&mut past).await, *record);
    }
    let mut middle = node.client.events(EventFilter::default(), Some(seen[1].id), PATIENCE);
    assert_eq!(next(&mut middle).await, seen[2]);
    // What was read from storage goes on live.
    transfer(&node, 9).await;
    assert_eq!(next(&mut middle).await, next(&mut past).await);
}

#[tokio::test]
async fn many_blocks_at_once_lose_nothing() {
    let node = TestNode::start().await;
    let mut live = follow(&node, EventFilter::default(), None).await;
    // More blocks than the chain's queue for a subscriber holds, before the stream reads the first.
    for _ in 0..60 {
        transfer(&node, 1).await;
    }
    let mut last = None;
    for _ in 0..60 {
        let record = next(&mut live).await;
        assert!(last < Some(record.id));
        last = Some(record.id);
    }
}

#[tokio::test]
async fn filters_by_job_account_and_type() {
    let node = TestNode::start().await;
    transfer(&node, 1).await;
    let job = node.submit(node.contract(vec![stage("one", Input::None, 2)])).await;
    node.work_until(job, None, JobPhase::is_accepted);
    transfer(&node, 2).await;

    let mut of_job = node.client.events(EventFilter::job(job), Some(START), PATIENCE);
    assert!(matches!(next(&mut of_job).await.event, Event::JobSubmitted { .. }));
    let mut last = next(&mut of_job).await;
    while !matches!(last.event, Event::JobPhaseChanged { phase: JobPhase::Accepted, .. }) {
        assert_eq!(last.event.job(), Some(job));
        last = next(&mut of_job).await;
    }
    let typed = EventFilter { types: vec!["paid".into(), "shardAccepted".into()], ..EventFilter::default() };
    let mut typed = node.client.events(typed, Some(START), PATIENCE);
    for _ in 0..8 {
        assert!(matches!(event_type(&next(&mut typed).await.event), "paid" | "shardAccepted"));
    }
    let receiver =
        EventFilter { account: Some(account(1)), types: vec!["transferred".into()], ..EventFilter::default() };
    let mut receiver = node.client.events(receiver, Some(START), PATIENCE);
    for amount in 1..=2 {
        assert!(
            matches!(next(&mut receiver).await.event, Event::Transferred { amount: moved, .. } if moved == valo(amount))
        );
    }
}

#[tokio::test]
async fn a_stream_survives_the_restart_of_its_server() {
    let node = TestNode::start().await;
    let mut live = follow(&node, EventFilter::default(), None).await;
    transfer(&node, 1).await;
    let first = next(&mut live).await;
    // The server of the node stops: a stream that waits for more finds nobody, and says so when its patience ends.
    node.stop.cancel();
    let mut impatient = node.client.events(EventFilter::default(), Some(first.id), Duration::from_millis(300));
    let gone = tokio::time::timeout(PATIENCE, impatient.next()).await.unwrap().unwrap().unwrap_err();
    assert!(gone.is_transient(), "{gone}");
}

#[tokio::test]
async fn the_wire_form_is_that_of_any_event_source() {
    let node = TestNode::start().await;
    transfer(&node, 1).await;
    let response = http().get(node.url("/v1/events?after=0.0")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let mut chunks = response.bytes_stream();
    while !text.contains("transferred") || !text.ends_with("\n\n") {
        let chunk = tokio::time::timeout(PATIENCE, chunks.next()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.starts_with("event: start\nid: 0.0\ndata: {}\n\n"), "{text}");
    assert!(
        text.contains("\nid: 3.0\nevent: transferred\ndata: {\"id\":\"3.0\",\"time\":") || text.contains("id: 3.0\n"),
        "{text}"
    );
}

#[tokio::test]
async fn bad_requests_for_events() {
    let limits = Limits { event_streams: 1, keep_alive: Duration::from_millis(50), ..Limits::default() };
    let node = TestNode::with(limits).await;
    for path in ["?type=nothing", "?account=x", "?job=x", "?after=5", "?more=1"] {
        let response = http().get(node.url(&format!("/v1/events{path}"))).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{path}");
    }
    let response = http().get(node.url("/v1/events")).header("last-event-id", "x.y").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    let first = http().get(node.url("/v1/events")).send().await.unwrap();
    let second = http().get(node.url("/v1/events")).send().await.unwrap();
    assert_eq!(second.status().as_u16(), 503, "one stream at a time here");
    // An idle stream says that it is alive.
    let mut chunks = first.bytes_stream();
    let mut text = String::new();
    while !text.contains(": nothing new") {
        text.push_str(
            std::str::from_utf8(&tokio::time::timeout(PATIENCE, chunks.next()).await.unwrap().unwrap().unwrap())
                .unwrap(),
        );
    }
}

#[test]
fn names_of_types_are_those_of_json() {
    use valo_client::types::EVENT_TYPES;
    let events = [
        Event::Transferred { from: account(0), to: account(1), amount: valo(1) },
        Event::NodeAbsent { node: valo_protocol::registry::NodeId(1) },
        Event::EpochStarted { epoch: 1, validators: Default::default() },
    ];
    for event in events {
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["type"], event_type(&event));
        assert!(EVENT_TYPES.contains(&event_type(&event)));
    }
}
