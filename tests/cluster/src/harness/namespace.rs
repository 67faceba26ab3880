//! A namespace for each test: what it makes there is seen by nobody else, and goes with it.

use super::{
    Cluster,
    cluster::kept,
    command::{refusal, run},
};
use anyhow::{Context, bail};
use std::{
    fmt::{self, Write},
    mem, process,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How often what cannot be watched is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// Label of the namespaces of tests.
const TEST: &str = "valo.test/test";

/// Undoes what a test did outside of its namespace.
type Undo = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

/// The namespace of a test, under the restricted level of Pod Security.
pub struct Namespace {
    cluster: Arc<Cluster>,
    name: String,
    /// Shared with the namespaces beside it.
    afterwards: Arc<Mutex<Vec<Undo>>>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Namespace").field(&self.name).finish()
    }
}

impl Namespace {
    /// Makes the namespace for a test.
    pub fn create(cluster: &Arc<Cluster>, test: &str) -> anyhow::Result<Self> {
        let short = test.rsplit("::").next().unwrap_or(test).replace('_', "-");
        // A second run on a kept cluster does not meet the first one's.
        let namespace = Self {
            cluster: cluster.clone(),
            name: format!("{short:.50}-{}", process::id()),
            afterwards: Arc::default(),
        };
        namespace.make(&format!("{TEST}: {short:.60}"))?;
        Ok(namespace)
    }

    /// A further namespace for the same test, as of somebody else. It goes with what the test did last.
    pub fn beside(&self, name: &str) -> anyhow::Result<Self> {
        let beside = Self { name: format!("{}-{name}", self.name), ..self.handle() };
        beside.afterwards(|beside| {
            beside.kubectl(&["delete", "namespace", beside.name(), "--ignore-not-found", "--timeout=60s"]).map(drop)
        });
        // Of no test by its label: what is in it is told after a failure.
        beside.make("valo.test/beside: \"true\"")?;
        Ok(beside)
    }

    fn handle(&self) -> Self {
        Self { cluster: self.cluster.clone(), name: self.name.clone(), afterwards: self.afterwards.clone() }
    }

    fn make(&self, label: &str) -> anyhow::Result<()> {
        let labels = format!("{label}, pod-security.kubernetes.io/enforce: restricted");
        let metadata = format!("{{name: {}, labels: {{{labels}}}}}", self.name);
        self.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {metadata}}}"))?;
        self.kubectl(&["wait", "--for=create", "--timeout=30s", "serviceaccount/default"]).map(drop)
    }

    /// The cluster that it is on.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `kubectl` in the namespace; what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.cluster.kubectl().args(["--namespace", &self.name]).args(arguments), "")
    }

    /// Runs `helm` in the namespace; what it printed.
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.cluster.tool("helm").args(["--namespace", &self.name]).args(arguments), "")
    }

    /// Applies objects, server-side; unknown fields are errors.
    pub fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        run(self.cluster.kubectl().args(["--namespace", &self.name]).args(APPLY), yaml).map(drop)
    }

    /// Has the API server judge objects that it should take, and make nothing of them.
    pub fn apply_dry(&self, yaml: &str) -> anyhow::Result<()> {
        run(self.cluster.kubectl().args(["--namespace", &self.name]).args(APPLY).arg(DRY), yaml).map(drop)
    }

    /// The same for objects that it has to refuse; what it says.
    pub fn apply_refused(&self, yaml: &str) -> anyhow::Result<String> {
        refusal(self.cluster.kubectl().args(["--namespace", &self.name]).args(APPLY).arg(DRY), yaml)
    }

    /// What a JSON path finds in an object, such as `pod/a` and `{.status.podIP}`.
    pub fn get(&self, object: &str, path: &str) -> anyhow::Result<String> {
        self.kubectl(&["get", object, &format!("--output=jsonpath={path}")])
    }

    /// Waits until an object is as `kubectl wait --for` says, such as `condition=Ready`.
    pub fn wait(&self, object: &str, until: &str, seconds: u64) -> anyhow::Result<()> {
        let waited = self.kubectl(&["wait", object, &format!("--for={until}"), &format!("--timeout={seconds}s")]);
        waited.with_context(|| format!("{object} never was {until}")).map(drop)
    }

    /// Looks again and again until something is so. For what `wait` cannot watch.
    pub fn until(&self, what: &str, seconds: u64, so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let last = match so() {
                Ok(true) => return Ok(()),
                Ok(false) => "not so".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > end {
                bail!("not in {seconds} s: {what}: {last}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// What there is to see after a failure, here and in the namespaces that are of no test, such as an operator's:
    /// objects, events, and the last words of every container.
    pub fn dump(&self) -> String {
        let shared = self.kubectl(&[
            "get",
            "namespaces",
            "--selector",
            &format!("!{TEST}"),
            "--output=jsonpath={.items[*].metadata.name}",
        ]);
        let shared = shared.unwrap_or_default();
        let shared = shared.split_whitespace().filter(|name| *name != "default" && !name.starts_with("kube-"));
        let mut dump = String::new();
        for name in [self.name.as_str()].into_iter().chain(shared) {
            for arguments in [
                ["get", "all,pvc,networkpolicies", "--output=wide"].as_slice(),
                &["get", "valo", "--output=wide"],
                &["get", "events", "--sort-by=.lastTimestamp"],
                &["describe", "pods"],
            ] {
                self.tell(&mut dump, name, arguments);
            }
            let pods = self.kubectl(&["get", "pods", "--namespace", name, "--output=name"]).unwrap_or_default();
            for pod in pods.lines() {
                self.tell(&mut dump, name, &["logs", pod, "--all-containers", "--prefix", "--tail=40"]);
            }
        }
        dump
    }

    fn tell(&self, dump: &mut String, namespace: &str, arguments: &[&str]) {
        let told = self.kubectl(&[&["--namespace", namespace], arguments].concat());
        let told = told.unwrap_or_else(|error| format!("{error:#}"));
        // Writing into a text does not fail.
        let _ = write!(dump, "\n--- kubectl --namespace {namespace} {}\n{told}", arguments.join(" "));
    }

    /// Has something undone when the test is over: after a failure was looked into, unlike what a test drops. The last
    /// thing asked for comes first.
    pub fn afterwards(&self, undo: impl FnOnce(&Self) -> anyhow::Result<()> + Send + 'static) {
        let handle = self.handle();
        let undo = Box::new(move || undo(&handle));
        self.afterwards.lock().unwrap_or_else(PoisonError::into_inner).push(undo);
    }

    /// Ends it after a good test, without waiting until all in it is gone.
    pub fn end(self) -> anyhow::Result<()> {
        let undos = mem::take(&mut *self.afterwards.lock().unwrap_or_else(PoisonError::into_inner));
        for undo in undos.into_iter().rev() {
            undo()?;
        }
        self.kubectl(&["delete", "namespace", &self.name, "--wait=false"]).map(drop)
    }

    /// Ends it after a failure, unless what failed is to be looked at.
    pub fn end_failed(self) -> anyhow::Result<()> {
        if kept() { Ok(()) } else { self.end() }
    }
}

const DRY: &str = "--dry-run=server";
const APPLY: [&str; 5] = ["apply", "--server-side", "--validate=strict", "--filename", "-"];
