//! A NodeTier of one validator that the chain has: who holds its key, and where it is reached.

use super::super::*;
use crate::{
    keys, names,
    testing::{self, ApiServer, Peer},
};
use serde_json::{Value, json};
use valo_crds::{Network, Wallet};
use valo_protocol::SecretKey;

/// A cluster with a Network, its node, a Wallet, and a NodeTier of one validator that the chain has.
struct Place {
    server: ApiServer,
    context: Arc<Context>,
    peer: Peer,
}

async fn place(external: Value, endpoints: &[&str]) -> Place {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    let peer = Peer::start(&context, &server).await;
    let founded = json!({"validators": [{"nodeTier": "v", "count": 1, "stake": "1000"}]});
    server.put_as::<Network>(json!({
        "metadata": {"name": "demo", "namespace": "valo"}, "spec": {"chain": founded, "externalAddress": external},
        "status": {"genesisHash": "00".repeat(32)},
    }));
    let network = json!({"name": "demo"});
    server.put_as::<Wallet>(json!({
        "metadata": {"name": "alice", "namespace": "valo"}, "spec": {"networkRef": network},
    }));
    server.put_object(&keys::secret("valo", "alice", Default::default(), &SecretKey::from_seed([1; 32])));
    let key = SecretKey::from_seed([2; 32]);
    let labels = names::labels(&[(names::NODE_TIER, "v")]);
    server.put_object(&keys::secret("valo", &names::node_key("v", 0), labels, &key));
    let key = key.public().to_string();
    let record = testing::node(json!({"key": key, "endpoints": endpoints}));
    peer.with(|told| told.nodes.insert(key, record));
    server.put_as::<NodeTier>(json!({
        "metadata": {"name": "v", "namespace": "valo"},
        "spec": {
            "networkRef": network, "role": "validator", "replicas": 1,
            "stake": {"perNode": "1000", "walletRef": {"name": "alice"}},
        },
    }));
    Place { server, context, peer }
}

impl Place {
    async fn pass(&self) {
        let tier: NodeTier = self.server.read("valo", "v").expect("it is there");
        NodeTier::reconcile(Arc::new(tier), self.context.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_reservation_is_read_once_a_pass() {
    let place = place(json!({"type": "None"}), &[]).await;
    place.pass().await;
    assert_eq!(place.server.all("consensuskeyreservations").len(), 1);
    let replicas = |place: &Place| place.server.get("statefulsets", "valo", "v").unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(&place), 1, "it is ours");
    let before = place.server.reads().len();
    place.pass().await;
    let reads = place.server.reads().split_off(before);
    let of_it = reads.iter().filter(|path| path.contains("/consensuskeyreservations/"));
    assert_eq!(of_it.count(), 1, "{reads:#?}");
    // Another pod has the key: what was read once says so to the chain's part and to the cluster's.
    let mut taken = place.server.all("consensuskeyreservations").remove(0);
    taken["spec"]["holder"]["pod"] = json!("copy-0");
    place.server.put("consensuskeyreservations", taken);
    let told = place.peer.with(|told| told.actions.len());
    place.pass().await;
    assert_eq!(replicas(&place), 0);
    let tier: NodeTier = place.server.read("valo", "v").unwrap();
    assert_eq!(tier.status.unwrap().nodes[0].id, Some(1), "what was known of it stays told");
    assert_eq!(place.peer.with(|told| told.actions.len()), told, "nothing is done to the node of another pod");
}

#[tokio::test]
async fn a_service_that_is_made_anew_is_reached_where_it_was() {
    let endpoints = ["tcp://203.0.113.4:30701", "udp://203.0.113.4:30702"];
    let place = place(json!({"type": "NodePort", "hosts": ["203.0.113.4"]}), &endpoints).await;
    let node_ports = || {
        let service = place.server.get("services", "valo", "v-0-external").unwrap();
        let ports: Vec<Value> =
            service["spec"]["ports"].as_array().unwrap().iter().map(|port| port["nodePort"].clone()).collect();
        ports
    };
    // There is none: by hand, or in a namespace that came from a backup.
    place.pass().await;
    assert_eq!(node_ports(), [30701, 30702]);
    assert!(!place.server.reasons("v").contains(&"NodePortTaken".to_owned()));
    // Given anew by hand: that is what the world is told from now on.
    let mut moved = place.server.get("services", "valo", "v-0-external").unwrap();
    moved["spec"]["ports"][0]["nodePort"] = json!(30711);
    place.server.put("services", moved);
    place.pass().await;
    assert_eq!(node_ports(), [30711, 30702]);
    // Meanwhile another Service got one of them.
    place.server.delete("services", "valo", "v-0-external");
    place.server.put(
        "services",
        json!({
            "metadata": {"name": "other", "namespace": "else"}, "spec": {"ports": [{"port": 80, "nodePort": 30701}]},
        }),
    );
    place.pass().await;
    assert_eq!(node_ports(), [Value::Null, json!(30702)], "it takes another, and keeps the one that is free");
    assert!(place.server.reasons("v").contains(&"NodePortTaken".to_owned()));
    let said = place.server.all("events").into_iter().find(|event| event["reason"] == "NodePortTaken").unwrap();
    assert!(said["note"].as_str().unwrap().contains("30701"), "{said}");
}
