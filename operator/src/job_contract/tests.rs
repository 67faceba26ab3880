//! JobContracts against an API server and a node: when they are held, and how they go.

use super::*;
use crate::testing::{self, ApiServer, Peer};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use valo_crds::{JobReason, Network, Wallet};
use valo_protocol::{Action as ChainAction, SecretKey, job::JobId};

/// A cluster with a Network, its node and a Wallet, and a contract that says `spec` besides the usual.
struct Place {
    server: ApiServer,
    context: Arc<Context>,
    peer: Peer,
}

async fn place() -> Place {
    let server = ApiServer::start().await;
    let context = testing::context(&server);
    let peer = Peer::start(&context, &server).await;
    server.put_as::<Network>(json!({
        "metadata": {"name": "demo", "namespace": "valo"}, "spec": {}, "status": {"genesisHash": "00".repeat(32)},
    }));
    server.put_as::<Wallet>(json!({
        "metadata": {"name": "alice", "namespace": "valo"}, "spec": {"networkRef": {"name": "demo"}},
    }));
    server.put_object(&crate::keys::secret("valo", "alice", Default::default(), &SecretKey::from_seed([1; 32])));
    Place { server, context, peer }
}

impl Place {
    /// Puts a contract there, with a status.
    fn submit(&self, finalizers: &[&str], status: Value) {
        self.submit_stage(json!({"module": "count.wasm"}), Value::Null, finalizers, status);
    }

    /// The same, with a program and an input.
    fn submit_stage(&self, wasm: Value, input: Value, finalizers: &[&str], status: Value) {
        let mut stage = json!({"name": "one", "tier": "small", "wasm": wasm});
        if !input.is_null() {
            stage["input"] = input;
        }
        self.server.put_as::<JobContract>(json!({
            "metadata": {"name": "count", "namespace": "valo", "finalizers": finalizers},
            "spec": {
                "networkRef": {"name": "demo"}, "walletRef": {"name": "alice"}, "budget": "5", "deadline": "10m",
                "stages": [stage],
            },
            "status": status,
        }));
    }

    fn contract(&self) -> Option<JobContract> {
        self.server.read("valo", "count")
    }

    fn is_held(&self) -> bool {
        self.contract().is_some_and(|job| job.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER))
    }

    /// A pass over the contract as it is.
    async fn pass(&self) -> Result<Action, Error> {
        let job = self.contract().expect("it is there");
        JobContract::reconcile(Arc::new(job), self.context.clone()).await
    }

    fn delete(&self) {
        self.server.delete("jobcontracts", "valo", "count");
    }

    fn cancelled(&self) -> Vec<JobId> {
        let told = self.peer.with(|told| told.actions.clone());
        let cancel = |action| match action {
            ChainAction::CancelJob { job } => Some(job),
            _ => None,
        };
        told.into_iter().filter_map(cancel).collect()
    }
}

#[tokio::test]
async fn a_contract_is_held_as_long_as_its_job_is_not_over() {
    let place = place().await;
    place.submit(&[], json!({"job": "7", "phase": "funded"}));
    place.peer.with(|told| told.job = Some(testing::job(7, json!({"phase": "running"}))));
    place.pass().await.unwrap();
    assert!(place.is_held());
    for (phase, shown) in [
        (json!({"phase": "final"}), JobPhase::Final),
        (json!({"phase": "failed", "reason": "cancelled"}), JobPhase::Failed),
    ] {
        place.submit(&[FINALIZER], json!({"job": "7", "phase": "running"}));
        place.peer.with(|told| told.job = Some(testing::job(7, phase)));
        let next = place.pass().await.unwrap();
        assert_eq!(place.contract().unwrap().status.unwrap().phase, Some(shown));
        assert_eq!(next, Action::requeue(SOON), "the finalizer is still there");
        assert_eq!(place.pass().await.unwrap(), Action::await_change());
        assert!(!place.is_held());
        let writes = place.server.writes().len();
        place.pass().await.unwrap();
        assert!(!place.is_held(), "no pass puts it back");
        assert_eq!(place.server.writes().len(), writes, "there is nothing to write");
    }
    place.delete();
    assert!(place.contract().is_none(), "it goes without the operator");
    assert_eq!(place.cancelled(), []);
}

#[tokio::test]
async fn what_was_never_submitted_is_not_held() {
    let place = place().await;
    // It waits for a Network.
    place.server.delete("networks", "valo", "demo");
    place.submit(&[], json!({}));
    place.pass().await.unwrap();
    assert_eq!(place.contract().unwrap().status.unwrap().phase, Some(JobPhase::Pending));
    assert!(!place.is_held());
    // It was refused, by this release or by one that held it.
    place.submit(&[FINALIZER], json!({"phase": "rejected", "reason": "Refused"}));
    place.pass().await.unwrap();
    assert!(!place.is_held());
    assert_eq!(place.contract().unwrap().status.unwrap().phase, Some(JobPhase::Rejected), "for good");
    place.delete();
    assert!(place.contract().is_none());
}

