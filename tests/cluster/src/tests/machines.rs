//! Machines are drained, lose their kubelet or their power: consensus goes on, and no key signs twice.

use crate::{
    harness::Namespace,
    valo::{Outside, Release, install_operator},
};
use anyhow::{Context, ensure};
use std::{sync::mpsc, thread, time::Duration};

/// The machine of a pod.
fn machine_of(namespace: &Namespace, pod: &str) -> anyhow::Result<String> {
    namespace.get(&format!("pod/{pod}"), "{.spec.nodeName}")
}

/// Pods of validators that are ready.
fn ready_validators(namespace: &Namespace) -> anyhow::Result<usize> {
    let path = "{.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    let selector = "--selector=valo.network/node-tier=demo-validators";
    let seen = namespace.kubectl(&["get", "pods", selector, &format!("--output=jsonpath={path}")])?;
    Ok(seen.split_whitespace().filter(|status| *status == "True").count())
}

/// `kubectl drain` takes validators from a machine one after the other.
pub fn a_drain_leaves_a_quorum(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let selector = "--selector=valo.network/node-tier=demo-validators";
    let placed = namespace.kubectl(&["get", "pods", selector, "--output=jsonpath={.items[*].spec.nodeName}"])?;
    let placed: Vec<&str> = placed.split_whitespace().collect();
    let count = |machine: &str| placed.iter().filter(|found| **found == machine).count();
    let machine = placed.iter().copied().max_by_key(|machine| count(machine)).context("no pods")?;
    ensure!(count(machine) >= 2, "validators are on {placed:?}: one machine has none to choose among");

    namespace.afterwards(|namespace| {
        let cordoned = namespace.get("nodes", "{.items[?(@.spec.unschedulable==true)].metadata.name}")?;
        cordoned.split_whitespace().try_for_each(|machine| namespace.kubectl(&["uncordon", machine]).map(drop))
    });
    let fewest = thread::scope(|scope| -> anyhow::Result<usize> {
        let (stop, stopped) = mpsc::channel::<()>();
        let watch = scope.spawn(move || -> anyhow::Result<usize> {
            let mut fewest = usize::MAX;
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(300)) {
                fewest = fewest.min(ready_validators(namespace)?);
            }
            Ok(fewest)
        });
        let drain = ["drain", machine, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=200s"];
        let drained = namespace.kubectl(&drain);
        drop(stop);
        drained?;
        watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?
    })?;
    eprintln!("{machine} had {} validators; while it was drained {fewest} were ready at least", count(machine));
    ensure!(fewest >= 3, "{fewest} validators were ready");
    release.scaled("validators", 4)?;
    let left = namespace.kubectl(&["get", "pods", selector, "--output=jsonpath={.items[*].spec.nodeName}"])?;
    ensure!(!left.contains(machine), "validators are on {left}");
    namespace.kubectl(&["uncordon", machine])?;
    release.verify(&release.compute("primes")?)
}

/// A kubelet dies: its containers run on. Somebody forces the pod of a validator away, and another starts while the
/// first still signs: it has to stay down until the first is gone.
pub fn a_forced_pod_signs_with_nobody(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let pod = "demo-validators-1";
    let machine = machine_of(namespace, pod)?;
    let kubelet = format!("{machine}/kubelet");
    namespace.cluster().kill(&kubelet)?;
    let restart = kubelet.clone();
    namespace.afterwards(move |namespace| {
        namespace.cluster().restart(&restart)?;
        Ok(())
    });
    namespace.wait(&format!("node/{machine}"), "condition=Ready=Unknown", 90)?;
    namespace.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"])?;
    let object = format!("pod/{pod}");
    namespace.until("a pod takes its place on another machine, and says why it ends", 60, || {
        // Its last words are in its status: of the containers that ended the kubelet keeps the newest one only.
        let ended = "{.status.containerStatuses[0].state.terminated.message}{.status.containerStatuses[0].lastState.terminated.message}";
        let seen = namespace.get(&object, &format!("{{.spec.nodeName}} {ended}"))?;
        let (at, said) = seen.split_once(' ').unwrap_or_default();
        ensure!(at != machine, "it is back on {at}");
        // It started, saw that the folder is in use, and ended.
        Ok(said.contains("another") || said.contains("in use") || said.contains("runs from"))
    })?;
    ensure!(namespace.get(&object, "{.status.containerStatuses[0].ready}")? != "true", "two nodes have one key");
    // Consensus goes on with the three others at least.
    release.verify(&release.compute("primes")?)?;

    namespace.cluster().restart(&kubelet)?;
    release.scaled("validators", 4)?;
    release.scaled("workers", 3)
}

