//! Jobs end: shards are freed some at a time, then what is left in escrow returns and the row moves to the log of results.

use super::{
    capacity,
    engine::{Engine, Job},
    state::{self, Deadline, Location, OpenJob, job_key},
};
use crate::{LedgerError, store::Table};
use valo_protocol::{
    Amount, Timestamp,
    encoding::encode,
    event::{Event, JobPhase},
    job::JobId,
    shard::ShardPhase,
};

impl Engine<'_, '_> {
    /// Closes shards of a failed job: what was not committed to is let go, what was is revealed first. Gives how many
    /// were looked at. The deadline stays while there is something to do.
    pub fn close_failed(&mut self, id: JobId, moment: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        let shards = state::shard_keys(&self.ctx.state, id, limit)?;
        let mut closed = 0usize;
        for shard in &shards {
            let is_waiting = |phase| matches!(phase, ShardPhase::Revealing { .. });
            let before = state::shard(&self.ctx.state, *shard)?;
            if before.is_some_and(|(_, record)| is_waiting(record.phase)) {
                continue;
            }
            self.advance(*shard)?;
            closed = closed.saturating_add(1);
        }
        // What is being revealed closes itself, and the last of it the job.
        if closed == 0 && shards.len() < limit {
            Deadline::Close(id).clear(&mut self.ctx.state, moment);
        }
        if let Some(job) = self.take_job(id)? {
            self.close_if_empty(job)?;
        }
        Ok(shards.len().max(1))
    }

    /// The dispute window of an accepted job is over: stake behind its shards is free, and when all are, it is final.
    pub fn close_accepted(&mut self, id: JobId, moment: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        let Some(mut job) = self.take_job(id)? else {
            Deadline::Final(id).clear(&mut self.ctx.state, moment);
            return Ok(1);
        };
        let shards = state::shard_keys(&self.ctx.state, id, limit)?;
        for shard in &shards {
            if let Some((slot, stored)) = state::shard(&self.ctx.state, *shard)? {
                capacity::release(self.ctx, &mut stored.clone())?;
                state::drop_shard(self.ctx, slot, &stored);
            }
        }
        if !state::shard_keys(&self.ctx.state, id, 1)?.is_empty() {
            self.give_job(job);
            return Ok(shards.len().max(1));
        }
        Deadline::Final(id).clear(&mut self.ctx.state, moment);
        job.record.phase = JobPhase::Final;
        job.record.phase_since = self.ctx.time();
        self.ctx.emit(Event::JobPhaseChanged { job: id, phase: JobPhase::Final });
        self.close(job)?;
        Ok(shards.len().max(1))
    }

    /// Closes a failed job that has no shards any more.
    pub fn close_if_empty(&mut self, job: Job) -> Result<(), LedgerError> {
        if job.is_closing() && state::shard_keys(&self.ctx.state, job.record.job, 1)?.is_empty() {
            Deadline::Close(job.record.job).clear(&mut self.ctx.state, job.record.phase_since);
            return self.close(job);
        }
        self.give_job(job);
        Ok(())
    }

    /// Returns what is left in escrow, and moves the row to the log.
    fn close(&mut self, job: Job) -> Result<(), LedgerError> {
        let (slot, mut record) = (job.slot, job.record);
        let amount = std::mem::take(&mut record.escrow);
        record.reserved = Amount::ZERO;
        record.tip = Amount::ZERO;
        if !amount.is_zero() {
            self.ctx.pay_from_escrow(record.submitter, amount)?;
            self.ctx.emit(Event::Refunded { job: record.job, account: record.submitter, amount });
        }
        let row = self.ctx.state.append_bytes(Table::Results, encode(&record))?;
        self.ctx.state.put_value(Table::JobIndex, job_key(record.job), &Location::Closed(row));
        self.ctx.state.free_slot::<OpenJob>(slot);
        Ok(())
    }
}
