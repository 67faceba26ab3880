//! Events with their place in the chain, as `/v1/events` streams them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use valo_protocol::{AccountNumber, Height, Timestamp, event::Event, job::JobId};

/// The place of an event: its block, and its place in the block. Written `height.index`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EventId {
    /// The block.
    pub height: Height,
    /// The place in the block, from 0.
    pub index: u32,
}

/// Not the place of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of an event: it takes `height.index`, such as 17.0")]
pub struct EventIdError(pub String);

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.height, self.index)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once('.')
            .filter(|(height, index)| digits(height) && digits(index))
            .and_then(|(height, index)| Some(Self { height: Height(height.parse().ok()?), index: index.parse().ok()? }))
            .ok_or_else(|| EventIdError(text.to_owned()))
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for EventId {
    type Error = EventIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// An event and where it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Its place: what to resume after.
    #[schema(value_type = String, example = "17.0")]
    pub id: EventId,
    /// Time of its block.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
}

/// The types of events, as they are named in JSON and in `?type=`.
pub const EVENT_TYPES: [&str; 32] = [
    "accountCreated",
    "transferred",
    "proposalMissed",
    "jobSubmitted",
    "jobPhaseChanged",
    "stageStarted",
    "stageCompleted",
    "shardDrawn",
    "shardWaiting",
    "committed",
    "revealOpened",
    "revealed",
    "abstained",
    "missed",
    "letGo",
    "shardEscalated",
    "shardAccepted",
    "shardFailed",
    "paid",
    "slashed",
    "nodeAbsent",
    "nodeReturned",
    "refunded",
    "epochStarted",
    "nodeRegistered",
    "nodeUpdated",
    "nodeStateChanged",
    "bonded",
    "unbonded",
    "rebonded",
    "stakePaid",
    "punished",
];

/// The type of an event, as it is named in JSON.
pub const fn event_type(event: &Event) -> &'static str {
    match event {
        Event::AccountCreated { .. } => "accountCreated",
        Event::Transferred { .. } => "transferred",
        Event::ProposalMissed { .. } => "proposalMissed",
        Event::JobSubmitted { .. } => "jobSubmitted",
        Event::JobPhaseChanged { .. } => "jobPhaseChanged",
        Event::StageStarted { .. } => "stageStarted",
        Event::StageCompleted { .. } => "stageCompleted",
        Event::ShardDrawn { .. } => "shardDrawn",
        Event::ShardWaiting { .. } => "shardWaiting",
        Event::Committed { .. } => "committed",
        Event::RevealOpened { .. } => "revealOpened",
        Event::Revealed { .. } => "revealed",
        Event::Abstained { .. } => "abstained",
        Event::Missed { .. } => "missed",
        Event::LetGo { .. } => "letGo",
        Event::ShardEscalated { .. } => "shardEscalated",
        Event::ShardAccepted { .. } => "shardAccepted",
        Event::ShardFailed { .. } => "shardFailed",
        Event::Paid { .. } => "paid",
        Event::Slashed { .. } => "slashed",
        Event::NodeAbsent { .. } => "nodeAbsent",
        Event::NodeReturned { .. } => "nodeReturned",
        Event::Refunded { .. } => "refunded",
        Event::EpochStarted { .. } => "epochStarted",
        Event::NodeRegistered { .. } => "nodeRegistered",
        Event::NodeUpdated { .. } => "nodeUpdated",
        Event::NodeStateChanged { .. } => "nodeStateChanged",
        Event::Bonded { .. } => "bonded",
        Event::Unbonded { .. } => "unbonded",
        Event::Rebonded { .. } => "rebonded",
        Event::StakePaid { .. } => "stakePaid",
        Event::Punished { .. } => "punished",
    }
}

/// The accounts that an event names.
pub fn event_accounts(event: &Event) -> Vec<AccountNumber> {
    match event {
        Event::AccountCreated { account, .. } | Event::Refunded { account, .. } => vec![*account],
        Event::Transferred { from, to, .. } => vec![*from, *to],
        Event::JobSubmitted { submitter, .. } => vec![*submitter],
        Event::ShardDrawn { drawn, .. } => drawn.iter().map(|drawn| drawn.owner).collect(),
        Event::Paid { owner, .. }
        | Event::Slashed { owner, .. }
        | Event::NodeUpdated { owner, .. }
        | Event::NodeStateChanged { owner, .. }
        | Event::Bonded { owner, .. }
        | Event::Unbonded { owner, .. }
        | Event::Rebonded { owner, .. }
        | Event::StakePaid { owner, .. }
        | Event::Punished { owner, .. } => vec![*owner],
        Event::NodeRegistered { owner, account, .. } => vec![*owner, *account],
        _ => Vec::new(),
    }
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventFilter {
    /// Only those of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Only those that name this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountNumber>,
    /// Only those of these types, such as `shardDrawn`; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl EventFilter {
    /// All events of a job.
    pub fn job(job: JobId) -> Self {
        Self { job: Some(job), ..Self::default() }
    }
}
