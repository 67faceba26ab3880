//! Real stores on disk and real nodes on loopback.

mod fetch;
mod kill;

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    time::timeout,
};
use valo_protocol::PublicKey;

use super::*;
use crate::network::{
    Members, Seed,
    testing::{PATIENCE, key, members, network},
};

pub(super) struct Node {
    pub(super) network: Network,
    pub(super) blobs: Blobs,
    pub(super) folder: TempDir,
}

impl Node {
    pub(super) async fn start(byte: u8, seeds: &[Seed]) -> Self {
        Self::start_with(byte, seeds, |_| {}).await
    }

    async fn start_with(byte: u8, seeds: &[Seed], change: impl FnOnce(&mut BlobsConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), byte, members(0..20), seeds, change).await
    }

    async fn start_in(
        folder: TempDir,
        byte: u8,
        members: Members,
        seeds: &[Seed],
        change: impl FnOnce(&mut BlobsConfig),
    ) -> Self {
        let network = network(byte, members, seeds).await;
        let mut config = BlobsConfig::new(folder.path().join("blobs"));
        config.fetch_idle = Duration::from_secs(1);
        change(&mut config);
        let blobs = Blobs::open(config, &network).await.unwrap();
        network.serve(blobs.protocols()).unwrap();
        Self { network, blobs, folder }
    }

    async fn stop(self) -> TempDir {
        self.network.shutdown().await;
        self.blobs.shutdown().await.unwrap();
        self.folder
    }

    pub(super) fn key(&self) -> PublicKey {
        self.network.key()
    }

    pub(super) fn seed(&self) -> Seed {
        self.network.as_seed()
    }

    /// Bytes of all files of the store.
    fn disk(&self) -> u64 {
        ["data", "temp", "staging"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(self.folder.path().join("blobs").join(folder)).unwrap())
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    async fn until_disk(&self, bytes: u64) {
        let reached = timeout(PATIENCE, async {
            while self.disk() != bytes {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(reached.await.is_ok(), "{} bytes stay on disk", self.disk());
    }
}

pub(super) fn content(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&length.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

async fn read(blobs: &Blobs, hash: &BlobHash) -> Vec<u8> {
    let mut bytes = vec![];
    blobs.get(hash).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

pub(super) const ANY: u64 = u64::MAX;

#[tokio::test]
async fn every_way_of_putting_gives_the_plain_blake3_hash() {
    let node = Node::start(0, &[]).await;
    // Around the sizes where the store or we change our ways.
    for length in [0, 1, 1024, 16 << 10, (16 << 10) + 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 7] {
        let bytes = content(length);
        let hash = BlobHash::of(&bytes);
        let file = node.folder.path().join("input");
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(node.blobs.put_stream(&*bytes, Some("a")).await.unwrap(), hash);
        assert_eq!(node.blobs.put_path(&file, Some("a")).await.unwrap(), hash);
        assert_eq!(node.blobs.put_bytes(bytes.clone(), Some("a")).await.unwrap(), hash);
        assert_eq!(node.blobs.size(&hash), Some(length as u64));
        assert_eq!(read(&node.blobs, &hash).await, bytes);
        assert_eq!(std::fs::read(node.blobs.path(&hash).unwrap()).unwrap(), bytes);

        let target = node.folder.path().join(format!("output {length}"));
        assert_eq!(node.blobs.export(&hash, &target).await.unwrap(), length as u64);
        assert_eq!(std::fs::read(&target).unwrap(), bytes);

        node.blobs.delete(&hash).await.unwrap();
        assert!(!node.blobs.has(&hash));
        assert!(matches!(node.blobs.get(&hash).await, Err(BlobError::Missing(missing)) if missing == hash));
        // Each way of putting is the first one once.
        let again = match length % 3 {
            0 => node.blobs.put_path(&file, None).await,
            1 => node.blobs.put_bytes(bytes.clone(), None).await,
            _ => node.blobs.put_stream(&*bytes, None).await,
        };
        assert_eq!(again.unwrap(), hash);
        assert_eq!(read(&node.blobs, &hash).await, bytes);
    }
    assert_eq!(node.blobs.usage_of("a").0, 0);
}

#[tokio::test]
async fn parts_can_be_read_at_offsets() {
    let node = Node::start(0, &[]).await;
    let bytes = content(300_000);
    let hash = node.blobs.put_bytes(bytes.clone(), None).await.unwrap();
    let mut file = node.blobs.get(&hash).await.unwrap();
    file.seek(io::SeekFrom::Start(123_456)).await.unwrap();
    let mut part = [0; 1000];
    file.read_exact(&mut part).await.unwrap();
    assert_eq!(part[..], bytes[123_456..124_456]);
}

#[tokio::test]
async fn quotas_stop_a_stream_before_it_fills_the_disk() {
    let node = Node::start_with(0, &[], |config| {
        config.node_quota = 10 << 20;
        config.owner_quota = 4 << 20;
    })
    .await;
    let small = node.blobs.put_bytes(content(1 << 20), Some("a")).await.unwrap();
    let error = node.blobs.put_stream(tokio::io::repeat(1), Some("a")).await.unwrap_err();
    assert!(matches!(&error, BlobError::QuotaExceeded { quota: Quota::Owner(owner), limit, .. }
        if owner == "a" && *limit == 4 << 20));
    let error = node.blobs.put_stream(tokio::io::repeat(1), None).await.unwrap_err();
    assert!(matches!(error, BlobError::QuotaExceeded { quota: Quota::Node, .. }));
    assert_eq!(node.blobs.usage().0, 1 << 20);
    assert_eq!(node.blobs.usage_of("a").0, 1 << 20);
    // Nothing of the broken puts is left.
    node.until_disk(node.disk().min((1 << 20) + (64 << 10))).await;
    assert!(node.disk() < (1 << 20) + (64 << 10));

    // The same blob counts for a second owner too, and is stored once.
    node.blobs.put_bytes(content(1 << 20), Some("b")).await.unwrap();
    assert_eq!((node.blobs.usage_of("b").0, node.blobs.usage().0), (1 << 20, 1 << 20));
    node.blobs.disown(&small, "a").await.unwrap();
    assert_eq!(node.blobs.usage_of("a").0, 0);
    assert!(node.blobs.has(&small));
}

#[tokio::test]
async fn a_stream_that_fails_or_stalls_or_is_dropped_leaves_nothing() {
    let node = Node::start_with(0, &[], |config| config.put_idle = Duration::from_millis(100)).await;
    let (mut writer, reader) = tokio::io::duplex(64 << 10);
    let put = node.blobs.put_stream(reader, Some("a"));
    let feed = async {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &content(2 << 20)).await.unwrap();
        std::future::pending::<()>().await
    };
    let error = tokio::select! { error = put => error.unwrap_err(), () = feed => unreachable!() };
    assert!(matches!(error, BlobError::Stalled(_)));
    assert_eq!((node.disk(), node.blobs.usage().0), (0, 0));

    let endless = node.blobs.put_stream(tokio::io::repeat(1).take(1 << 29), Some("a"));
    assert!(timeout(Duration::from_millis(50), endless).await.is_err());
    assert_eq!((node.disk(), node.blobs.usage().0), (0, 0));
    assert_eq!(node.blobs.usage_of("a").0, 0);
}

#[tokio::test]
async fn blobs_owners_pins_and_ages_survive_a_restart() {
    let node = Node::start(0, &[]).await;
    let bytes = content(100_000);
    let hash = node.blobs.put_bytes(bytes.clone(), Some("0000000A")).await.unwrap();
    let empty = node.blobs.put_bytes(Vec::new(), None).await.unwrap();
    let deleted = node.blobs.put_bytes(content(50_000), None).await.unwrap();
    node.blobs.pin(&hash, "job 7").await.unwrap();
    node.blobs.pin(&hash, "job 8").await.unwrap();
    node.blobs.unpin(&hash, "job 8").await.unwrap();
    node.blobs.put_bytes(bytes.clone(), Some("0000000B")).await.unwrap();
    node.blobs.delete(&deleted).await.unwrap();
    let before = node.blobs.list(None, 10);

    let folder = node.stop().await;
    let node = Node::start_in(folder, 0, members(0..2), &[], |_| {}).await;
    assert_eq!(node.blobs.list(None, 10), before);
    assert_eq!(read(&node.blobs, &hash).await, bytes);
    assert!(node.blobs.has(&empty));
    assert!(!node.blobs.has(&deleted));
    let info = node.blobs.list(None, 10).into_iter().find(|info| info.hash == hash).unwrap();
    assert_eq!(info.owners.into_iter().collect::<Vec<_>>(), ["0000000A", "0000000B"]);
    assert_eq!(info.pins.into_iter().collect::<Vec<_>>(), ["job 7"]);
    assert_eq!(node.blobs.usage(), (100_000, 20 << 30));
    assert_eq!(node.blobs.usage_of("0000000A").0, 100_000);
}

#[tokio::test]
async fn pinned_blobs_stay_and_others_go_by_age() {
    let node = Node::start(0, &[]).await;
    let pinned = node.blobs.put_bytes(content(40_000), Some("a")).await.unwrap();
    let loose = node.blobs.put_bytes(content(70_000), Some("a")).await.unwrap();
    node.blobs.pin(&pinned, "job 1").await.unwrap();
    let error = node.blobs.delete(&pinned).await.unwrap_err();
    assert!(error.to_string().contains("pinned (job 1)"), "{error}");
    assert_eq!(node.blobs.collect(Duration::from_secs(60)).await.unwrap(), Collected::default());

    // Everything is older than the end of the second it was stored in.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let collected = node.blobs.collect(Duration::ZERO).await.unwrap();
    assert_eq!(collected, Collected { blobs: 1, bytes: 70_000 });
    assert!(node.blobs.has(&pinned) && !node.blobs.has(&loose));
    assert_eq!(node.blobs.usage_of("a").0, 40_000);
    node.until_disk(40_000).await;

    node.blobs.unpin(&pinned, "job 1").await.unwrap();
    node.blobs.delete(&pinned).await.unwrap();
    node.until_disk(0).await;
    assert!(matches!(node.blobs.pin(&pinned, "job 2").await, Err(BlobError::Missing(_))));
    assert!(matches!(node.blobs.pin(&pinned, "").await, Err(BlobError::Label { .. })));
}

#[tokio::test]
async fn damage_on_the_own_disk_is_noticed_and_repaired() {
    let provider = Node::start(0, &[]).await;
    let node = Node::start(1, &[provider.seed()]).await;
    let bytes = content(1 << 20);
    let hash = provider.blobs.put_bytes(bytes.clone(), None).await.unwrap();
    node.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap();
    let mut damaged = bytes.clone();
    damaged[777] ^= 1;
    std::fs::write(node.blobs.path(&hash).unwrap(), &damaged).unwrap();
    let target = node.folder.path().join("output");
    let error = node.blobs.export(&hash, &target).await.unwrap_err();
    assert!(matches!(error, BlobError::Corrupt(_)));
    assert!(!target.exists());
    assert!(!node.blobs.has(&hash));
    node.blobs.fetch(hash, &[provider.key()], ANY).await.unwrap();
    node.blobs.export(&hash, &target).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), bytes);
}

#[tokio::test]
async fn a_blob_cut_short_on_disk_is_not_there_after_a_restart() {
    let node = Node::start(0, &[]).await;
    let bytes = content(1 << 20);
    let hash = node.blobs.put_bytes(bytes.clone(), Some("a")).await.unwrap();
    let other = node.blobs.put_bytes(content(5000), Some("a")).await.unwrap();
    let path = node.blobs.path(&hash).unwrap();
    let folder = node.stop().await;
    std::fs::write(path, &bytes[..1000]).unwrap();
    let node = Node::start_in(folder, 0, members(0..2), &[], |_| {}).await;
    assert!(!node.blobs.has(&hash));
    assert!(node.blobs.has(&other));
    assert_eq!(node.blobs.usage_of("a").0, 5000);
    node.blobs.put_bytes(bytes.clone(), Some("a")).await.unwrap();
    assert_eq!(read(&node.blobs, &hash).await, bytes);
}

#[tokio::test]
async fn a_folder_in_use_or_damaged_is_refused_and_left_alone() {
    let node = Node::start(0, &[]).await;
    let hash = node.blobs.put_bytes(content(1000), None).await.unwrap();
    let folder = node.folder.path().join("blobs");
    let error = Blobs::open(BlobsConfig::new(&folder), &node.network).await.unwrap_err();
    assert!(error.to_string().contains("another node using this folder"), "{error}");
    assert_eq!(read(&node.blobs, &hash).await, content(1000));

    let kept = node.stop().await;
    let database = kept.path().join("blobs/blobs.db");
    let damaged = vec![42; 100_000];
    std::fs::write(&database, &damaged).unwrap();
    let network = network(0, members(0..2), &[]).await;
    let error = Blobs::open(BlobsConfig::new(kept.path().join("blobs")), &network).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(std::fs::read(&database).unwrap(), damaged);
}
