//! A node, as far as the operator asks it: where it stands, an account, a job, and a transaction that is final at once.

use crate::Context;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use valo_client::{
    Client,
    types::{Account, Node},
};
use valo_protocol::{Action, GenesisHash, SignedTransaction};

/// A node of a test. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    told: Arc<Mutex<Told>>,
    url: String,
}

/// What it answers, and what it was told.
pub struct Told {
    /// The job that the chain has, if it has one.
    pub job: Option<Value>,
    /// Whether the node is caught up.
    pub ready: bool,
    /// Registered nodes, by their keys.
    pub nodes: BTreeMap<String, Node>,
    /// Digests of the blobs that the node holds, and of those that others do.
    pub blobs: (BTreeSet<String>, BTreeSet<String>),
    /// What transactions come to.
    pub outcome: Value,
    /// What it was asked to carry out.
    pub actions: Vec<Action>,
    /// What every account can spend, in VALO.
    pub balance: String,
}

impl Peer {
    /// Starts one, and lets the chain of Network `demo` in namespace `valo` be asked by it.
    pub async fn start(context: &Context, server: &super::ApiServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let told = Told {
            job: None,
            ready: true,
            nodes: BTreeMap::new(),
            blobs: Default::default(),
            outcome: json!({"done": "nothing"}),
            actions: Vec::new(),
            balance: "100".to_owned(),
        };
        let peer = Self { told: Arc::new(Mutex::new(told)), url };
        let router = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/params", get(parameters))
            .route("/v1/tiers", get(tiers))
            .route("/v1/validators", get(validators))
            .route("/v1/nodes/{key}", get(node))
            .route("/v1/blobs", post(upload))
            .route("/v1/blobs/{hash}", get(blob))
            .route("/v1/accounts/{key}", get(account))
            .route("/v1/jobs", get(jobs))
            .route("/v1/jobs/{job}", get(job))
            .route("/v1/transactions", post(submit))
            .route("/v1/transactions/{id}", get(transaction))
            .with_state(peer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        // Its pod has an address that nothing listens on; the connection is there already.
        context.chains.know("http://192.0.2.1:8080", Client::new(&peer.url).expect("a client"));
        server.put_as::<k8s_openapi::api::core::v1::Pod>(json!({
            "metadata": {"name": "v-0", "namespace": "valo", "labels": {"valo.network/network": "demo"}},
            "status": {"phase": "Running", "podIP": "192.0.2.1"},
        }));
        peer
    }

    /// What it answers, to be changed.
    pub fn with<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        change(&mut self.told.lock().expect("no test panics with it"))
    }
}

async fn status(State(peer): State<Peer>) -> Json<Value> {
    let zero = "00".repeat(32);
    Json(json!({
        "chain": "demo", "genesis": zero, "version": "1", "height": 1, "block": zero, "time": 0, "stateRoot": zero,
        "epoch": 0, "validators": 1, "totalPower": 1,
        "node": {"key": zero, "ready": peer.with(|told| told.ready), "peers": 0, "pendingTransactions": 0, "uptime": 0},
    }))
}

async fn parameters() -> Json<Value> {
    let parameters = valo_protocol::params::Parameters::preset(valo_protocol::params::Preset::Dev);
    Json(json!({"height": 1, "parameters": parameters, "bytePrice": "0", "weightPrice": "0"}))
}

async fn tiers() -> Json<Value> {
    let tier = json!({
        "name": "small", "runtime": "wasm", "milliCpu": 1000, "memory": 1u64 << 30, "stakePerSlot": "100",
        "price": "0.001", "fuelPerSecond": 100_000_000,
    });
    Json(json!({"items": [{"id": 0, "nodes": 9, "owners": 9, "slots": 9, "busy": 0, "tier": tier}]}))
}

async fn validators() -> Json<Value> {
    Json(json!({"height": 1, "hash": "00".repeat(32), "totalPower": 0, "validators": []}))
}

async fn account(State(peer): State<Peer>) -> Json<Account> {
    Json(super::account(&peer.with(|told| told.balance.clone())))
}

async fn node(State(peer): State<Peer>, Path(key): Path<String>) -> Response {
    match peer.with(|told| told.nodes.get(&key).cloned()) {
        Some(node) => Json(node).into_response(),
        None => not_found(),
    }
}

/// As a node does it: HEAD tells what it holds, GET gets it from others.
async fn blob(State(peer): State<Peer>, method: Method, Path(hash): Path<String>) -> Response {
    let (here, elsewhere) = peer.with(|told| told.blobs.clone());
    match here.contains(&hash) || (method == Method::GET && elsewhere.contains(&hash)) {
        true => "\0asm".into_response(),
        false => not_found(),
    }
}

async fn upload(body: Bytes) -> Json<Value> {
    Json(json!({"hash": valo_protocol::BlobHash::of(&body), "size": body.len()}))
}

async fn jobs(State(peer): State<Peer>) -> Json<Value> {
    Json(json!({"items": peer.with(|told| told.job.clone()).into_iter().collect::<Vec<_>>()}))
}

async fn job(State(peer): State<Peer>) -> Response {
    match peer.with(|told| told.job.clone()) {
        Some(job) => Json(job).into_response(),
        None => not_found(),
    }
}

fn not_found() -> Response {
    let problem = json!({"type": "about:blank", "title": "", "status": 404, "detail": "", "code": "notFound"});
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::NOT_FOUND, kind, problem.to_string()).into_response()
}

async fn submit(State(peer): State<Peer>, body: Bytes) -> Json<Value> {
    let signed = SignedTransaction::from_bytes(&body).expect("a transaction");
    let id = signed.id(&GenesisHash([0; 32]));
    peer.with(|told| told.actions.push(signed.transaction.action));
    Json(json!({ "id": id }))
}

async fn transaction(State(peer): State<Peer>, Path(id): Path<String>) -> Json<Value> {
    let outcome = peer.with(|told| told.outcome.clone());
    let receipt = json!({"transaction": id, "height": 1, "index": 0, "fee": "0", "outcome": outcome});
    Json(json!({"id": id, "state": "finalized", "receipt": receipt}))
}
