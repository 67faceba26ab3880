//! A second release, in another namespace with wallets of its own: a stranger who knows what the first Network publishes.

use crate::{
    harness::Namespace,
    valo::{Outside, Release, chart, install_operator},
};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::time::Instant;

/// What the stranger is sent: 1000 for a validator, 400 for two workers of two slots, and something for fees.
const SENT: &str = "1410";

/// Published addresses: ports of every machine.
fn published(namespace: &Namespace) -> anyhow::Result<String> {
    let path = "{.items[*].status.addresses[?(@.type==\"InternalIP\")].address}";
    let hosts = namespace.get("nodes", path)?;
    let hosts: Vec<&str> = hosts.split_whitespace().collect();
    Ok(format!("externalAddress={}", json!({"type": "NodePort", "hosts": hosts})))
}

/// `join` of the chart, from what the other Network shows.
fn join(first: &Release<'_>) -> anyhow::Result<String> {
    let network = format!("network/{}", first.name);
    let of_world = "{.status.peers[0]}";
    // Its Services have their ports before the chain knows of them.
    first.namespace.until("addresses are published", 60, || {
        Ok(first.namespace.get(&network, of_world)?.starts_with(|digit: char| digit.is_ascii_digit()))
    })?;
    let join = told(first)?.to_string();
    ensure!(!join.contains(".svc"), "names of the cluster are told: {join}");
    Ok(format!("join={join}"))
}

/// The same in the cluster of the first, which need not publish anything, with the genesis in hand.
pub fn join_inside(first: &Release<'_>) -> anyhow::Result<String> {
    let mut join = told(first)?;
    let map = format!("configmap/{}-genesis", first.name);
    join["genesis"] = first.namespace.get(&map, "{.data.genesis\\.json}")?.into();
    Ok(format!("join={join}"))
}

fn told(first: &Release<'_>) -> anyhow::Result<Value> {
    let network = format!("network/{}", first.name);
    let shown: Value = serde_json::from_str(&first.namespace.kubectl(&["get", &network, "--output=json"])?)?;
    let status = &shown["status"];
    Ok(json!({"genesisHash": status["genesisHash"], "seeds": status["seeds"], "peers": status["peers"]}))
}

/// What an account can spend, in VALO. For comparisons only: amounts are exact to nine digits, and this is not.
fn balance(outside: &Outside, key: &str) -> anyhow::Result<f64> {
    let account = outside.json(&["account", "show", key])?;
    account["balance"].as_str().and_then(|amount| amount.parse().ok()).context("an account without a balance")
}

pub fn a_stranger_works_earns_and_leaves(namespace: &Namespace) -> anyhow::Result<()> {
    install_operator(namespace)?;
    let published = published(namespace)?;
    let first = Release::install(namespace, "demo", &["--set-json", &published])?;
    first.ready(&["validators", "workers"])?;
    let join = join(&first)?;
    let outside = Outside::of(&first)?;

    let theirs = namespace.beside("stranger")?;
    let example = format!("{}/examples/join.yaml", chart("valo-cluster"));
    let validators = "nodeTiers.validators={\"replicas\": 1}";
    let values = ["--values", &example, "--set-json", &join, "--set-json", &published, "--set-json", validators];
    let second = Release::install(&theirs, "mine", &values)?;
    let key = second.wallet_key("owner")?;
    outside.valo(&["send", SENT, "--to", &key, "--yes"])?;
    second.ready(&["validators", "workers"])?;
    let document = "{.data.genesis\\.json}";
    let theirs_is = |namespace: &Namespace, name: &str| namespace.get(&format!("configmap/{name}-genesis"), document);
    ensure!(theirs_is(&theirs, "mine")? == theirs_is(namespace, "demo")?, "another genesis came from the seeds");
    let validators = first.namespace.get("network/demo", "{.status.validators}")?;
    ensure!(validators == "5", "the chain has {validators} validators");
    nothing_of_the_cluster_is_told(&outside)?;

    let before = balance(&outside, &key)?;
    let job = first.compute("primes")?;
    let earned = balance(&outside, &key)? - before;
    eprintln!("the stranger earned {earned} VALO");
    ensure!(earned > 0.0, "it had {before}");

    let began = Instant::now();
    theirs.helm(&["uninstall", "mine"])?;
    theirs.until("all objects of the stranger are gone", 120, || {
        Ok(theirs.kubectl(&["get", "networks,nodetiers,wallets,shardgroups,pods", "--output=name"])?.is_empty())
    })?;
    eprintln!("the stranger was gone after {} s", began.elapsed().as_secs());
    let states = outside.json(&["node", "list"])?;
    let left = states.as_array().context("no nodes")?.iter().filter(|node| node["state"] == "left").count();
    ensure!(left <= 3, "{states}");
    // 30 s of unbonding; from then on all of it can be spent.
    let whole: f64 = SENT.parse()?;
    theirs.until("its stake is paid back", 90, || Ok(balance(&outside, &key)? > whole - 1.0))?;
    let kept = theirs.kubectl(&["get", "secrets", "--output=name"])?;
    ensure!(kept.lines().count() == 1 + 1 + 2, "keys that are kept:\n{kept}");
    first.scaled("validators", 4)?;
    first.verify(&job)
}

/// Names of a cluster are other pods in the next one.
fn nothing_of_the_cluster_is_told(outside: &Outside) -> anyhow::Result<()> {
    let nodes = outside.json(&["node", "list"])?;
    let nodes = nodes.as_array().context("no nodes")?;
    ensure!(nodes.len() == 4 + 3 + 1 + 2, "{} nodes", nodes.len());
    for node in nodes {
        let endpoints = node["endpoints"].as_array().context("a node without endpoints")?;
        let published = |endpoint: &Value| endpoint.as_str().is_some_and(|text| !text.contains(".svc"));
        ensure!(endpoints.len() == 2 && endpoints.iter().all(published), "{node}");
    }
    Ok(())
}
