//! What a cluster would take and refuse, without a cluster: schemas by a JSON schema validator, CEL by kube's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod generated;
mod rules;
mod schema;
mod wrong;

use serde_json::Value;
use std::{collections::BTreeMap, sync::LazyLock};
use valo_crds::{ConsensusKeyReservation, JobContract, Network, NodeTier, ShardGroup, Wallet};
use valo_resources_tests::{JOB, JOIN, NEW, SAMPLES, VALIDATORS, WALLET, WORKERS, cases, set, yaml};

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
