//! `valo verify` against a server that lies: it hands on what an honest node says, but for one field.

use super::{TestNode, http};
use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, header::ACCEPT, header::CONTENT_TYPE},
    response::IntoResponse,
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use valo_client::{
    Client,
    light::{JobReport, LightError, OutputScope, Trust, verify_job, verify_proof},
};
use valo_protocol::{
    encoding::{decode, encode},
    event::JobPhase,
    job::{Input, JobId},
    proof::StateProof,
};

/// What the liar has heard from the honest node, by path: content type and body. What is changed here is the lie.
type Heard = Arc<Mutex<BTreeMap<String, (String, Bytes)>>>;

#[derive(Clone)]
struct Liar {
    honest: String,
    heard: Heard,
}

async fn answer(State(liar): State<Liar>, request: Request) -> axum::response::Response {
    let path = request.uri().path_and_query().unwrap().to_string();
    let known = liar.heard.lock().unwrap().get(&path).cloned();
    let (content_type, body) = match known {
        Some(known) => known,
        None => {
            let mut ask = http().get(format!("{}{path}", liar.honest));
            if let Some(accept) = request.headers().get(ACCEPT) {
                ask = ask.header(ACCEPT, accept);
            }
            let response = ask.send().await.unwrap();
            assert!(response.status().is_success(), "{path}");
            let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
            let heard = (content_type, response.bytes().await.unwrap());
            liar.heard.lock().unwrap().insert(path, heard.clone());
            heard
        }
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
    (headers, body).into_response()
}

struct Scene {
    _honest: TestNode,
    heard: Heard,
    client: Client,
    trust: Trust,
    job: JobId,
}

impl Scene {
    /// A job of two stages that is accepted, and a liar who has heard all that its check asks for.
    async fn new() -> Self {
        let honest = TestNode::start().await;
        let stages = vec![super::workers::stage("one", Input::None, 2)];
        let job = honest.submit(honest.contract(stages)).await;
        honest.work_until(job, None, JobPhase::is_accepted);
        let heard = Heard::default();
        let liar = Liar { honest: honest.url(""), heard: heard.clone() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(answer).with_state(liar)).await });
        let trust = Trust::from_genesis(&honest.client.genesis().await.unwrap()).unwrap();
        let scene = Self { _honest: honest, heard, client, trust, job };
        assert_eq!(scene.verify().await.unwrap().files, 2);
        scene
    }

    async fn verify(&self) -> Result<JobReport, LightError> {
        verify_job(&self.client, &self.trust, self.job, OutputScope::All, |_| {}).await
    }

    /// The path that ends so, with what was heard.
    fn heard(&self, end: &str) -> (String, Bytes) {
        let heard = self.heard.lock().unwrap();
        let (path, (_, body)) = heard.iter().find(|(path, _)| path.ends_with(end)).unwrap();
        (path.clone(), body.clone())
    }

    /// Tells this lie, asserts that it is refused, and takes it back.
    async fn refuses(&self, path: &str, lie: Bytes, what: &str) {
        let told = std::mem::replace(&mut self.heard.lock().unwrap().get_mut(path).unwrap().1, lie);
        let outcome = self.verify().await;
        assert!(outcome.is_err(), "{path}: another {what} was believed");
        self.heard.lock().unwrap().get_mut(path).unwrap().1 = told;
    }
}

/// Pointers to everything in a document that is no list and no object.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, &format!("{pointer}/{name}"), found))
        }
        Value::Array(items) => {
            (0..).zip(items).for_each(|(at, value): (usize, _)| leaves(value, &format!("{pointer}/{at}"), found))
        }
        _ => found.push(pointer.to_owned()),
    }
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_u64().map_or(0, |number| number ^ 1).into(),
        Value::Bool(value) => (!value).into(),
        Value::String(text) => {
            let mut text = text.clone();
            let last = text.pop();
            text.push(if last == Some('0') { '1' } else { '0' });
            text.into()
        }
        _ => 1.into(),
    }
}

#[tokio::test]
async fn every_field_that_a_check_rests_on_is_checked() {
    let scene = Scene::new().await;
    // Who holds an output, and what only describes the job beside its verdicts, proves nothing and may be anything.
    let matters = |path: &str, pointer: &str| {
        let is_hint = pointer.contains("/nodes/");
        !path.ends_with("/results") || (pointer.starts_with("/shards/") && !is_hint)
    };
    let mut lies = 0;
    for end in ["/contract", "/results"] {
        let (path, body) = scene.heard(end);
        let document: Value = serde_json::from_slice(&body).unwrap();
        let mut pointers = Vec::new();
        leaves(&document, "", &mut pointers);
        for pointer in pointers.iter().filter(|pointer| matters(&path, pointer)) {
            let mut lie = document.clone();
            let leaf = lie.pointer_mut(pointer).unwrap();
            *leaf = other(leaf);
            scene.refuses(&path, serde_json::to_vec(&lie).unwrap().into(), pointer).await;
            lies += 1;
        }
    }
    assert!(lies >= 20, "{lies} lies");
    // A verdict left out, told twice, or in another place.
    let (path, body) = scene.heard("/results");
    let document: Value = serde_json::from_slice(&body).unwrap();
    let shards = document["shards"].as_array().unwrap();
    for wrong in [vec![&shards[0]], vec![&shards[0], &shards[0]], vec![&shards[1], &shards[0]], vec![]] {
        let mut lie = document.clone();
        lie["shards"] = wrong.into_iter().cloned().collect();
        scene.refuses(&path, serde_json::to_vec(&lie).unwrap().into(), "list of verdicts").await;
    }
    // Another chain, and bytes of outputs.
    let (path, body) = scene.heard("v1/status");
    let mut lie: Value = serde_json::from_slice(&body).unwrap();
    lie["genesis"] = other(&lie["genesis"]);
    scene.refuses(&path, serde_json::to_vec(&lie).unwrap().into(), "genesis").await;
    let blobs: Vec<(String, Bytes)> = {
        let heard = scene.heard.lock().unwrap();
        let blobs = heard.iter().filter(|(path, _)| path.contains("/blobs/"));
        blobs.map(|(path, (_, body))| (path.clone(), body.clone())).collect()
    };
    assert!(blobs.len() >= 2, "records and files");
    for (path, body) in blobs {
        for at in [0, body.len() / 2, body.len() - 1] {
            let mut lie = body.to_vec();
            lie[at] ^= 1;
            scene.refuses(&path, lie.into(), "byte").await;
        }
        scene.refuses(&path, body.slice(1..), "length").await;
    }
    scene.verify().await.unwrap();
}

#[tokio::test]
async fn every_byte_of_a_proof_is_checked() {
    let scene = Scene::new().await;
    let (path, bytes) = scene.heard("/proof");
    let refused = |bytes: &[u8]| match decode::<StateProof>("proof", bytes) {
        Ok(proof) => verify_proof(&scene.trust, &proof).is_err(),
        Err(_) => true,
    };
    assert!(!refused(&bytes));
    for at in 0..bytes.len() {
        let mut lie = bytes.to_vec();
        lie[at] ^= 1 << (at % 8);
        assert!(refused(&lie), "byte {at} of {}", bytes.len());
    }
    proptest!(|(lie in valo_mutation::damaged(vec![bytes.to_vec()]))| {
        prop_assert!(lie == bytes || refused(&lie));
    });
    // The proof of another row is a good proof, and not of this job.
    let other = scene._honest.client.proof(valo_protocol::proof::StateTable::Accounts, 0).await.unwrap();
    verify_proof(&scene.trust, &other).unwrap();
    scene.refuses(&path, encode(&other).into(), "row").await;
}
