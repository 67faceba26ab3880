//! The custom resources, on a real API server: it prices CEL rules and reads schemas as no test without it does.

use crate::harness::Namespace;
use anyhow::{Context, bail, ensure};
use serde_yaml::Value;
use std::fs;

const MANIFESTS: &str = "crds/manifests";
const SAMPLES: &str = "tests/resources/src/samples";

/// Creates the definitions of all kinds, for one test only, and waits until the API server serves them.
fn install(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.afterwards(|namespace| {
        // Waits for them: the next test creates its own.
        namespace.kubectl(&["delete", "--ignore-not-found", "--timeout=60s", "--filename", MANIFESTS]).map(drop)
    });
    namespace.kubectl(&["apply", "--server-side", "--validate=strict", "--filename", MANIFESTS])?;
    namespace.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "--filename", MANIFESTS]).map(drop)
}

/// The samples of the custom resources' own tests, each under a name of its own.
fn samples() -> anyhow::Result<Vec<Value>> {
    let mut samples = Vec::new();
    for entry in fs::read_dir(SAMPLES)? {
        let path = entry?.path();
        let mut sample: Value = serde_yaml::from_str(&fs::read_to_string(&path)?)?;
        if path.file_stem().is_some_and(|stem| stem == "join") {
            sample["metadata"]["name"] = "joined".into();
        }
        samples.push(sample);
    }
    ensure!(!samples.is_empty(), "no samples in {SAMPLES}");
    Ok(samples)
}

/// A sample by its kind and the beginning of its name.
fn sample(kind: &str, name: &str) -> anyhow::Result<Value> {
    let found = samples()?.into_iter().find(|sample| {
        sample["kind"] == kind && sample["metadata"]["name"].as_str().is_some_and(|found| found.starts_with(name))
    });
    found.with_context(|| format!("no sample {kind} {name}"))
}

fn apply(namespace: &Namespace, object: &Value) -> anyhow::Result<()> {
    namespace.apply(&serde_yaml::to_string(object)?)
}

pub fn are_accepted(namespace: &Namespace) -> anyhow::Result<()> {
    install(namespace)?;
    let structural = r#"{range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="NonStructuralSchema")].message}{"\n"}{end}"#;
    let complaints = namespace.get("customresourcedefinitions", structural)?;
    ensure!(
        complaints.lines().all(|line| line.trim_end().ends_with("valo.network")),
        "schemas are not structural:\n{complaints}"
    );
    for sample in samples()? {
        apply(namespace, &sample)?;
        // Once more with a change: the rules for changes are priced and run too.
        let mut changed = sample.clone();
        changed["metadata"]["labels"]["changed"] = "once".into();
        apply(namespace, &changed)?;
    }
    Ok(())
}

/// A sample with one field changed, which has to be refused.
struct Wrong {
    kind: &'static str,
    /// The sample's name, or its beginning.
    name: &'static str,
    /// The field, below `spec`.
    path: &'static [&'static str],
    /// Its wrong value, as YAML.
    value: &'static str,
    /// What the refusal has to name.
    says: &'static str,
}

const fn wrong(
    kind: &'static str,
    name: &'static str,
    path: &'static [&'static str],
    value: &'static str,
    says: &'static str,
) -> Wrong {
    Wrong { kind, name, path, value, says }
}

/// Refused when it is new.
const NEW: &[Wrong] = &[
    wrong("Network", "demo", &["chain", "preset"], "fast", "spec.chain.preset"),
    wrong("Network", "demo", &["chain", "validators"], "[]", "spec.chain.validators"),
    wrong("Network", "demo", &["join"], "{genesisHash: ab}", "spec.join.genesisHash"),
    wrong("Network", "demo", &["colour"], "red", "spec.colour"),
    wrong("NodeTier", "workers", &["replicas"], "-1", "spec.replicas"),
    wrong("NodeTier", "workers", &["role"], "validator", "spec.tier"),
    wrong("NodeTier", "workers", &["stake"], "{perNode: \"1\", walletRef: {name: alice}}", "spec.stake"),
    wrong("NodeTier", "workers", &["storage", "size"], "much", "spec.storage.size"),
    wrong("Wallet", "bob", &["fundFrom", "amount"], "\"-1\"", "spec.fundFrom.amount"),
    wrong("JobContract", "digits", &["budget"], "many", "spec.budget"),
    wrong("JobContract", "digits", &["deadline"], "soon", "spec.deadline"),
    wrong("JobContract", "digits", &["stages"], "[]", "spec.stages"),
];

