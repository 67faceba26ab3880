//! Typed reads of jobs, for the API and the worker.

use super::{
    state::{self, Location, OpenJob, ShardVerdict},
    submit,
};
use crate::{
    LedgerError, View,
    store::{Store, Table},
    tables::{self, expect_row, row_index},
};
use valo_protocol::{
    AccountNumber, Amount, Duration, JobContract, Timestamp,
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    proof::{JobRecord, ShardResult},
    registry::NodeId,
    shard::{MemberState, ShardAssignment, ShardPhase, ShardRecord, ShardRow},
    state::ChainRecord,
    transaction::Answer,
};

/// A node's part in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The shard.
    pub shard: ShardKey,
    /// The draw: commits, reveals and abstentions name it.
    pub attempt: Attempt,
    /// The node.
    pub node: NodeId,
    /// What is expected of it.
    pub state: AssignmentState,
}

/// What is expected of a drawn node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentState {
    /// To run the shard, and to commit or abstain.
    Assigned {
        /// Last moment, block time.
        commit_until: Timestamp,
        /// How long that is from the last block on, however long ago that was.
        left: Duration,
    },
    /// To wait until reveals open.
    Committed,
    /// To reveal.
    RevealOpen {
        /// Last moment, block time.
        reveal_until: Timestamp,
    },
    /// To keep its output: it revealed, and the shard has no verdict yet.
    Revealed {
        /// What it revealed.
        answer: Answer,
    },
    /// Nothing more.
    Over,
}

impl AssignmentState {
    /// What is expected of a node with this part in this shard, as the chain stands.
    fn of(shard: &ShardRecord, assignment: &ShardAssignment, chain: &ChainRecord) -> Self {
        let block_time = |moment| chain.clock.block_time(moment);
        match (assignment.state, shard.phase) {
            (MemberState::Assigned, ShardPhase::Open) => {
                let commit_until = block_time(assignment.commit_until);
                Self::Assigned { commit_until, left: commit_until.since(chain.time) }
            }
            (MemberState::Committed { .. }, ShardPhase::Revealing { until }) => {
                Self::RevealOpen { reveal_until: block_time(until) }
            }
            (MemberState::Committed { .. }, ShardPhase::Open) => Self::Committed,
            (MemberState::Revealed { answer }, ShardPhase::Open | ShardPhase::Revealing { .. }) => {
                Self::Revealed { answer }
            }
            _ => Self::Over,
        }
    }
}

