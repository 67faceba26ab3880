//! Rows and keys of jobs: the committed ones (open jobs, closed jobs, shards), and what is derived from them to be
//! found quickly. Whatever is derived follows from committed rows and contracts alone:
//! ```text
//!   JobIndex      job                        -> Open(slot) | Closed(row)
//!   ShardIndex    job stage shard            -> slot          while the shard has a row
//!   NodeShards    node job stage shard       -> slot          from the draw until nothing more is expected of it
//!   Deadlines     block time kind key        -> nothing       one or two for a job
//!   Windows       work time kind key         -> nothing       one for a shard, one for an accepted job
//!   Draws         height tier class job stage shard -> nothing       what is drawn from the end of that block on
//!   Waiting              tier class job stage shard -> told?         what was tried and found no slots
//!   ShardResults  job stage shard            -> ShardVerdict
//! ```
//! Integers in keys are big-endian. A stage whose shards are drawn in order is one entry, with the shard 2^32-1.

use crate::{
    Context, LedgerError,
    overlay::Overlay,
    store::{Store, Table},
    tables::{self, DenseRecord, Record, row_index, row_key, row_of},
};
use borsh::{BorshDeserialize, BorshSerialize};
use valo_protocol::{
    JobContract, Timestamp,
    encoding::{decode, encode},
    job::{JobId, ShardIndex, ShardKey, StageIndex},
    proof::{JobRecord, ShardResult},
    registry::{NodeId, TierId},
    shard::{ShardRecord, ShardRow},
    time::Height,
};

use super::verdict;

/// Where the row of a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Location {
    /// In the table of open jobs.
    Open(u64),
    /// In the log of results.
    Closed(u64),
}

/// The verdict on a shard of an open or closed job.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ShardVerdict {
    /// As the root in [`JobRecord::results`] commits to it.
    pub result: ShardResult,
    /// Who gave the answer and serves its output.
    pub holders: Vec<NodeId>,
}

/// A row of the table of open jobs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct OpenJob(pub JobRecord);

impl Record for OpenJob {
    const WHAT: &'static str = "job";
}
impl DenseRecord for OpenJob {
    const TABLE: Table = Table::Jobs;
}
impl Record for ShardRow {
    const WHAT: &'static str = "shard";
}
impl DenseRecord for ShardRow {
    const TABLE: Table = Table::Shards;
}
impl Record for Location {
    const WHAT: &'static str = "location of a job";
}
impl Record for JobContract {
    const WHAT: &'static str = "contract";
}
impl Record for ShardVerdict {
    const WHAT: &'static str = "verdict on a shard";
}

/// Key of a job in its tables.
pub(crate) const fn job_key(job: JobId) -> [u8; 8] {
    job.0.to_be_bytes()
}

/// Key of a shard in its tables.
pub(crate) fn shard_key(shard: ShardKey) -> Vec<u8> {
    [&job_key(shard.job)[..], &[shard.stage.0], &shard.shard.0.to_be_bytes()].concat()
}

fn damaged(table: Table) -> LedgerError {
    LedgerError::corrupt(table.name(), "a key has not its form")
}

/// Reads integers off the front of a key.
struct Key<'a> {
    table: Table,
    rest: &'a [u8],
}

impl Key<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], LedgerError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| damaged(self.table))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn job(&mut self) -> Result<JobId, LedgerError> {
        Ok(JobId(u64::from_be_bytes(self.take()?)))
    }

    fn shard(&mut self) -> Result<ShardKey, LedgerError> {
        let job = self.job()?;
        let [stage] = self.take()?;
        Ok(ShardKey { job, stage: StageIndex(stage), shard: ShardIndex(u32::from_be_bytes(self.take()?)) })
    }
}

/// What ends at a moment: windows of shards and of results in work time, everything else in block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// Something is to be done with a shard.
    Shard(ShardKey),
    /// A job should have been accepted.
    Job(JobId),
    /// A failed job is to be closed, as far as it goes.
    Close(JobId),
    /// The dispute window of a job.
    Final(JobId),
    /// Stake of a node has been unbonding long enough.
    Unbonding(NodeId),
}

impl Deadline {
    const fn table(self) -> Table {
        match self {
            Self::Shard(_) | Self::Final(_) => Table::Windows,
            Self::Job(_) | Self::Close(_) | Self::Unbonding(_) => Table::Deadlines,
        }
    }

    /// It is due at this moment, of the clock it goes by.
    pub fn set(self, state: &mut Overlay<'_>, moment: Timestamp) {
        state.put(self.table(), self.key(moment), Vec::new());
    }

