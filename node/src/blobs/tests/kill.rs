//! A node killed in the middle of its work.

use std::{path::Path, process::Command};

use super::*;

/// The child of the next test: puts blobs until it is killed, and says what was answered.
#[test]
#[ignore = "runs inside the next test"]
fn put_until_killed() {
    let Ok(folder) = std::env::var("VALO_TEST_BLOBS") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let network = network(0, members(0..2), &[]).await;
        let blobs = Blobs::open(BlobsConfig::new(folder), &network).await.unwrap();
        for round in 0usize.. {
            let hash = blobs.put_stream(&*content(1000 + round * 70_001), Some("a")).await.unwrap();
            blobs.pin(&hash, "kept").await.unwrap();
            println!("STORED {hash}");
        }
    });
}

#[tokio::test]
async fn a_kill_in_the_middle_loses_nothing_answered_and_shows_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered: Vec<BlobHash> = vec![];
    for patience in [40, 75, 130] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "blobs::tests::kill::put_until_killed"])
            .env("VALO_TEST_BLOBS", folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let lines = tokio::task::spawn_blocking(move || {
            use std::io::BufRead;
            io::BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| line.rsplit("STORED ").next()?.parse().ok())
                .collect::<Vec<BlobHash>>()
        });
        tokio::time::sleep(Duration::from_millis(250 + patience)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        answered.extend(lines.await.unwrap());
    }
    assert!(!answered.is_empty(), "the child stored nothing in time");
    check_after_kill(folder.path(), &answered).await;
}

async fn check_after_kill(folder: &Path, answered: &[BlobHash]) {
    let network = network(0, members(0..2), &[]).await;
    let blobs = Blobs::open(BlobsConfig::new(folder), &network).await.unwrap();
    let listed = blobs.list(None, usize::MAX);
    for hash in answered {
        assert!(blobs.has(hash), "{hash} was answered and is gone");
    }
    let mut total = 0;
    for info in &listed {
        let bytes = read(&blobs, &info.hash).await;
        assert_eq!(BlobHash::of(&bytes), info.hash);
        assert_eq!(bytes.len() as u64, info.size);
        total += info.size;
    }
    assert_eq!((blobs.usage().0, blobs.usage_of("a").0), (total, total));
    assert!(std::fs::read_dir(folder.join("staging")).unwrap().next().is_none());
    assert!(std::fs::read_dir(folder.join("temp")).unwrap().next().is_none());
    // Nothing else stays on disk but the outboards of larger blobs.
    let gone = timeout(PATIENCE, async {
        loop {
            let data: u64 = std::fs::read_dir(folder.join("data"))
                .unwrap()
                .flatten()
                .filter(|file| file.path().extension().is_some_and(|extension| extension == "data"))
                .map(|file| file.metadata().unwrap().len())
                .sum();
            if data == total {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(gone.await.is_ok(), "bytes of half-done puts stay on disk");
}

#[tokio::test]
async fn a_database_that_a_kill_left_half_made_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let network = network(0, members(0..2), &[]).await;
    std::fs::write(folder.path().join("blobs.unfinished"), b"half a database").unwrap();
    let open = || Blobs::open(BlobsConfig::new(folder.path()), &network);
    let blobs = open().await.unwrap();
    let hash = blobs.put_stream(&*content(1000), Some("a")).await.unwrap();
    blobs.shutdown().await.unwrap();
    assert!(open().await.unwrap().has(&hash));
    assert!(!folder.path().join("blobs.unfinished").exists());
}