impl View<'_> {
    /// The job that an account submitted by an id of its own, if it did.
    pub fn job_by_client_id(
        &self,
        submitter: AccountNumber,
        client_id: &[u8; 16],
    ) -> Result<Option<JobId>, LedgerError> {
        let found = self.store.get(Table::ClientIds, &submit::client_key(submitter, client_id))?;
        found.map(|job| Ok(JobId(row_index(Table::ClientIds, &job)?))).transpose()
    }

    /// A job and where its row is.
    pub fn job(&self, job: JobId) -> Result<Option<(JobRecord, Location)>, LedgerError> {
        state::job(self.store, job)
    }

    /// Jobs from an id on, open and closed, at most `limit`.
    pub fn jobs(&self, from: JobId, limit: usize) -> Result<Vec<(JobRecord, Location)>, LedgerError> {
        let rows = self.store.scan(Table::JobIndex, &state::job_key(from), limit)?;
        self.found(rows.iter().map(|(key, _)| key.as_slice()))
    }

    /// Jobs of a submitter from an id on, at most `limit`.
    pub fn jobs_of(
        &self,
        submitter: AccountNumber,
        from: JobId,
        limit: usize,
    ) -> Result<Vec<(JobRecord, Location)>, LedgerError> {
        let prefix = submitter.index().to_be_bytes();
        let rows = self.store.scan(Table::JobsBySubmitter, &[prefix, state::job_key(from)].concat(), limit)?;
        self.found(rows.iter().filter_map(|(key, _)| key.strip_prefix(&prefix)))
    }

    fn found<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Result<Vec<(JobRecord, Location)>, LedgerError> {
        let mut jobs = Vec::new();
        for key in keys {
            let job = JobId(row_index(Table::JobIndex, key)?);
            jobs.extend(state::job(self.store, job)?);
        }
        Ok(jobs)
    }

    /// The contract of a job.
    pub fn contract(&self, job: JobId) -> Result<Option<JobContract>, LedgerError> {
        state::contract(self.store, job)
    }

    /// The number of the next job: all below it were submitted.
    pub fn next_job(&self) -> Result<JobId, LedgerError> {
        state::next_job(self.store)
    }

    /// The row of a shard, and its place in its table. None before its first draw, and after its job is closed.
    pub fn shard(&self, shard: ShardKey) -> Result<Option<(u64, ShardRecord)>, LedgerError> {
        state::shard(self.store, shard)
    }

    /// Shards with a row of the same job, from a shard on, in order of stages and shards, at most `limit`.
    pub fn shards(&self, from: ShardKey, limit: usize) -> Result<Vec<ShardRecord>, LedgerError> {
        let rows = self.store.scan(Table::ShardIndex, &state::shard_key(from), limit)?;
        let own = rows.iter().take_while(|(key, _)| key.starts_with(&state::job_key(from.job)));
        own.map(|(_, slot)| {
            let ShardRow::V1(record) = expect_row(self.store, row_index(Table::ShardIndex, slot)?)?;
            Ok(record)
        })
        .collect()
    }

    /// The verdict on a shard, and who holds its output; none before there is one.
    pub fn shard_verdict(&self, shard: ShardKey) -> Result<Option<ShardVerdict>, LedgerError> {
        tables::value(self.store, Table::ShardResults, &state::shard_key(shard))
    }

    /// Verdicts of the same job from a shard on, in order of stages and shards, at most `limit`.
    pub fn shard_verdicts(&self, from: ShardKey, limit: usize) -> Result<Vec<ShardVerdict>, LedgerError> {
        state::verdicts(self.store, from, limit)
    }

    /// What the root in [`JobRecord::results`] is over: all verdicts of a job in order.
    pub fn shard_results(&self, job: JobId) -> Result<Vec<ShardResult>, LedgerError> {
        let verdicts = self.shard_verdicts(ShardKey { job, ..ShardKey::default() }, usize::MAX)?;
        Ok(verdicts.into_iter().map(|verdict| verdict.result).collect())
    }

    /// Verdicts of a stage from a shard on, at most `limit`: what a stage that reads it fetches.
    pub fn stage_verdicts(
        &self,
        job: JobId,
        stage: StageIndex,
        from: ShardIndex,
        limit: usize,
    ) -> Result<Vec<ShardVerdict>, LedgerError> {
        let verdicts = self.shard_verdicts(ShardKey { job, stage, shard: from }, limit)?;
        Ok(verdicts.into_iter().take_while(|verdict| verdict.result.stage == stage).collect())
    }

    /// All that is expected of a node.
    pub fn assignments(&self, node: NodeId) -> Result<Vec<Assignment>, LedgerError> {
        let prefix = node.0.to_be_bytes();
        let chain = self.chain()?;
        let mut assignments = Vec::new();
        let mut from = prefix.to_vec();
        loop {
            let page = self.store.scan(Table::NodeShards, &from, 256)?;
            let Some((last, _)) = page.last() else { return Ok(assignments) };
            from = [last.as_slice(), &[0]].concat();
            for (key, slot) in page {
                if !key.starts_with(&prefix) {
                    return Ok(assignments);
                }
                let (_, shard) = state::parse_node_shard(&key)?;
                let ShardRow::V1(record) = expect_row(self.store, row_index(Table::NodeShards, &slot)?)?;
                // A node is drawn for a shard once, or anew after all others were.
                let own = record.assignments.iter().rev().find(|assignment| assignment.node == node);
                assignments.extend(own.map(|own| Assignment {
                    shard,
                    attempt: own.attempt,
                    node,
                    state: AssignmentState::of(&record, own, &chain),
                }));
            }
        }
    }
}

/// What the escrows of all jobs hold, counted from their rows.
pub(crate) fn escrows(store: &dyn Store) -> Result<Amount, LedgerError> {
    let mut sum = Amount::ZERO;
    for (_, OpenJob(record)) in tables::rows::<OpenJob>(store, 0, usize::MAX)? {
        sum = crate::context::add(sum, record.escrow)?;
    }
    Ok(sum)
}
