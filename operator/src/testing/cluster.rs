//! An API server, as far as the operator goes: objects of any kind with UIDs, versions, finalizers, watches, the three
//! ways to write, and what of validation some tests are about. It knows no schemas and no rights.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::stream;
use kube::{Client, Config, Resource, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{net::TcpListener, sync::watch};

/// Of which kind, in which namespace, under which name.
type Key = (String, String, String);

/// Serves until the test ends. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<Mutex<Store>>,
    changed: watch::Sender<u64>,
    url: String,
}

#[derive(Default)]
struct Store {
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// What watches tell: the collection, what happened, and the object.
    log: Vec<(u64, String, &'static str, Value)>,
    /// Every write: method and path.
    writes: Vec<String>,
    /// Every read of one object: its path.
    reads: Vec<String>,
    /// Whether it answers at all.
    is_down: bool,
}

/// What a path asks for.
struct Target {
    collection: String,
    namespace: String,
    name: Option<String>,
    subresource: Option<String>,
}

impl ApiServer {
    /// Starts one without objects.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Self { state: Arc::default(), changed: watch::Sender::new(0), url };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::try_from(Config::new(self.url.parse().expect("an address"))).expect("a client")
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.state.lock().expect("no test panics with it")
    }

    /// Puts an object there, whatever is there, and whether it makes sense or not.
    pub fn put(&self, collection: &str, mut object: Value) {
        let key = key(collection, &object);
        let mut store = self.lock();
        let happened = if store.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        if object["metadata"].get("uid").is_none() {
            object["metadata"]["uid"] = json!(uid(store.version));
        }
        store.write(key, object, happened);
        self.changed.send_replace(store.version);
    }

    /// An object as it is.
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (collection.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&key).cloned()
    }

    /// The same, read.
    pub fn read<K>(&self, namespace: &str, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        self.get(&K::plural(&()), namespace, name).map(|found| serde_json::from_value(found).expect("an object"))
    }

    /// Asks for the end of an object, as `kubectl delete` does.
    pub fn delete(&self, collection: &str, namespace: &str, name: &str) {
        let key = (collection.to_owned(), namespace.to_owned(), name.to_owned());
        self.lock().delete(&key);
        self.changed.send_replace(self.lock().version);
    }

    /// All objects of a collection.
    pub fn all(&self, collection: &str) -> Vec<Value> {
        let store = self.lock();
        store.objects.iter().filter(|((of, ..), _)| of == collection).map(|(_, object)| object.clone()).collect()
    }

    /// The reasons of the events about an object.
    pub fn reasons(&self, name: &str) -> Vec<String> {
        let about = |event: &Value| event["regarding"]["name"] == name;
        let reason = |event: Value| event["reason"].as_str().map(str::to_owned);
        self.all("events").into_iter().filter(about).filter_map(reason).collect()
    }

    /// How often an event of a reason was told about an object: one that comes again is counted in the first.
    pub fn told(&self, name: &str, reason: &str) -> u64 {
        let of_it = |event: &&Value| event["regarding"]["name"] == name && event["reason"] == reason;
        let count = |event: &Value| event["series"]["count"].as_u64().unwrap_or(1);
        self.all("events").iter().filter(of_it).map(count).sum()
    }

    /// The words of a condition: its status, its reason and its message.
    pub fn condition(&self, collection: &str, name: &str, type_: &str) -> [String; 3] {
        let object = self.get(collection, "valo", name).unwrap_or_default();
        let list = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = list.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default();
        ["status", "reason", "message"].map(|field| found[field].as_str().unwrap_or_default().to_owned())
    }

    /// Every write so far: method and path.
    pub fn writes(&self) -> Vec<String> {
        self.lock().writes.clone()
    }

    /// Every read of one object so far, by its path.
    pub fn reads(&self) -> Vec<String> {
        self.lock().reads.clone()
    }

    /// Whether it answers from now on.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Waits until something is so; looks whenever an object has changed.
    pub async fn until<T>(&self, what: &str, mut is_so: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let looking = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = is_so(self) {
                    return found;
                }
                changed.changed().await.expect("it is not dropped");
            }
        };
        let found = tokio::time::timeout(std::time::Duration::from_secs(30), looking).await;
        found.unwrap_or_else(|_| panic!("it never came to {what}"))
    }
}

impl Store {
    fn write(&mut self, key: Key, mut object: Value, happened: &'static str) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.log.push((self.version, key.0.clone(), happened, object.clone()));
        match happened {
            "DELETED" => drop(self.objects.remove(&key)),
            _ => drop(self.objects.insert(key, object.clone())),
        }
        object
    }

    fn delete(&mut self, key: &Key) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if !is_held {
            return Some(self.write(key.clone(), object, "DELETED"));
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        Some(self.write(key.clone(), object, "MODIFIED"))
    }

