//! What this node has answered, on disk before anything is said to the chain.
//!
//! An answer and the salt that hides it are written, synced and renamed into place before the commitment
//! leaves the node. After a crash the same answer gives the same commitment, so a commit is never
//! lost and never doubled, and what was committed can always be revealed.
//!
//! One file an assignment, `<job>-<stage>-<shard>-<attempt>`: a checksum (blake3, 32 bytes) and the
//! canonical encoding of an [`Entry`]. A file that does not match its checksum is reported and set aside.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};
use valo_protocol::{
    encoding::{decode, encode},
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    transaction::{AbstainReason, Answer},
};

/// An assignment: a shard and how often it has been drawn anew.
pub type AssignmentKey = (ShardKey, Attempt);

/// What a node says about an assignment, decided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// The answer, and the random bytes that hide it in the commitment.
    Answered { answer: Answer, salt: [u8; 32] },
    /// It cannot answer.
    Abstained(AbstainReason),
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the worker's journal at {path}: {source}")]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// All decisions of this node that the chain may still ask for.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    entries: BTreeMap<AssignmentKey, Entry>,
}

impl Journal {
    /// Reads the journal of a folder, which is made when missing.
    pub fn open(folder: PathBuf) -> Result<Self, JournalError> {
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let mut entries = BTreeMap::new();
        for item in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let path = item.map_err(failed("read", &folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(key) = parse_name(name) else {
                // A temporary file of a crash: it was never acted upon.
                if name.ends_with(".new") {
                    fs::remove_file(&path).map_err(failed("clean", &path))?;
                }
                continue;
            };
            match read(&path).map_err(failed("read", &path))? {
                Some(entry) => {
                    entries.insert(key, entry);
                }
                None => {
                    tracing::error!(path = %path.display(), "a journal entry is damaged; it is set aside, and the shard is left unanswered");
                    fs::rename(&path, path.with_extension("damaged"))
                        .map_err(failed("set aside an entry of", &path))?;
                }
            }
        }
        Ok(Self { folder, entries })
    }

    /// What was decided for an assignment.
    pub fn get(&self, key: &AssignmentKey) -> Option<Entry> {
        self.entries.get(key).copied()
    }

    /// All assignments with a decision.
    pub fn keys(&self) -> impl Iterator<Item = AssignmentKey> + '_ {
        self.entries.keys().copied()
    }

    /// Records a decision. When this returns, it survives a crash. A second decision for an assignment
    /// changes nothing: the first one stands, and is returned.
    pub fn record(&mut self, key: AssignmentKey, entry: Entry) -> Result<Entry, JournalError> {
        if let Some(first) = self.entries.get(&key) {
            return Ok(*first);
        }
        let path = self.folder.join(name(&key));
        write(&path, &entry).map_err(failed("write", &path))?;
        self.entries.insert(key, entry);
        Ok(entry)
    }

    /// Forgets an assignment that the chain has settled.
    pub fn forget(&mut self, key: &AssignmentKey) -> Result<(), JournalError> {
        if self.entries.remove(key).is_some() {
            let path = self.folder.join(name(key));
            fs::remove_file(&path).map_err(failed("remove from", &path))?;
        }
        Ok(())
    }
}

fn name((shard, attempt): &AssignmentKey) -> String {
    format!("{}-{}-{}-{}", shard.job, shard.stage, shard.shard, attempt)
}

fn parse_name(name: &str) -> Option<AssignmentKey> {
    let mut parts = name.split('-');
    let shard = ShardKey {
        job: JobId(parts.next()?.parse().ok()?),
        stage: StageIndex(parts.next()?.parse().ok()?),
        shard: ShardIndex(parts.next()?.parse().ok()?),
    };
    let attempt = Attempt(parts.next()?.parse().ok()?);
    parts.next().is_none().then_some((shard, attempt))
}

fn read(path: &Path) -> io::Result<Option<Entry>> {
    let bytes = fs::read(path)?;
    let Some((checksum, body)) = bytes.split_first_chunk::<32>() else { return Ok(None) };
    if blake3::hash(body).as_bytes() != checksum {
        return Ok(None);
    }
    Ok(decode::<Entry>("journal entry", body).ok())
}

fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    let body = encode(entry);
    let temporary = path.with_extension("new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(blake3::hash(&body).as_bytes())?;
    file.write_all(&body)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use valo_protocol::{Digest, Varint, files::RunStatus};

    fn key(shard: u32) -> AssignmentKey {
        (ShardKey { job: JobId(7), stage: StageIndex(1), shard: ShardIndex(shard) }, Attempt(0))
    }

    fn answered(byte: u8) -> Entry {
        let answer = Answer { digest: Digest([byte; 32]), status: RunStatus::Exited(0), fuel: Varint(1) };
        Entry::Answered { answer, salt: [byte; 32] }
    }

    #[test]
    fn decisions_survive_and_the_first_one_stands() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path().join("journal")).unwrap();
        assert_eq!(journal.record(key(1), answered(1)).unwrap(), answered(1));
        assert_eq!(journal.record(key(1), answered(2)).unwrap(), answered(1));
        journal.record(key(2), Entry::Abstained(AbstainReason::CannotFetch)).unwrap();
        journal.record(key(3), answered(3)).unwrap();
        journal.forget(&key(3)).unwrap();
        drop(journal);
        let journal = Journal::open(folder.path().join("journal")).unwrap();
        assert_eq!(journal.get(&key(1)), Some(answered(1)));
        assert_eq!(journal.get(&key(2)), Some(Entry::Abstained(AbstainReason::CannotFetch)));
        assert_eq!(journal.keys().count(), 2);
    }

    #[test]
    fn half_written_and_damaged_files_are_never_answers() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path().to_owned()).unwrap();
        journal.record(key(1), answered(1)).unwrap();
        let path = folder.path().join(name(&key(1)));
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::write(folder.path().join("7-1-2-0.new"), b"half").unwrap();
        fs::write(folder.path().join("7-1-3-0"), b"short").unwrap();
        let journal = Journal::open(folder.path().to_owned()).unwrap();
        assert_eq!(journal.keys().count(), 0);
        assert!(!folder.path().join("7-1-2-0.new").exists());
        assert!(path.with_extension("damaged").exists());
    }

    fn files() -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path().to_owned()).unwrap();
        journal.record(key(1), answered(1)).unwrap();
        journal.record(key(2), Entry::Abstained(AbstainReason::WallLimit)).unwrap();
        [1, 2].map(|shard| fs::read(folder.path().join(name(&key(shard)))).unwrap()).into()
    }

    proptest! {
        /// Damage on disk is never an answer that this node did not give, and never lost without a trace.
        #[test]
        fn a_damaged_file_is_set_aside(bytes in valo_mutation::damaged(files())) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name(&key(1)));
            fs::write(&path, &bytes).unwrap();
            let journal = Journal::open(folder.path().to_owned()).unwrap();
            if files().contains(&bytes) {
                prop_assert!(journal.get(&key(1)).is_some());
            } else {
                prop_assert_eq!(journal.get(&key(1)), None);
                prop_assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), bytes);
            }
        }
    }
}
