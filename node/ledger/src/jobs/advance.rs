//! A shard moves on: what [`verdict::next`] says is done, until it says to wait.

use super::{
    capacity,
    engine::{Engine, Job},
    state::{self, Order},
    submit::drawable_from,
    verdict::{self, Step, Verdict},
};
use crate::{LedgerError, context::add, store::Table};
use valo_protocol::{
    event::Event,
    job::ShardKey,
    shard::{Queued, ShardPhase, ShardRecord},
};

/// More steps than any shard takes without waiting.
const MAX_STEPS: usize = 64;

impl Engine<'_, '_> {
    /// Does what can be done with a shard now.
    pub fn advance(&mut self, key: ShardKey) -> Result<(), LedgerError> {
        let Some((slot, before)) = state::shard(&self.ctx.state, key)? else { return Ok(()) };
        let mut job = self.expect_job(key)?;
        let mut shard = before.clone();
        self.steps(&mut job, &mut shard)?;
        self.keep(job, slot, &before, shard)
    }

    /// Writes a shard, or frees it when its job is being closed and waits for it no more.
    pub fn keep(
        &mut self,
        job: Job,
        slot: u64,
        before: &ShardRecord,
        mut shard: ShardRecord,
    ) -> Result<(), LedgerError> {
        if !(job.is_closing() && shard.phase.is_over()) {
            state::save_shard(self.ctx, slot, before, &shard);
            self.give_job(job);
            return Ok(());
        }
        capacity::release(self.ctx, &mut shard)?;
        state::drop_shard(self.ctx, slot, before);
        self.close_if_empty(job)
    }

    pub fn steps(&mut self, job: &mut Job, shard: &mut ShardRecord) -> Result<(), LedgerError> {
        for _ in 0..MAX_STEPS {
            match verdict::next(shard, self.ctx.work_time(), job.is_closing()) {
                Step::Wait(_) => return Ok(()),
                Step::Missed(places) => {
                    for place in places {
                        capacity::missed(self.ctx, shard, place)?;
                    }
                }
                Step::LetGo { places, late } => {
                    for place in places {
                        capacity::let_go(self.ctx, shard, place, late)?;
                    }
                }
                Step::Queue => self.queue(job, shard)?,
                Step::OpenReveals => {
                    let until = self.ctx.work_time().after(self.ctx.params().reveal_window);
                    shard.phase = ShardPhase::Revealing { until };
                    shard.queued = None;
                    let reveal_until = self.ctx.clock().block_time(until);
                    self.ctx.emit(Event::RevealOpened { shard: shard.key, reveal_until });
                }
                Step::NotRevealed(places) => {
                    for place in places {
                        capacity::not_revealed(self.ctx, shard, place)?;
                    }
                }
                Step::Judge => self.judge(job, shard)?,
                Step::Release => capacity::release(self.ctx, shard)?,
            }
        }
        Err(LedgerError::corrupt("shards", format!("shard {} does not come to rest", shard.key)))
    }

    /// Wants more nodes for a shard.
    pub fn queue(&mut self, job: &Job, shard: &mut ShardRecord) -> Result<(), LedgerError> {
        let (tier, _) = self.tier(job.stage(shard.key.stage)?)?;
        let from = drawable_from(self.ctx.height());
        shard.queued = Some(Queued { from, waiting: false });
        self.ctx.state.put(Table::Draws, Order::More(shard.key).draw_key(from, tier), Vec::new());
        Ok(())
    }

    fn judge(&mut self, job: &mut Job, shard: &mut ShardRecord) -> Result<(), LedgerError> {
        let free = job.free_escrow();
        let price = |replicas: u8| super::pricing::times(shard.limit_price, u64::from(replicas));
        let verdict = verdict::judge(shard, job.is_closing(), |replicas| price(replicas) <= free);
        shard.phase = ShardPhase::Open;
        shard.queued = None;
        match verdict {
            Verdict::Accept { answer, punish } => self.accept(job, shard, answer, punish),
            Verdict::Draw => self.queue(job, shard),
            Verdict::Escalate { level, committee, replicas, provisional } => {
                let more = price(replicas);
                shard.level = level;
                shard.reserved = add(shard.reserved, more)?;
                job.record.reserved = add(job.record.reserved, more)?;
                if let Some(answer) = provisional {
                    shard.provisional = Some(answer);
                    self.emit_accepted(shard, answer);
                }
                let (replicas, quorum) = (committee.replicas, committee.quorum);
                self.ctx.emit(Event::ShardEscalated { shard: shard.key, replicas, quorum });
                self.queue(job, shard)
            }
            Verdict::Fail(reason) => self.fail_shard(job, shard, reason, false),
            Verdict::OutOfMoney { reason } => self.fail_shard(job, shard, reason, true),
        }
    }
}