    /// A node port that another Service has.
    fn taken(&self, key: &Key, object: &Value) -> Option<String> {
        let ports = |object: &Value| -> Vec<u64> {
            let ports = object["spec"]["ports"].as_array().into_iter().flatten();
            ports.filter_map(|port| port["nodePort"].as_u64()).collect()
        };
        let others =
            self.objects.iter().filter(|(other, _)| other.0 == "services" && key.0 == "services" && *other != key);
        let theirs: Vec<u64> = others.flat_map(|(_, other)| ports(other)).collect();
        let port = ports(object).into_iter().find(|port| theirs.contains(port))?;
        Some(format!("spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"))
    }

    /// Keeps a changed object, unless nothing holds one that is to go.
    fn keep(&mut self, key: Key, object: Value, happened: &'static str) -> Response {
        if let Some(wrong) = invalid(&key.0, &object) {
            return status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", wrong);
        }
        if let Some(wrong) = self.taken(&key, &object) {
            return status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", wrong);
        }
        if self.objects.get(&key) == Some(&object) {
            return axum::Json(object).into_response();
        }
        let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let goes = object["metadata"].get("deletionTimestamp").is_some() && !is_held;
        axum::Json(self.write(key, object, if goes { "DELETED" } else { happened })).into_response()
    }
}

async fn answer(
    State(server): State<ApiServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if server.lock().is_down {
        return status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "it is down".to_owned());
    }
    if uri.path() == "/version" {
        return axum::Json(
            json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        )
        .into_response();
    }
    let query: BTreeMap<String, String> =
        uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect();
    let target = target(uri.path());
    if query.get("watch").is_some_and(|watch| watch == "true") {
        return follow(&server, target, &query);
    }
    let answer = {
        let mut store = server.lock();
        match method {
            Method::GET if target.name.is_some() => store.reads.push(uri.path().to_owned()),
            Method::GET => {}
            _ => store.writes.push(format!("{method} {}", uri.path())),
        }
        match method {
            Method::GET => read(&store, &target, &query),
            _ => write(&mut store, &method, &target, &headers, &body),
        }
    };
    server.changed.send_replace(server.lock().version);
    answer
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    let value = value.replace("%3D", "=").replace("%2F", "/").replace("%2C", ",").replace('+', " ");
    (name.to_owned(), value)
}

fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    // api/v1/... or apis/group/version/...
    let rest = parts.get(if parts.first() == Some(&"api") { 2 } else { 3 }..).unwrap_or_default();
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => ((*namespace).to_owned(), rest),
        rest => (String::new(), rest),
    };
    let part = |index: usize| rest.get(index).map(|part| (*part).to_owned());
    Target { collection: part(0).unwrap_or_default(), namespace, name: part(1), subresource: part(2) }
}

fn key(collection: &str, object: &Value) -> Key {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (collection.to_owned(), text("namespace"), text("name"))
}

fn uid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn status(code: StatusCode, reason: &str, message: String) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code.as_u16(),
    });
    (code, axum::Json(body)).into_response()
}

fn is_selected(object: &Value, namespace: &str, query: &BTreeMap<String, String>) -> bool {
    let labels = &object["metadata"]["labels"];
    let selector = query.get("labelSelector").map(String::as_str).unwrap_or_default();
    let mut wanted = selector.split(',').filter_map(|pair| pair.split_once('='));
    wanted.all(|(label, value)| labels[label] == value)
        && (namespace.is_empty() || object["metadata"]["namespace"] == namespace)
}

