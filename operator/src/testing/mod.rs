//! Things for tests: an API server and a node that answer over HTTP, and answers that differ from usual ones by a few fields.

mod chain;
mod cluster;

pub use chain::Peer;
pub use cluster::ApiServer;

use crate::context::{Context, Settings};
use serde_json::{Value, json};
use std::sync::Arc;
use valo_client::types::{Account, Node};

fn merged(mut usual: Value, with: Value) -> Value {
    if let (Some(usual), Value::Object(with)) = (usual.as_object_mut(), with) {
        usual.extend(with);
    }
    usual
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

/// What passes are given, for an API server of a test.
pub fn context(server: &ApiServer) -> Arc<Context> {
    let settings = Settings { node_image: "valo:test".to_owned(), namespace: "valo-system".to_owned() };
    Arc::new(Context::new(server.client(), settings, Default::default(), "test"))
}

/// A job as the chain tells it, in a phase such as `{"phase": "running"}`.
pub fn job(id: u64, phase: Value) -> Value {
    let usual = json!({
        "id": id, "name": "count", "submitter": "00000001", "phaseSince": 0, "contract": "00".repeat(32),
        "submitted": 1, "submittedAt": 0, "deadline": 0, "budget": "5", "tip": "0", "escrow": "5", "reserved": "0",
        "paid": "0", "stages": [], "replicas": 1, "quorum": 1, "place": {"table": "jobs", "index": 0},
        "shards": 0, "accepted": 0, "failed": 0,
    });
    merged(usual, phase)
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
