//! What a cluster would take and refuse, without a cluster: schemas by a JSON schema validator, CEL by kube's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod generated;
mod rules;
mod schema;

use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};
use valo_crds::{ConsensusKeyReservation, JobContract, Network, NodeTier, ShardGroup, Wallet};

const NEW: &str = include_str!("samples/network.yaml");
const JOIN: &str = include_str!("samples/join.yaml");
const WORKERS: &str = include_str!("samples/workers.yaml");
const VALIDATORS: &str = include_str!("samples/validators.yaml");
const WALLET: &str = include_str!("samples/wallet.yaml");
const JOB: &str = include_str!("samples/job.yaml");
const GROUP: &str = include_str!("samples/group.yaml");
const KEY: &str = include_str!("samples/key.yaml");
const SAMPLES: [&str; 8] = [NEW, JOIN, WORKERS, VALIDATORS, WALLET, JOB, GROUP, KEY];

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// A sample with a field set, or removed with null. The path is a JSON pointer.
fn with(sample: &str, path: &str, to: Value) -> Value {
    let mut object = yaml(sample);
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {path}"));
    match parent {
        Value::Object(map) if to.is_null() => drop(map.remove(name).unwrap_or_else(|| panic!("no {path}"))),
        Value::Object(map) => drop(map.insert(name.to_owned(), to)),
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = to,
        _ => panic!("{path} is no field"),
    }
    object
}

/// The schema of an object's kind.
fn schema_of(object: &Value) -> Value {
    static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        let definitions = valo_crds::all().into_iter();
        let schemas = definitions.map(|mut crd| {
            let schema = crd.spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
            (crd.spec.names.kind, serde_json::to_value(schema).unwrap())
        });
        schemas.collect()
    });
    SCHEMAS[object["kind"].as_str().unwrap()].clone()
}

/// Reads an object as its type and writes it again: defaults are filled in, as a cluster does.
fn through_types(object: &Value) -> Result<Value, String> {
    fn through<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Result<Value, String> {
        let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(typed).unwrap())
    }
    match object["kind"].as_str().unwrap() {
        "Network" => through::<Network>(object),
        "NodeTier" => through::<NodeTier>(object),
        "Wallet" => through::<Wallet>(object),
        "JobContract" => through::<JobContract>(object),
        "ShardGroup" => through::<ShardGroup>(object),
        "ConsensusKeyReservation" => through::<ConsensusKeyReservation>(object),
        other => panic!("no kind {other}"),
    }
}
