//! What a verdict means: who is paid and slashed, and what goes on from there.

use super::{
    capacity,
    engine::{Engine, Job},
    pricing,
    state::{self, Deadline, Order, ShardVerdict, shard_key},
    submit::drawable_from,
};
use crate::{
    LedgerError,
    context::{add, subtract},
    store::Table,
};
use valo_protocol::{
    Amount, Duration, Timestamp,
    event::{Event, Fault, JobFailure, JobPhase, ShardFailure},
    job::{Input, OnFailure, ShardIndex, ShardKey, StageIndex},
    proof::{ShardResult, results_root},
    registry::NodeId,
    shard::{MemberState, ShardPhase, ShardRecord},
    transaction::Answer,
};

impl Engine<'_, '_> {
    /// An answer is the result. Who gave it is paid; who gave another one is not, and with `punish` loses its stake:
    /// out of that jurors are paid first, and the rest stays in the pool of rewards.
    pub fn accept(
        &mut self,
        job: &mut Job,
        shard: &mut ShardRecord,
        answer: Answer,
        punish: bool,
    ) -> Result<(), LedgerError> {
        self.release_reserve(job, shard)?;
        let mut fines = Amount::ZERO;
        let (agreed, differed) = parties(shard, &answer);
        for place in &differed {
            let Some(mut assignment) = shard.assignments.get(*place).copied() else { continue };
            if punish {
                let fault = Fault::WrongAnswer { accepted: answer.digest };
                let fine = assignment.locked;
                fines = add(fines, capacity::slash(self.ctx, shard, &mut assignment, fine, fault)?)?;
            } else {
                capacity::unlock(self.ctx, &mut assignment)?;
            }
            capacity::put_back(shard, *place, assignment);
        }
        let price = pricing::used_price(shard, answer.fuel.0);
        let tip = if answer.status.is_success() { tip_share(job, agreed.len()) } else { Amount::ZERO };
        for place in &agreed {
            let Some(assignment) = shard.assignments.get(*place).copied() else { continue };
            let from_fines = if assignment.juror { price.min(fines) } else { Amount::ZERO };
            fines = subtract(fines, from_fines)?;
            self.ctx.pay_from_rewards(assignment.owner, from_fines)?;
            job.record.tip = subtract(job.record.tip, tip)?;
            job.record.reserved = subtract(job.record.reserved, tip)?;
            job.pay(self.ctx, assignment.owner, add(subtract(price, from_fines)?, tip)?)?;
            self.emit_paid(shard, *place, add(price, tip)?);
        }
        for assignment in &shard.assignments {
            capacity::forget(self.ctx, shard, assignment.node)?;
        }
        if answer.status.is_success() {
            shard.phase = ShardPhase::Accepted { answer, height: self.ctx.height(), final_at: self.final_at() };
            self.emit_accepted(shard, answer);
            return if job.is_closing() { Ok(()) } else { self.finish_shard(job, shard, Some(answer)) };
        }
        self.shard_failed(job, shard, ShardFailure::Status(answer.status))
    }

    /// No answer is the result: who revealed one gets half, nobody is slashed.
    pub fn fail_shard(
        &mut self,
        job: &mut Job,
        shard: &mut ShardRecord,
        reason: ShardFailure,
        out_of_money: bool,
    ) -> Result<(), LedgerError> {
        self.release_reserve(job, shard)?;
        let half = Amount::from_units(pricing::used_price(shard, middle_fuel(shard)).units() / 2);
        for place in 0..shard.assignments.len() {
            let Some(assignment) = shard.assignments.get(place).copied() else { continue };
            if matches!(assignment.state, MemberState::Revealed { .. }) {
                job.pay(self.ctx, assignment.owner, half)?;
                self.emit_paid(shard, place, half);
            }
        }
        capacity::release(self.ctx, shard)?;
        if out_of_money && !job.is_closing() {
            shard.phase = ShardPhase::Failed { reason, height: self.ctx.height(), final_at: self.final_at() };
            self.ctx.emit(Event::ShardFailed { shard: shard.key, reason });
            return job.fail(self.ctx, JobFailure::BudgetExhausted);
        }
        self.shard_failed(job, shard, reason)
    }

    fn shard_failed(
        &mut self,
        job: &mut Job,
        shard: &mut ShardRecord,
        reason: ShardFailure,
    ) -> Result<(), LedgerError> {
        self.ctx.emit(Event::ShardFailed { shard: shard.key, reason });
        shard.phase = ShardPhase::Failed { reason, height: self.ctx.height(), final_at: self.final_at() };
        if job.is_closing() {
            return Ok(());
        }
        match job.stage(shard.key.stage)?.on_failure {
            OnFailure::Retry(times) if shard.retries < times && shard.attempt.0 < u8::MAX => {
                capacity::release(self.ctx, shard)?;
                shard.assignments.clear();
                shard.phase = ShardPhase::Open;
                shard.retries = shard.retries.saturating_add(1);
                shard.level = 0;
                shard.exhausted = false;
                shard.provisional = None;
                self.queue(job, shard)
            }
            OnFailure::Continue => self.finish_shard(job, shard, None),
            OnFailure::Fail | OnFailure::Retry(_) => job.fail(self.ctx, JobFailure::Shard { shard: shard.key, reason }),
        }
    }

    /// When a verdict of this block cannot be disputed any more, work time.
    fn final_at(&self) -> Timestamp {
        self.ctx.work_time().after(self.ctx.params().dispute_window)
    }

    /// What was set aside for a shard is free again.
    fn release_reserve(&mut self, job: &mut Job, shard: &mut ShardRecord) -> Result<(), LedgerError> {
        job.record.reserved = subtract(job.record.reserved, shard.reserved)?;
        shard.reserved = Amount::ZERO;
        Ok(())
    }

