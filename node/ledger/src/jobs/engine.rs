//! The end of a block: deadlines first, draws after them, each a bounded amount; what is left goes on in the next block.

use super::{
    draw::{Candidate, Pool},
    state::{self, Deadline, OpenJob},
};
use crate::{
    Context, LedgerError,
    context::subtract,
    registry,
    store::{Store, Table},
};
use std::{collections::BTreeMap, sync::Arc};
use valo_protocol::{
    AccountNumber, Amount, JobContract, Timestamp,
    event::{JobFailure, JobPhase},
    job::{JobId, ShardKey, Stage, StageIndex},
    proof::{JobRecord, StageProgress},
    registry::{NodeRole, NodeState, Tier, TierId},
};

/// The most deadlines of a block, of each clock; closing a shard of a job counts as one.
pub(crate) const MAX_DEADLINES: usize = 1_000;
/// How many deadlines are read at a time.
const PAGE: usize = 64;

/// A job while its shards are worked on: its row is written at the end of the block.
#[derive(Debug)]
pub(crate) struct Job {
    pub slot: u64,
    pub record: JobRecord,
    pub contract: Arc<JobContract>,
    stored: JobRecord,
}

impl Job {
    /// Whether it failed and only what is under way is still finished.
    pub fn is_closing(&self) -> bool {
        matches!(self.record.phase, JobPhase::Failed(_))
    }

    /// Whether shards may be drawn for it.
    pub fn is_open(&self) -> bool {
        !self.record.phase.is_over()
    }

    pub fn stage(&self, index: StageIndex) -> Result<&Stage, LedgerError> {
        self.contract.stage(index).ok_or_else(|| LedgerError::corrupt("jobs", format!("there is no stage {index}")))
    }

    pub fn progress(&mut self, index: StageIndex) -> Result<&mut StageProgress, LedgerError> {
        let stage = self.record.stages.get_mut(usize::from(index.0));
        stage.ok_or_else(|| LedgerError::corrupt("jobs", format!("there is no stage {index}")))
    }

    /// Escrow that is set aside for nothing.
    pub fn free_escrow(&self) -> Amount {
        self.record.escrow.saturating_sub(self.record.reserved)
    }

    /// Whether escrow is set aside for shards under way, some of which may come free.
    pub fn is_waiting_for_money(&self) -> bool {
        self.record.reserved > self.record.tip
    }

    /// Pays out of escrow. What was set aside for it must be released before.
    pub fn pay(&mut self, ctx: &mut Context<'_>, to: AccountNumber, amount: Amount) -> Result<(), LedgerError> {
        if amount.is_zero() {
            return Ok(());
        }
        self.record.escrow = subtract(self.record.escrow, amount)?;
        self.record.paid = crate::context::add(self.record.paid, amount)?;
        ctx.pay_from_escrow(to, amount)
    }

    /// Ends without a result.
    pub fn fail(&mut self, ctx: &mut Context<'_>, reason: JobFailure) -> Result<(), LedgerError> {
        super::submit::fail(ctx, &mut self.record, reason)
    }
}

/// The end of a block under way.
pub(crate) struct Engine<'c, 'a> {
    pub ctx: &'c mut Context<'a>,
    jobs: BTreeMap<JobId, Job>,
    tiers: Arc<Vec<(TierId, Tier)>>,
    /// Made when the first draw asks for them.
    pools: Option<BTreeMap<TierId, Pool>>,
}

/// Does what is due at the end of a block.
pub(crate) fn end_of_block(ctx: &mut Context<'_>) -> Result<(), LedgerError> {
    let mut is_idle = true;
    for table in [Table::Windows, Table::Deadlines, Table::Draws, Table::Waiting] {
        is_idle = is_idle && ctx.store().scan(table, &[], 1)?.is_empty();
    }
    if is_idle {
        return Ok(());
    }
    let tiers = Arc::new(crate::View::new(&ctx.state).tiers()?);
    let mut engine = Engine { ctx, jobs: BTreeMap::new(), tiers, pools: None };
    engine.deadlines()?;
    engine.draws()?;
    engine.finish()
}

impl Engine<'_, '_> {
    /// Does what became due, in order of time: what ends by work time first, so that a verdict that is due in the block of
    /// its job's deadline still counts.
    fn deadlines(&mut self) -> Result<(), LedgerError> {
        self.meet_all(Table::Windows, self.ctx.work_time())?;
        self.meet_all(Table::Deadlines, self.ctx.time())
    }

