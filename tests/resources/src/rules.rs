//! Every CEL rule, kept and broken.

use super::*;
use kube::core::cel::Validator;
use serde_json::json;
use std::collections::BTreeSet;

/// Messages of the rules that an object breaks, alone or as a change of an older one.
fn broken(object: &Value, old: Option<&Value>) -> Vec<String> {
    let new = through_types(object).unwrap();
    let old = old.map(|old| through_types(old).unwrap());
    match Validator::new().validate(&schema_of(object), &new, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

/// All messages in a schema.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().expect("every rule says what is wrong");
        found.insert(message.to_owned());
    }
    schema["properties"].as_object().into_iter().flatten().for_each(|(_, property)| messages(property, found));
    if schema["items"].is_object() {
        messages(&schema["items"], found);
    }
}

#[test]
fn the_samples_keep_every_rule() {
    for sample in SAMPLES {
        let object = yaml(sample);
        assert_eq!(broken(&object, None), Vec::<String>::new());
        assert_eq!(broken(&object, Some(&object)), Vec::<String>::new(), "unchanged");
    }
}

#[test]
fn what_may_change_can_be_changed() {
    let hex = "ef".repeat(32);
    for (sample, path, value) in [
        (NEW, "/spec/image", json!("ghcr.io/valo-network/valo:0.2.0")),
        (NEW, "/spec/externalAddress", json!({"type": "NodePort"})),
        (JOIN, "/spec/join/seeds", json!([{"key": hex}])),
        (WORKERS, "/spec/replicas", json!(8)),
        (WORKERS, "/spec/stake/perSlot", json!("200")),
        (WORKERS, "/spec/storage/size", json!("30Gi")),
        (WALLET, "/spec/fundFrom", Value::Null),
        (JOB, "/spec/deletionPolicy", json!("leave")),
    ] {
        let changed = with(sample, path, value);
        assert_eq!(broken(&changed, Some(&yaml(sample))), Vec::<String>::new(), "{path}");
    }
}