#[tokio::test]
async fn a_running_job_is_cancelled_with_its_contract() {
    let place = place().await;
    for (policy, cancelled) in [("leave", vec![]), ("cancel", vec![JobId(7)])] {
        place.submit(&[FINALIZER], json!({"job": "7", "phase": "running"}));
        place.peer.with(|told| told.job = Some(testing::job(7, json!({"phase": "running"}))));
        let mut job = place.server.get("jobcontracts", "valo", "count").unwrap();
        job["spec"]["deletionPolicy"] = json!(policy);
        place.server.put("jobcontracts", job);
        place.delete();
        place.pass().await.unwrap();
        assert!(place.contract().is_none());
        assert_eq!(place.cancelled(), cancelled);
    }
    assert!(place.server.reasons("count").contains(&"Cancelled".to_owned()));
}

#[tokio::test]
async fn a_job_whose_number_was_never_written_down_is_found_and_cancelled() {
    let place = place().await;
    place.peer.with(|told| told.job = Some(testing::job(7, json!({"phase": "running"}))));
    place.submit(&[FINALIZER], json!({"phase": "pending"}));
    place.pass().await.unwrap();
    let status = place.contract().unwrap().status.unwrap();
    assert_eq!((status.job.as_deref(), status.phase), (Some("7"), Some(JobPhase::Running)));
    place.submit(&[FINALIZER], json!({"phase": "pending"}));
    place.delete();
    place.pass().await.unwrap();
    assert!(place.contract().is_none());
    assert_eq!(place.cancelled(), [JobId(7)]);
}

#[tokio::test]
async fn whatever_is_gone_a_contract_that_is_deleted_ends() {
    let running = json!({"job": "7", "phase": "running"});
    for (gone, told) in [
        (&["networks"][..], None),
        (&["wallets"], Some("NotCancelled")),
        (&["secrets"], Some("NotCancelled")),
        (&["networks", "wallets", "secrets", "pods"], None),
    ] {
        let place = place().await;
        place.peer.with(|told| told.job = Some(testing::job(7, json!({"phase": "running"}))));
        place.submit(&[FINALIZER], running.clone());
        place.delete();
        for kind in gone {
            let name = place.server.all(kind)[0]["metadata"]["name"].as_str().unwrap().to_owned();
            place.server.delete(kind, "valo", &name);
        }
        place.pass().await.unwrap();
        assert!(place.contract().is_none(), "{gone:?}");
        assert_eq!(place.server.reasons("count").first().map(String::as_str), told, "{gone:?}");
    }
    // A Secret that holds no key signs nothing either.
    let place = place().await;
    place.peer.with(|told| told.job = Some(testing::job(7, json!({"phase": "running"}))));
    let mut secret: Secret = place.server.read("valo", "alice").unwrap();
    secret.data = None;
    place.server.put_object(&secret);
    place.submit(&[FINALIZER], running);
    place.delete();
    place.pass().await.unwrap();
    assert!(place.contract().is_none());
}

#[tokio::test]
async fn a_contract_waits_for_a_silent_chain_and_ends_with_its_network() {
    let place = place().await;
    place.submit(&[FINALIZER], json!({"job": "7", "phase": "running"}));
    place.server.delete("pods", "valo", "v-0");
    place.delete();
    place.pass().await.unwrap();
    assert!(place.is_held(), "the job may be cancelled yet");
    assert_eq!(place.server.reasons("count"), ["Waiting"]);
    // The namespace goes as a whole: the Network waits for its nodes, and is going.
    let mut network = place.server.get("networks", "valo", "demo").unwrap();
    network["metadata"]["finalizers"] = json!([FINALIZER]);
    place.server.put("networks", network);
    place.server.delete("networks", "valo", "demo");
    place.pass().await.unwrap();
    assert!(place.contract().is_none());
}

#[tokio::test]
async fn a_node_that_is_behind_proves_nothing() {
    let place = place().await;
    place.submit(&[FINALIZER], json!({"job": "7", "phase": "running"}));
    place.peer.with(|told| told.ready = false);
    place.delete();
    place.pass().await.unwrap();
    assert!(place.is_held(), "it knows no such job yet");
    place.peer.with(|told| told.ready = true);
    place.pass().await.unwrap();
    assert!(place.contract().is_none(), "the chain has no such job");
}