/// A machine loses its power, with a validator on it, and comes back.
pub fn a_machine_is_lost_and_comes_back(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let pods = namespace.get("pods", "{range .items[*]}{.metadata.name}={.spec.nodeName} {end}")?;
    let system = namespace.kubectl(&[
        "get",
        "pods",
        "--namespace",
        "valo-system",
        "--output=jsonpath={.items[*].spec.nodeName}",
    ])?;
    let validators = |machine: &str| {
        pods.split_whitespace().filter(|pod| pod.starts_with("demo-validators") && pod.ends_with(machine)).count()
    };
    let machine = ["node-3", "node-2"].into_iter().find(|machine| validators(machine) == 1);
    let machine = machine.with_context(|| format!("no machine has one validator: {pods}"))?;
    eprintln!("{machine} loses power; the operator is on {system}");
    namespace.cluster().kill(machine)?;
    namespace.afterwards(move |namespace| namespace.cluster().restart(machine));
    namespace.wait(&format!("node/{machine}"), "condition=Ready=Unknown", 90)?;
    let alive = pods.split_whitespace().filter_map(|pod| pod.split_once('='));
    let mut alive =
        alive.filter(|(name, at)| name.starts_with("demo-validators") && *at != machine).map(|(name, _)| name);
    let alive = alive.next().context("no validator is alive")?;
    let height = || -> anyhow::Result<u64> {
        let endpoint = ["valo", "--endpoint", "http://127.0.0.1:8080", "block", "list", "--limit", "1", "-o", "json"];
        let said = namespace.kubectl(&[&["exec", alive, "--"], &endpoint[..]].concat())?;
        let blocks: serde_json::Value = serde_json::from_str(&said)?;
        blocks[0]["height"].as_u64().with_context(|| said)
    };
    let before = height()?;
    namespace.until("the chain goes on", 30, || Ok(height()? >= before + 5))?;
    namespace.cluster().restart(machine)?;
    release.scaled("validators", 4)?;
    release.scaled("workers", 3)?;
    release.verify(&release.compute("primes")?)
}

/// The volume of a validator is lost: under its old key it signs nothing until it is sure, and is a validator again.
pub fn a_validator_loses_its_volume(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let (pod, claim) = ("pod/demo-validators-2", "pvc/data-demo-validators-2");
    let before = namespace.get(claim, "{.metadata.uid}")?;
    namespace.kubectl(&["delete", claim, "--wait=false"])?;
    namespace.kubectl(&["delete", pod])?;
    namespace.until("there is another volume", 60, || {
        let now = namespace.get(claim, "{.metadata.uid}")?;
        Ok(!now.is_empty() && now != before)
    })?;
    release.scaled("validators", 4)?;
    let said = namespace.kubectl(&["logs", "demo-validators-2"])?;
    let waits = said.find("this folder is new").context("it did not see that its folder is new")?;
    let votes = said.find("signed nothing above").with_context(|| format!("it never was sure:\n{said}"))?;
    ensure!(waits < votes, "{said}");
    release.verify(&release.compute("primes")?)
}

/// Somebody copies the key of a validator into another namespace, and runs a tier with it.
pub fn a_copied_key_stays_down(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let theirs = namespace.beside("copy")?;
    let key = namespace.kubectl(&["get", "secret", "demo-validators-0-node-key", "--output=jsonpath={.data.key}"])?;
    let labels = "{app.kubernetes.io/component: node-key, app.kubernetes.io/managed-by: valo-operator, app.kubernetes.io/name: valo, valo.network/network: mine, valo.network/node-tier: mine-validators}";
    theirs.apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: mine-validators-0-node-key, labels: {labels}}}, data: {{key: {key}}}}}"
    ))?;
    let join = super::join::join_inside(&release)?;
    let validators = "nodeTiers={\"validators\": {\"replicas\": 1}, \"workers\": null}";
    let second = Release::install(&theirs, "mine", &["--set-json", &join, "--set-json", validators])?;
    let tier = second.tier("validators");
    theirs.wait(&tier, "condition=Degraded", 60)?;
    let why = theirs.get(&tier, "{.status.conditions[?(@.type==\"Degraded\")].reason}")?;
    ensure!(why == "KeyReserved", "{why}");
    let pods = theirs.kubectl(&["get", "pods", "--output=name"])?;
    ensure!(pods.is_empty(), "{pods}");
    // Nor as a node of another role, in the namespace of the first.
    let labels = "{app.kubernetes.io/component: node-key, app.kubernetes.io/managed-by: valo-operator, app.kubernetes.io/name: valo, valo.network/network: demo, valo.network/node-tier: spy}";
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: spy-0-node-key, labels: {labels}}}, data: {{key: {key}}}}}"
    ))?;
    namespace.apply("{apiVersion: valo.network/v1alpha1, kind: NodeTier, metadata: {name: spy}, spec: {networkRef: {name: demo}, role: full, replicas: 1}}")?;
    namespace.wait("nodetier/spy", "condition=Degraded", 60)?;
    let why = namespace.get("nodetier/spy", "{.status.conditions[?(@.type==\"Degraded\")].reason}")?;
    ensure!(why == "KeyReserved", "{why}");
    let spies = namespace.kubectl(&["get", "pods", "--selector=valo.network/node-tier=spy", "--output=name"])?;
    ensure!(spies.is_empty(), "{spies}");
    namespace.kubectl(&["delete", "nodetier/spy", "--timeout=60s"])?;
    // Nor is the node taken off the chain by whoever has its key.
    theirs.helm(&["uninstall", "mine"])?;
    theirs.until("it ends", 60, || Ok(theirs.kubectl(&["get", "nodetiers,networks", "--output=name"])?.is_empty()))?;
    let outside = Outside::of(&release)?;
    let nodes = outside.json(&["node", "list"])?;
    let active = nodes.as_array().context("no nodes")?.iter();
    let active = active.filter(|node| node["role"] == "validator" && node["state"] == "active").count();
    ensure!(active == 4, "{nodes}");
    release.scaled("validators", 4)
}
