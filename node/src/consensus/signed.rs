//! What this node's key signed last, on disk before a vote leaves.
//!
//! The engine's own log of a height lets it go on after a crash. This file is what remains if that log is lost or
//! damaged, and it says whose folder this is, when it was made, and above which height the key signed nothing in
//! another folder. A line for each proposal and vote of the present height:
//! ```text
//!   valo-signed 1 GENESIS KEY
//!   made MILLISECONDS CHECKSUM
//!   above HEIGHT CHECKSUM
//!   HEIGHT ROUND proposal|prevote|precommit BLOCK|nil VALID-ROUND|- CHECKSUM
//! ```
//! Where something was signed already for a height, a round and a step, that is signed again and nothing else. The engine
//! takes it as it takes the votes of its own log: by what is in them.
//!
//! A precommit binds the later rounds of its height: without a newer quorum for it, another block must not be voted
//! for. The engine knows what it is bound to; if its log is gone, it does not, and such a vote is for nothing (nil) instead.
//! Voting for nothing is always safe.
//!
//! Without the line `above` nothing is signed: see [`newcomer`](super::newcomer). A file that has votes needs none.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};
use valo_protocol::{BlockId, GenesisHash, Hash, Height, PublicKey, Round, Timestamp, vote};

/// First bytes of what a checksum covers.
const CHECKSUM: &[u8] = b"valo/signed/1";
/// Beyond this many bytes the file is begun anew with the next height.
const MAX_LENGTH: u64 = 256 << 10;
/// Bytes of the engine's log before its first entry: its version and its height.
const LOG_HEADER: u64 = 12;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// The folder is that of another key or of another chain.
    #[error("{} is of key {key} on chain {genesis}; this folder cannot be used with another key or chain", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose folder it is.
        key: PublicKey,
        /// On which chain.
        genesis: GenesisHash,
    },
    /// The file does not say what was signed.
    #[error(
        "{} is damaged at line {line}: it cannot be known what was signed. Drain this node and come back with a new key",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// The file cannot be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A vote for a height that is over.
    #[error("asked to sign for height {asked}, and signed for height {last} already")]
    Over {
        /// For which height.
        asked: Height,
        /// The last one that was signed for.
        last: Height,
    },
    /// A vote for a height for which the key may have signed in another folder.
    #[error("asked to sign for height {asked}, for which this key may have signed in another folder")]
    Unknown {
        /// For which height.
        asked: Height,
    },
}

impl SignedError {
    /// Whether starting again does not help.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::Damaged { .. })
    }
}

/// What is known of what the key signed in other folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: the folder is new.
    Unknown {
        /// When it was made.
        since: Timestamp,
        /// Just now, by this process.
        first: bool,
    },
    /// Nothing was signed there above this height.
    Above(Height),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Proposal,
    Prevote,
    Precommit,
}

impl Step {
    const ALL: [Self; 3] = [Self::Proposal, Self::Prevote, Self::Precommit];

    const fn name(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        }
    }
}

/// What was signed in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    block: Option<BlockId>,
    valid_round: Option<Round>,
}

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    height: Height,
    round: Round,
    step: Step,
    content: Content,
}

/// What was signed for the last height.
#[derive(Debug)]
pub struct LastSigned {
    path: PathBuf,
    header: String,
    file: fs::File,
    length: u64,
    standing: Standing,
    height: Height,
    held: BTreeMap<(Round, Step), Content>,
    /// The block that an earlier process precommitted, in which round, while the engine's log of it is gone.
    bound: Option<(Round, BlockId)>,
}

