//! Things for tests: answers of a chain that differ from a usual one by a few fields.

use serde_json::{Value, json};
use valo_client::types::{Account, Node};

fn merged(mut usual: Value, with: Value) -> Value {
    if let (Some(usual), Value::Object(with)) = (usual.as_object_mut(), with) {
        usual.extend(with);
    }
    usual
}

/// What only the operator refuses, of the table of wrong objects: the line, the object, and what must be said of it.
pub fn wrong<K: serde::de::DeserializeOwned + kube::Resource<DynamicType = ()>>() -> Vec<(String, K, String)> {
    let cases = valo_resources_tests::cases().into_iter();
    let cases = cases.filter(|case| case.by_operator && case.object["kind"] == *K::kind(&()));
    let wrong: Vec<_> = cases.map(|case| (case.name, read(case.object), case.says)).collect();
    assert!(!wrong.is_empty(), "no case of {}", K::kind(&()));
    wrong
}

/// An object in a namespace.
pub fn read<K: serde::de::DeserializeOwned>(mut object: Value) -> K {
    object["metadata"]["namespace"] = "valo".into();
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    object["metadata"]["uid"] = "5d0c7f6e-0000-4000-8000-000000000001".into();
    serde_json::from_value(object).expect("an object")
}

/// A registered node.
pub fn node(with: Value) -> Node {
    let usual = json!({
        "id": 1, "key": "ab".repeat(32), "account": "00000002", "owner": "00000001", "role": "validator",
        "state": "active", "stake": "1000", "locked": "0", "slots": 0, "busy": 0, "ready": true,
        "unbonding": [], "endpoints": [],
    });
    serde_json::from_value(merged(usual, with)).expect("a node")
}

/// An account with a balance.
pub fn account(balance: &str) -> Account {
    let account = json!({
        "number": "00000001", "key": "cd".repeat(32), "balance": balance, "nonce": 0, "nextNonce": 0,
    });
    serde_json::from_value(account).expect("an account")
}
