use super::*;
use crate::node_tier::{dereference::Found, validate::validate};
use serde_json::json;
use valo_crds::Network;
use valo_protocol::SecretKey;

fn settings() -> Settings {
    Settings { node_image: "ghcr.io/valo-network/valo:test".to_owned(), namespace: "valo-system".to_owned() }
}

fn network(more: serde_json::Value) -> Network {
    let mut spec = json!({"chain": {"validators": [{"nodeTier": "validators", "count": 4, "stake": "1000"}]}});
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    serde_json::from_value(json!({
        "apiVersion": "valo.network/v1alpha1", "kind": "Network", "spec": spec,
        "metadata": {"name": "demo", "namespace": "valo", "uid": "n-1"},
        "status": {"genesisHash": "ab".repeat(32)},
    }))
    .unwrap()
}

fn tier(name: &str, spec: serde_json::Value) -> NodeTier {
    serde_json::from_value(json!({
        "apiVersion": "valo.network/v1alpha1", "kind": "NodeTier", "spec": spec,
        "metadata": {"name": name, "namespace": "valo", "uid": "t-1"},
    }))
    .unwrap()
}

fn validators(replicas: i32) -> NodeTier {
    let stake = json!({"perNode": "1000", "walletRef": {"name": "alice"}});
    tier(
        "validators",
        json!({"networkRef": {"name": "demo"}, "role": "validator", "replicas": replicas, "stake": stake}),
    )
}

/// Two that were registered already.
fn workers() -> NodeTier {
    let mut workers = tier(
        "workers",
        json!({
            "networkRef": {"name": "demo"}, "role": "worker", "tier": "small", "replicas": 2, "slots": 4,
            "stake": {"perSlot": "100", "walletTemplate": {"fundFrom": "alice", "amount": "450"}},
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            "storage": {"size": "5Gi", "storageClassName": "fast", "retain": false},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "valo", "operator": "Exists"}],
        }),
    );
    let nodes = json!([{"pod": "workers-0", "state": "active"}, {"pod": "workers-1", "state": "active"}]);
    workers.status = serde_json::from_value(json!({"nodes": nodes})).unwrap();
    workers
}

fn built(tier: &NodeTier, network: Network) -> Prepared {
    let fresh = (0..tier.spec.replicas)
        .map(|ordinal| (ordinal, SecretKey::from_seed([u8::try_from(ordinal).unwrap() + 1; 32])));
    let found = Found {
        network: Some(network),
        siblings: vec![validators(4), tier.clone()],
        fresh: fresh.collect(),
        ..Found::default()
    };
    build(tier, &validate(tier, found, &settings()).unwrap(), &settings())
}

#[test]
fn objects_of_validators_hold_still() {
    let prepared = built(&validators(4), network(json!({})));
    insta::assert_yaml_snapshot!("validators_stateful_set", prepared.stateful_set);
    insta::assert_yaml_snapshot!("validators_config", prepared.config);
    insta::assert_yaml_snapshot!("validators_headless", prepared.headless);
    insta::assert_yaml_snapshot!("validators_service", prepared.service);
    insta::assert_yaml_snapshot!("validators_policy", prepared.policy);
    insta::assert_yaml_snapshot!("validators_budget", prepared.budget);
}

#[test]
fn objects_of_workers_hold_still() {
    let more = json!({
        "image": "example.org/valo@sha256:00", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
        "externalAddress": {"type": "NodePort"}, "ingress": {"host": "api.example.org"},
    });
    let prepared = built(&workers(), network(more));
    insta::assert_yaml_snapshot!("workers_stateful_set", prepared.stateful_set);
    insta::assert_yaml_snapshot!("workers_policy", prepared.policy);
    insta::assert_yaml_snapshot!("workers_wallets", prepared.wallets);
    insta::assert_yaml_snapshot!("workers_keys", prepared.keys);
}

#[test]
fn scaling_restarts_nobody_and_an_image_does() {
    let template = |tier: &NodeTier, more| {
        let set = built(tier, network(more)).stateful_set.unwrap().spec.unwrap();
        assert_eq!(set.update_strategy.unwrap().type_.unwrap(), "OnDelete");
        set.template.metadata.unwrap().annotations.unwrap().remove(stateful_set::TEMPLATE).unwrap()
    };
    let before = template(&validators(4), json!({}));
    assert_eq!(template(&validators(5), json!({})), before);
    assert_eq!(template(&validators(40), json!({})), before, "also where more keys are listed");
    assert_eq!(template(&validators(4), json!({"externalAddress": {"type": "NodePort"}})), before);
    assert_ne!(template(&validators(4), json!({"image": "valo:next"})), before);
}

#[test]
fn a_pod_is_shown_no_key_but_its_own() {
    let set = built(&validators(4), network(json!({}))).stateful_set.unwrap().spec.unwrap();
    let pod = set.template.spec.unwrap();
    let mounts = pod.containers[0].volume_mounts.clone().unwrap();
    let keys: Vec<_> = mounts.iter().filter(|mount| mount.name == "keys").collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].sub_path_expr.as_deref(), Some("$(POD_NAME)"));
    assert_eq!(pod.automount_service_account_token, Some(false));
}

#[test]
fn nothing_runs_before_there_is_a_genesis() {
    let mut network = network(json!({}));
    network.status = None;
    assert!(built(&validators(4), network).stateful_set.is_none());
}

#[test]
fn nodes_that_join_are_told_of_the_other_cluster_and_may_go_there() {
    let seed = "cd".repeat(32);
    let join = json!({
        "genesisHash": "ab".repeat(32), "seeds": [{"key": seed, "addresses": ["203.0.113.4:7002"]}],
        "peers": ["203.0.113.4:7001"],
    });
    let mut network = network(json!({}));
    network.spec.chain = None;
    network.spec.join = Some(serde_json::from_value(join).unwrap());
    let prepared = built(&workers(), network);
    let config = prepared.config.data.unwrap().remove("config.yaml").unwrap();
    let config: serde_json::Value = serde_yaml::from_str(&config).unwrap();
    // Validators of this cluster may be strangers to the chain too: the others are named beside them.
    let last = |list: &serde_json::Value| list.as_array().and_then(|list| list.last()).cloned();
    assert_eq!(last(&config["consensus"]["peers"]), Some(json!("203.0.113.4:7001")));
    assert_eq!(last(&config["network"]["seeds"]), Some(json!({"key": seed, "addresses": ["203.0.113.4:7002"]})));
    let egress = prepared.policy.spec.unwrap().egress.unwrap();
    let anywhere = egress.iter().filter(|rule| rule.ports.is_none()).flat_map(|rule| rule.to.iter().flatten());
    let blocks: Vec<_> = anywhere.filter_map(|peer| peer.ip_block.as_ref().map(|block| block.cidr.clone())).collect();
    assert_eq!(blocks, ["0.0.0.0/0", "::/0"]);
}

#[test]
fn pods_are_of_the_runtime_class_that_is_asked_for() {
    let template = |class: Option<&str>| {
        let mut tier = workers();
        tier.spec.runtime_class_name = class.map(str::to_owned);
        let template = built(&tier, network(json!({}))).stateful_set.unwrap().spec.unwrap().template;
        let hash = template.metadata.unwrap().annotations.unwrap().remove(stateful_set::TEMPLATE);
        (template.spec.unwrap().runtime_class_name, hash)
    };
    let ((none, without), (class, with)) = (template(None), template(Some("gvisor")));
    assert_eq!((none, class.as_deref()), (None, Some("gvisor")));
    assert_ne!(with, without, "a pod gets another class only when it starts anew");
}
