//! Every CEL rule, kept and broken.

use super::*;
use kube::core::cel::Validator;
use serde_json::json;
use std::collections::BTreeSet;

/// Fields and messages of the rules that an object breaks, alone or as a change of an older one.
pub fn broken(object: &Value, old: Option<&Value>) -> Vec<String> {
    let new = through_types(object).unwrap();
    let old = old.map(|old| through_types(old).unwrap());
    match Validator::new().validate(&schema_of(object), &new, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => {
            errors.into_vec().into_iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect()
        }
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
    for (_, sample) in SAMPLES {
        let object = yaml(sample);
        assert_eq!(broken(&object, None), Vec::<String>::new());
        assert_eq!(broken(&object, Some(&object)), Vec::<String>::new(), "unchanged");
    }
}

#[test]
fn what_may_change_can_be_changed() {
    let hex = "ef".repeat(32);
    for (sample, path, value) in [
        (NEW, "spec.image", json!("ghcr.io/valo-network/valo:0.2.0")),
        (NEW, "spec.externalAddress", json!({"type": "NodePort", "hosts": ["203.0.113.4"]})),
        (JOIN, "spec.join.seeds", json!([{"key": hex}])),
        (WORKERS, "spec.replicas", json!(8)),
        (WORKERS, "spec.stake.perSlot", json!("200")),
        (WORKERS, "spec.storage.size", json!("20480Mi")),
        (WORKERS, "spec.storage.retain", json!(false)),
        (WORKERS, "spec.runtimeClassName", Value::Null),
        (VALIDATORS, "spec.runtimeClassName", json!("kata")),
        (NEW, "spec.externalAddress.hosts", json!(["203.0.113.4", "2001:db8::1", "a.example.org"])),
        (WALLET, "spec.fundFrom", Value::Null),
        (JOB, "spec.deletionPolicy", json!("leave")),
    ] {
        let changed = set(&yaml(sample), path, value);
        assert_eq!(broken(&changed, Some(&yaml(sample))), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn every_rule_is_broken_by_a_case() {
    let mut seen = BTreeSet::new();
    for case in cases() {
        if schema::errors(&case.object).is_empty() {
            seen.extend(broken(&case.object, case.old.as_ref()));
        }
    }
    let mut all = BTreeSet::new();
    for definition in valo_crds::all() {
        messages(&schema_of(&json!({"kind": definition.spec.names.kind})), &mut all);
    }
    let untested: Vec<&String> = all.iter().filter(|rule| !seen.iter().any(|said| said.ends_with(*rule))).collect();
    assert!(untested.is_empty(), "rules that no case breaks: {untested:#?}");
    let strange: Vec<&String> = seen.iter().filter(|said| !all.iter().any(|rule| said.ends_with(rule))).collect();
    assert!(strange.is_empty(), "failures that are no rule: {strange:#?}");
}

/// The rules of a schema that are broken by what is in an object: each names the field, or is of all that stands there.
fn of_objects(path: &str, schema: &Value, found: &mut Vec<(String, Value, Value)>) {
    if schema["properties"].is_object() {
        let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        found.extend(rules.map(|rule| (path.to_owned(), rule.clone(), schema.clone())));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        of_objects(&format!("{path}.{name}"), property, found);
    }
    if schema["items"].is_object() {
        of_objects(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn a_rule_of_an_object_says_at_which_field_it_is_broken() {
    for definition in valo_crds::all() {
        let mut found = Vec::new();
        of_objects("", &schema_of(&json!({"kind": definition.spec.names.kind})), &mut found);
        for (path, rule, schema) in found {
            let message = rule["message"].as_str().unwrap();
            let Some(field) = rule["fieldPath"].as_str() else {
                // Of the object as a whole; and of metadata, which no schema has, so that no path may lead there.
                let at = path.rsplit('.').next().unwrap().trim_end_matches("[]");
                let of = message.split([':', ' ']).next().unwrap();
                let is_whole = of.rsplit('.').next() == Some(at);
                assert!(is_whole || message.starts_with("metadata.name: "), "{path}: {message}");
                continue;
            };
            let pointer = field.replace('.', "/properties/");
            assert!(
                schema.pointer(&pointer).is_some(),
                "{path}: there is no {field}, and the API server refuses the rule"
            );
            let last = field.rsplit('.').next().unwrap();
            assert!(message.contains(last), "{field}: {message}");
        }
    }
}

#[test]
fn what_is_wrong_in_a_list_is_told_by_its_place() {
    let toleration = set(&yaml(WORKERS), "spec.tolerations[0].operator", json!("Exists"));
    assert_eq!(
        broken(&toleration, None),
        ["spec.tolerations[0].value: tolerations.value: it goes with operator: Equal"]
    );
    let stage = set(&yaml(JOB), "spec.stages[0].shards", json!(2));
    assert_eq!(broken(&stage, None), ["spec.stages[0].shards: shards: with a split, shards go into input.split"]);
}