impl LastSigned {
    /// Opens the file of a folder, or makes it. `log` is the engine's log of votes, `now` the time.
    pub fn open(
        path: PathBuf,
        log: &Path,
        key: PublicKey,
        genesis: GenesisHash,
        now: Timestamp,
    ) -> Result<Self, SignedError> {
        let disk = |action, source| SignedError::Disk { action, path: path.clone(), source };
        let header = format!("valo-signed 1 {genesis} {key}\n");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| disk("make the folder of", source))?;
        }
        let file = fs::OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = file.map_err(|source| disk("open", source))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|source| disk("read", source))?;
        // A line is signed once it is on disk as a whole: what has no end was never sent.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1));
        text.truncate(whole);
        let mut length = u64::try_from(whole).unwrap_or(u64::MAX);
        file.set_len(length).map_err(|source| disk("write", source))?;
        if text.is_empty() {
            file.write_all(header.as_bytes()).map_err(|source| disk("write", source))?;
            length = u64::try_from(header.len()).unwrap_or(u64::MAX);
        }
        file.sync_all().map_err(|source| disk("write", source))?;
        sync_folder(&path).map_err(|source| disk("write", source))?;
        let standing = Standing::Unknown { since: now, first: true };
        let mut signed =
            Self { path, header, file, length, standing, height: Height(0), held: BTreeMap::new(), bound: None };
        signed.load(&text)?;
        if signed.standing == standing {
            signed.note(&format!("made {}", now.0))?;
        }
        if !log_is_of(log, signed.height) {
            signed.bound = signed.precommitted();
            if let Some((round, block)) = signed.bound {
                tracing::warn!(
                    height = %signed.height, %round, block = %block.short(),
                    "the log of this height is gone: no other block is voted for in it"
                );
            }
        }
        Ok(signed)
    }

    /// The last height that something was signed for; 0 when nothing was.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// What is known of what the key signed in other folders.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// From now on anything above a height may be signed. That is on disk when this returns.
    pub fn allow(&mut self, above: Height) -> Result<(), SignedError> {
        if matches!(self.standing, Standing::Unknown { .. }) {
            self.note(&format!("above {}", above.0))?;
            self.standing = Standing::Above(above);
        }
        Ok(())
    }

    fn note(&mut self, text: &str) -> Result<(), SignedError> {
        let written = self.append(&format!("{text} {}\n", checksum(text)));
        written.map_err(|source| SignedError::Disk { action: "write", path: self.path.clone(), source })
    }

    fn load(&mut self, text: &[u8]) -> Result<(), SignedError> {
        let damaged = |line: usize| SignedError::Damaged { path: self.path.clone(), line };
        let text = std::str::from_utf8(text).map_err(|_| damaged(1))?;
        let mut lines = text.lines().zip(1..);
        let Some((header, _)) = lines.next() else { return Ok(()) };
        if header != self.header.trim_end() {
            let (genesis, key) = read_header(header).ok_or_else(|| damaged(1))?;
            return Err(SignedError::Foreign { path: self.path.clone(), key, genesis });
        }
        let mut held = BTreeMap::new();
        let mut height = Height(0);
        for (text, number) in lines {
            if let Some(standing) = Standing::parse(text) {
                self.standing = standing;
                continue;
            }
            let line = Line::parse(text).filter(|line| line.height >= height).ok_or_else(|| damaged(number))?;
            if line.height > height {
                (height, held) = (line.height, BTreeMap::new());
            }
            held.insert((line.round, line.step), line.content);
        }
        if height > Height(0) && matches!(self.standing, Standing::Unknown { .. }) {
            // Of an earlier version, or the line went with votes that are over.
            self.standing = Standing::Above(Height(0));
        }
        (self.height, self.held) = (height, held);
        Ok(())
    }

    fn precommitted(&self) -> Option<(Round, BlockId)> {
        let precommits = self.held.iter().rev().filter(|((_, step), _)| *step == Step::Precommit);
        precommits.filter_map(|((round, _), content)| Some((*round, content.block?))).next()
    }

    /// The block that may be voted for in place of the one in `vote`. It is on disk when this returns.
    pub fn vote(&mut self, vote: &vote::Vote) -> Result<Option<BlockId>, SignedError> {
        let step = match vote.kind {
            vote::VoteKind::Prevote => Step::Prevote,
            vote::VoteKind::Precommit => Step::Precommit,
        };
        let bound = self.bound.filter(|(round, _)| self.height == vote.height && vote.round > *round);
        let free = bound.is_none_or(|(_, block)| vote.block == Some(block));
        let content = Content { block: vote.block.filter(|_| free), valid_round: None };
        Ok(self.hold(Line { height: vote.height, round: vote.round, step, content })?.block)
    }

    /// The block that may be proposed in place of the one in `proposal`, and the round in which it was valid. It is on disk
    /// when this returns.
    pub fn proposal(&mut self, proposal: &vote::Proposal) -> Result<(BlockId, Option<Round>), SignedError> {
        let content = Content { block: Some(proposal.block), valid_round: proposal.valid_round };
        let line = Line { height: proposal.height, round: proposal.round, step: Step::Proposal, content };
        let held = self.hold(line)?;
        Ok((held.block.unwrap_or(proposal.block), held.valid_round))
    }

    fn hold(&mut self, line: Line) -> Result<Content, SignedError> {
        if !matches!(self.standing, Standing::Above(above) if line.height > above) {
            return Err(SignedError::Unknown { asked: line.height });
        }
        if line.height < self.height {
            return Err(SignedError::Over { asked: line.height, last: self.height });
        }
        if line.height == self.height
            && let Some(held) = self.held.get(&(line.round, line.step))
        {
            if *held != line.content {
                tracing::warn!(
                    height = %line.height, round = %line.round, step = line.step.name(),
                    "something else was signed before: that is signed again"
                );
            }
            return Ok(*held);
        }
        self.write(&line).map_err(|source| SignedError::Disk { action: "write", path: self.path.clone(), source })?;
        if line.height > self.height {
            self.height = line.height;
            self.held.clear();
            self.bound = None;
        }
        self.held.insert((line.round, line.step), line.content);
        Ok(line.content)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = format!("{line}\n");
        if line.height > self.height && self.length > MAX_LENGTH {
            // Nothing of an earlier height is needed any more. The new file counts once it is on disk as a whole.
            let temporary = self.path.with_extension("new");
            let mut file = fs::File::create(&temporary)?;
            file.write_all(format!("{}{text}", self.header).as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)?;
            sync_folder(&self.path)?;
            self.file = fs::OpenOptions::new().append(true).open(&self.path)?;
            self.length = self.file.metadata()?.len();
            return Ok(());
        }
        self.append(&text)
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // The disk is full: what is half there must not be the beginning of the next line.
            self.file.set_len(self.length)?;
        } else {
            self.length = self.length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        }
        written
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = self.content.block.map_or_else(|| "nil".to_owned(), |block| block.to_string());
        let valid = self.content.valid_round.map_or_else(|| "-".to_owned(), |round| round.0.to_string());
        let text = format!("{} {} {} {block} {valid}", self.height.0, self.round.0, self.step.name());
        write!(formatter, "{text} {}", checksum(&text))
    }
}

