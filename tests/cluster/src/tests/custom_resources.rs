//! The custom resources, on a real API server: it prices CEL rules and reads schemas as no test without it does.

use crate::harness::Namespace;
use anyhow::{bail, ensure};
use serde_yaml::Value;
use valo_resources_tests::{SAMPLES, cases};

const MANIFESTS: &str = "crds/manifests";

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
    let samples = SAMPLES.iter().map(|(name, text)| {
        let mut sample: Value = serde_yaml::from_str(text)?;
        if *name == "join" {
            sample["metadata"]["name"] = "joined".into();
        }
        Ok(sample)
    });
    samples.collect()
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

/// Every object of the table of wrong ones is refused by the API server, unless the operator does that.
pub fn refuse_wrong_objects(namespace: &Namespace) -> anyhow::Result<()> {
    install(namespace)?;
    let mut made: Vec<(String, String)> = Vec::new();
    let mut failures = Vec::new();
    for case in cases() {
        let mut object: Value = serde_yaml::to_value(&case.object)?;
        if let Some(old) = &case.old {
            object["metadata"]["name"] = existing(namespace, &mut made, serde_yaml::to_value(old)?)?.into();
        }
        let object = serde_yaml::to_string(&object)?;
        let told = match case.by_operator {
            true => namespace.apply_dry(&object),
            false => namespace.apply_refused(&object).and_then(|said| {
                ensure!(said.contains(&case.says), "it says:\n{said}");
                Ok(())
            }),
        };
        failures.extend(told.err().map(|error| format!("{}\n{error:#}", case.name)));
    }
    ensure!(failures.is_empty(), "{} cases of wrong.yaml:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Makes an object to be changed, unless it is there; its name.
fn existing(namespace: &Namespace, made: &mut Vec<(String, String)>, mut object: Value) -> anyhow::Result<String> {
    let yaml = serde_yaml::to_string(&object)?;
    if let Some((_, name)) = made.iter().find(|(other, _)| *other == yaml) {
        return Ok(name.clone());
    }
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = format!("{kind:.20}-{}", made.len());
    object["metadata"]["name"] = name.clone().into();
    apply(namespace, &object)?;
    made.push((yaml, name.clone()));
    Ok(name)
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