/// Each case is one change of a sample and the start of the message it gets. `true`: as a change of an existing object.
fn cases() -> Vec<(&'static str, &'static str, Value, bool, &'static str)> {
    let name = || json!({"name": "other"});
    let hex = "ef".repeat(32);
    let stage = || json!({"name": "raw", "tier": "small", "wasm": {"module": "x.wasm"}});
    vec![
        (NEW, "/spec/join", json!({"genesisHash": hex, "seeds": [{"key": hex}]}), false, "spec.chain: say exactly one"),
        (NEW, "/spec/chain", Value::Null, false, "spec.chain: say exactly one"),
        (NEW, "/spec/chain", Value::Null, true, "spec.chain is immutable: a Network stays"),
        (NEW, "/spec/chain/preset", json!("dev"), true, "spec.chain is immutable: the hash"),
        (NEW, "/spec/chain/tiers/1/name", json!("small"), false, "spec.chain.tiers: two tiers"),
        (NEW, "/spec/chain/tiers/1/admit", json!([]), false, "tiers.isolation"),
        (NEW, "/spec/chain/validators/0/publicKey", json!(hex), false, "validators.nodeTier"),
        (NEW, "/spec/chain/validators/1/ownerKey", Value::Null, false, "validators.ownerKey"),
        (NEW, "/spec/chain/validators/0/count", Value::Null, false, "validators.count"),
        (NEW, "/spec/chain/validators/0/stake", json!("0"), false, "validators.stake"),
        (NEW, "/spec/chain/accounts/0/publicKey", json!(hex), false, "accounts.walletRef"),
        (NEW, "/spec/chain/accounts/0/balance", json!("0.0"), false, "accounts.balance"),
        (NEW, "/spec/externalAddress/type", json!("NodePort"), false, "spec.externalAddress.loadBalancerClass"),
        (NEW, "/spec/externalAddress/type", json!("None"), false, "spec.externalAddress.hosts"),
        (JOIN, "/spec/join/genesisHash", json!(hex), true, "spec.join.genesisHash is immutable"),
        (WORKERS, "/spec/tier", Value::Null, false, "spec.tier: a worker has a tier"),
        (VALIDATORS, "/spec/tier", json!("small"), false, "spec.tier: a worker has a tier"),
        (VALIDATORS, "/spec/tier", json!("small"), true, "spec.tier is immutable"),
        (WORKERS, "/spec/tier", json!("large"), true, "spec.tier is immutable"),
        (WORKERS, "/spec/slots", Value::Null, false, "spec.slots: a worker has slots"),
        (WORKERS, "/spec/slots", json!(8), true, "spec.slots is immutable"),
        (WORKERS, "/spec/stake", Value::Null, false, "spec.stake: validators and workers"),
        (WORKERS, "/spec/stake", Value::Null, true, "spec.stake: it cannot come or go"),
        (WORKERS, "/spec/stake/perSlot", json!("0"), false, "spec.stake.perSlot: it must be more"),
        (WORKERS, "/spec/stake/perNode", json!("5"), false, "spec.stake.perSlot: say exactly one"),
        (VALIDATORS, "/spec/stake/perNode", json!("0.5"), false, "spec.stake.perNode"),
        (VALIDATORS, "/spec/stake", json!({"perSlot": "1", "walletRef": name()}), false, "spec.stake: a worker says"),
        (VALIDATORS, "/spec/stake/walletRef", Value::Null, false, "spec.stake.walletRef: say exactly one"),
        (VALIDATORS, "/spec/stake/walletRef", Value::Null, true, "spec.stake.walletRef is immutable"),
        (VALIDATORS, "/spec/stake/walletRef", name(), true, "spec.stake.walletRef is immutable"),
        (WORKERS, "/spec/stake/walletTemplate/amount", json!("9"), true, "spec.stake.walletTemplate is immutable"),
        (WORKERS, "/spec/stake/walletTemplate/amount", json!("0"), false, "spec.stake.walletTemplate.amount"),
        (WORKERS, "/spec/role", json!("validator"), true, "spec.role is immutable"),
        (WORKERS, "/spec/role", json!("validator"), false, "spec.acceleratorClass"),
        (WORKERS, "/spec/role", json!("full"), false, "spec.runtimeClassName"),
        (WORKERS, "/spec/networkRef", name(), true, "spec.networkRef is immutable: make another NodeTier"),
        (WORKERS, "/spec/storage/size", json!("19Gi"), true, "spec.storage.size"),
        (WORKERS, "/spec/storage/storageClassName", json!("slow"), true, "spec.storage.storageClassName"),
        (WORKERS, "/spec/storage/storageClassName", Value::Null, true, "spec.storage.storageClassName"),
        (WALLET, "/spec/networkRef", name(), true, "spec.networkRef is immutable: an account"),
        (WALLET, "/spec/secretRef", name(), true, "spec.secretRef is immutable"),
        (WALLET, "/spec/secretRef", Value::Null, true, "spec.secretRef: a wallet keeps"),
        (WALLET, "/spec/fundFrom/amount", json!("0"), false, "spec.fundFrom.amount"),
        (JOB, "/spec/tip", json!("10"), false, "tip: it is part"),
        (JOB, "/spec/stages/2/name", json!("features"), false, "stages: two stages"),
        (JOB, "/spec/verification/quorum", json!(4), false, "quorum: it cannot"),
        (JOB, "/spec/verification/quorum", json!(1), false, "quorum: it must be"),
        (
            JOB,
            "/spec/stages/0/container",
            json!({"image": format!("x@sha256:{hex}"), "seconds": 1}),
            false,
            "wasm: say",
        ),
        (JOB, "/spec/stages/0/wasm", Value::Null, false, "wasm: say"),
        (JOB, "/spec/stages/0/shards", json!(2), false, "shards: with a split"),
        (JOB, "/spec/stages/0/onFailure", json!("continue"), false, "retries: they go"),
        (JOB, "/spec/stages/0/input/stage", json!("x"), false, "input: say exactly one"),
        (JOB, "/spec/stages/2/input/split", json!({"files": 1}), false, "split: it goes with"),
        (JOB, "/spec/stages/0/input/shardBytes", json!(1), false, "shardBytes: it goes with"),
        (JOB, "/spec/stages/1/input/all", json!(true), false, "each: with stage"),
        (JOB, "/spec/stages/0/input/each", json!(true), false, "each: with stage"),
        (JOB, "/spec/stages/0/input/split/lines", json!(1), false, "split: say exactly one"),
        (JOB, "/spec/networkRef", name(), true, "spec.networkRef is immutable: the contract"),
        (JOB, "/spec/walletRef", name(), true, "spec.walletRef is immutable"),
        (JOB, "/spec/filesFrom", json!([]), true, "spec.filesFrom is immutable"),
        (JOB, "/spec/budget", json!("6"), true, "spec.budget is immutable"),
        (JOB, "/spec/tip", Value::Null, true, "spec.tip is immutable"),
        (JOB, "/spec/deadline", json!("20m"), true, "spec.deadline is immutable"),
        (JOB, "/spec/verification", json!({"replicas": 5}), true, "spec.verification is immutable"),
        (JOB, "/spec/stages/2", stage(), true, "spec.stages is immutable"),
        (JOB, "/spec/result/retention", json!("1h"), true, "spec.result is immutable"),
        (GROUP, "/spec/index", json!(1), true, "spec is immutable: a ShardGroup"),
        (KEY, "/spec/holder/pod", json!("validators-1"), true, "spec is immutable: a key"),
    ]
}

#[test]
fn every_rule_is_broken_by_one_change_and_says_which_field() {
    let mut seen = BTreeSet::new();
    for (sample, path, value, update, expected) in cases() {
        let old = update.then(|| yaml(sample));
        let found = broken(&with(sample, path, value.clone()), old.as_ref());
        assert!(found.iter().any(|message| message.starts_with(expected)), "{path} = {value}: {found:?}");
        seen.extend(found);
    }
    let mut all = BTreeSet::new();
    for definition in valo_crds::all() {
        messages(&schema_of(&json!({"kind": definition.spec.names.kind})), &mut all);
    }
    let untested: Vec<&String> = all.difference(&seen).collect();
    assert!(untested.is_empty(), "rules that no case breaks: {untested:#?}");
    let strange: Vec<&String> = seen.difference(&all).collect();
    assert!(strange.is_empty(), "failures that are no rule: {strange:#?}");
}
