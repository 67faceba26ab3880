//! Samples of the custom resources, and a table of wrong ones: for the tests of this package, which have no cluster, and
//! for those of a real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use serde_json::{Value, json};
use std::iter;

/// A new chain.
pub const NEW: &str = include_str!("samples/network.yaml");
/// A chain to join.
pub const JOIN: &str = include_str!("samples/join.yaml");
/// Workers.
pub const WORKERS: &str = include_str!("samples/workers.yaml");
/// Validators.
pub const VALIDATORS: &str = include_str!("samples/validators.yaml");
/// A wallet.
pub const WALLET: &str = include_str!("samples/wallet.yaml");
/// A job.
pub const JOB: &str = include_str!("samples/job.yaml");
/// A sharding group.
pub const GROUP: &str = include_str!("samples/group.yaml");
/// The reservation of a key.
pub const KEY: &str = include_str!("samples/key.yaml");
/// All of them, by their names in the table.
pub const SAMPLES: [(&str, &str); 8] = [
    ("network", NEW),
    ("join", JOIN),
    ("workers", WORKERS),
    ("validators", VALIDATORS),
    ("wallet", WALLET),
    ("job", JOB),
    ("group", GROUP),
    ("key", KEY),
];

/// The table: its head says what is in it.
const TABLE: &str = include_str!("wrong.yaml");

/// A case of the table, with the object that it makes.
#[derive(Debug)]
pub struct Case {
    /// The line, for messages.
    pub name: String,
    /// The field.
    pub at: String,
    /// The object.
    pub object: Value,
    /// What it was, if it is wrong as a change only.
    pub old: Option<Value>,
    /// What the refusal must say.
    pub says: String,
    /// Whether only the operator refuses it.
    pub by_operator: bool,
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let table = yaml(TABLE);
    let samples = table.as_object().unwrap().iter();
    samples.flat_map(|(sample, lines)| lines.as_array().unwrap().iter().map(|line| case(sample, line))).collect()
}

fn case(name: &str, line: &Value) -> Case {
    let sample = sample(name);
    let known = ["at", "is", "times", "says", "from", "by"];
    let line = line.as_object().unwrap();
    assert!(line.keys().all(|key| known.contains(&key.as_str())), "{name}: {line:?}");
    let at = line["at"].as_str().unwrap();
    let wrong = repeated(&line["is"], line.get("times"));
    let old = line.get("from").map(|from| match from.as_str() {
        Some("sample") => sample.clone(),
        _ => set(&sample, at, from.clone()),
    });
    Case {
        name: format!("{name}: {}", json!(line)),
        at: at.to_owned(),
        object: set(&sample, at, wrong),
        old,
        says: line.get("says").map_or(at, |says| says.as_str().unwrap()).to_owned(),
        by_operator: line.get("by").is_some_and(|by| by == "operator"),
    }
}

/// A sample by its name in the table.
fn sample(name: &str) -> Value {
    let found = SAMPLES.iter().find(|(known, _)| *known == name);
    yaml(found.unwrap_or_else(|| panic!("no sample {name}")).1)
}

/// Reads YAML that is known to be good.
pub fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn repeated(value: &Value, times: Option<&Value>) -> Value {
    let Some(times) = times.map(|times| usize::try_from(times.as_u64().unwrap()).unwrap()) else {
        return value.clone();
    };
    match value {
        Value::String(text) => text.repeat(times).into(),
        Value::Array(list) => iter::repeat_n(list, times).flatten().cloned().collect(),
        other => panic!("{other} cannot be repeated"),
    }
}

/// An object with a field such as `spec.stages[0].name` set, or removed with null. What is missing on the way is made.
pub fn set(object: &Value, path: &str, to: Value) -> Value {
    let mut object = object.clone();
    let path = path.replace('[', ".").replace(']', "");
    let (parent, last) = path.rsplit_once('.').unwrap();
    let mut place = &mut object;
    for name in parent.split('.') {
        place = step(place, name);
    }
    if to.is_null() {
        drop(place.as_object_mut().unwrap().remove(last));
    } else {
        *step(place, last) = to;
    }
    object
}

fn step<'a>(place: &'a mut Value, name: &str) -> &'a mut Value {
    match name.parse::<usize>() {
        Ok(index) => {
            if place.is_null() {
                *place = json!([]);
            }
            let list = place.as_array_mut().unwrap();
            if index == list.len() {
                list.push(Value::Null);
            }
            &mut list[index]
        }
        Err(_) => &mut place[name],
    }
}
