//! Whatever is asked, in whatever form: never a fault of the node, and every refusal a problem document.

use super::{TestNode, http};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use valo_client::types::{PROBLEM_CONTENT_TYPE, Problem};

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("v1".to_owned()),
        prop::sample::select(vec![
            "status",
            "params",
            "genesis",
            "blocks",
            "transactions",
            "accounts",
            "validators",
            "nodes",
            "tiers",
            "groups",
            "jobs",
            "shards",
            "results",
            "explain",
            "contract",
            "proof",
            "logs",
            "blobs",
            "proofs",
            "worker",
            "assignments",
            "header",
            "system",
            "accounts",
            "metrics",
        ])
        .prop_map(str::to_owned),
        any::<u64>().prop_map(|number| number.to_string()),
        (0u8..4).prop_map(|number| number.to_string()),
        "[0-9a-f]{64}",
        "[0-9A-Z]{8}",
        "\\PC{0,12}",
    ]
}

fn request() -> impl Strategy<Value = (String, bool, String, Vec<u8>)> {
    let path = prop::collection::vec(segment(), 0..5);
    let name = prop_oneof!["from|limit|wait|phase|submitter|nodes", "[a-z]{1,6}"];
    let query = prop::collection::vec((name, prop_oneof!["[0-9]{1,25}", "\\PC{0,8}"]), 0..3);
    let content_type = prop::sample::select(vec!["application/json", "application/octet-stream", "text/plain", ""]);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "\\{\"transactions\":\\[.{0,20}\\]\\}".prop_map(String::into_bytes)
    ];
    (path, query, any::<bool>(), content_type, body).prop_map(|(path, query, post, content_type, body)| {
        let mut url = reqwest::Url::parse("http://host/").unwrap();
        url.path_segments_mut().unwrap().extend(std::iter::once("v1".to_owned()).chain(path));
        url.query_pairs_mut().extend_pairs(query);
        let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        (target, post, content_type.to_owned(), body)
    })
}

#[tokio::test]
async fn no_request_is_a_fault() {
    let node = TestNode::start().await;
    let http = http();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..400 {
        let (target, post, content_type, body) = request().new_tree(&mut runner).unwrap().current();
        let url = node.url(&target);
        let request = if post {
            http.post(&url).header("content-type", &content_type).body(body.clone())
        } else {
            http.get(&url)
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        assert!(status < 500, "{status} for {target} (post: {post}, {content_type}, {body:?})");
        if status >= 400 {
            assert_eq!(response.headers()["content-type"], PROBLEM_CONTENT_TYPE, "{target}");
            let problem: Problem = response.json().await.unwrap();
            assert_eq!(problem.status, status);
        }
    }
    node.client.status().await.unwrap();
}
