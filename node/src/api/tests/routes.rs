//! Every route with good and bad input, as a client meets it.

use super::{TestNode, http};
use reqwest::StatusCode;
use std::time::Duration;
use valo_client::{
    ClientError,
    fees::FeeSchedule,
    types::{AccountReference, PageRequest, Problem, SubmissionResult, TransactionState},
};
use valo_ledger::testing::{account, account_key, node_key, valo};
use valo_protocol::{
    Action, Amount, Height,
    encoding::decode,
    proof::StateTable,
    receipt::{Invalid, Made, Outcome, Reason},
    registry::{NodeId, NodeRole, NodeState, TierId},
    state::AccountRecord,
};

const SOON: Duration = Duration::from_secs(60);

/// The problem that a GET is answered with.
async fn problem(node: &TestNode, path: &str) -> Problem {
    let response = http().get(node.url(path)).send().await.unwrap();
    let status = response.status().as_u16();
    let problem: Problem = response.json().await.unwrap_or_else(|error| panic!("{path}: {status}: {error}"));
    assert_eq!(problem.status, status, "{path}");
    assert_eq!(problem.kind, format!("urn:valo:problem:{}", problem.code));
    assert!(!problem.detail.is_empty() && !problem.title.is_empty());
    problem
}

#[tokio::test]
async fn status_parameters_and_genesis() {
    let node = TestNode::start().await;
    let status = node.client.status().await.unwrap();
    let head = node.shared.chain().ledger.head().clone();
    assert_eq!((status.chain.as_str(), status.height, status.block), ("test", Height(2), head.block));
    assert_eq!((status.state_root, status.validators, status.total_power), (head.state_root, 1, 10));
    assert_eq!(status.node.key, node_key(1).public());
    assert_eq!(status.node.id, Some(NodeId(1)));
    assert_eq!(status.node.role, Some(NodeRole::Worker { tier: TierId(0), slots: 4 }));
    assert_eq!((status.node.ready, status.node.peers), (true, 3));

    let genesis = node.client.genesis().await.unwrap();
    assert_eq!(genesis.hash(), status.genesis);
    let parameters = node.client.parameters().await.unwrap();
    assert_eq!(parameters.parameters, genesis.parameters);
    assert_eq!(parameters.height, Height(3));

    node.client.health().await.unwrap();
    node.client.ready().await.unwrap();
    let metrics = node.client.metrics().await.unwrap();
    assert!(metrics.contains("height 2\n"), "{metrics}");
    assert!(metrics.contains(r#"api_requests_total{route="/v1/status",method="GET",status="200"} 1"#), "{metrics}");
}

#[tokio::test]
async fn the_status_of_a_node_says_where_it_stands_and_whether_it_may_go() {
    let node = TestNode::start().await;
    let status = node.client.status().await.unwrap().node;
    let registered = node.client.node(NodeId(1)).await.unwrap();
    assert_eq!(status.owner, Some(registered.owner));
    assert_eq!(status.state, Some(NodeState::Active));
    assert_eq!((status.stake, status.locked, status.power), (registered.stake, registered.locked, 0));
    assert!(!status.removable && status.not_removable.unwrap().contains("valo node drain"));
    assert_eq!(node.client.node(NodeId(0)).await.unwrap().power, 10, "the validator");
    assert_eq!(registered.power, 0);
}

#[tokio::test]
async fn a_loop_that_hangs_is_named() {
    let node = TestNode::start().await;
    let turn = node.worker.turn();
    node.client.health().await.unwrap();
    node.worker.set(std::time::Instant::now().checked_sub(Duration::from_secs(60)));
    let problem = problem(&node, "/healthz").await;
    assert_eq!((problem.status, problem.code.as_str()), (503, "stuck"));
    assert_eq!(problem.reason, Some(serde_json::json!({ "part": "worker" })));
    assert!(problem.detail.contains("the loop of worker"), "{}", problem.detail);
    drop(turn);
    node.client.health().await.unwrap();
}

#[tokio::test]
async fn a_node_whose_chain_stands_still_is_not_ready() {
    let node = TestNode::start().await;
    let behind = node.shared.chain().ledger.head().time;
    let parameters = node.client.parameters().await.unwrap().parameters;
    assert_eq!(super::super::routes::behind(behind, 2, &parameters), None);
    let long_ago = valo_protocol::Timestamp(behind.0 - 60_000);
    assert!(super::super::routes::behind(long_ago, 2, &parameters).unwrap().contains(" s old"));
    assert!(super::super::routes::behind(behind, 0, &parameters).unwrap().contains("no block"));
}

#[tokio::test]
async fn a_validator_that_does_not_vote_says_why_it_is_not_ready() {
    let node = TestNode::start().await;
    *node.shared.silence.lock().unwrap() = Some("this folder is new".to_owned());
    let status = node.client.status().await.unwrap().node;
    assert_eq!((status.ready, status.not_ready.as_deref()), (false, Some("this folder is new")));
    assert!(!status.not_removable.unwrap_or_default().contains("this folder is new"));
    let refused = node.client.ready().await.unwrap_err();
    assert!(refused.to_string().contains("this folder is new"), "{refused}");
}

#[tokio::test]
async fn blocks_newest_first_in_pages() {
    let node = TestNode::start().await;
    for _ in 0..3 {
        node.block();
    }
    let first = node.client.blocks(&PageRequest::limited(2)).await.unwrap();
    assert_eq!(first.items.iter().map(|block| block.height.0).collect::<Vec<_>>(), [5, 4]);
    let second = PageRequest::limited(2).following(&first).unwrap();
    let second = node.client.blocks(&second).await.unwrap();
    assert_eq!(second.items.iter().map(|block| block.height.0).collect::<Vec<_>>(), [3, 2]);
    let last = node.client.blocks(&PageRequest { from: second.next, limit: None }).await.unwrap();
    assert_eq!((last.items.len(), last.next), (1, None));

    let block = node.client.block(Height(5)).await.unwrap();
    assert_eq!(block.id, first.items[0].id);
    assert_eq!(block.header.parent, first.items[1].id);
    assert_eq!(block.certificate.signers, [node_key(0).public()]);
    let header = node.client.header(Height(5)).await.unwrap();
    assert_eq!(header.header.id(), block.id);
    assert_eq!(header.certificate.block, block.id);

    for path in ["/v1/blocks/6", "/v1/blocks/0", "/v1/blocks/6/header"] {
        assert_eq!(problem(&node, path).await.code, "notFound", "{path}");
    }
    for path in ["/v1/blocks/x", "/v1/blocks/-1", "/v1/blocks?limit=0", "/v1/blocks?limit=x", "/v1/blocks?from=x"] {
        assert_eq!(problem(&node, path).await.code, "malformed", "{path}");
    }
    assert!(problem(&node, "/v1/blocks?limits=3").await.detail.contains("limits"), "an unknown parameter is named");
}

#[tokio::test]
async fn a_transfer_is_final_with_its_receipt() {
    let node = TestNode::start().await;
    let _blocks = node.keep_making_blocks();
    let session = node.session(0).await;
    let action = Action::Transfer { to: account(1), amount: valo(5) };
    let fee = session.fee(&action).await.unwrap();
    let (receipt, made) = session.perform(action.clone(), SOON).await.unwrap();
    assert_eq!(made, Made::Nothing);
    assert!(receipt.fee <= fee, "{} is more than the estimate of {fee}", receipt.fee);
    let receiver = node.client.account(account(1)).await.unwrap();
    assert_eq!(receiver.balance, valo(1005));
    assert_eq!(receiver.key, account_key(1).public());
    let sender = node.client.account(account_key(0).public()).await.unwrap();
    assert_eq!((sender.number, sender.nonce, sender.next_nonce), (account(0), 1, 1));

    let block = node.client.block(receipt.height).await.unwrap();
    assert_eq!(block.transactions.len(), 1);
    assert_eq!((&block.transactions[0].action, block.transactions[0].receipt.clone()), (&action, receipt.clone()));
    assert_eq!(block.transactions[0].id, receipt.transaction);
    let status = node.client.transaction(receipt.transaction).await.unwrap();
    assert_eq!(status.state, TransactionState::Finalized { receipt });

    // What the chain refuses comes back as its typed reason, and costs the fee.
    let refused = session.perform(Action::Transfer { to: account(1), amount: valo(5000) }, SOON).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused { reason: Reason::InsufficientBalance { .. }, .. }), "{refused}");
    // A key that has no account gets one.
    let stranger = account_key(99).public();
    let missing = node.client.account(stranger).await.unwrap_err();
    assert!(missing.is_not_found());
    let (_, made) = session.perform(Action::TransferToKey { key: stranger, amount: valo(1) }, SOON).await.unwrap();
    let Made::Account(number) = made else { panic!("{made:?}") };
    assert_eq!(node.client.account(stranger).await.unwrap().number, number);
}