    fn meet_all(&mut self, table: Table, now: Timestamp) -> Result<(), LedgerError> {
        let (mut work, mut from) = (0usize, Vec::new());
        loop {
            let page = self.ctx.state.scan(table, &from, PAGE)?;
            let is_last = page.len() < PAGE;
            for (key, _) in page {
                let (moment, deadline) = Deadline::parse(&key)?;
                if moment > now || work >= MAX_DEADLINES {
                    return Ok(());
                }
                from = [key.as_slice(), &[0]].concat();
                let left = MAX_DEADLINES.saturating_sub(work);
                work = work.saturating_add(self.meet(deadline, moment, left)?);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Does what is due; gives how much work it was.
    fn meet(&mut self, deadline: Deadline, moment: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        match deadline {
            Deadline::Shard(shard) => self.advance(shard).map(|()| 1),
            Deadline::Job(job) => self.pass_deadline(job, moment).map(|()| 1),
            Deadline::Close(job) => self.close_failed(job, moment, limit),
            Deadline::Final(job) => self.close_accepted(job, moment, limit),
            Deadline::Unbonding(node) => registry::pay(self.ctx, node, moment).map(|()| 1),
        }
    }

    fn pass_deadline(&mut self, job: JobId, moment: Timestamp) -> Result<(), LedgerError> {
        Deadline::Job(job).clear(&mut self.ctx.state, moment);
        let Some(mut job) = self.take_job(job)? else { return Ok(()) };
        if job.is_open() {
            job.fail(self.ctx, JobFailure::DeadlinePassed)?;
        }
        self.give_job(job);
        Ok(())
    }

    /// Takes an open job out of the engine, to be given back.
    pub fn take_job(&mut self, id: JobId) -> Result<Option<Job>, LedgerError> {
        if let Some(job) = self.jobs.remove(&id) {
            return Ok(Some(job));
        }
        let Some((slot, record)) = state::open_job(&self.ctx.state, id)? else { return Ok(None) };
        let contract = state::contract(&self.ctx.state, id)?;
        let contract = contract.ok_or_else(|| LedgerError::corrupt("contracts", format!("job {id} has none")))?;
        Ok(Some(Job { slot, stored: record.clone(), record, contract: Arc::new(contract) }))
    }

    /// An open job that must be there.
    pub fn expect_job(&mut self, shard: ShardKey) -> Result<Job, LedgerError> {
        self.take_job(shard.job)?.ok_or_else(|| LedgerError::corrupt("jobs", format!("shard {shard} has no open job")))
    }

    /// Gives a job back.
    pub fn give_job(&mut self, job: Job) {
        self.jobs.insert(job.record.job, job);
    }

    /// The tier of a stage.
    pub fn tier(&self, stage: &Stage) -> Result<(TierId, Tier), LedgerError> {
        let found = self.tiers.iter().find(|(_, tier)| tier.name == stage.tier);
        found.cloned().ok_or_else(|| LedgerError::corrupt("tiers", format!("tier `{}` is missing", stage.tier)))
    }

    /// The workers of a tier, as the draws of this block so far leave them.
    pub fn pool(&mut self, tier: TierId) -> Result<Pool, LedgerError> {
        let mut pools = match self.pools.take() {
            Some(pools) => pools,
            None => self.read_pools()?,
        };
        let pool = pools.remove(&tier).unwrap_or_else(|| Pool::new(self.ctx.params().disjoint, []));
        self.pools = Some(pools);
        Ok(pool)
    }

    /// Gives the workers of a tier back.
    pub fn give_pool(&mut self, tier: TierId, pool: Pool) {
        self.pools.get_or_insert_default().insert(tier, pool);
    }

    fn read_pools(&self) -> Result<BTreeMap<TierId, Pool>, LedgerError> {
        let mut tiers: BTreeMap<TierId, Vec<Candidate>> = BTreeMap::new();
        for (id, node) in self.ctx.nodes()? {
            let NodeRole::Worker { tier, slots } = node.role else { continue };
            tiers.entry(tier).or_default().push(Candidate {
                node: id,
                owner: node.owner,
                active: node.state == NodeState::Active,
                free_slots: u32::from(slots.saturating_sub(node.busy)),
                stake: node.stake,
                free_stake: node.stake.saturating_sub(node.locked),
            });
        }
        let disjoint = self.ctx.params().disjoint;
        Ok(tiers.into_iter().map(|(tier, nodes)| (tier, Pool::new(disjoint, nodes))).collect())
    }

    /// Writes the rows of jobs.
    fn finish(self) -> Result<(), LedgerError> {
        for job in self.jobs.into_values() {
            if job.record != job.stored {
                self.ctx.state.set_row(job.slot, &OpenJob(job.record));
            }
        }
        Ok(())
    }
}