    /// It is not due at this moment any more.
    pub fn clear(self, state: &mut Overlay<'_>, moment: Timestamp) {
        state.delete(self.table(), self.key(moment));
    }

    fn key(self, time: Timestamp) -> Vec<u8> {
        let (kind, rest) = match self {
            Self::Shard(shard) => (0u8, shard_key(shard)),
            Self::Job(job) => (1, job_key(job).to_vec()),
            Self::Close(job) => (2, job_key(job).to_vec()),
            Self::Final(job) => (3, job_key(job).to_vec()),
            Self::Unbonding(node) => (4, node.0.to_be_bytes().to_vec()),
        };
        [&time.0.to_be_bytes()[..], &[kind], &rest].concat()
    }

    pub fn parse(key: &[u8]) -> Result<(Timestamp, Self), LedgerError> {
        let mut key = Key { table: Table::Deadlines, rest: key };
        let time = Timestamp(u64::from_be_bytes(key.take()?));
        let deadline = match key.take()? {
            [0] => Self::Shard(key.shard()?),
            [1] => Self::Job(key.job()?),
            [2] => Self::Close(key.job()?),
            [3] => Self::Final(key.job()?),
            [4] => Self::Unbonding(NodeId(u32::from_be_bytes(key.take()?))),
            _ => return Err(damaged(Table::Deadlines)),
        };
        Ok((time, deadline))
    }
}

/// What is to be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// More nodes for a shard that has a row.
    More(ShardKey),
    /// The first nodes for a shard.
    First(ShardKey),
    /// The first nodes for the shards of a stage, in order.
    Stage(JobId, StageIndex),
}

/// The shard in the key of a whole stage.
const WHOLE_STAGE: ShardIndex = ShardIndex(u32::MAX);

impl Order {
    /// Orders of this class come before the others.
    pub const MORE: u8 = 0;
    /// Orders for first draws.
    pub const FIRST: u8 = 1;

    /// The key in [`Table::Waiting`].
    pub fn key(self, tier: TierId) -> Vec<u8> {
        let (class, shard) = match self {
            Self::More(shard) => (Self::MORE, shard),
            Self::First(shard) => (Self::FIRST, shard),
            Self::Stage(job, stage) => (Self::FIRST, ShardKey { job, stage, shard: WHOLE_STAGE }),
        };
        [&tier.0.to_be_bytes()[..], &[class], &shard_key(shard)].concat()
    }

    /// The key in [`Table::Draws`].
    pub fn draw_key(self, from: Height, tier: TierId) -> Vec<u8> {
        [&from.0.to_be_bytes()[..], &self.key(tier)].concat()
    }

    pub fn parse(key: &[u8]) -> Result<(TierId, Self), LedgerError> {
        let mut key = Key { table: Table::Waiting, rest: key };
        let tier = TierId(u16::from_be_bytes(key.take()?));
        let [class] = key.take()?;
        let shard = key.shard()?;
        let order = match class {
            Self::MORE => Self::More(shard),
            Self::FIRST if shard.shard == WHOLE_STAGE => Self::Stage(shard.job, shard.stage),
            Self::FIRST => Self::First(shard),
            _ => return Err(damaged(Table::Waiting)),
        };
        Ok((tier, order))
    }

    pub const fn job(self) -> JobId {
        match self {
            Self::More(shard) | Self::First(shard) => shard.job,
            Self::Stage(job, _) => job,
        }
    }
}

/// Key of a shard under a node.
pub(crate) fn node_shard_key(node: NodeId, shard: ShardKey) -> Vec<u8> {
    [&node.0.to_be_bytes()[..], &shard_key(shard)].concat()
}

/// The shard in a key of [`Table::NodeShards`].
pub(crate) fn parse_node_shard(key: &[u8]) -> Result<(NodeId, ShardKey), LedgerError> {
    let mut key = Key { table: Table::NodeShards, rest: key };
    Ok((NodeId(u32::from_be_bytes(key.take()?)), key.shard()?))
}

/// Where a job is.
pub(crate) fn location(store: &dyn Store, job: JobId) -> Result<Option<Location>, LedgerError> {
    tables::value(store, Table::JobIndex, &job_key(job))
}

/// An open job and its slot.
pub(crate) fn open_job(store: &dyn Store, job: JobId) -> Result<Option<(u64, JobRecord)>, LedgerError> {
    let Some(Location::Open(slot)) = location(store, job)? else { return Ok(None) };
    let OpenJob(record) = tables::expect_row(store, slot)?;
    Ok(Some((slot, record)))
}

