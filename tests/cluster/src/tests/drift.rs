//! Chain and cluster agree at most 10 s after anything changes, by anyone's hand.

use crate::{
    harness::Namespace,
    valo::{Outside, Release, SYSTEM, install_operator},
};
use anyhow::{Context, ensure};
use std::{thread, time::Instant};

/// The promise.
const SECONDS: u64 = 10;

/// What somebody does to an object of the operator, and what has to be as before.
struct Hand {
    object: &'static str,
    /// What is compared.
    path: &'static str,
    act: Act,
}

enum Act {
    Delete(&'static [&'static str]),
    /// A merge patch.
    Edit(&'static str),
}

const fn deleted(object: &'static str, path: &'static str) -> Hand {
    Hand { object, path, act: Act::Delete(&[]) }
}

const fn edited(object: &'static str, path: &'static str, patch: &'static str) -> Hand {
    Hand { object, path, act: Act::Edit(patch) }
}

const SERVICE: &str = "{.spec.selector}{.spec.ports}{.spec.publishNotReadyAddresses}";
const SPEC: &str = "{.spec}";
const DATA: &str = "{.data}";

const HANDS: &[Hand] = &[
    deleted("service/demo-validators-nodes", SERVICE),
    deleted("service/demo-workers", SERVICE),
    deleted("service/demo-api", SERVICE),
    deleted("poddisruptionbudget/demo-validators", SPEC),
    deleted("networkpolicy/demo-validators", SPEC),
    deleted("configmap/demo-workers-config", DATA),
    deleted("configmap/demo-genesis", DATA),
    deleted("shardgroup/demo-small-0", "{.spec}"),
    Hand {
        object: "statefulset/demo-workers",
        path: "{.spec.replicas}{.spec.template}",
        act: Act::Delete(&["--cascade=orphan"]),
    },
    edited("service/demo-workers", SERVICE, r#"{"spec": {"selector": {"valo.network/node-tier": "nobody"}}}"#),
    edited("poddisruptionbudget/demo-validators", SPEC, r#"{"spec": {"maxUnavailable": 4}}"#),
    edited("networkpolicy/demo-validators", SPEC, r#"{"spec": {"ingress": [{}]}}"#),
    edited("configmap/demo-workers-config", DATA, r#"{"data": {"config.yaml": "name: x"}}"#),
    edited("statefulset/demo-workers", "{.spec.replicas}", r#"{"spec": {"replicas": 2}}"#),
];

pub fn hands_are_undone(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    for hand in HANDS {
        hand.undone(namespace)?;
    }
    let before = Instant::now();
    let uid = namespace.get("pod/demo-validators-2", "{.metadata.uid}")?;
    namespace.kubectl(&["delete", "pod/demo-validators-2", "--wait=false"])?;
    namespace.until("the pod is there again", 60, || {
        let seen = namespace.get("pod/demo-validators-2", "{.metadata.uid} {.status.phase}")?;
        Ok(!seen.starts_with(&uid) && seen.ends_with("Running"))
    })?;
    eprintln!("a deleted pod ran again after {:.1} s", before.elapsed().as_secs_f64());
    release.scaled("validators", 4)?;
    release.scaled("workers", 3)?;
    eprintln!("and was part of it after {:.1} s", before.elapsed().as_secs_f64());
    release.verify(&release.compute("primes")?)
}

impl Hand {
    fn undone(&self, namespace: &Namespace) -> anyhow::Result<()> {
        let Self { object, path, .. } = self;
        let (before, uid) = (namespace.get(object, path)?, namespace.get(object, "{.metadata.uid}")?);
        ensure!(!before.is_empty(), "{object} has no {path}");
        let began = Instant::now();
        let what = match self.act {
            Act::Delete(more) => {
                namespace.kubectl(&[&["delete", object, "--wait=false"], more].concat())?;
                "deleted"
            }
            Act::Edit(patch) => {
                namespace.kubectl(&["patch", object, "--type=merge", "--patch", patch])?;
                "edited"
            }
        };
        namespace.until(&format!("{object} is as before it was {what}"), SECONDS, || {
            let seen = namespace.get(object, &format!("{{.metadata.uid}} {path}"))?;
            let (now, seen) = seen.split_once(' ').unwrap_or_default();
            let is_anew = now != uid || matches!(self.act, Act::Edit(_));
            ensure!(is_anew && seen == before, "{seen}");
            Ok(true)
        })?;
        eprintln!("{object} {what}: undone after {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The operator is away while a job ends, and while what it made is taken away; then it is killed.
pub fn the_operator_is_away(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let outside = Outside::of(&release)?;
    let operator = |arguments: &[&str]| namespace.kubectl(&[&["--namespace", SYSTEM], arguments].concat());
    let deployment = "deployment/valo-operator";

    release.submit("primes")?;
    namespace.wait("jobcontract/primes", "condition=Submitted", 60)?;
    operator(&["scale", deployment, "--replicas=0"])?;
    let selector = "--selector=app.kubernetes.io/name=valo-operator";
    operator(&["wait", "pods", selector, "--for=delete", "--timeout=60s"])?;
    let job = namespace.get("jobcontract/primes", "{.status.job}")?;
    let phase = || Ok::<_, anyhow::Error>(outside.json(&["job", "status", &job])?["phase"].clone());
    namespace.until("the job is final", 120, || Ok(phase()? == "final"))?;
    let seen = namespace.get("jobcontract/primes", "{.status.conditions[?(@.type==\"Complete\")].status}")?;
    ensure!(seen != "True", "nobody was there to see it");
    namespace.kubectl(&["delete", "poddisruptionbudget/demo-validators", "networkpolicy/demo-workers"])?;

    operator(&["scale", deployment, "--replicas=2"])?;
    operator(&["rollout", "status", deployment, "--timeout=60s"])?;
    agrees(namespace, "the operator is back", || {
        namespace.get("poddisruptionbudget/demo-validators", "{.spec.maxUnavailable}").context("budget")?;
        namespace.get("networkpolicy/demo-workers", "{.spec.policyTypes}").context("policy")?;
        let complete = namespace.get("jobcontract/primes", "{.status.conditions[?(@.type==\"Complete\")].status}")?;
        Ok(complete == "True")
    })?;

    // Killed, and what it would have mended is taken away in the same moment.
    operator(&["delete", "pods", selector, "--grace-period=0", "--force", "--wait=false"])?;
    namespace.kubectl(&["delete", "service/demo-workers", "--wait=false"])?;
    operator(&["rollout", "status", deployment, "--timeout=60s"])?;
    agrees(namespace, "the operator was killed", || {
        namespace.get("service/demo-workers", "{.spec.ports}").context("service")?;
        Ok(true)
    })
}

fn agrees(namespace: &Namespace, when: &str, so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    namespace.until(&format!("chain and cluster agree after {when}"), SECONDS, so)?;
    eprintln!("{when}: chain and cluster agreed after {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Scaling is turned round half-way, with the operator killed each time: no stake is lost, nobody is slashed or left behind.
pub fn scaling_is_turned_round(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let release = Release::install(namespace, "demo", &[])?;
    release.ready(&["validators", "workers"])?;
    let outside = Outside::of(&release)?;
    let turn = |tier: &str, replicas: u32| -> anyhow::Result<()> {
        namespace.kubectl(&["scale", &release.tier(tier), &format!("--replicas={replicas}")])?;
        let kill = ["delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false", "--namespace", SYSTEM];
        namespace.kubectl(&kill)?;
        Ok(())
    };
    thread::scope(|scope| -> anyhow::Result<()> {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        // All along no fewer than four of the chain's validators are active.
        let watch = scope.spawn(|| fewest_validators(&outside, stopped));
        for (tier, replicas) in [("workers", 6), ("validators", 5), ("workers", 2), ("validators", 4), ("workers", 5)] {
            turn(tier, replicas)?;
            // Half-way: the first of what comes of it is seen on the chain, or the tier says that it is under way.
            namespace.wait(&release.tier(tier), "condition=Progressing", 60)?;
        }
        release.scaled("validators", 4)?;
        release.scaled("workers", 5)?;
        drop(stop);
        let fewest = watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))??;
        ensure!(fewest >= 4, "there were {fewest} validators");
        Ok(())
    })?;
    release.scale("workers", 3)?;
    nothing_is_lost(&release)?;
    release.verify(&release.compute("primes")?)
}

/// The fewest active validators that the chain ever had, until told to stop.
fn fewest_validators(outside: &Outside, stopped: std::sync::mpsc::Receiver<()>) -> anyhow::Result<usize> {
    let mut fewest = usize::MAX;
    loop {
        // A port that is forwarded to a pod which goes is no answer about the chain.
        if let Ok(nodes) = outside.json(&["node", "list"]) {
            let active = nodes.as_array().context("no nodes")?.iter();
            let active = active.filter(|node| node["role"] == "validator" && node["state"] == "active").count();
            fewest = fewest.min(active);
        }
        match stopped.recv_timeout(std::time::Duration::from_millis(500)) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            _ => return Ok(fewest),
        }
    }
}

/// Each worker's wallet got 250 VALO: all but fees is its balance, its stake, or on its way back.
fn nothing_is_lost(release: &Release<'_>) -> anyhow::Result<()> {
    let namespace = release.namespace;
    let path =
        "{range .items[*]}{.metadata.name} {.status.balance} {.status.stake} {.status.unbondingTotal}{\"\\n\"}{end}";
    let wallets = namespace.get("wallets", path)?;
    let mut seen = 0;
    for line in wallets.lines().filter(|line| line.starts_with("demo-workers-")) {
        let amounts: Result<Vec<f64>, _> = line.split_whitespace().skip(1).map(str::parse).collect();
        let worth: f64 = amounts.with_context(|| line.to_owned())?.iter().sum();
        ensure!(worth > 249.9, "{line}");
        seen += 1;
    }
    ensure!(seen >= 6, "wallets of workers:\n{wallets}");
    let states = namespace.get("nodetiers", "{.items[*].status.nodes[*].state}")?;
    // Those that left are told until their stake is paid.
    let staying: Vec<&str> = states.split_whitespace().filter(|state| *state != "left").collect();
    ensure!(staying == ["active"; 4 + 3], "{states}");
    let sets = namespace.get("statefulsets", "{.items[*].spec.replicas}")?;
    ensure!(sets == "4 3", "StatefulSets run {sets} pods");
    Ok(())
}