#[tokio::test]
async fn many_submissions_of_one_session_leave_no_gap() {
    let node = TestNode::start().await;
    let _blocks = node.keep_making_blocks();
    let session = std::sync::Arc::new(node.session(2).await);
    let one = || Action::Transfer { to: account(3), amount: Amount::from_units(1) };
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.perform(one(), SOON).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let results = session.submit_many(vec![one(); 50]).await.unwrap();
    assert_eq!(results.len(), 50);
    for result in results {
        let SubmissionResult::Taken(id) = result else { panic!("{result:?}") };
        node.client.await_final(id, SOON).await.unwrap();
    }
    assert_eq!(session.account().await.unwrap().nonce, 70);
    // A second session moved the nonce on: the first recovers.
    node.session(2).await.perform(one(), SOON).await.unwrap();
    session.perform(one(), SOON).await.unwrap();
}

#[tokio::test]
async fn refused_transactions_say_why_and_cost_nothing() {
    let node = TestNode::start().await;
    let transfer = |amount| Action::Transfer { to: account(1), amount };
    let good = node.signed(0, 0, transfer(valo(1)));
    let code = |result: Result<_, ClientError>| result.map(|_| ()).unwrap_err().code().unwrap().to_owned();

    let mut wrong = good.clone();
    wrong.signature.0[3] ^= 1;
    assert_eq!(code(node.client.submit(&wrong).await), "signature");
    let mut cheap = good.transaction.clone();
    cheap.max_fee = Amount::from_units(1);
    let cheap = node.shared.chain().sign(cheap);
    let error = node.client.submit(&cheap).await.unwrap_err();
    let reason = error.problem().unwrap().reason.clone().unwrap();
    assert!(matches!(serde_json::from_value(reason).unwrap(), Invalid::FeeTooLow { .. }), "{error}");

    let mut bytes = good.to_bytes();
    bytes.push(0);
    let trailing = node.client.submit_bytes(bytes).await.unwrap_err();
    assert_eq!((trailing.problem().unwrap().status, trailing.code()), (400, Some("malformed")));
    assert_eq!(code(node.client.submit_bytes(Vec::new()).await), "malformed");
    assert_eq!(code(node.client.submit_bytes(vec![0; 70_000]).await), "tooLarge");

    let results = node.client.submit_many(&[good.clone(), wrong, good.clone()]).await.unwrap();
    assert_eq!(results[0], results[2], "the same one again is the same one");
    let SubmissionResult::Refused(refused) = &results[1] else { panic!("{results:?}") };
    assert_eq!(refused.code, "signature");
    node.block();
    let used = node.signed(0, 0, transfer(valo(2)));
    let mut used = used.transaction;
    used.nonce.0 = 0;
    let used = node.shared.chain().sign(used);
    assert_eq!(code(node.client.submit(&used).await), "nonceUsed");
}

