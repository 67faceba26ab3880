//! What all controllers have in common: each pass is timed, counted, and its failure told in an event and a condition
//! with every cause; one malformed object stops nothing.

use crate::{
    cluster::Object,
    conditions::{Conditions, READY},
    context::Context,
    names::reference,
};
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Predicate, PredicateConfig, WatchStreamExt,
        controller::{Action, Config, Controller, Error},
        predicates, reflector, watcher,
    },
};
use serde_json::{Map, Value};
use std::{
    error::Error as StdError,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tracing::Instrument;
use valo_crds::Condition;

/// How soon a pass comes again when nothing happened: chain and cluster agree at most 10 s after anything changes.
pub const AGAIN: Duration = Duration::from_secs(5);
/// The same for what is on its way and changes soon.
pub const SOON: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Passes of one controller at a time.
const AT_ONCE: u16 = 8;

/// Why a pass failed: an error with a word for programs.
pub trait Problem: StdError + Send + Sync + 'static {
    /// The word: the reason of the event and of the condition.
    fn reason(&self) -> &'static str;
}

/// A kind of object with a controller.
pub trait Kind: Object {
    /// Name of the controller, in metrics and logs.
    const CONTROLLER: &'static str;
    /// Why a pass fails.
    type Problem: Problem;

    /// Conditions besides `Ready` that do not hold either when a pass fails for a reason.
    fn denies(_reason: &str) -> &'static [&'static str] {
        &[]
    }

    /// What a failed pass says in the status besides the condition `Ready`.
    fn failed(_status: &mut Map<String, Value>, _reason: &str, _message: &str) {}

    /// One pass.
    fn reconcile(
        object: Arc<Self>,
        context: Arc<Context>,
    ) -> impl Future<Output = Result<Action, Self::Problem>> + Send;
}

/// Steps of a pass, timed.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a> {
    context: &'a Context,
    controller: &'static str,
}

impl<'a> Steps<'a> {
    /// The steps of a controller.
    pub fn of<K: Kind>(context: &'a Context) -> Self {
        Self { context, controller: K::CONTROLLER }
    }

    /// Runs a step.
    pub fn run<T>(
        &self,
        step: &'static str,
        future: impl Future<Output = T> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
        let (context, controller) = (self.context, self.controller);
        Box::pin(async move {
            let start = Instant::now();
            let done = future.instrument(tracing::debug_span!("step", step)).await;
            context.metrics.step(controller, step, start.elapsed());
            done
        })
    }
}

/// An object as it is watched: readable or not.
pub type Guarded<K> = DeserializeGuard<K>;

/// Starts a controller: what it watches besides its own kind is added by `also`. Ends when `end` does, or when it is
/// dropped; passes under way are dropped with it.
pub async fn run<K: Kind>(
    api: Api<Guarded<K>>,
    context: Arc<Context>,
    end: impl Future<Output = ()> + Send + Sync + 'static,
    also: impl FnOnce(Controller<Guarded<K>>) -> Controller<Guarded<K>>,
) {
    use futures::StreamExt as _;
    let (store, writer) = reflector::store();
    // Writing a status must not start the next pass.
    let changed = predicates::generation::<Guarded<K>>.combine(predicates::finalizers).combine(predicates::annotations);
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(changed, PredicateConfig::default());
    let controller = Controller::for_stream(objects, store).with_config(Config::default().concurrency(AT_ONCE));
    also(controller)
        .graceful_shutdown_on(end)
        .run(pass::<K>, |_, failure, _| Action::requeue(failure.pause), context.clone())
        .for_each(|result| async {
            match result {
                // Told already.
                Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                // Deleted since: what is remembered of its failures goes with it.
                Err(Error::ObjectNotFound(gone)) => {
                    forget(&context, &id::<K>(gone.namespace.as_deref().unwrap_or_default(), &gone.name));
                }
                Err(error) => tracing::warn!(controller = K::CONTROLLER, error = %causes(&error), "watching"),
            }
        })
        .await;
}

