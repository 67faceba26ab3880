//! Every field, wrong in its own way, is refused by the schema with its path.

use super::*;
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

/// Paths and messages of everything that the schema refuses in an object.
fn errors(object: &Value) -> Vec<String> {
    let mut schema = schema_of(object);
    strict(&mut schema);
    for common in ["apiVersion", "kind", "metadata"] {
        schema["properties"][common] = json!({});
    }
    let validator = jsonschema::draft4::new(&schema).unwrap();
    validator.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_samples_are_good() {
    for sample in SAMPLES {
        assert_eq!(errors(&yaml(sample)), Vec::<String>::new());
        let once = through_types(&yaml(sample)).unwrap();
        assert_eq!(errors(&once), Vec::<String>::new(), "with defaults");
        assert_eq!(through_types(&once).unwrap(), once, "a round trip changes nothing");
    }
}

#[test]
fn the_examples_are_good_once_they_name_network_and_wallet() {
    for name in ["digits", "primes", "wordcount"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).join("job.yaml");
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
    for sample in SAMPLES {
        let good = through_types(&yaml(sample)).unwrap();
        let mut paths = Vec::new();
        fields("/spec", &good["spec"], &mut paths);
        for path in paths {
            let mut bad = good.clone();
            let field = bad.pointer_mut(&path).unwrap();
            *field = another_type(field);
            let found = errors(&bad);
            assert!(found.iter().any(|error| error.starts_with(&path)), "{path}: {found:?}");
            assert!(through_types(&bad).is_err(), "{path} is read as another type");
        }
    }
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for sample in SAMPLES {
        let good = through_types(&yaml(sample)).unwrap();
        let mut paths = vec!["/spec".to_owned()];
        fields("/spec", &good["spec"], &mut paths);
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
fn values_out_of_bounds_are_refused_by_their_path() {
    let long = "x".repeat(600);
    let cases = [
        (NEW, "/spec/image", json!("two words")),
        (NEW, "/spec/imagePullPolicy", json!("Sometimes")),
        (NEW, "/spec/chain/name", json!("Demo")),
        (NEW, "/spec/chain/preset", json!("fast")),
        (NEW, "/spec/chain/parameters/minInterval", json!("200")),
        (NEW, "/spec/chain/parameters/minValidatorStake", json!("1e3")),
        (NEW, "/spec/chain/parameters/maxValidators", json!(0)),
        (NEW, "/spec/chain/validators", json!([])),
        (NEW, "/spec/chain/validators/0/count", json!(0)),
        (NEW, "/spec/chain/validators/0/stake", json!("-1")),
        (NEW, "/spec/chain/validators/1/publicKey", json!("ab")),
        (NEW, "/spec/chain/accounts/0/balance", json!("1.0000000001")),
        (NEW, "/spec/chain/tiers/0/memory", json!("512MB")),
        (NEW, "/spec/chain/tiers/0/cpu", json!("one")),
        (NEW, "/spec/chain/tiers/1/admit/0", json!("bob")),
        (NEW, "/spec/externalAddress/type", json!("Host")),
        (NEW, "/spec/ingress/host", json!("http://x")),
        (JOIN, "/spec/join/genesisHash", json!("AB")),
        (JOIN, "/spec/join/seeds", json!([])),
        (JOIN, "/spec/join/seeds/0/addresses/0", json!("203.0.113.4")),
        (JOIN, "/spec/join/peers/0", json!("no port")),
        (WORKERS, "/spec/role", json!("miner")),
        (WORKERS, "/spec/tier", json!("")),
        (WORKERS, "/spec/replicas", json!(-1)),
        (WORKERS, "/spec/slots", json!(0)),
        (WORKERS, "/spec/stake/perSlot", json!("1,5")),
        (WORKERS, "/spec/resources/requests/cpu", json!("1x")),
        (WORKERS, "/spec/storage/size", json!("20GB")),
        (WORKERS, "/spec/acceleratorClass/resource", json!("gpu")),
        (WALLET, "/spec/secretRef/key", json!("a/b")),
        (WALLET, "/spec/fundFrom/amount", json!("")),
        (JOB, "/spec/budget", json!("5 VALO")),
        (JOB, "/spec/deadline", json!("soon")),
        (JOB, "/spec/deletionPolicy", json!("keep")),
        (JOB, "/spec/verification/replicas", json!(14)),
        (JOB, "/spec/stages", json!([])),
        (JOB, "/spec/stages/0/name", json!("One")),
        (JOB, "/spec/stages/0/onFailure", json!({"retries": 2})),
        (JOB, "/spec/stages/0/retries", json!(256)),
        (JOB, "/spec/stages/0/wasm/module", json!("blake3:12")),
        (JOB, "/spec/stages/0/wasm/module", json!(long)),
        (JOB, "/spec/stages/0/wasm/fuel", json!("2g")),
        (JOB, "/spec/stages/0/input/file", json!("a@blake3:12")),
        (JOB, "/spec/stages/0/input/split/shards", json!(0)),
        (JOB, "/spec/stages/1/container/image", json!("example.org/classify:latest")),
        (JOB, "/spec/stages/1/container/seconds", json!(0)),
        (JOB, "/spec/result/merge", json!("zip")),
        (JOB, "/spec/result/retention", json!("1 day")),
        (GROUP, "/spec/index", json!(-1)),
        (KEY, "/spec/publicKey", json!("ab")),
        (KEY, "/spec/holder/pod", json!("")),
    ];
    for (sample, path, value) in cases {
        let found = errors(&with(sample, path, value.clone()));
        assert!(found.iter().any(|error| error.starts_with(path)), "{path} = {value}: {found:?}");
    }
}

#[test]
fn numbers_may_stand_for_quantities_as_on_the_command_line() {
    let object = with(JOB, "/spec/stages/0/wasm/fuel", json!(170_000_000));
    assert_eq!(errors(&object), Vec::<String>::new());
    let written = through_types(&object).unwrap();
    assert_eq!(written["spec"]["stages"][0]["wasm"]["fuel"], "170M");
}