fn read(store: &Store, target: &Target, query: &BTreeMap<String, String>) -> Response {
    let Some(name) = &target.name else {
        let of_it = store.objects.iter().filter(|((of, ..), _)| *of == target.collection);
        let items: Vec<&Value> =
            of_it.map(|(_, object)| object).filter(|object| is_selected(object, &target.namespace, query)).collect();
        let metadata = json!({"resourceVersion": store.version.to_string()});
        return axum::Json(json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
            .into_response();
    };
    match store.objects.get(&(target.collection.clone(), target.namespace.clone(), name.clone())) {
        Some(found) => axum::Json(found.clone()).into_response(),
        None => status(StatusCode::NOT_FOUND, "NotFound", format!("{} \"{name}\" not found", target.collection)),
    }
}

fn write(store: &mut Store, method: &Method, target: &Target, headers: &HeaderMap, body: &Bytes) -> Response {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let name = target.name.clone().unwrap_or_else(|| key("", &body).2);
    let key = (target.collection.clone(), target.namespace.clone(), name);
    let found = store.objects.get(&key).cloned();
    let version = body["metadata"]["resourceVersion"].as_str();
    let is_stale = found
        .as_ref()
        .is_some_and(|found| version.is_some_and(|version| found["metadata"]["resourceVersion"] != version));
    let other_uid = found
        .as_ref()
        .is_some_and(|found| body["metadata"].get("uid").is_some_and(|uid| *uid != found["metadata"]["uid"]));
    let content = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match (method, found) {
        _ if is_stale || other_uid => {
            status(StatusCode::CONFLICT, "Conflict", "the object has been modified, or its uid is another".to_owned())
        }
        (&Method::POST, Some(_)) => status(StatusCode::CONFLICT, "AlreadyExists", "it exists".to_owned()),
        (&Method::POST, None) => {
            let mut made = body;
            made["metadata"]["uid"] = json!(uid(store.version));
            made["metadata"]["namespace"] = json!(target.namespace);
            store.keep(key, made, "ADDED")
        }
        (&Method::DELETE, Some(_)) => axum::Json(store.delete(&key).unwrap_or_default()).into_response(),
        (&Method::PUT, Some(_)) => store.keep(key, body, "MODIFIED"),
        (&Method::PATCH, Some(mut found)) => {
            let is_apply = content.contains("apply-patch");
            let patch = match &target.subresource {
                Some(part) => json!({ part: body[part] }),
                None => body,
            };
            let immutable = unchangeable(&found, &patch);
            merge(&mut found, patch, is_apply);
            match immutable {
                Some(field) => status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{field} is immutable")),
                None => store.keep(key, found, "MODIFIED"),
            }
        }
        (&Method::PATCH, None) if content.contains("apply-patch") && target.subresource.is_none() => {
            let mut made = body;
            made["metadata"]["uid"] = json!(uid(store.version));
            store.keep(key, made, "ADDED")
        }
        _ => status(StatusCode::NOT_FOUND, "NotFound", format!("{} \"{}\" not found", key.0, key.2)),
    }
}

/// Merges a patch. Lists that are maps by key are merged by an apply, and replaced by a merge patch.
fn merge(into: &mut Value, patch: Value, is_apply: bool) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Some(into) = into.as_object_mut() else { return };
    for (name, value) in patch {
        match (into.get_mut(&name), value) {
            (_, Value::Null) => drop(into.remove(&name)),
            (Some(Value::Array(old)), Value::Array(new)) if is_apply && name == "ports" => {
                let id = |port: &Value| (port["port"].clone(), port["protocol"].clone());
                for port in new {
                    match old.iter_mut().find(|other| id(other) == id(&port)) {
                        Some(other) => merge(other, port, is_apply),
                        None => old.push(port),
                    }
                }
            }
            (Some(old), value) => merge(old, value, is_apply),
            (None, value) => {
                let mut new = Value::Null;
                merge(&mut new, value, is_apply);
                into.insert(name, new);
            }
        }
    }
}

/// What of validation tests are about: ports of one name, and budgets that say two things.
fn invalid(collection: &str, object: &Value) -> Option<String> {
    let spec = &object["spec"];
    let names: Vec<&Value> = spec["ports"].as_array().into_iter().flatten().map(|port| &port["name"]).collect();
    let is_double = names.iter().enumerate().any(|(at, name)| names.iter().skip(at + 1).any(|other| name == other));
    match collection {
        "services" if is_double => Some("spec.ports: Duplicate value".to_owned()),
        "poddisruptionbudgets" if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() => {
            Some("spec: minAvailable and maxUnavailable cannot be both set".to_owned())
        }
        _ => None,
    }
}

/// Fields that stay as they were made.
fn unchangeable(found: &Value, patch: &Value) -> Option<&'static str> {
    let differs = |at: &str| patch.pointer(at).is_some_and(|new| found.pointer(at).is_some_and(|old| old != new));
    if found["immutable"] == true && (differs("/data") || differs("/immutable")) {
        return Some("data");
    }
    differs("/spec/clusterIP").then_some("spec.clusterIP")
}

/// A watch: what happened since the version that it names, and what happens.
fn follow(server: &ApiServer, target: Target, query: &BTreeMap<String, String>) -> Response {
    let since = query.get("resourceVersion").and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
    let (server, query) = (server.clone(), query.clone());
    let changed = server.changed.subscribe();
    let target = Arc::new(target);
    let lines = stream::unfold((since, changed), move |(seen, mut changed)| {
        let (server, target, query) = (server.clone(), target.clone(), query.clone());
        async move {
            loop {
                changed.borrow_and_update();
                let (version, lines) = {
                    let store = server.lock();
                    let new = store.log.iter().filter(|(at, of, ..)| *at > seen && *of == target.collection);
                    let selected = new.filter(|(.., object)| is_selected(object, &target.namespace, &query));
                    let line = |(_, _, type_, object): &(u64, String, &str, Value)| {
                        json!({"type": type_, "object": object}).to_string() + "\n"
                    };
                    (store.version, selected.map(line).collect::<String>())
                };
                if !lines.is_empty() {
                    return Some((Ok::<_, std::convert::Infallible>(lines), (version, changed)));
                }
                changed.changed().await.ok()?;
            }
        }
    });
    Body::from_stream(lines).into_response()
}

/// An object as a test writes it, with its kind.
pub fn object<K: Resource<DynamicType = ()>>(mut rest: Value) -> Value {
    rest["apiVersion"] = json!(K::api_version(&()));
    rest["kind"] = json!(K::kind(&()));
    rest
}

impl ApiServer {
    /// Puts an object of a kind there.
    pub fn put_as<K: Resource<DynamicType = ()>>(&self, rest: Value) {
        self.put(&K::plural(&()), object::<K>(rest));
    }

    /// Puts an object there as it was read and changed.
    pub fn put_object<K: Resource<DynamicType = ()> + Serialize>(&self, changed: &K) {
        self.put(&K::plural(&()), object::<K>(serde_json::to_value(changed).expect("an object")));
    }
}
