//! The OpenAPI document lists what is served, and what is served is listed; the committed copy is current.

use super::{TestNode, http};
use crate::api::{document, openapi::operations};
use reqwest::Method;
use std::path::Path;
use valo_client::types::{PROBLEM_CONTENT_TYPE, Problem};

/// Set to write the copy anew instead of comparing it.
const UPDATE: &str = "VALO_UPDATE";

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = Path::new("../docs/reference/openapi.json");
    let generated = format!("{}\n", document().to_pretty_json().unwrap());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == generated, "docs/reference/openapi.json is not current: run this test with {UPDATE}=1");
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let text = document().to_json().unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("\"$ref\":\"#") {
        let (pointer, tail) = after.split_once('"').unwrap();
        assert!(document.pointer(pointer).is_some(), "nothing at {pointer}");
        rest = tail;
    }
}

/// A path with something in place of each parameter.
fn example(path: &str) -> String {
    let zeros = "0".repeat(64);
    path.replace("{height}", "1")
        .replace("{id}", &zeros)
        .replace("{hash}", &zeros)
        .replace("{account}", "00000000")
        .replace("{table}", "accounts")
        .replace("{index}", "0")
        .replace("{node}", "0")
        .replace("{job}", "1")
        .replace("{stage}", "0")
        .replace("{shard}", "0")
}

#[tokio::test]
async fn every_route_of_the_document_answers() {
    let node = TestNode::start().await;
    let http = http();
    let mut document = document();
    let mut count = 0;
    for (path, item) in &mut document.paths.paths {
        let methods = [
            (Method::GET, item.get.is_some()),
            (Method::HEAD, item.head.is_some()),
            (Method::POST, item.post.is_some()),
        ];
        assert_eq!(operations(item).count(), methods.iter().filter(|(_, there)| *there).count(), "{path}");
        for (method, _) in methods.into_iter().filter(|(_, there)| *there) {
            let url = node.url(&example(path));
            assert!(!url.contains('{'), "no example for a parameter of {path}");
            let response = http.request(method.clone(), &url).send().await.unwrap();
            let status = response.status().as_u16();
            if status >= 400 && method != Method::HEAD {
                assert_eq!(response.headers()["content-type"], PROBLEM_CONTENT_TYPE, "{method} {path}");
                let problem: Problem = response.json().await.unwrap();
                assert_eq!(problem.status, status);
                assert!(!matches!(&*problem.code, "noRoute" | "methodNotAllowed" | "internal"), "{path}: {problem:?}");
            } else {
                assert!(status < 500, "{method} {path}: {status}");
            }
            count += 1;
        }
    }
    assert!(count >= 29, "{count} operations");
}

#[tokio::test]
async fn the_document_is_served() {
    let node = TestNode::start().await;
    let served = http().get(node.url("/openapi.json")).send().await.unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    let served: serde_json::Value = served.json().await.unwrap();
    assert_eq!(served, serde_json::from_str::<serde_json::Value>(&document().to_json().unwrap()).unwrap());
}
