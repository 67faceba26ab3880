//! Every field, wrong in its own way, is refused by the schema with its path.

use super::*;
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::json;
use std::path::Path;

/// What the API server makes of a schema that JSON schema has no word for: unknown fields are refused, as strict field
/// validation does, and an int-or-string is one of the two.
fn strict(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.contains_key("x-kubernetes-int-or-string") {
        object.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(strict);
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(items) = object.get_mut("items") {
        strict(items);
    }
}

/// Paths and messages of everything that the schema refuses in an object, as the API server writes them.
pub fn errors(object: &Value) -> Vec<String> {
    let mut schema = schema_of(object);
    strict(&mut schema);
    for common in ["apiVersion", "kind", "metadata"] {
        schema["properties"][common] = json!({});
    }
    let validator = jsonschema::draft4::new(&schema).unwrap();
    validator.iter_errors(object).flat_map(|error| told(&error)).chain(duplicates("", &schema, object)).collect()
}

/// An error under the path of the field that it is about.
fn told(error: &ValidationError<'_>) -> Vec<String> {
    let path = dotted(&error.instance_path().to_string());
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            vec![format!("{path}.{}: Required value", property.as_str().unwrap_or_default())]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|name| format!("{path}.{name}: field not declared in schema")).collect()
        }
        _ => vec![format!("{path}: {error}")],
    }
}

/// What is twice in lists that are sets, or maps by a key.
fn duplicates(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.extend(duplicates(&path, property, &value[name]));
    }
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let id = |item: &Value| match keys {
        Some(keys) => keys.iter().map(|key| item[key.as_str().unwrap()].clone()).collect(),
        None => item.clone(),
    };
    let is_unique = schema["x-kubernetes-list-type"] == "set" || keys.is_some();
    for (at, item) in list.iter().enumerate() {
        if is_unique && list[..at].iter().any(|other| id(other) == id(item)) {
            found.push(format!("{path}[{at}]: Duplicate value: {item}"));
        }
        found.extend(duplicates(&format!("{path}[{at}]"), &schema["items"], item));
    }
    found
}

/// `/spec/stages/0/name` as `spec.stages[0].name`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(part),
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    path
}

#[test]
fn the_samples_are_good() {
    for (_, sample) in SAMPLES {
        assert_eq!(errors(&yaml(sample)), Vec::<String>::new());
        let once = through_types(&yaml(sample)).unwrap();
        assert_eq!(errors(&once), Vec::<String>::new(), "with defaults");
        assert_eq!(through_types(&once).unwrap(), once, "a round trip changes nothing");
    }
}

#[test]
fn the_examples_are_good_once_they_name_network_and_wallet() {
    for name in ["digits", "primes", "wordcount"] {
        let file = Path::new("../../examples").join(name).join("job.yaml");
        let mut object = yaml(&std::fs::read_to_string(file).unwrap());
        assert_eq!(errors(&object).len(), 2, "networkRef and walletRef");
        object["spec"]["networkRef"] = json!({"name": "demo"});
        object["spec"]["walletRef"] = json!({"name": "alice"});
        assert_eq!(errors(&object), Vec::<String>::new(), "{name}");
        let once = through_types(&object).unwrap();
        assert_eq!(through_types(&once).unwrap(), once);
        let written: JobContract = serde_json::from_value(once).unwrap();
        let read: JobContract = serde_json::from_value(object).unwrap();
        assert_eq!(written.spec, read.spec, "{name}");
    }
}

/// What a value of another type could be.
fn another_type(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => json!({"not": "this"}),
        _ => json!("not this"),
    }
}

/// All fields below a value, as JSON pointers.
fn fields(path: &str, value: &Value, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(name, value)| (format!("{path}/{name}"), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (format!("{path}/{at}"), value)).collect(),
        _ => Vec::new(),
    };
    for (path, value) in inner {
        found.push(path.clone());
        fields(&path, value, found);
    }
}

#[test]
fn a_field_of_another_type_is_refused_by_its_path() {
    for (_, sample) in SAMPLES {
        let good = through_types(&yaml(sample)).unwrap();
        let mut paths = Vec::new();
        fields("/spec", &good["spec"], &mut paths);
        for path in paths {
            let mut bad = good.clone();
            let field = bad.pointer_mut(&path).unwrap();
            *field = another_type(field);
            let found = errors(&bad);
            assert!(found.iter().any(|error| error.starts_with(&dotted(&path))), "{path}: {found:?}");
            assert!(through_types(&bad).is_err(), "{path} is read as another type");
        }
    }
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for (_, sample) in SAMPLES {
        let good = through_types(&yaml(sample)).unwrap();
        let mut paths = vec!["/spec".to_owned()];
        fields("/spec", &good["spec"], &mut paths);
        // Its names are the user's own.
        paths.retain(|path| path != "/spec/nodeSelector");
        for path in paths {
            let mut bad = good.clone();
            let Some(map) = bad.pointer_mut(&path).and_then(Value::as_object_mut) else { continue };
            map.insert("colour".to_owned(), json!("red"));
            let read = through_types(&bad).expect_err(&path);
            assert!(read.contains("colour"), "{path}: {read}");
            assert!(errors(&bad).iter().any(|error| error.contains("colour")), "{path}");
        }
    }
}

#[test]
fn numbers_may_stand_for_quantities_as_on_the_command_line() {
    let object = set(&yaml(JOB), "spec.stages[0].wasm.fuel", json!(170_000_000));
    assert_eq!(errors(&object), Vec::<String>::new());
    let written = through_types(&object).unwrap();
    assert_eq!(written["spec"]["stages"][0]["wasm"]["fuel"], "170M");
}
