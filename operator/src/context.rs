//! What every pass is given: the cluster, the chains, metrics, events, and the time.

use crate::{chain::Chains, cluster::Cluster, metrics::Metrics, names::MANAGER};
use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::{collections::BTreeMap, fmt, sync::Mutex};

/// What the operator was told when it started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Image of nodes whose Network names none.
    pub node_image: String,
    /// The namespace of the operator.
    pub namespace: String,
}

/// What every pass is given.
pub struct Context {
    /// The cluster.
    pub cluster: Cluster,
    /// The chains, by the nodes that run here.
    pub chains: Chains,
    /// Metrics.
    pub metrics: Metrics,
    /// What the operator was told.
    pub settings: Settings,
    recorder: Recorder,
    /// How often passes over an object failed in a row.
    pub(crate) failures: Mutex<BTreeMap<String, u32>>,
}

impl Context {
    /// A context for a cluster.
    pub fn new(client: Client, settings: Settings, metrics: Metrics, identity: &str) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            cluster: Cluster { client },
            chains: Chains::default(),
            metrics,
            settings,
            failures: Mutex::default(),
        }
    }

    /// The time: the only clock of the operator.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Says that something went as it should.
    pub async fn tell(&self, about: &ObjectReference, reason: &str, action: &str, note: impl Into<String>) {
        self.publish(EventType::Normal, about, reason, action, note.into()).await;
    }

    /// Says that something did not.
    pub async fn warn(&self, about: &ObjectReference, reason: &str, action: &str, note: impl Into<String>) {
        self.publish(EventType::Warning, about, reason, action, note.into()).await;
    }

    /// An event that cannot be written is worth a line, not a failed pass.
    async fn publish(&self, type_: EventType, about: &ObjectReference, reason: &str, action: &str, note: String) {
        // The API server takes at most 1 kB.
        let note = Some(note.chars().take(1000).collect());
        let event = Event { type_, reason: reason.to_owned(), note, action: action.to_owned(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(%error, reason, "an event could not be written");
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}
