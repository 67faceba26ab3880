//! What all controllers have in common, against an API server.

use super::*;
use crate::testing::{self, ApiServer};
use futures::{FutureExt, future::LocalBoxFuture};
use serde_json::json;
use std::future::pending;
use valo_crds::{JobContract, Network, NodeTier, Wallet};

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("inner")]
struct Inner;

#[test]
fn an_error_is_told_with_its_causes() {
    assert_eq!(causes(&Outer(Inner)), "outer: inner");
}

/// All controllers, for ever, beside what a test does.
fn running(context: &Arc<Context>) -> LocalBoxFuture<'static, ()> {
    let context = context.clone();
    async move { crate::run::controllers(context, None, pending().boxed().shared()).await }.boxed_local()
}

/// Puts an object there that cannot be read, and one beside it that can.
fn put<K: Kind>(server: &ApiServer, spec: Value) {
    server.put_as::<K>(json!({"metadata": {"name": "wrong", "namespace": "valo"}, "spec": {"networkRef": 7}}));
    server.put_as::<K>(json!({"metadata": {"name": "right", "namespace": "valo"}, "spec": spec}));
}

/// Waits until the unreadable one was told of, and the other one has the status of a good pass.
async fn goes_on<K: Kind>(server: &ApiServer) {
    let told = |event: &Value| {
        let about = &event["regarding"];
        event["reason"] == "Malformed"
            && event["type"] == "Warning"
            && about["name"] == "wrong"
            && about["kind"] == K::kind(&()).as_ref()
    };
    server.until("the event", |server| server.all("events").iter().any(told).then_some(())).await;
    let plural = K::plural(&());
    let good =
        |server: &ApiServer| server.get(&plural, "valo", "right")?.pointer("/status/observedGeneration").cloned();
    let status = |server: &ApiServer| server.get(&plural, "valo", "right")?.get("status").cloned();
    let found = server.until("a status", status).await;
    assert!(good(server).is_some() || found["conditions"][0]["reason"] != "ClusterError", "{found}");
}

#[tokio::test]
async fn one_malformed_object_of_each_kind_stops_nothing() {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    let network = json!({"name": "right"});
    put::<Network>(&server, json!({"chain": {"validators": [{"nodeTier": "right", "stake": "1"}]}}));
    put::<NodeTier>(&server, json!({"networkRef": network, "role": "full", "replicas": 1}));
    put::<Wallet>(&server, json!({"networkRef": network}));
    put::<JobContract>(
        &server,
        json!({
            "networkRef": network, "walletRef": {"name": "right"}, "budget": "5", "deadline": "10m",
            "stages": [{"name": "one", "tier": "small", "wasm": {"module": "count.wasm"}}],
        }),
    );
    let looking = async {
        goes_on::<Network>(&server).await;
        goes_on::<NodeTier>(&server).await;
        goes_on::<Wallet>(&server).await;
        goes_on::<JobContract>(&server).await;
    };
    tokio::select! {
        () = running(&context) => panic!("they ended"),
        () = looking => {}
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_gone() {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    put::<NodeTier>(&server, json!({"networkRef": {"name": "other"}, "role": "full", "replicas": 1}));
    let metadata = json!({"name": "demo", "namespace": "valo", "finalizers": [crate::names::FINALIZER]});
    server.put_as::<Network>(json!({"metadata": metadata, "spec": {}}));
    server.put_as::<Wallet>(json!({"metadata": metadata, "spec": {"networkRef": {"name": "demo"}}}));
    server.delete("networks", "valo", "demo");
    server.delete("wallets", "valo", "demo");
    let pass = async || {
        let network: Network = server.read("valo", "demo").unwrap();
        Network::reconcile(Arc::new(network), context.clone()).await.unwrap();
        let wallet: Wallet = server.read("valo", "demo").unwrap();
        Wallet::reconcile(Arc::new(wallet), context.clone()).await.unwrap();
    };
    pass().await;
    assert_eq!(server.reasons("demo"), ["Waiting", "Waiting"], "its nodes may be of this Network");
    server.delete("nodetiers", "valo", "wrong");
    pass().await;
    assert!(server.get("networks", "valo", "demo").is_none() && server.get("wallets", "valo", "demo").is_none());
}

#[tokio::test]
async fn failures_of_what_is_gone_are_forgotten() {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    // It names a Secret that is not there.
    server.put_as::<Wallet>(json!({
        "metadata": {"name": "alice", "namespace": "valo"},
        "spec": {"networkRef": {"name": "demo"}, "secretRef": {"name": "none"}},
    }));
    let looking = async {
        server.until("a failure", |server| server.get("wallets", "valo", "alice")?.get("status").cloned()).await;
        while context.failures.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        server.delete("wallets", "valo", "alice");
        // Its next pass, a second later, finds it gone.
        while !context.failures.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = running(&context) => panic!("it ended"),
        done = tokio::time::timeout(Duration::from_secs(30), looking) => done.unwrap(),
    }
}

#[tokio::test]
async fn a_contract_whose_passes_fail_shows_why() {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    let _peer = testing::Peer::start(&context, &server).await;
    let metadata = json!({"name": "demo", "namespace": "valo"});
    let status = json!({"genesisHash": "00".repeat(32)});
    server.put_as::<Network>(json!({"metadata": metadata, "spec": {}, "status": status}));
    server.put_as::<Wallet>(json!({"metadata": metadata, "spec": {"networkRef": {"name": "demo"}}}));
    server.put_as::<k8s_openapi::api::core::v1::Secret>(json!({"metadata": metadata}));
    server.put_as::<JobContract>(json!({
        "metadata": {"name": "count", "namespace": "valo"},
        "spec": {
            "networkRef": {"name": "demo"}, "walletRef": {"name": "demo"}, "budget": "5", "deadline": "10m",
            "stages": [{"name": "one", "tier": "small", "wasm": {"module": "count.wasm"}}],
        },
    }));
    let job: JobContract = server.read("valo", "count").unwrap();
    pass::<JobContract>(Arc::new(DeserializeGuard(Ok(job))), context).await.unwrap_err();
    let status = server.get("jobcontracts", "valo", "count").unwrap()["status"].clone();
    assert_eq!((&status["phase"], &status["reason"]), (&json!("pending"), &json!("KeyMalformed")));
    assert_eq!(server.condition("jobcontracts", "count", READY)[..2], ["False", "KeyMalformed"]);
}
