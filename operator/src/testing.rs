//! Things for tests: answers of a chain that differ from a usual one by a few fields.

use serde_json::{Value, json};
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