/// A job, open or closed.
pub(crate) fn job(store: &dyn Store, job: JobId) -> Result<Option<(JobRecord, Location)>, LedgerError> {
    let Some(location) = location(store, job)? else { return Ok(None) };
    let record = match location {
        Location::Open(slot) => tables::row::<OpenJob>(store, slot)?.map(|OpenJob(record)| record),
        Location::Closed(row) => row_of(store, Table::Results, row)?,
    };
    let record = record.ok_or_else(|| LedgerError::corrupt("jobs", format!("the row of job {job} is missing")))?;
    Ok(Some((record, location)))
}

/// The contract of a job.
pub(crate) fn contract(store: &dyn Store, job: JobId) -> Result<Option<JobContract>, LedgerError> {
    tables::value(store, Table::Contracts, &job_key(job))
}

/// The number of the next job.
pub(crate) fn next_job(store: &dyn Store) -> Result<JobId, LedgerError> {
    match store.get(Table::Meta, NEXT_JOB)? {
        Some(bytes) => Ok(JobId(row_index(Table::Meta, &bytes)?)),
        None => Ok(JobId(1)),
    }
}

const NEXT_JOB: &[u8] = b"jobs/next";

/// Records the number of the next job.
pub(crate) fn set_next_job(state: &mut Overlay<'_>, job: JobId) {
    state.put(Table::Meta, NEXT_JOB, row_key(job.0).to_vec());
}

/// The row of a shard, and its slot.
pub(crate) fn shard(store: &dyn Store, key: ShardKey) -> Result<Option<(u64, ShardRecord)>, LedgerError> {
    let Some(slot) = store.get(Table::ShardIndex, &shard_key(key))? else { return Ok(None) };
    let slot = row_index(Table::ShardIndex, &slot)?;
    let ShardRow::V1(record) = tables::expect_row(store, slot)?;
    Ok(Some((slot, record)))
}

/// Keys of at most `limit` shards of a job that have a row, in order.
pub(crate) fn shard_keys(store: &dyn Store, job: JobId, limit: usize) -> Result<Vec<ShardKey>, LedgerError> {
    let rows = store.scan(Table::ShardIndex, &job_key(job), limit)?;
    let keys = rows.iter().map(|(key, _)| Key { table: Table::ShardIndex, rest: key }.shard());
    let keys: Vec<ShardKey> = keys.collect::<Result<_, _>>()?;
    Ok(keys.into_iter().take_while(|key| key.job == job).collect())
}

/// Verdicts of a job from `from` on, in order of stages and shards.
pub(crate) fn verdicts(store: &dyn Store, from: ShardKey, limit: usize) -> Result<Vec<ShardVerdict>, LedgerError> {
    let rows = store.scan(Table::ShardResults, &shard_key(from), limit)?;
    let own = rows.iter().take_while(|(key, _)| key.starts_with(&job_key(from.job)));
    own.map(|(_, row)| Ok(decode(ShardVerdict::WHAT, row)?)).collect()
}

/// Makes the row of a shard.
pub(crate) fn add_shard(ctx: &mut Context<'_>, record: &ShardRecord) -> Result<u64, LedgerError> {
    let slot = ctx.state.fill_slot(&ShardRow::V1(record.clone()))?;
    ctx.state.put(Table::ShardIndex, shard_key(record.key), row_key(slot).to_vec());
    if let Some(moment) = verdict::due(record) {
        Deadline::Shard(record.key).set(&mut ctx.state, moment);
    }
    Ok(slot)
}

/// Writes the row of a shard, and when something is to be done with it next.
pub(crate) fn save_shard(ctx: &mut Context<'_>, slot: u64, before: &ShardRecord, after: &ShardRecord) {
    if before == after {
        return;
    }
    let (old, new) = (verdict::due(before), verdict::due(after));
    if old != new {
        let deadline = Deadline::Shard(after.key);
        if let Some(moment) = old {
            deadline.clear(&mut ctx.state, moment);
        }
        if let Some(moment) = new {
            deadline.set(&mut ctx.state, moment);
        }
    }
    ctx.state.put(Table::Shards, row_key(slot), encode(&ShardRow::V1(after.clone())));
}

/// Frees the row of a shard. `stored` is what is in the row.
pub(crate) fn drop_shard(ctx: &mut Context<'_>, slot: u64, stored: &ShardRecord) {
    if let Some(moment) = verdict::due(stored) {
        Deadline::Shard(stored.key).clear(&mut ctx.state, moment);
    }
    ctx.state.delete(Table::ShardIndex, shard_key(stored.key));
    ctx.state.free_slot::<ShardRow>(slot);
}
