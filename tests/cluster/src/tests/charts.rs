//! The charts, as users install them: a network within a minute, a job with a proof, scaling, and an end that leaves
//! keys and volumes only.

use crate::harness::Namespace;
use anyhow::{Context, ensure};
use std::time::Instant;

const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts");
const PRIMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/primes");
/// Where the operator is, in the tests and in the documentation.
const SYSTEM: &str = "valo-system";
/// The release, and so the Network.
const DEMO: &str = "demo";
/// Install to `Ready`, once images are loaded.
const READY_SECONDS: u64 = 60;

fn chart(name: &str) -> String {
    format!("{CHARTS}/{name}")
}

/// `PREFIX.repository=…,PREFIX.digest=…` of an image that is on every node.
fn image(namespace: &Namespace, name: &str, prefix: &str) -> anyhow::Result<String> {
    let reference = namespace.cluster().image(name)?;
    let (repository, digest) = reference.split_once('@').context("images are named by digest")?;
    Ok(format!("{prefix}.repository={repository},{prefix}.digest={digest}"))
}

/// Installs definitions and operator for one test.
fn install_operator(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.afterwards(|namespace| {
        namespace.kubectl(&["delete", "crd", "--selector=app.kubernetes.io/part-of=valo", "--timeout=60s"]).map(drop)
    });
    namespace.afterwards(|namespace| {
        namespace.helm(&["uninstall", "valo-crds", "--namespace", SYSTEM, "--ignore-not-found"])?;
        namespace.kubectl(&["delete", "namespace", SYSTEM, "--timeout=60s"]).map(drop)
    });
    let system = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {SYSTEM}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
    );
    namespace.apply(&system)?;
    // Helm keeps what it knows of a release as a Secret: not among those of the network.
    namespace.helm(&["install", "valo-crds", &chart("valo-crds"), "--namespace", SYSTEM])?;
    namespace.afterwards(uninstall_operator);
    let (own, node) = (image(namespace, "operator", "image")?, image(namespace, "node", "nodeImage")?);
    let images = format!("{own},{node},image.pullPolicy=Never");
    let operator = chart("valo-operator");
    namespace
        .helm(&[
            "install",
            "valo-operator",
            &operator,
            "--namespace",
            SYSTEM,
            "--set",
            &images,
            "--wait",
            "--timeout=120s",
        ])
        .map(drop)
}

fn uninstall_operator(namespace: &Namespace) -> anyhow::Result<()> {
    let arguments = ["uninstall", "valo-operator", "--namespace", SYSTEM, "--ignore-not-found", "--wait"];
    namespace.helm(&arguments).map(drop)
}

/// Installs the network with the chart's defaults, but for the image; after how many seconds it was ready.
fn install_network(namespace: &Namespace) -> anyhow::Result<u64> {
    namespace.afterwards(uninstall_network);
    let test = image(namespace, "node", "test.image")?;
    let values = format!("{test},image.pullPolicy=Never");
    let before = Instant::now();
    namespace.helm(&["install", DEMO, &chart("valo-cluster"), "--set", &values])?;
    namespace.wait(&format!("network/{DEMO}"), "condition=Ready", 240)?;
    let seconds = before.elapsed().as_secs();
    eprintln!("Network Ready after {seconds} s");
    namespace.wait("nodetier/demo-validators", "condition=Ready", 120)?;
    namespace.wait("nodetier/demo-workers", "condition=Ready", 120)?;
    eprintln!("all nodes active after {} s", before.elapsed().as_secs());
    Ok(seconds)
}

fn uninstall_network(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.helm(&["uninstall", DEMO, "--ignore-not-found"])?;
    let gone = ["delete", "jobcontracts,nodetiers,wallets,networks", "--all", "--timeout=240s"];
    namespace.kubectl(&gone).map(drop)
}

