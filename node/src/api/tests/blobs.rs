//! Blobs up and down.

use super::{TestNode, http};
use crate::api::Limits;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use valo_client::{
    ClientError,
    types::{PageRequest, Problem},
};
use valo_protocol::BlobHash;

#[tokio::test]
async fn up_and_down_as_bytes_and_as_files() {
    let node = TestNode::start().await;
    let info = node.client.upload_bytes("hello").await.unwrap();
    assert_eq!((info.hash, info.size), (BlobHash::of(b"hello"), 5));
    assert_eq!(node.client.blob_info(info.hash).await.unwrap(), Some(info));
    assert_eq!(node.client.download_bytes(info.hash, &[], 5).await.unwrap(), "hello");
    let large = node.client.download_bytes(info.hash, &[], 4).await.unwrap_err();
    assert!(matches!(large, ClientError::BlobTooLarge { .. }), "{large}");

    let folder = tempfile::TempDir::new().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    let contents: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&source, &contents).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let seen = sent.clone();
    let uploaded = node.client.upload_file(&source, move |bytes| seen.store(bytes, Ordering::SeqCst)).await.unwrap();
    assert_eq!((uploaded.size, sent.load(Ordering::SeqCst)), (3_000_000, 3_000_000));
    assert_eq!(node.client.download_file(uploaded.hash, &[], &target, |_| {}).await.unwrap(), 3_000_000);
    assert_eq!(std::fs::read(&target).unwrap(), contents);

    let list = node.client.blobs(&PageRequest::limited(1)).await.unwrap();
    assert_eq!((list.items.len(), list.total_size), (1, 3_000_005));
    let rest = node.client.blobs(&PageRequest { from: list.next, limit: None }).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let missing = node.client.upload_file(&folder.path().join("nothing"), |_| {}).await.unwrap_err();
    assert!(matches!(missing, ClientError::File { .. }), "{missing}");
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_a_blob_or_nothing() {
    let node = TestNode::with(Limits { blob_bytes: 100_000, ..Limits::default() }).await;
    let contents: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let info = node.client.upload_reader("x", std::io::Cursor::new(contents.clone()), |_| {}).await.unwrap();
    assert_eq!((info.hash, info.size), (BlobHash::of(&contents), 100_000));
    node.client.upload_reader("x", tokio::io::repeat(7), |_| {}).await.unwrap_err();
    assert_eq!(node.client.blobs(&PageRequest::first()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn other_bytes_are_noticed_and_leave_no_file() {
    let node = TestNode::start().await;
    let name = BlobHash::of(b"right");
    node.shared.blobs.lock().unwrap().insert(name, bytes::Bytes::from_static(b"wrong"));
    let error = node.client.download_bytes(name, &[], 100).await.unwrap_err();
    assert!(matches!(error, ClientError::WrongBlob { expected, .. } if expected == name), "{error}");
    let folder = tempfile::TempDir::new().unwrap();
    node.client.download_file(name, &[], &folder.path().join("file"), |_| {}).await.unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_nowhere_or_too_large_or_no_bytes() {
    let node = TestNode::with(Limits { blob_bytes: 1000, ..Limits::default() }).await;
    let nowhere = BlobHash::of(b"nowhere");
    assert_eq!(node.client.blob_info(nowhere).await.unwrap(), None);
    let error = node.client.download_bytes(nowhere, &[], 100).await.unwrap_err();
    assert_eq!((error.code(), error.is_not_found()), (Some("unavailable"), true));
    assert_eq!(node.client.upload_bytes(vec![0; 1001]).await.unwrap_err().code(), Some("tooLarge"));
    // The same without saying so beforehand.
    let chunks = futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![0u8; 100])));
    let request = http().post(node.url("/v1/blobs")).header("content-type", "application/octet-stream");
    let response = request.body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
    assert_eq!(response.json::<Problem>().await.unwrap().code, "tooLarge");
    let response = http().post(node.url("/v1/blobs")).body("x").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 415);
    for path in ["/v1/blobs/x", "/v1/blobs?from=x", "/v1/blobs?limit=0"] {
        assert_eq!(http().get(node.url(path)).send().await.unwrap().status().as_u16(), 400, "{path}");
    }
    let hints = format!("/v1/blobs/{nowhere}?nodes=1,x");
    assert_eq!(http().get(node.url(&hints)).send().await.unwrap().status().as_u16(), 400);
    // Also of a blob that is here, where nobody would have been asked.
    let here = node.client.upload_bytes("here").await.unwrap().hash;
    let hints = format!("/v1/blobs/{here}?nodes=1,x");
    assert_eq!(http().get(node.url(&hints)).send().await.unwrap().status().as_u16(), 400);
}