impl Standing {
    fn parse(text: &str) -> Option<Self> {
        let (body, sum) = text.rsplit_once(' ')?;
        let (word, number) = body.split_once(' ').filter(|_| checksum(body) == sum)?;
        let number = number.parse().ok()?;
        match word {
            "made" => Some(Self::Unknown { since: Timestamp(number), first: false }),
            "above" => Some(Self::Above(Height(number))),
            _ => None,
        }
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (body, sum) = text.rsplit_once(' ')?;
        if checksum(body) != sum {
            return None;
        }
        let mut fields = body.split(' ');
        let height = Height(fields.next()?.parse().ok()?);
        let round = Round(fields.next()?.parse().ok()?);
        let name = fields.next()?;
        let step = Step::ALL.into_iter().find(|step| step.name() == name)?;
        let block = match fields.next()? {
            "nil" => None,
            block => Some(block.parse().ok()?),
        };
        let valid_round = match fields.next()? {
            "-" => None,
            round => Some(Round(round.parse().ok()?)),
        };
        Some(Self { height, round, step, content: Content { block, valid_round } })
    }
}

fn checksum(text: &str) -> String {
    let mut sum = Hash::of(CHECKSUM, &[text.as_bytes()]).to_string();
    sum.truncate(16);
    sum
}

fn read_header(header: &str) -> Option<(GenesisHash, PublicKey)> {
    let (genesis, key) = header.strip_prefix("valo-signed 1 ")?.split_once(' ')?;
    Some((genesis.parse().ok()?, key.parse().ok()?))
}

