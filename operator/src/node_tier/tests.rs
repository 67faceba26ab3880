//! NodeTiers against an API server and a node: what they say when something is wrong, and what they make.

mod registered;

use super::*;
use crate::{
    names::{self, FINALIZER},
    testing::{self, ApiServer, Peer},
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::{Value, json};
use valo_crds::{Network, Wallet};
use valo_protocol::SecretKey;

/// A cluster with a Network, its node, a Wallet, and a NodeTier `workers` of nodes of 100 VALO each.
struct Place {
    server: ApiServer,
    context: Arc<Context>,
    peer: Peer,
}

async fn place(replicas: i32) -> Place {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    let peer = Peer::start(&context, &server).await;
    server.put_as::<Wallet>(json!({
        "metadata": {"name": "alice", "namespace": "valo"}, "spec": {"networkRef": {"name": "demo"}},
    }));
    server.put_object(&crate::keys::secret("valo", "alice", Default::default(), &SecretKey::from_seed([1; 32])));
    server.put_as::<NodeTier>(json!({
        "metadata": {"name": "workers", "namespace": "valo", "finalizers": [FINALIZER]},
        "spec": {
            "networkRef": {"name": "demo"}, "role": "worker", "tier": "small", "replicas": replicas, "slots": 1,
            "stake": {"perSlot": "100", "walletRef": {"name": "alice"}},
        },
    }));
    let place = Place { server, context, peer };
    place.found();
    place
}

impl Place {
    /// Puts the Network there, with a chain that runs.
    fn found(&self) {
        self.server.put_as::<Network>(json!({
            "metadata": {"name": "demo", "namespace": "valo"},
            "spec": {"join": {"genesisHash": "00".repeat(32), "seeds": [{"key": "cd".repeat(32)}]}},
            "status": {"genesisHash": "00".repeat(32), "height": 1},
        }));
    }

    async fn pass(&self) {
        let tier: NodeTier = self.server.read("valo", "workers").expect("it is there");
        NodeTier::reconcile(Arc::new(tier), self.context.clone()).await.expect("a pass");
    }

    /// Lets the pod of a node run, and the chain have it in a state.
    fn run(&self, ordinal: i32, state: &str) {
        let set = self.server.get("statefulsets", "valo", "workers").expect("it is made");
        self.server.put_as::<Pod>(json!({
            "metadata": {
                "name": names::pod("workers", ordinal), "namespace": "valo", "labels": {names::NODE_TIER: "workers"},
                "annotations": set["spec"]["template"]["metadata"]["annotations"],
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }));
        let secret: Secret = self.server.read("valo", &names::node_key("workers", ordinal)).expect("a key");
        let key = crate::keys::read(&secret, "key").unwrap().public();
        let slot = json!({"state": state, "stake": "100", "slots": 1, "id": ordinal + 1});
        self.peer.with(|told| told.nodes.insert(key.to_string(), testing::node(slot)));
    }

    /// All nodes, active.
    async fn active(replicas: i32) -> Self {
        let place = place(replicas).await;
        place.peer.with(|told| told.balance = "10000".to_owned());
        place.pass().await;
        (0..replicas).for_each(|ordinal| place.run(ordinal, "active"));
        place.pass().await;
        assert_eq!(place.says("Ready")[..2], ["True", "AllActive"]);
        place
    }

    fn says(&self, condition: &str) -> [String; 3] {
        self.server.condition("nodetiers", "workers", condition)
    }

    /// How often an event was made for a reason.
    fn told(&self, reason: &str) -> u64 {
        self.server.told("workers", reason)
    }

    fn edit(&self, collection: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.server.get(collection, "valo", name).expect("it is there");
        change(&mut object);
        self.server.put(collection, object);
    }
}

#[tokio::test]
async fn a_key_that_is_gone_is_told_once_and_everywhere() {
    let place = Place::active(2).await;
    place.server.delete("secrets", "valo", "workers-1-node-key");
    place.pass().await;
    let [status, reason, message] = place.says("Ready");
    assert_eq!([status.as_str(), &reason], ["False", "KeyLost"]);
    assert_eq!(
        message,
        "2 of 2 nodes are active: gone: Secret workers-1-node-key; restore it from a backup, no other key is made"
    );
    assert_eq!(place.says("Degraded")[..2], ["True", "KeyLost"]);
    assert_eq!(place.says("Progressing")[..2], ["False", "Settled"], "its pod runs on");
    // It is down, and cannot start again.
    place.server.delete("pods", "valo", "workers-1");
    place.edit("statefulsets", "workers", |set| set["spec"]["replicas"] = json!(1));
    for _ in 0..2 {
        place.pass().await;
        assert_eq!(place.says("Ready")[..2], ["False", "KeyLost"]);
        let [status, reason, message] = place.says("Progressing");
        assert_eq!([status.as_str(), &reason], ["False", "KeyLost"], "{message}");
        assert!(message.starts_with("1 of 2 nodes are active: "), "{message}");
    }
    assert_eq!(place.told("KeyLost"), 1);
    assert!(place.server.get("secrets", "valo", "workers-1-node-key").is_none(), "no other key is made");
    // It is not let go without the chain, though nobody has its key any more.
    place.edit("nodetiers", "workers", |tier| tier["spec"]["replicas"] = json!(1));
    place.pass().await;
    assert_eq!(place.told("Draining"), 1);
}

#[tokio::test]
async fn a_key_without_its_label_is_used_and_told_of() {
    let place = Place::active(1).await;
    let key = place.server.get("secrets", "valo", "workers-0-node-key").unwrap();
    place.edit("secrets", "workers-0-node-key", |secret| {
        secret["metadata"]["labels"].as_object_mut().unwrap().remove(names::NODE_TIER);
    });
    for _ in 0..2 {
        place.pass().await;
        assert_eq!(place.says("Ready")[..2], ["True", "AllActive"], "its pod goes by the name");
        let [_, reason, message] = place.says("Degraded");
        assert_eq!(reason, "KeyMislabelled");
        let label = "Secret workers-0-node-key exists but lacks the label valo.network/node-tier=workers: put it back";
        assert_eq!(message, label);
    }
    assert_eq!(place.told("KeyMislabelled"), 1);
    place.server.put("secrets", key);
    place.pass().await;
    assert_eq!(place.says("Degraded")[..2], ["False", "AllWell"]);
}

#[tokio::test]
async fn keys_that_were_found_are_not_said_to_be_generated() {
    let place = place(1).await;
    // Restored from a backup without its labels, before the NodeTier was made again.
    let restored =
        crate::keys::secret("valo", "workers-0-node-key", Default::default(), &SecretKey::from_seed([9; 32]));
    place.server.put_object(&restored);
    place.pass().await;
    assert_eq!(place.told("KeysGenerated"), 0);
    let tier: NodeTier = place.server.read("valo", "workers").unwrap();
    let key = SecretKey::from_seed([9; 32]).public().to_string();
    assert_eq!(tier.status.unwrap().nodes[0].public_key.as_deref(), Some(key.as_str()));
}

#[tokio::test]
async fn nothing_is_made_for_a_network_that_is_not_there() {
    let place = place(2).await;
    place.server.delete("networks", "valo", "demo");
    for _ in 0..2 {
        place.pass().await;
        let [status, reason, message] = place.says("Ready");
        assert_eq!([status.as_str(), &reason], ["False", "NetworkMissing"]);
        assert_eq!(message, "spec.networkRef.name: there is no Network demo");
        assert_eq!(place.says("Progressing")[..2], ["False", "NetworkMissing"]);
    }
    let secrets = place.server.all("secrets").len();
    assert_eq!(secrets, 1, "that of the wallet");
    for kind in ["statefulsets", "services", "configmaps", "networkpolicies", "poddisruptionbudgets"] {
        assert_eq!(place.server.all(kind), Vec::<Value>::new(), "{kind}");
    }
    assert_eq!(place.server.reasons("workers"), ["NetworkMissing"]);
    place.found();
    place.peer.with(|told| told.balance = "10000".to_owned());
    place.pass().await;
    assert_eq!(place.server.all("secrets").len(), secrets + 2);
}

#[tokio::test]
async fn what_leaves_says_how_many_are_still_to_go() {
    let place = Place::active(3).await;
    place.edit("nodetiers", "workers", |tier| tier["spec"]["replicas"] = json!(2));
    place.pass().await;
    assert_eq!(place.says("Ready"), ["True", "AllActive", "2 of 2 nodes are active, 1 node still to go"]);
    assert_eq!(place.says("Progressing")[..2], ["True", "ScalingDown"]);
    place.edit("nodetiers", "workers", |tier| tier["spec"]["replicas"] = json!(0));
    place.pass().await;
    assert_eq!(place.says("Ready"), ["False", "Leaving", "it is scaled to zero: 3 nodes still to go"]);
    // They have left, and their pods are gone.
    for ordinal in 0..3 {
        place.run(ordinal, "left");
    }
    place.pass().await;
    (0..3).for_each(|ordinal| place.server.delete("pods", "valo", &names::pod("workers", ordinal)));
    place.pass().await;
    assert_eq!(place.says("Ready"), ["True", "ScaledToZero", "scaled to zero: no nodes are asked for"]);
    assert_eq!(place.says("Progressing")[..2], ["False", "Settled"]);
}

#[tokio::test]
async fn what_is_deleted_is_not_ready() {
    let place = Place::active(2).await;
    place.server.delete("nodetiers", "valo", "workers");
    place.pass().await;
    assert_eq!(place.says("Ready"), ["False", "Leaving", "it is deleted: 2 nodes still to go"]);
    assert_eq!(place.says("Progressing")[..2], ["True", "ScalingDown"]);
}

#[tokio::test]
async fn what_is_missing_is_named_by_what_somebody_has_to_mend() {
    let place = Place::active(2).await;
    place.run(1, "jailed");
    for _ in 0..2 {
        place.pass().await;
        assert_eq!(
            place.says("Ready"),
            ["False", "Jailed", "1 of 2 nodes are active: jailed for signing too few blocks: workers-1"]
        );
        assert_eq!(place.says("Progressing")[..2], ["False", "Jailed"]);
    }
    assert_eq!(place.told("Jailed"), 1);
}

#[tokio::test]
async fn only_nodes_that_are_paid_for_are_begun() {
    let place = place(5).await;
    place.peer.with(|told| told.balance = "20".to_owned());
    place.pass().await;
    assert_eq!(place.server.all("secrets").len(), 1 + 1, "the wallet and the first node");
    assert_eq!(place.server.get("statefulsets", "valo", "workers").unwrap()["spec"]["replicas"], 1);
    let missing = "0 of 5 nodes are active: needs 480.1 VALO more for 5 nodes: send it to Wallet alice";
    for _ in 0..2 {
        place.pass().await;
        assert_eq!(place.says("Ready"), ["False", "InsufficientFunds", missing]);
        assert_eq!(place.says("Progressing")[..2], ["False", "InsufficientFunds"]);
    }
    assert_eq!(place.told("InsufficientFunds"), 1);
    place.peer.with(|told| told.balance = "350".to_owned());
    place.pass().await;
    assert_eq!(place.server.get("statefulsets", "valo", "workers").unwrap()["spec"]["replicas"], 3);
    assert_eq!(place.server.all("secrets").len(), 1 + 3);
    assert_eq!(place.says("Progressing")[..2], ["True", "ScalingUp"]);
    place.peer.with(|told| told.balance = "1000".to_owned());
    place.pass().await;
    assert_eq!(place.server.all("secrets").len(), 1 + 5);
    assert_eq!(place.says("Degraded")[..2], ["False", "AllWell"]);
}
