//! What programs wrote to standard output and standard error, kept by the node that ran them.
//!
//! One file an assignment below `logs/`, bounded in size by the sandbox and in number here: the oldest go first.
//! Logs are no part of a result and nobody agrees on them.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};
use valo_protocol::{
    encoding::{decode, encode},
    job::{Attempt, ShardKey},
};

/// What a program wrote in one run.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunLog {
    /// The attempt that the node was drawn for.
    pub attempt: Attempt,
    /// Standard output; bytes that are no text are replaced.
    pub stdout: String,
    /// Standard error, and how the run ended.
    pub stderr: String,
    /// Whether it wrote more than is kept.
    pub truncated: bool,
}

/// The logs of the last runs on this node.
#[derive(Debug, Clone)]
pub struct Logs {
    folder: PathBuf,
    keep: usize,
}

impl Logs {
    /// Keeps the logs of the last `keep` runs in a folder, which is made when missing.
    pub fn open(folder: PathBuf, keep: usize) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, keep })
    }

    /// Stores the log of a run in place of an earlier one of the same assignment.
    pub fn store(&self, shard: ShardKey, log: &RunLog) -> io::Result<()> {
        fs::write(self.path(shard, log.attempt), encode(log))?;
        self.prune()
    }

    /// The log of the latest attempt that this node ran for a shard.
    pub fn read(&self, shard: ShardKey) -> io::Result<Option<RunLog>> {
        for attempt in (0..=u8::MAX).rev() {
            match fs::read(self.path(shard, Attempt(attempt))) {
                Ok(bytes) => return decode("log", &bytes).map(Some).map_err(io::Error::other),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn path(&self, shard: ShardKey, attempt: Attempt) -> PathBuf {
        self.folder.join(format!("{}-{}-{}-{attempt}.log", shard.job, shard.stage, shard.shard))
    }

    fn prune(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for item in fs::read_dir(&self.folder)? {
            let path = item?.path();
            files.push((modified(&path)?, path));
        }
        let surplus = files.len().saturating_sub(self.keep);
        if surplus > 0 {
            files.sort();
            for (_, path) in files.into_iter().take(surplus) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::job::{JobId, ShardIndex, StageIndex};

    fn shard(shard: u32) -> ShardKey {
        ShardKey { job: JobId(1), stage: StageIndex(0), shard: ShardIndex(shard) }
    }

    #[test]
    fn the_latest_attempt_is_read_and_the_oldest_logs_go() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path().join("logs"), 3).unwrap();
        let log = |attempt, stdout: &str| RunLog {
            attempt: Attempt(attempt),
            stdout: stdout.to_owned(),
            stderr: String::new(),
            truncated: false,
        };
        logs.store(shard(0), &log(0, "first")).unwrap();
        logs.store(shard(0), &log(1, "second")).unwrap();
        assert_eq!(logs.read(shard(0)).unwrap(), Some(log(1, "second")));
        assert_eq!(logs.read(shard(9)).unwrap(), None);
        for n in 1..6 {
            logs.store(shard(n), &log(0, "more")).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path().join("logs")).unwrap().count(), 3);
    }
}