/// Whether the engine's log is there and has entries of a height.
fn log_is_of(log: &Path, height: Height) -> bool {
    let read = || -> io::Result<(u64, u64)> {
        let mut file = fs::File::open(log)?;
        let mut header = [0u8; 12];
        file.read_exact(&mut header)?;
        let [_, _, _, _, sequence @ ..] = header;
        Ok((u64::from_be_bytes(sequence), file.metadata()?.len()))
    };
    read().is_ok_and(|(sequence, length)| sequence == height.0 && length > LOG_HEADER)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::SecretKey;

    const GENESIS: GenesisHash = GenesisHash([7; 32]);
    const A: BlockId = BlockId([1; 32]);
    const B: BlockId = BlockId([2; 32]);
    const NOW: Timestamp = Timestamp(1);

    fn key() -> PublicKey {
        SecretKey::from_seed([1; 32]).public()
    }

    /// A folder, with the engine's log of a height or without.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// Opens it, and lets it sign from the first height on.
        fn open(&self) -> LastSigned {
            let mut signed = self.try_open(key(), GENESIS).unwrap();
            signed.allow(Height(0)).unwrap();
            signed
        }

        fn try_open(&self, key: PublicKey, genesis: GenesisHash) -> Result<LastSigned, SignedError> {
            LastSigned::open(self.file(), &self.0.path().join("consensus.log"), key, genesis, NOW)
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("signed.log")
        }

        fn log_of(&self, height: u64) {
            let log = [&1u32.to_be_bytes()[..], &height.to_be_bytes(), b"entries"].concat();
            fs::write(self.0.path().join("consensus.log"), log).unwrap();
        }
    }

    fn vote(height: u64, round: u32, kind: vote::VoteKind, block: Option<BlockId>) -> vote::Vote {
        vote::Vote { kind, height: Height(height), round: Round(round), block, validator: key() }
    }

    fn prevote(height: u64, round: u32, block: Option<BlockId>) -> vote::Vote {
        vote(height, round, vote::VoteKind::Prevote, block)
    }

    fn precommit(height: u64, round: u32, block: Option<BlockId>) -> vote::Vote {
        vote(height, round, vote::VoteKind::Precommit, block)
    }

    fn proposal(round: u32, block: BlockId, valid_round: Option<Round>) -> vote::Proposal {
        vote::Proposal { height: Height(5), round: Round(round), block, valid_round, proposer: key() }
    }

    #[test]
    fn what_was_signed_is_signed_again_and_nothing_else_also_by_the_next_process() {
        let folder = Folder::new();
        let mut signed = folder.open();
        assert_eq!(signed.proposal(&proposal(0, A, None)).unwrap(), (A, None));
        assert_eq!(signed.vote(&prevote(5, 0, Some(A))).unwrap(), Some(A));
        assert_eq!(signed.vote(&precommit(5, 0, None)).unwrap(), None);
        for mut signed in [signed, folder.open()] {
            assert_eq!(signed.proposal(&proposal(0, B, Some(Round(3)))).unwrap(), (A, None));
            assert_eq!(signed.vote(&prevote(5, 0, Some(B))).unwrap(), Some(A));
            assert_eq!(signed.vote(&prevote(5, 0, None)).unwrap(), Some(A));
            assert_eq!(signed.vote(&precommit(5, 0, Some(A))).unwrap(), None);
            assert!(matches!(signed.vote(&prevote(4, 9, None)), Err(SignedError::Over { .. })));
            // It is not bound to anything: a newer round is open.
            assert_eq!(signed.vote(&prevote(5, 1, Some(A))).unwrap(), Some(A));
        }
        let mut signed = folder.open();
        assert_eq!(signed.height(), Height(5));
        assert_eq!(signed.vote(&prevote(6, 0, Some(B))).unwrap(), Some(B));
        assert_eq!(folder.open().height(), Height(6));
    }

    #[test]
    fn without_the_engines_log_a_precommit_binds_the_rest_of_its_height() {
        for (log, expected) in [(Some(5), Some(B)), (Some(4), None), (None, None)] {
            let folder = Folder::new();
            folder.open().vote(&precommit(5, 2, Some(A))).unwrap();
            if let Some(height) = log {
                folder.log_of(height);
            }
            let mut signed = folder.open();
            assert_eq!(signed.vote(&prevote(5, 3, Some(B))).unwrap(), expected, "log of {log:?}");
            assert_eq!(signed.vote(&precommit(5, 4, Some(B))).unwrap(), expected);
            assert_eq!(signed.vote(&prevote(5, 5, Some(A))).unwrap(), Some(A), "the block it is bound to");
            assert_eq!(signed.vote(&prevote(6, 0, Some(B))).unwrap(), Some(B), "the next height is free");
        }
    }

    #[test]
    fn the_folder_of_another_key_or_chain_is_refused() {
        let folder = Folder::new();
        folder.open();
        let other = SecretKey::from_seed([2; 32]).public();
        for (other, genesis) in [(other, GENESIS), (key(), GenesisHash([8; 32]))] {
            let error = folder.try_open(other, genesis).unwrap_err();
            assert!(error.is_final() && error.to_string().contains(&key().to_string()), "{error}");
        }
        folder.open();
    }

    #[test]
    fn half_a_line_was_never_sent_and_any_other_damage_is_told() {
        let folder = Folder::new();
        let mut signed = folder.open();
        signed.vote(&prevote(5, 0, Some(A))).unwrap();
        signed.vote(&precommit(5, 0, Some(A))).unwrap();
        let text = fs::read_to_string(folder.file()).unwrap();
        fs::write(folder.file(), &text[..text.len() - 1]).unwrap();
        let mut signed = folder.open();
        assert_eq!(signed.vote(&prevote(5, 0, None)).unwrap(), Some(A));
        assert_eq!(signed.vote(&precommit(5, 0, None)).unwrap(), None, "its precommit never left");
        drop(signed);
        fs::write(folder.file(), text.replacen("5 0 prevote", "5 1 prevote", 1)).unwrap();
        let error = folder.try_open(key(), GENESIS).unwrap_err();
        assert!(error.is_final() && error.to_string().contains("line 4"), "{error}");
    }

    #[test]
    fn in_a_new_folder_nothing_is_signed_until_it_is_known_above_which_height() {
        let folder = Folder::new();
        let refused = |signed: &mut LastSigned, height| {
            let vote = signed.vote(&prevote(height, 0, None));
            assert!(matches!(vote, Err(SignedError::Unknown { .. })), "{vote:?}");
        };
        let mut signed = folder.try_open(key(), GENESIS).unwrap();
        assert_eq!(signed.standing(), Standing::Unknown { since: NOW, first: true });
        refused(&mut signed, 1);
        // The next process knows when the folder was made, and no more.
        let mut signed = folder.try_open(key(), GENESIS).unwrap();
        assert_eq!(signed.standing(), Standing::Unknown { since: NOW, first: false });
        refused(&mut signed, 8);
        signed.allow(Height(7)).unwrap();
        // It is known once and for all.
        signed.allow(Height(3)).unwrap();
        for mut signed in [signed, folder.try_open(key(), GENESIS).unwrap()] {
            assert_eq!(signed.standing(), Standing::Above(Height(7)));
            refused(&mut signed, 7);
            assert_eq!(signed.vote(&prevote(8, 0, Some(A))).unwrap(), Some(A));
        }
    }

    #[test]
    fn a_folder_of_an_earlier_version_that_has_votes_goes_on() {
        let folder = Folder::new();
        folder.open().vote(&prevote(5, 0, Some(A))).unwrap();
        let text = fs::read_to_string(folder.file()).unwrap();
        let old: Vec<&str> =
            text.lines().filter(|line| !line.starts_with("made") && !line.starts_with("above")).collect();
        assert_eq!(old.len(), 2);
        fs::write(folder.file(), old.join("\n") + "\n").unwrap();
        let mut signed = folder.try_open(key(), GENESIS).unwrap();
        assert_eq!(signed.vote(&prevote(5, 0, Some(B))).unwrap(), Some(A));
        fs::write(folder.file(), format!("{}\n", old[0])).unwrap();
        let signed = folder.try_open(key(), GENESIS).unwrap();
        assert_eq!(signed.standing(), Standing::Unknown { since: NOW, first: true }, "nothing was signed in it");
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = Folder::new();
        let mut signed = folder.open();
        for height in 1..3000 {
            signed.vote(&prevote(height, 0, Some(A))).unwrap();
        }
        assert!(fs::metadata(folder.file()).unwrap().len() < MAX_LENGTH + 1024);
        assert_eq!(folder.open().vote(&prevote(2999, 0, Some(B))).unwrap(), Some(A));
    }

    const LIMITED: &str = "VALO_TEST_SIGNED_FOLDER";

    /// Runs the helper with files of at most 1024 bytes: room for what comes first and eight votes for a block.
    #[test]
    fn a_vote_that_did_not_fit_on_the_disk_does_not_spoil_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "consensus::signed::tests::vote_until_it_is_full", "--ignored", "--nocapture"])
            .env(LIMITED, folder.path())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && out.contains("it was full"), "{out}");
        let folder = Folder(folder);
        assert_eq!(
            folder.open().vote(&prevote(5, 9, Some(B))).unwrap(),
            None,
            "nothing was signed in round 9, and it holds"
        );
    }

    #[test]
    #[ignore = "a helper of another test, which gives it little room"]
    fn vote_until_it_is_full() {
        let Some(folder) = std::env::var_os(LIMITED) else { return };
        let folder = PathBuf::from(folder);
        let mut signed =
            LastSigned::open(folder.join("signed.log"), &folder.join("consensus.log"), key(), GENESIS, NOW).unwrap();
        signed.allow(Height(0)).unwrap();
        let full = (0..9).find_map(|round| signed.vote(&prevote(5, round, Some(A))).err()).unwrap();
        assert!(matches!(full, SignedError::Disk { action: "write", .. }), "{full}");
        // Shorter: it fits where the other one did not.
        assert_eq!(signed.vote(&prevote(5, 9, None)).unwrap(), None);
        println!("it was full");
    }
}
