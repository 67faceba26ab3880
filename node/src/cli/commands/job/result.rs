//! `valo job result`: downloads the outputs, holds every byte against the digest that the workers agreed on, and
//! merges them. The result appears under its name only when all of it is there.

use super::{failure, merge::Merger};
use crate::cli::{
    context::Context,
    human,
    output::{Format, phase_word},
    progress::Bytes,
};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use futures::StreamExt;
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use tokio::io::AsyncWriteExt;
use valo_client::{Client, types::ShardOutcome};
use valo_protocol::{
    BlobHash,
    encoding::decode,
    files::{FileEntry, FileTree, OutputRecord},
    job::{JobContract, JobId, Merge},
    registry::NodeId,
};

/// The most bytes of a shard's output record: it lists at most 65,536 files.
const MAX_RECORD: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  valo job result 1                     into a folder named after the job
  valo job result 1 --out predictions
  valo job result 1 --folders           a folder for each shard, whatever the contract says
  valo verify 1                         proof that this is the result";

/// `valo job result`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Number of the job
    job: u64,
    /// Folder to write; `NAME-NUMBER` unless said
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Keep a folder for each shard
    #[arg(long, conflicts_with = "concatenate")]
    folders: bool,
    /// Append files of one name in order of shards
    #[arg(long)]
    concatenate: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    job: JobId,
    phase: &'static str,
    folder: PathBuf,
    files: u64,
    bytes: u64,
    /// Shards that failed and were left out.
    left_out: u64,
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let id = JobId(self.job);
        let results = client.job_results(id).await?;
        failure(id, &results.phase)?;
        if !results.phase.is_accepted() {
            bail!(
                "job {id} is {}: it has no result yet; `valo job watch {id}` waits for it",
                phase_word(&results.phase)
            );
        }
        let contract = client.job_contract(id).await?;
        let folder = self.out.unwrap_or_else(|| PathBuf::from(format!("{}-{id}", file_name(&contract.name))));
        let merge = match (self.folders, self.concatenate) {
            (true, _) => Merge::Folders,
            (_, true) => Merge::Concatenate,
            _ => results.merge,
        };
        let outcomes: Vec<&ShardOutcome> =
            results.shards.iter().filter(|outcome| results.result_stages.contains(&outcome.stage)).collect();
        let partial = Partial::new(&folder)?;
        let merger = Merger::new(merge, results.result_stages.len() > 1);
        let bar = Bytes::new(context.output, 0, "downloading");
        let mut download = Download {
            client: &client,
            contract: &contract,
            merger,
            folder: &partial.0,
            bar: &bar,
            files: BTreeSet::new(),
            bytes: 0,
        };
        let mut left_out = 0u64;
        for outcome in outcomes {
            if !download.shard(outcome).await? {
                left_out = left_out.saturating_add(1);
            }
        }
        bar.finish();
        let (files, bytes) = (u64::try_from(download.files.len())?, download.bytes);
        partial.done(&folder)?;
        if context.output.format == Format::Table && left_out > 0 {
            context.output.warn(format_args!("{} failed and left nothing", human::plural(left_out, "shard")));
        }
        let written = Written { job: id, phase: phase_word(&results.phase), folder, files, bytes, left_out };
        context.output.show(&written, || {
            format!("wrote {} ({}) to {}", human::plural(files, "file"), human::size(bytes), written.folder.display())
        })
    }
}

/// A name of a job as the name of a folder.
fn file_name(name: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let name: String = name.chars().map(plain).collect();
    if name.is_empty() { "job".to_owned() } else { name }
}

struct Download<'a> {
    client: &'a Client,
    contract: &'a JobContract,
    merger: Merger,
    folder: &'a Path,
    bar: &'a Bytes,
    files: BTreeSet<PathBuf>,
    bytes: u64,
}

impl Download<'_> {
    /// Downloads what a shard wrote; whether there is anything.
    async fn shard(&mut self, outcome: &ShardOutcome) -> anyhow::Result<bool> {
        let Some(answer) = &outcome.answer else { return Ok(false) };
        let place = format!("shard {}/{}", outcome.stage, outcome.shard);
        let tree = self
            .record(BlobHash::from(answer.digest), &outcome.nodes)
            .await
            .with_context(|| format!("the output record of {place}"))?;
        let stage = self.contract.stage(outcome.stage).map_or("", |stage| stage.name.as_str());
        let places = self.merger.place(stage, outcome.shard, &tree)?;
        for (file, to) in tree.files().iter().zip(places) {
            let path = self.folder.join(&to.path);
            self.file(file, &outcome.nodes, &path, to.append)
                .await
                .with_context(|| format!("file {} of {place}", file.path))?;
            self.files.insert(to.path);
        }
        Ok(true)
    }

    /// The digest is the name of the record, so the download has checked it.
    async fn record(&self, hash: BlobHash, holders: &[NodeId]) -> anyhow::Result<FileTree> {
        let bytes = self.client.download_bytes(hash, holders, MAX_RECORD).await?;
        Ok(decode::<OutputRecord>("output record", &bytes)?.files)
    }

    async fn file(&mut self, entry: &FileEntry, holders: &[NodeId], path: &Path, append: bool) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut options = tokio::fs::OpenOptions::new();
        let options = if append { options.append(true) } else { options.write(true).create_new(true) };
        let mut file = options.open(path).await.with_context(|| format!("cannot write {}", path.display()))?;
        let mut stream = self.client.download_from(entry.hash, holders).await?;
        let (mut length, size) = (0u64, entry.size);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            let more = u64::try_from(chunk.len())?;
            length = length.saturating_add(more);
            ensure!(length <= size, "it is longer than the {size} bytes of its record");
            file.write_all(&chunk).await.with_context(|| format!("cannot write {}", path.display()))?;
            self.bar.add(more);
        }
        ensure!(length == size, "it has {length} bytes; its record says {size}");
        file.flush().await.with_context(|| format!("cannot write {}", path.display()))?;
        self.bytes = self.bytes.saturating_add(length);
        Ok(())
    }
}

/// A folder that is removed unless it becomes the result.
struct Partial(PathBuf);

impl Partial {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
            Ok(true) => {
                bail!("{} is there and not empty; name another folder with --out", folder.display())
            }
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot use {}", folder.display())),
        }
        let mut name = folder.file_name().with_context(|| format!("{} names no folder", folder.display()))?.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = folder.with_file_name(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn done(self, folder: &Path) -> anyhow::Result<()> {
        fs::rename(&self.0, folder).with_context(|| format!("cannot make {}", folder.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_dir_all(&self.0);
    }
}