#[tokio::test]
async fn what_a_contract_waits_for_is_shown_and_told_once() {
    let place = place().await;
    let network = place.server.get("networks", "valo", "demo").unwrap();
    place.submit(&[], json!({}));
    let says = async |reason: JobReason| {
        for _ in 0..2 {
            place.pass().await.unwrap();
            let status = place.contract().unwrap().status.unwrap();
            assert_eq!((status.phase, status.reason), (Some(JobPhase::Pending), Some(reason)));
            assert!(status.message.is_some_and(|message| !message.is_empty()), "{reason:?}");
            assert_eq!(place.server.told("count", reason.word()), 1, "{reason:?}");
        }
    };
    place.server.delete("networks", "valo", "demo");
    says(JobReason::NetworkMissing).await;
    let mut founding = network.clone();
    founding["status"] = json!({});
    place.server.put("networks", founding);
    says(JobReason::WaitingForNetwork).await;
    place.server.put("networks", network);
    let wallet = place.server.get("wallets", "valo", "alice").unwrap();
    place.server.delete("wallets", "valo", "alice");
    says(JobReason::WalletNotReady).await;
    place.server.put("wallets", wallet);
    let mut job = place.server.get("jobcontracts", "valo", "count").unwrap();
    job["spec"]["filesFrom"] = json!([{"configMapRef": {"name": "files"}}]);
    place.server.put("jobcontracts", job);
    says(JobReason::MissingInput).await;
    place.server.put_as::<k8s_openapi::api::core::v1::ConfigMap>(json!({
        "metadata": {"name": "files", "namespace": "valo"}, "binaryData": {"count.wasm": "AGFzbQEAAAA="},
    }));
    place.peer.with(|told| told.balance = "1".to_owned());
    says(JobReason::InsufficientFunds).await;
    // From here on it is submitted; while that takes its time the object says so.
    place.peer.with(|told| (told.balance, told.outcome) = ("100".to_owned(), json!({"done": {"job": 7}})));
    let is_status = |write: &&String| write.ends_with("jobcontracts/count/status");
    let before = place.server.writes().iter().filter(is_status).count();
    place.pass().await.unwrap();
    assert_eq!(place.server.writes().iter().filter(is_status).count(), before + 2);
    let status = place.contract().unwrap().status.unwrap();
    assert_eq!((status.phase, status.reason), (Some(JobPhase::Funded), Some(JobReason::UnderWay)));
    assert_eq!(place.server.told("count", "Submitting"), 0, "that is no news");
}

#[tokio::test]
async fn nothing_is_paid_for_a_blob_that_no_node_has() {
    let (module, input) = ("ab".repeat(32), "cd".repeat(32));
    let program = json!({"module": format!("blake3:{module}")});
    let inputs = json!({"files": [format!("a.txt@blake3:{input}")], "split": {"files": 1}});
    for (missing, reason, field) in [
        (&module, JobReason::ModuleNotFound, "spec.stages[0].wasm.module: "),
        (&input, JobReason::InputNotFound, "spec.stages[0].input: "),
    ] {
        let place = place().await;
        place.peer.with(|told| {
            told.blobs.0 = [module.clone(), input.clone()].into();
            told.blobs.0.remove(missing);
            told.outcome = json!({"done": {"job": 7}});
        });
        place.submit_stage(program.clone(), inputs.clone(), &[], json!({}));
        for _ in 0..2 {
            assert_eq!(place.pass().await.unwrap(), Action::requeue(AGAIN), "it may be uploaded yet");
            let status = place.contract().unwrap().status.unwrap();
            assert_eq!((status.phase, status.reason), (Some(JobPhase::Pending), Some(reason)));
            assert_eq!(status.conditions.len(), 1);
            let submitted = &status.conditions[0];
            assert_eq!(
                (&*submitted.type_, &*submitted.status, &*submitted.reason),
                ("Submitted", "False", reason.word())
            );
            assert!(submitted.message.starts_with(field), "{}", submitted.message);
            assert!(submitted.message.contains(missing), "{}", submitted.message);
            assert!(!place.is_held());
        }
        assert_eq!(place.server.reasons("count"), [reason.word()], "once");
        assert!(place.peer.with(|told| told.actions.is_empty()), "nothing is in escrow");
        // Another node has it by now: the one that is asked gets it from there.
        place.peer.with(|told| told.blobs.1.insert(missing.clone()));
        place.pass().await.unwrap();
        assert_eq!(place.contract().unwrap().status.unwrap().job.as_deref(), Some("7"));
        let submitted = |action: &ChainAction| matches!(action, ChainAction::SubmitJob { .. });
        assert!(place.peer.with(|told| told.actions.iter().any(submitted)));
    }
}

#[tokio::test]
async fn what_is_wrong_for_good_does_not_wait_for_a_program() {
    let place = place().await;
    let program = json!({"module": format!("blake3:{}", "ab".repeat(32)), "memory": "2Gi"});
    place.submit_stage(program, Value::Null, &[], json!({}));
    place.pass().await.unwrap();
    let status = place.contract().unwrap().status.unwrap();
    assert_eq!((status.phase, status.reason), (Some(JobPhase::Rejected), Some(JobReason::Invalid)));
}