/// Refused because it was something else.
const CHANGED: &[Wrong] = &[
    wrong("Network", "demo", &["chain", "name"], "other", "spec.chain is immutable"),
    wrong("NodeTier", "workers", &["role"], "full", "spec.role is immutable"),
    wrong("NodeTier", "workers", &["networkRef", "name"], "other", "spec.networkRef is immutable"),
    wrong("Wallet", "bob", &["networkRef", "name"], "other", "spec.networkRef is immutable"),
    wrong("JobContract", "digits", &["budget"], "\"6\"", "spec.budget is immutable"),
    wrong("ConsensusKeyReservation", "abab", &["holder", "pod"], "validators-1", "spec is immutable"),
];

pub fn refuse_wrong_objects(namespace: &Namespace) -> anyhow::Result<()> {
    install(namespace)?;
    for new in NEW {
        new.refused(namespace)?;
    }
    for changed in CHANGED {
        apply(namespace, &sample(changed.kind, changed.name)?)?;
        changed.refused(namespace)?;
    }
    Ok(())
}

impl Wrong {
    fn refused(&self, namespace: &Namespace) -> anyhow::Result<()> {
        let object = with(sample(self.kind, self.name)?, self.path, self.value)?;
        let said = namespace.apply_refused(&serde_yaml::to_string(&object)?)?;
        let field = self.path.join(".");
        ensure!(
            said.contains(self.says),
            "{}: {field}: {} was refused without {:?}:\n{said}",
            self.kind,
            self.value,
            self.says
        );
        Ok(())
    }
}

/// An object with a field of its specification set to some YAML.
fn with(mut object: Value, path: &[&str], yaml: &str) -> anyhow::Result<Value> {
    let mut place = &mut object["spec"];
    for name in path {
        place = &mut place[*name];
    }
    *place = serde_yaml::from_str(yaml)?;
    Ok(object)
}

pub fn list_explain_and_scale(namespace: &Namespace) -> anyhow::Result<()> {
    install(namespace)?;
    for sample in samples()? {
        apply(namespace, &sample)?;
    }
    let listed = namespace.kubectl(&["get", "valo", "--all-namespaces", "--no-headers"])?;
    for sample in samples()? {
        ensure!(
            lists(&listed, &sample, namespace.name()),
            "kubectl get valo --all-namespaces lacks {sample:?}:\n{listed}"
        );
    }
    explained(namespace)?;
    namespace.kubectl(&["scale", "nodetier/workers", "--replicas=8"])?;
    let replicas = namespace.get("nodetier/workers", "{.spec.replicas}")?;
    ensure!(replicas == "8", "scaled to 8, and got {replicas}");
    Ok(())
}

/// Whether a list of objects of all kinds and namespaces has a line for an object.
fn lists(listed: &str, object: &Value, namespace: &str) -> bool {
    let (kind, name) =
        (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
    let full = format!("{}.valo.network/{name}", kind.to_lowercase());
    // What is of no namespace has a gap in its place.
    let space = if kind == "ConsensusKeyReservation" { None } else { Some(namespace) };
    listed.lines().any(|line| {
        let mut words = line.split_whitespace();
        (space.is_none() || words.next() == space) && words.next() == Some(full.as_str())
    })
}

/// `kubectl explain` has a sentence for every kind, and for every field of every specification.
fn explained(namespace: &Namespace) -> anyhow::Result<()> {
    for kind in ["networks", "nodetiers", "wallets", "jobcontracts", "shardgroups", "consensuskeyreservations"] {
        // The API server publishes schemas a moment after it serves the kind.
        namespace.until("kubectl explains it", 10, || Ok(namespace.kubectl(&["explain", kind]).is_ok()))?;
        let whole = namespace.kubectl(&["explain", kind, "--recursive"])?;
        ensure!(!whole.contains("<empty>"), "{kind} has no description:\n{whole}");
        let said = namespace.kubectl(&["explain", &format!("{kind}.spec")])?;
        if said.contains("<no description>") || said.contains("<empty>") {
            bail!("fields of {kind}.spec have no description:\n{said}");
        }
    }
    Ok(())
}