/// A job by `kubectl apply`, to its last word; its number.
fn compute(namespace: &Namespace, name: &str) -> anyhow::Result<String> {
    let file = format!("--from-file={PRIMES}/primes.wasm");
    namespace.kubectl(&["create", "configmap", name, &file])?;
    let job = format!(
        "
apiVersion: valo.network/v1alpha1
kind: JobContract
metadata: {{name: {name}}}
spec:
  networkRef: {{name: demo}}
  walletRef: {{name: demo-owner}}
  filesFrom: [{{configMapRef: {{name: {name}}}}}]
  budget: \"1\"
  deadline: 10m
  stages:
  - name: search
    tier: small
    shards: 8
    wasm: {{module: primes.wasm, args: [\"--from\", \"1000000000\", \"--to\", \"1001000000\"], fuel: 500M, memory: 16Mi}}
  result: {{merge: concatenate, retention: 1h}}
"
    );
    namespace.apply(&job)?;
    let object = format!("jobcontract/{name}");
    namespace.wait(&object, "condition=Complete", 240)?;
    let number = namespace.get(&object, "{.status.job}")?;
    let command = namespace.get(&object, "{.status.result.command}")?;
    ensure!(!command.is_empty(), "{object} does not say how its result is fetched");
    Ok(number)
}

/// Proves a job's result from the genesis on; fails unless all that is checked is right.
fn verify(namespace: &Namespace, job: &str) -> anyhow::Result<()> {
    let genesis = "/etc/valo-genesis/genesis.json";
    let endpoint = "http://127.0.0.1:8080";
    let valo = ["exec", "demo-validators-0", "--", "valo", "--endpoint", endpoint, "verify", job, "--genesis", genesis];
    let said = namespace.kubectl(&valo)?;
    ensure!(said.contains("verdicts"), "{said}");
    Ok(())
}

pub fn install_compute_and_leave(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let seconds = install_network(namespace)?;
    let job = compute(namespace, "primes")?;
    verify(namespace, &job)?;
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

/// Scales a tier, and waits until cluster and chain have it.
fn scale(namespace: &Namespace, tier: &str, replicas: u32) -> anyhow::Result<()> {
    let object = format!("nodetier/{tier}");
    let before = Instant::now();
    namespace.kubectl(&["scale", &object, &format!("--replicas={replicas}")])?;
    let path = "{.status.observedGeneration}={.metadata.generation} {.status.replicas} {.status.readyReplicas}";
    namespace.until(&format!("{tier} has {replicas} nodes"), 240, || {
        let seen = namespace.get(&object, path)?;
        let (generations, counts) = seen.split_once(' ').unwrap_or_default();
        let is_current = generations.split_once('=').is_some_and(|(seen, wanted)| seen == wanted);
        ensure!(is_current && counts == format!("{replicas} {replicas}"), "{seen}");
        Ok(true)
    })?;
    let selector = format!("--selector=valo.network/node-tier={tier}");
    namespace.until(&format!("{tier} has {replicas} pods"), 60, || {
        let pods = namespace.kubectl(&["get", "pods", &selector, "--output=name"])?;
        Ok(pods.lines().count() == usize::try_from(replicas)?)
    })?;
    eprintln!("{tier} scaled to {replicas} in {} s", before.elapsed().as_secs());
    Ok(())
}

/// Workers 3, 6, 2 and back to 3; validators 4, 5, 4: nobody is jailed, and a job is computed at the end.
pub fn scale_there_and_back(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    install_network(namespace)?;
    scale(namespace, "demo-workers", 6)?;
    scale(namespace, "demo-workers", 2)?;
    scale(namespace, "demo-validators", 5)?;
    scale(namespace, "demo-validators", 4)?;
    scale(namespace, "demo-workers", 3)?;
    let states = namespace.get("nodetiers", "{.items[*].status.nodes[*].state}")?;
    ensure!(!states.contains("jailed"), "{states}");
    verify(namespace, &compute(namespace, "primes")?)
}

/// The operator's pods, a validator and a worker are killed while a job is computed.
pub fn pods_are_killed(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    install_network(namespace)?;
    let kill = ["--grace-period=0", "--force", "--wait=false"];
    let delete = |what: &[&str]| namespace.kubectl(&[&["delete", "pods"], what, &kill].concat());
    delete(&["--namespace", SYSTEM, "--all"])?;
    delete(&["demo-validators-1", "demo-workers-2"])?;
    let job = compute(namespace, "primes")?;
    verify(namespace, &job)?;
    for tier in ["nodetier/demo-validators", "nodetier/demo-workers"] {
        namespace.wait(tier, "condition=Ready", 120)?;
    }
    let arguments = ["rollout", "status", "deployment/valo-operator", "--namespace", SYSTEM, "--timeout=60s"];
    namespace.kubectl(&arguments).map(drop)
}
