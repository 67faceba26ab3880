//! The charts, as users install them: a network within a minute, a job with a proof, scaling, and an end that leaves
//! keys and volumes only.

use crate::{
    harness::Namespace,
    valo::{Release, SYSTEM, chart, install_operator, uninstall_operator},
};
use anyhow::ensure;
use std::time::Instant;

/// The release, and so the Network.
const DEMO: &str = "demo";
/// Install to `Ready`, once images are loaded.
const READY_SECONDS: u64 = 60;

/// Installs the chart with its defaults; after how many seconds it was ready.
fn demo(namespace: &Namespace) -> anyhow::Result<(Release<'_>, u64)> {
    let release = Release::install(namespace, DEMO, &[])?;
    let seconds = release.ready(&["validators", "workers"])?;
    Ok((release, seconds))
}

pub fn install_compute_and_leave(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let (release, seconds) = demo(namespace)?;
    release.verify(&release.compute("primes")?)?;
    restarts_nobody(&release)?;
    let tested = namespace.helm(&["test", DEMO, "--timeout=240s"])?;
    // What its pod says goes to standard error; the pod fails unless the result is proved.
    ensure!(tested.contains("Succeeded"), "helm test said\n{tested}");

    namespace.kubectl(&["delete", "jobcontract/primes", "configmap/primes", "--timeout=60s"])?;
    let before = Instant::now();
    namespace.helm(&["uninstall", DEMO])?;
    namespace.until("all objects of the release are gone", 120, || {
        Ok(namespace.kubectl(&["get", "networks,nodetiers,wallets,shardgroups", "--output=name"])?.is_empty())
    })?;
    eprintln!("gone after {} s", before.elapsed().as_secs());
    only_what_is_retained(namespace)?;
    uninstall_operator(namespace)?;
    let definitions = namespace.kubectl(&["get", "crd", "--output=name"])?;
    let ours = definitions.lines().filter(|name| name.ends_with(".valo.network")).count();
    ensure!(ours == 6, "definitions:\n{definitions}");
    ensure!(seconds < READY_SECONDS, "Network Ready took {seconds} s");
    Ok(())
}

/// An upgrade of the release and of the operator that asks nothing else of the nodes.
fn restarts_nobody(release: &Release<'_>) -> anyhow::Result<()> {
    let namespace = release.namespace;
    let path = "{range .items[*]}{.metadata.name}={.metadata.uid} {end}";
    let selector = format!("--selector=valo.network/network={}", release.name);
    let pods = || namespace.kubectl(&["get", "pods", &selector, &format!("--output=jsonpath={path}")]);
    let before = pods()?;
    let keep = "--reset-then-reuse-values";
    namespace.helm(&["upgrade", DEMO, &chart("valo-cluster"), keep, "--set", "labels.team=a"])?;
    let operator = ["upgrade", "valo-operator", &chart("valo-operator"), "--namespace", SYSTEM, keep];
    namespace.helm(&[&operator[..], &["--set", "podAnnotations.team=a", "--wait", "--timeout=120s"]].concat())?;
    // The new operator has looked at everything when it has written what it saw last.
    let height = || namespace.get(&format!("network/{DEMO}"), "{.status.height}");
    let seen = height()?;
    namespace.until("the new operator works", 30, || Ok(height()? != seen))?;
    let after = pods()?;
    ensure!(before == after, "pods were replaced: {before} and then {after}");
    Ok(())
}

/// Keys and volumes, and what Kubernetes puts into every namespace.
fn only_what_is_retained(namespace: &Namespace) -> anyhow::Result<()> {
    let kinds = namespace.kubectl(&["api-resources", "--namespaced", "--verbs=list", "--output=name"])?;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let left = || namespace.kubectl(&["get", &kinds.join(","), "--output=name"]);
    let retained = |name: &str| {
        let key = name.starts_with("secret/demo-") && (name.ends_with("-node-key") || is_wallet(name));
        let volume = name.starts_with("persistentvolumeclaim/data-demo-");
        key || volume || ["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(&name)
    };
    namespace.until("nothing is left but what is retained", 60, || {
        let left = left()?;
        let more: Vec<_> = left.lines().filter(|name| !retained(name)).collect();
        ensure!(more.is_empty(), "left: {}", more.join(" "));
        Ok(true)
    })?;
    let left = left()?;
    eprintln!("left: {}", left.lines().collect::<Vec<_>>().join(" "));
    // 4 validators, 3 workers; the owner's wallet and one for each worker.
    let count = |prefix: &str| left.lines().filter(|name| name.starts_with(prefix)).count();
    ensure!(count("secret/") == 7 + 4 && count("persistentvolumeclaim/") == 7, "{left}");
    let reserved = namespace.kubectl(&["get", "consensuskeyreservations", "--output=name"])?;
    ensure!(reserved.is_empty(), "keys are still reserved: {reserved}");
    Ok(())
}

fn is_wallet(secret: &str) -> bool {
    secret == "secret/demo-owner" || secret.starts_with("secret/demo-workers-")
}

/// Workers 3, 6, 2 and back to 3; validators 4, 5, 4: nobody is jailed, and a job is computed at the end.
pub fn scale_there_and_back(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let (release, _) = demo(namespace)?;
    release.scale("workers", 6)?;
    release.scale("workers", 2)?;
    release.scale("validators", 5)?;
    release.scale("validators", 4)?;
    release.scale("workers", 3)?;
    let states = namespace.get("nodetiers", "{.items[*].status.nodes[*].state}")?;
    ensure!(!states.contains("jailed"), "{states}");
    release.verify(&release.compute("primes")?)
}

/// The operator's pods, a validator and a worker are killed while a job is computed.
pub fn pods_are_killed(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let (release, _) = demo(namespace)?;
    let kill = ["--grace-period=0", "--force", "--wait=false"];
    let delete = |what: &[&str]| namespace.kubectl(&[&["delete", "pods"], what, &kill].concat());
    delete(&["--namespace", SYSTEM, "--all"])?;
    delete(&["demo-validators-1", "demo-workers-2"])?;
    release.verify(&release.compute("primes")?)?;
    for tier in ["nodetier/demo-validators", "nodetier/demo-workers"] {
        namespace.wait(tier, "condition=Ready", 120)?;
    }
    let arguments = ["rollout", "status", "deployment/valo-operator", "--namespace", SYSTEM, "--timeout=60s"];
    namespace.kubectl(&arguments).map(drop)
}
