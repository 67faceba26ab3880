//! Gets what a shard reads onto this node: module, manifest, files of the contract, outputs of earlier stages.

use super::{ChainAccess, ChainError};
use crate::blobs::{BlobError, Blobs};
use tokio::{
    io::AsyncReadExt,
    sync::watch,
    time::{Instant, timeout_at},
};
use valo_protocol::{
    BlobHash, Height, JobContract, PublicKey,
    encoding::decode,
    files::{FileEntry, FilePath, InputManifest, OutputRecord},
    job::{Input, JobId, MAX_BLOB, ShardIndex, ShardKey, Stage, StageIndex},
};
use valo_sandbox::{InputFile, Source};

/// The most bytes of a manifest or an output record.
const MAX_DOCUMENT: u64 = 64 << 20;

/// Why a shard's inputs are not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// From nowhere, or no room for it: this node abstains.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The state cannot be read: this node abstains.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What the contract names is not what it should be: every node finds so.
    #[error("{0}")]
    Invalid(String),
}

/// The label under which a job's blobs are kept.
pub fn label(job: JobId) -> String {
    format!("job-{job}")
}

/// Fetches and pins for one assignment.
#[derive(Debug)]
pub struct Fetcher<'a, C> {
    /// The chain.
    pub chain: &'a C,
    /// Blobs of this node.
    pub blobs: &'a Blobs,
    /// What is fetched for.
    pub shard: ShardKey,
    /// Its contract.
    pub contract: &'a JobContract,
    /// Until when a blob is looked for that nobody seems to have: a node that has just started is not connected to
    /// anybody yet, and would abstain from everything. One moment for all blobs, so that there is time to abstain.
    pub give_up: Instant,
}

impl<C: ChainAccess> Fetcher<'_, C> {
    /// Brings a blob onto this node, pinned for the job.
    pub async fn blob(&self, hash: BlobHash, hints: &[PublicKey], max: u64) -> Result<(), BlobError> {
        let fetch = || self.blobs.fetch_anywhere(hash, hints, max);
        with_each_block(self.chain.heights(), self.give_up, fetch).await?;
        self.blobs.pin(&hash, &label(self.shard.job)).await
    }

    /// Everything that the shard reads, as files below `/in`.
    pub async fn inputs(&self, stage: &Stage) -> Result<Vec<InputFile>, FetchError> {
        match &stage.input {
            Input::None => Ok(Vec::new()),
            Input::Files { manifest, shard_bytes } => self.files(*manifest, *shard_bytes).await,
            Input::Each { stage } => self.output(*stage, self.shard.shard, None).await,
            Input::All { stage: upstream } => {
                let shards = self.contract.stage(*upstream).map_or(0, |stage| stage.shards);
                let mut inputs = Vec::new();
                for shard in (0..shards).map(ShardIndex) {
                    inputs.extend(self.output(*upstream, shard, Some(shard)).await?);
                }
                Ok(inputs)
            }
        }
    }

    async fn files(&self, manifest: BlobHash, shard_bytes: u64) -> Result<Vec<InputFile>, FetchError> {
        let manifest: InputManifest = self.document("input manifest", manifest, &[]).await?;
        let place = usize::try_from(self.shard.shard.0).unwrap_or(usize::MAX);
        let tree = manifest
            .shards
            .get(place)
            .ok_or_else(|| FetchError::Invalid(format!("the input manifest has no shard {}", self.shard.shard)))?;
        let total = tree.total_size();
        if total > shard_bytes {
            return Err(FetchError::Invalid(format!(
                "the shard reads {total} bytes; the contract says at most {shard_bytes}"
            )));
        }
        let mut inputs = Vec::with_capacity(tree.files().len());
        for file in tree.files() {
            inputs.push(self.input(file, file.path.clone(), &[]).await?);
        }
        Ok(inputs)
    }

    /// The output of a shard of an earlier stage; nothing when that shard failed and was left out.
    async fn output(
        &self,
        stage: StageIndex,
        shard: ShardIndex,
        folder: Option<ShardIndex>,
    ) -> Result<Vec<InputFile>, FetchError> {
        let upstream = ShardKey { job: self.shard.job, stage, shard };
        let Some((answer, holders)) = self.chain.accepted(upstream)? else { return Ok(Vec::new()) };
        let record: OutputRecord = self.document("output record", answer.digest.into(), &holders).await?;
        let mut inputs = Vec::with_capacity(record.files.files().len());
        for file in record.files.files() {
            let path = match folder {
                Some(folder) => format!("{:05}/{}", folder.0, file.path)
                    .parse()
                    .map_err(|error| FetchError::Invalid(format!("an output of shard {upstream}: {error}")))?,
                None => file.path.clone(),
            };
            inputs.push(self.input(file, path, &holders).await?);
        }
        Ok(inputs)
    }

    async fn input(&self, file: &FileEntry, path: FilePath, hints: &[PublicKey]) -> Result<InputFile, FetchError> {
        self.blob(file.hash, hints, MAX_BLOB).await?;
        let size = self.blobs.size(&file.hash);
        if size != Some(file.size) {
            return Err(FetchError::Invalid(format!("{} is not {} bytes long", file.path, file.size)));
        }
        let source = Source::Path(self.blobs.path(&file.hash)?);
        Ok(InputFile { path, size: file.size, hash: Some(file.hash), source })
    }

    async fn document<T: borsh::BorshDeserialize>(
        &self,
        what: &'static str,
        hash: BlobHash,
        hints: &[PublicKey],
    ) -> Result<T, FetchError> {
        self.blob(hash, hints, MAX_DOCUMENT).await?;
        let mut bytes = Vec::new();
        let mut file = self.blobs.get(&hash).await?;
        file.read_to_end(&mut bytes).await.map_err(BlobError::Source)?;
        // The disk is not trusted: what does not have its hash is not what the contract means.
        if BlobHash::of(&bytes) != hash {
            return Err(BlobError::Corrupt(hash).into());
        }
        decode(what, &bytes).map_err(|error| FetchError::Invalid(error.to_string()))
    }
}

