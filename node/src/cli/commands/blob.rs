//! `valo blob`: bytes named by their blake3 hash.

use crate::cli::{
    context::Context,
    human,
    output::{Table, cell, print},
    progress::Bytes,
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures::StreamExt;
use std::{io::Write, path::PathBuf};
use valo_client::types::PageRequest;
use valo_protocol::{BlobHash, job::MAX_BLOB};

const EXAMPLES: &str = "\
Examples:
  valo blob put features.wasm            prints its digest, for `module: \"blake3:...\"`
  cat data | valo blob put -
  valo blob get blake3:7422b988... --out features.wasm
  valo blob ls";

/// `valo blob`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload a file; `-` reads standard input
    Put {
        /// The file
        file: PathBuf,
    },
    /// Download a blob, from whichever node has it
    Get {
        /// Its digest, with or without blake3: in front
        digest: String,
        /// Where to write it; standard output unless said
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the blobs of the node
    #[command(alias = "list")]
    Ls {
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Digest to start at
        #[arg(long)]
        from: Option<String>,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::Put { file } => put(context, file).await,
            Command::Get { digest, out } => get(context, &digest, out).await,
            Command::Ls { limit, from } => list(context, limit, from).await,
        }
    }
}

async fn put(context: &Context, file: PathBuf) -> anyhow::Result<()> {
    let client = context.client().await?;
    let info = if file.to_str() == Some("-") {
        let bar = Bytes::new(context.output, 0, "uploading");
        let info = client.upload_reader("standard input", tokio::io::stdin(), bar.callback()).await?;
        bar.finish();
        info
    } else {
        let metadata = std::fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?;
        anyhow::ensure!(metadata.is_file(), "{} is no regular file; - reads from standard input", file.display());
        let size = metadata.len();
        anyhow::ensure!(size <= MAX_BLOB, "{} has {size} bytes; a blob has at most {MAX_BLOB}", file.display());
        let bar = Bytes::new(context.output, size, "uploading");
        let info = client.upload_file(&file, bar.callback()).await?;
        bar.finish();
        info
    };
    context.output.show(&info, || format!("blake3:{}", info.hash))
}

async fn get(context: &Context, digest: &str, out: Option<PathBuf>) -> anyhow::Result<()> {
    let hash: BlobHash = digest.strip_prefix("blake3:").unwrap_or(digest).parse()?;
    let client = context.client().await?;
    let Some(path) = out.filter(|path| path.to_str() != Some("-")) else {
        let mut stream = client.download(hash).await?;
        let mut stdout = std::io::stdout();
        while let Some(chunk) = stream.next().await {
            stdout.write_all(&chunk?).context("cannot write to standard output")?;
        }
        return Ok(stdout.flush()?);
    };
    // The download replaces what is there when it is complete: no device, folder or link that leads elsewhere.
    if let Ok(present) = std::fs::symlink_metadata(&path) {
        anyhow::ensure!(
            present.is_file(),
            "{} is no regular file; name another, or - for standard output",
            path.display()
        );
    }
    let bar = Bytes::new(context.output, 0, "downloading");
    let size = client.download_file(hash, &[], &path, bar.callback()).await?;
    bar.finish();
    print(format_args!("wrote {} to {}", human::size(size), path.display()))
}

async fn list(context: &Context, limit: u32, from: Option<String>) -> anyhow::Result<()> {
    let blobs = context.client().await?.blobs(&PageRequest { from, limit: Some(limit) }).await?;
    context.output.show(&blobs, || {
        let mut table = Table::new(["digest", "size"]);
        for blob in &blobs.items {
            table.row([cell(format_args!("blake3:{}", blob.hash)), cell(human::size(blob.size))]);
        }
        format!("{table}\nall blobs together: {}", human::size(blobs.total_size))
    })
}