#[tokio::test]
async fn waiting_for_a_transaction() {
    let node = TestNode::start().await;
    let unknown = "0".repeat(64);
    assert_eq!(problem(&node, &format!("/v1/transactions/{unknown}")).await.code, "notFound");
    assert_eq!(problem(&node, "/v1/transactions/x").await.code, "malformed");
    assert_eq!(problem(&node, &format!("/v1/transactions/{unknown}?wait=x")).await.code, "malformed");

    let transaction = node.signed(0, 0, Action::Transfer { to: account(1), amount: valo(1) });
    let id = node.client.submit(&transaction).await.unwrap();
    assert_eq!(node.client.transaction(id).await.unwrap().state, TransactionState::Pending);
    let timed_out = node.client.await_final(id, Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(timed_out, ClientError::NotFinal { .. }), "{timed_out}");
    let client = node.client.clone();
    let waiting = tokio::spawn(async move { client.await_final(id, SOON).await });
    node.block();
    assert!(matches!(waiting.await.unwrap().unwrap().outcome, Outcome::Done(_)));
}

#[tokio::test]
async fn submissions_of_other_types_and_forms() {
    let node = TestNode::start().await;
    let post = |content_type: &'static str, body: &'static str| {
        let request = http().post(node.url("/v1/transactions")).header("content-type", content_type).body(body);
        async move {
            let response = request.send().await.unwrap();
            let status = response.status();
            (status, response.json::<Problem>().await.unwrap().code)
        }
    };
    assert_eq!(post("text/plain", "x").await, (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupportedMediaType".into()));
    assert_eq!(post("application/json", "{").await, (StatusCode::BAD_REQUEST, "malformed".into()));
    assert_eq!(post("application/json", "{}").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post("application/json", r#"{"transactions":["0g"]}"#).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post("application/json", r#"{"transactions":[],"more":1}"#).await.0, StatusCode::BAD_REQUEST);
    let without = http().post(node.url("/v1/transactions")).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn accounts_nodes_tiers_groups_validators() {
    let node = TestNode::start().await;
    let first = node.client.accounts(&PageRequest::limited(4)).await.unwrap();
    assert_eq!((first.items.len(), first.next.as_deref()), (4, Some("00000004")));
    let rest = node.client.accounts(&PageRequest::limited(4).following(&first).unwrap()).await.unwrap();
    assert_eq!(rest.items[0].number, account(4));
    let workers_account = node.client.account(node_key(1).public()).await.unwrap();
    assert_eq!(workers_account.node, Some(NodeId(1)));

    let nodes = node.client.nodes(&PageRequest::first()).await.unwrap();
    assert_eq!(nodes.items.len(), 5);
    assert_eq!(nodes.items[1].tier.as_deref(), Some("small"));
    assert_eq!(node.client.node(NodeId(1)).await.unwrap(), nodes.items[1]);
    assert_eq!(node.client.node(node_key(1).public()).await.unwrap(), nodes.items[1]);

    let tiers = node.client.tiers().await.unwrap();
    assert_eq!((tiers.items[0].nodes, tiers.items[0].owners, tiers.items[0].slots, tiers.items[0].busy), (4, 4, 16, 0));
    let groups = node.client.groups().await.unwrap();
    assert_eq!(groups.items[0].nodes, [NodeId(1), NodeId(2), NodeId(3), NodeId(4)]);
    let validators = node.client.validators().await.unwrap();
    assert_eq!((validators.height, validators.total_power, validators.validators[0].skipped), (Height(3), 10, false));
    assert_eq!(node.client.assignments().await.unwrap().node, Some(NodeId(1)));
    assert_eq!(node.client.assignments_of(NodeId(2)).await.unwrap().assignments, []);

    for path in ["/v1/accounts/ZZZZZZZZ", "/v1/nodes/77", "/v1/nodes/77/assignments"] {
        assert_eq!(problem(&node, path).await.code, "notFound", "{path}");
    }
    for path in ["/v1/accounts/alice", "/v1/nodes/x", "/v1/accounts?from=x", "/v1/nodes?from=99999999999"] {
        assert_eq!(problem(&node, path).await.code, "malformed", "{path}");
    }
    assert!("nobody".parse::<AccountReference>().unwrap_err().to_string().contains("names no account"));
}

#[tokio::test]
async fn proofs_as_bytes_and_as_json() {
    let node = TestNode::start().await;
    let proof = node.client.proof(StateTable::Accounts, 1).await.unwrap();
    let genesis = node.client.genesis().await.unwrap();
    proof.verify(&genesis.hash(), &genesis.validators().unwrap()).unwrap();
    let record: AccountRecord = decode("account", &proof.row.row).unwrap();
    assert_eq!((record.key, record.balance), (account_key(1).public(), valo(1000)));
    let shown = node.client.proof_json(StateTable::Accounts, 1).await.unwrap();
    assert_eq!(shown.row.row, proof.row.row);
    assert_eq!(shown.header.height, shown.certificate.height);

    assert_eq!(problem(&node, "/v1/proofs/accounts/999").await.code, "notFound");
    assert!(problem(&node, "/v1/proofs/things/0").await.detail.contains("accounts"));
    assert_eq!(problem(&node, "/v1/proofs/accounts/x").await.code, "malformed");
    assert_eq!(problem(&node, "/v1/jobs/1/proof").await.code, "notFound");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let node = TestNode::start().await;
    assert_eq!(problem(&node, "/v2/status").await.code, "noRoute");
    let response = http().delete(node.url("/v1/status")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.json::<Problem>().await.unwrap().code, "methodNotAllowed");
}

#[tokio::test]
async fn connection_errors_are_one_clear_line() {
    let client = valo_client::Client::new("http://127.0.0.1:1").unwrap();
    let error = client.status().await.unwrap_err();
    assert!(error.is_transient());
    assert!(error.to_string().starts_with("cannot reach the node at http://127.0.0.1:1: "), "{error}");
    for endpoint in ["", "localhost:80", "ftp://host", "http://"] {
        let error = valo_client::Client::new(endpoint).unwrap_err();
        assert!(error.to_string().contains("write it as http://host:port"), "{endpoint}: {error}");
    }
}

#[test]
fn fees_are_estimated_as_the_chain_charges_them() {
    use valo_client::types::ParametersInForce;
    let parameters = valo_protocol::Parameters::preset(valo_protocol::params::Preset::Dev);
    let schedule = FeeSchedule::from(&ParametersInForce {
        height: Height(1),
        byte_price: Amount::from_units(parameters.byte_price),
        weight_price: Amount::from_units(parameters.weight_price),
        parameters: parameters.clone(),
    });
    let actions = [
        Action::Transfer { to: account(1), amount: valo(1) },
        Action::TransferToKey { key: account_key(1).public(), amount: valo(1) },
        Action::CancelJob { job: valo_protocol::job::JobId(1) },
        Action::Return,
    ];
    for action in actions {
        let transaction = valo_protocol::Transaction {
            sender: account(1),
            nonce: valo_protocol::Varint(3),
            max_fee: valo(1),
            action: action.clone(),
        };
        let bytes = transaction.signed_bytes(&Default::default()).len() as u64 - 41 + 64;
        let charged = valo_ledger::fees::fee(&transaction, bytes, &parameters);
        let estimated = schedule.fee(&action).unwrap();
        assert!(charged <= estimated, "{action:?}: {charged} > {estimated}");
        assert!(estimated.units() <= charged.units() + 200, "{action:?}: {estimated} is far above {charged}");
    }
}

#[tokio::test]
async fn refusals_are_in_words_of_the_api() {
    let node = TestNode::start().await;
    let refused = [
        ("v1/jobs?limit=many", "the query cannot be read: limit: it takes a whole number"),
        ("v1/jobs?limt=1", "the query cannot be read: limt: unknown field `limt`"),
        ("v1/jobs/first", "`first` is not the number of a job: it takes a whole number"),
        ("v1/blocks/0", "there is no block 0: they are counted from 1"),
        ("v1/blocks/99999999999999999999", "the number is too large"),
    ];
    for (path, words) in refused {
        let detail = problem(&node, &format!("/{path}")).await.detail;
        assert!(detail.contains(words), "{path}: {detail}");
    }
}

#[tokio::test]
async fn an_address_with_tls_where_there_is_none_is_told_as_that() {
    let node = TestNode::start().await;
    let client = valo_client::Client::new(&node.url("").replace("http://", "https://")).unwrap();
    let error = client.status().await.unwrap_err().to_string();
    assert!(error.ends_with("does not speak TLS; write the address with http://"), "{error}");
}