/// A failed pass, told already.
#[derive(Debug, thiserror::Error)]
#[error("the pass failed")]
pub struct Failed {
    pause: Duration,
}

/// One pass over an object, readable or not.
async fn pass<K: Kind>(guarded: Arc<Guarded<K>>, context: Arc<Context>) -> Result<Action, Failed> {
    let (namespace, name) = (guarded.namespace().unwrap_or_default(), guarded.name_any());
    let id = id::<K>(&namespace, &name);
    let span = tracing::info_span!("reconcile", controller = K::CONTROLLER, namespace, name);
    async {
        let object = match &guarded.0 {
            Ok(object) => Arc::new(object.clone()),
            Err(invalid) => {
                let reason = "Malformed";
                tracing::warn!(error = %invalid, "the object cannot be read");
                context.metrics.pass(K::CONTROLLER, reason);
                context.warn(&reference(&*guarded), reason, "Read", invalid.error.clone()).await;
                unreadable(&context, &*guarded, &invalid.error).await;
                forget(&context, &id);
                return Ok(Action::await_change());
            }
        };
        match K::reconcile(object.clone(), context.clone()).await {
            Ok(action) => {
                forget(&context, &id);
                context.metrics.pass(K::CONTROLLER, "ok");
                Ok(action)
            }
            Err(problem) => {
                let (reason, message) = (problem.reason(), causes(&problem));
                tracing::warn!(reason, error = message, "the pass failed");
                context.metrics.pass(K::CONTROLLER, reason);
                context.warn(&reference(&*object), reason, "Reconcile", message.clone()).await;
                not_ready(&context, &*object, reason, &message).await;
                Err(Failed { pause: pause(&context, id.clone()) })
            }
        }
    }
    .instrument(span)
    .await
}

/// An object among all that passes fail over.
fn id<K: Kind>(namespace: &str, name: &str) -> String {
    format!("{}/{namespace}/{name}", K::CONTROLLER)
}

/// Forgets that passes over an object failed.
fn forget(context: &Context, id: &str) {
    context.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
}

/// The pause after one more failure: 1, 2, 4, 8 seconds.
fn pause(context: &Context, id: String) -> Duration {
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(id).or_default();
    let pause = SOON.saturating_mul(1u32.checked_shl(*count).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    *count = count.saturating_add(1).min(8);
    pause
}

/// Says in the condition `Ready` why a pass failed. The rest of the status stays as the last good pass wrote it.
async fn not_ready<K: Kind>(context: &Context, object: &K, reason: &str, message: &str) {
    let whole = serde_json::to_value(object).unwrap_or_default();
    let last = whole.get("status").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let conditions: Vec<Condition> =
        last.get("conditions").cloned().and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
    let mut conditions = Conditions::from(&conditions, object.meta().generation, context.now());
    for type_ in [READY].iter().chain(K::denies(reason)) {
        conditions.set(type_, false, reason, message);
    }
    let mut status = last.clone();
    if let (Some(status), Ok(list)) = (status.as_object_mut(), serde_json::to_value(conditions.into_list())) {
        status.insert("conditions".to_owned(), list);
        K::failed(status, reason, message);
    }
    if let Err(error) = context.cluster.apply_status(object, Some(&last), &status).await {
        tracing::warn!(error = %causes(&error), "the condition could not be written");
    }
}

/// Says in the condition `Ready` that an object cannot be read, and why. Its status cannot be read either, so that only
/// this one condition is written.
async fn unreadable<K: Kind>(context: &Context, guarded: &Guarded<K>, why: &str) {
    let mut conditions = Conditions::from(&[], guarded.meta().generation, context.now());
    conditions.set(READY, false, "Invalid", why);
    let written = context.cluster.apply_conditions::<K>(guarded.meta(), &conditions.into_list()).await;
    if let Err(error) = written {
        tracing::warn!(error = %causes(&error), "the condition could not be written");
    }
}

/// An error with everything that led to it, in one line.
pub fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The API of a kind: of one namespace, or of all.
pub fn api<K>(context: &Context, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    let client = context.cluster.client.clone();
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

#[cfg(test)]
mod tests;
