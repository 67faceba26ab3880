//! What goes beyond the bounds is told so, and bounds come back.

use super::{TestNode, http};
use crate::api::Limits;
use std::{num::NonZeroU32, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use valo_client::types::{PROBLEM_CONTENT_TYPE, Problem};

#[tokio::test]
async fn requests_over_the_rate_are_answered_with_when_to_come_back() {
    let slow = |count| NonZeroU32::new(count).unwrap();
    let node = TestNode::with(Limits { requests_per_second: slow(1), burst: slow(3), ..Limits::default() }).await;
    for _ in 0..3 {
        node.client.status().await.unwrap();
    }
    let response = http().get(node.url("/v1/status")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["content-type"], PROBLEM_CONTENT_TYPE);
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.code, "rateLimited");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_told_so_and_places_come_back() {
    let node = TestNode::with(Limits { connections_per_client: 2, ..Limits::default() }).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut buffer = [0u8; 12];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"HTTP/1.1 200");
        open.push(stream);
    }
    let mut third = TcpStream::connect(node.address).await.unwrap();
    third.write_all(request).await.unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("too many connections"), "{answer}");
    drop(open);
    // The places are free as soon as the node has seen them go.
    for _ in 0..200 {
        if node.client.health().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the places did not come back");
}

#[tokio::test]
async fn bodies_and_submissions_over_the_bound_are_refused() {
    let node = TestNode::start().await;
    let post = |content_type: &'static str, body: Vec<u8>| {
        http().post(node.url("/v1/transactions")).header("content-type", content_type).body(body).send()
    };
    assert_eq!(post("application/octet-stream", vec![0; 9 << 20]).await.unwrap().status().as_u16(), 413);
    let many = serde_json::json!({ "transactions": vec!["00"; 1001] });
    let response = post("application/json", serde_json::to_vec(&many).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
    assert_eq!(response.json::<Problem>().await.unwrap().code, "tooLarge");
}

#[tokio::test]
async fn who_sends_nothing_is_let_go() {
    let limits = Limits {
        header_timeout: Duration::from_millis(100),
        body_idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let node = TestNode::with(limits).await;
    let mut header = TcpStream::connect(node.address).await.unwrap();
    header.write_all(b"GET /v1/sta").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(60), header.read_to_string(&mut answer)).await.unwrap().unwrap();
    let mut body = TcpStream::connect(node.address).await.unwrap();
    let start = "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: 100\r\n\r\nabc";
    body.write_all(start.as_bytes()).await.unwrap();
    let mut answer = vec![0u8; 2048];
    let read = tokio::time::timeout(Duration::from_secs(60), body.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("slowBody"), "{answer}");
}