/// Fetches again with each block while nobody seems to have it, at the latest when it is given up.
async fn with_each_block<T, F>(
    mut heights: watch::Receiver<Height>,
    give_up: Instant,
    mut fetch: impl FnMut() -> F,
) -> Result<T, BlobError>
where
    F: Future<Output = Result<T, BlobError>>,
{
    loop {
        match fetch().await {
            Err(BlobError::Unavailable { .. }) if Instant::now() < give_up => {
                if let Ok(Err(_)) = timeout_at(give_up, heights.changed()).await {
                    return Err(BlobError::Stopping);
                }
            }
            fetched => return fetched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, time::Duration};

    const NOWHERE: BlobError = BlobError::Unavailable { hash: BlobHash([1; 32]), attempts: Vec::new() };

    #[tokio::test(start_paused = true)]
    async fn a_blob_that_nobody_has_yet_is_fetched_with_a_later_block() {
        let (blocks, heights) = watch::channel(Height(1));
        let give_up = Instant::now() + Duration::from_secs(60);
        let tries = Cell::new(0);
        let fetch = async || {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(NOWHERE) } else { Ok(()) }
        };
        let found = with_each_block(heights, give_up, fetch);
        let chain = async {
            for height in 2..=3 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                blocks.send(Height(height)).unwrap();
            }
        };
        let (found, ()) = tokio::join!(found, chain);
        found.unwrap();
        assert_eq!(tries.get(), 3, "once at first, and once with each of two blocks");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_has_is_given_up_in_time() {
        let (_blocks, heights) = watch::channel(Height(1));
        let start = Instant::now();
        let span = Duration::from_secs(60);
        let given_up = with_each_block(heights, start + span, async || Err::<(), _>(NOWHERE)).await;
        assert!(matches!(given_up, Err(BlobError::Unavailable { .. })));
        assert_eq!(start.elapsed(), span, "not before, and not after");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_waits_for_nothing() {
        let (blocks, heights) = watch::channel(Height(1));
        drop(blocks);
        let give_up = Instant::now() + Duration::from_secs(60);
        let stopped = with_each_block(heights, give_up, async || Err::<(), _>(NOWHERE)).await;
        assert!(matches!(stopped, Err(BlobError::Stopping)));
    }
}
