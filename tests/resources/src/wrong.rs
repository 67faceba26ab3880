//! The table of wrong objects (wrong.yaml), against the schemas and the rules: each is refused, and told which field.

use super::*;
use crate::{rules::broken, schema::errors};
use serde_json::json;
use std::collections::BTreeSet;

/// What a cluster says of an object: rules are tried only where the schema is kept.
fn refusal(object: &Value, old: Option<&Value>) -> Vec<String> {
    match errors(object) {
        found if found.is_empty() => broken(object, old),
        found => found,
    }
}

#[test]
fn each_is_refused_with_a_message_that_names_the_field() {
    let mut wrong = Vec::new();
    for case in cases() {
        if let Some(old) = &case.old {
            assert_eq!(refusal(old, None), Vec::<String>::new(), "{} changes what is wrong already", case.name);
        }
        let said = refusal(&case.object, case.old.as_ref());
        let as_told = match case.by_operator {
            true => said.is_empty(),
            false => said.iter().any(|message| message.contains(&case.says)),
        };
        if !as_told {
            wrong.push(format!("{}\n    {said:?}", case.name));
        }
        if case.old.is_some() {
            let alone = refusal(&case.object, None);
            // What is wrong anyway does not show that the change is.
            let says = alone.iter().any(|message| message.contains(&case.says));
            assert!(!says, "{} is refused when it is new", case.name);
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_only_the_operator_refuses_can_be_read() {
    for case in cases().iter().filter(|case| case.by_operator) {
        assert!(through_types(&case.object).is_ok(), "{}", case.name);
    }
}

/// The fields below a schema that hold values, such as `spec.stages.name`.
fn leaves(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let mut schema = schema;
    while schema["items"].is_object() {
        schema = &schema["items"];
    }
    match schema["properties"].as_object() {
        Some(properties) => {
            properties.iter().for_each(|(name, property)| leaves(&format!("{path}.{name}"), property, found));
        }
        None => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn no_field_is_without_a_case() {
    let mut covered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in cases() {
        let kind = case.object["kind"].as_str().unwrap().to_owned();
        let parts: Vec<&str> = case.at.split('.').map(|part| part.split('[').next().unwrap()).collect();
        covered.entry(kind).or_default().insert(parts.join("."));
    }
    for definition in valo_crds::all() {
        let kind = definition.spec.names.kind;
        let mut fields = BTreeSet::new();
        leaves("spec", &schema_of(&json!({"kind": kind}))["properties"]["spec"], &mut fields);
        let missing: Vec<&String> = fields.difference(&covered[&kind]).collect();
        assert!(missing.is_empty(), "{kind}: fields that wrong.yaml has no wrong value for: {missing:#?}");
    }
}