    /// A shard has its result, or is left out: what waits for it may start.
    fn finish_shard(&mut self, job: &mut Job, shard: &ShardRecord, answer: Option<Answer>) -> Result<(), LedgerError> {
        let key = shard.key;
        let result = ShardResult { stage: key.stage, shard: key.shard, answer };
        let holders = answer.map(|answer| nodes(shard, &parties(shard, &answer).0)).unwrap_or_default();
        self.ctx.state.put_value(Table::ShardResults, shard_key(key), &ShardVerdict { result, holders });
        let progress = job.progress(key.stage)?;
        let count = if answer.is_some() { &mut progress.accepted } else { &mut progress.failed };
        *count = count.checked_add(1).ok_or(LedgerError::Overflow("shards of a stage"))?;
        let is_complete = progress.accepted.saturating_add(progress.failed) >= progress.shards;
        if is_complete {
            self.ctx.emit(Event::StageCompleted { job: key.job, stage: key.stage });
        }
        let contract = job.contract.clone();
        for (index, stage) in (0u8..).map(StageIndex).zip(&contract.stages) {
            match stage.input {
                Input::Each { stage: upstream } if upstream == key.stage => self.start(job, index, Some(key.shard))?,
                Input::All { stage: upstream } if upstream == key.stage && is_complete => {
                    self.start(job, index, None)?
                }
                _ => {}
            }
        }
        let is_done =
            |stage: &valo_protocol::proof::StageProgress| stage.accepted.saturating_add(stage.failed) >= stage.shards;
        if is_complete && job.record.stages.iter().all(is_done) {
            self.accept_job(job)?;
        }
        Ok(())
    }

    /// A stage, or one shard of it, may be drawn.
    fn start(&mut self, job: &mut Job, index: StageIndex, shard: Option<ShardIndex>) -> Result<(), LedgerError> {
        let id = job.record.job;
        let (tier, _) = self.tier(job.stage(index)?)?;
        let from = drawable_from(self.ctx.height());
        let progress = job.progress(index)?;
        if progress.drawable.is_none() {
            progress.drawable = Some(from);
            self.ctx.emit(Event::StageStarted { job: id, stage: index });
        }
        let order = match shard {
            Some(shard) => Order::First(ShardKey { job: id, stage: index, shard }),
            None => Order::Stage(id, index),
        };
        self.ctx.state.put(Table::Draws, order.draw_key(from, tier), Vec::new());
        Ok(())
    }

    /// All results are there. They can be used from here on, and are final when the dispute window is over.
    fn accept_job(&mut self, job: &mut Job) -> Result<(), LedgerError> {
        let id = job.record.job;
        let all = ShardKey { job: id, ..ShardKey::default() };
        let verdicts = state::verdicts(&self.ctx.state, all, usize::MAX)?;
        let results: Vec<ShardResult> = verdicts.into_iter().map(|verdict| verdict.result).collect();
        job.record.results = Some(results_root(&results));
        job.record.phase = JobPhase::Accepted;
        job.record.phase_since = self.ctx.time();
        self.ctx.emit(Event::JobPhaseChanged { job: id, phase: JobPhase::Accepted });
        let overdue = job.contract.deadline.after(Duration(1));
        Deadline::Job(id).clear(&mut self.ctx.state, overdue);
        let final_at = self.final_at();
        Deadline::Final(id).set(&mut self.ctx.state, final_at);
        Ok(())
    }

    pub fn emit_accepted(&mut self, shard: &ShardRecord, answer: Answer) {
        let (agreed, differed) = parties(shard, &answer);
        let (agreed, differed) = (nodes(shard, &agreed), nodes(shard, &differed));
        self.ctx.emit(Event::ShardAccepted { shard: shard.key, answer, agreed, differed });
    }

    fn emit_paid(&mut self, shard: &ShardRecord, place: usize, amount: Amount) {
        if let Some(assignment) = shard.assignments.get(place) {
            let (node, owner) = (assignment.node, assignment.owner);
            self.ctx.emit(Event::Paid { shard: shard.key, node, owner, amount });
        }
    }
}

/// Places of those who gave this answer, and of those who gave another one.
fn parties(shard: &ShardRecord, answer: &Answer) -> (Vec<usize>, Vec<usize>) {
    let revealed = shard.assignments.iter().enumerate().filter_map(|(place, assignment)| match assignment.state {
        MemberState::Revealed { answer } => Some((place, answer)),
        _ => None,
    });
    let (agreed, differed): (Vec<_>, Vec<_>) = revealed.partition(|(_, other)| other == answer);
    let places = |list: Vec<(usize, Answer)>| list.into_iter().map(|(place, _)| place).collect();
    (places(agreed), places(differed))
}

fn nodes(shard: &ShardRecord, places: &[usize]) -> Vec<NodeId> {
    places.iter().filter_map(|place| shard.assignments.get(*place)).map(|assignment| assignment.node).collect()
}

/// What each of `agreed` nodes gets of the tip: every shard has an equal part of it.
fn tip_share(job: &Job, agreed: usize) -> Amount {
    let parts = u64::from(job.contract.total_shards()).saturating_mul(u64::try_from(agreed).unwrap_or(u64::MAX));
    let share = job.contract.tip.units().checked_div(parts).unwrap_or(0);
    Amount::from_units(share)
}

/// The fuel in the middle of all answers: where they differ, none of them can raise what all are paid.
fn middle_fuel(shard: &ShardRecord) -> u64 {
    let fuel = shard.assignments.iter().filter_map(|assignment| match assignment.state {
        MemberState::Revealed { answer } => Some(answer.fuel.0),
        _ => None,
    });
    let mut fuel: Vec<u64> = fuel.collect();
    fuel.sort_unstable();
    fuel.get(fuel.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}
