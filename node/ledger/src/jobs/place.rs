//! Placement: orders for draws are filled at the end of a block with that block's randomness.
//!
//! What was decided in block h is an order from block h+2 on. Orders for shards under way come before first draws;
//! among first draws, stages take turns, one shard each, from a place in the queue that the block's randomness
//! chooses, so that a large job cannot keep a small one waiting. Shards of a stage are placed one after the
//! other and have no row before; what finds no slots stays in the queue and is tried in every block.

use super::{
    capacity,
    draw::{self, Pool, Request, Selection},
    engine::{Engine, Job},
    pricing,
    state::{self, Order},
    verdict,
};
use crate::{
    LedgerError,
    context::add,
    store::{Store, Table},
};
use valo_protocol::{
    AccountNumber, Amount, Height,
    event::{Event, JobFailure, JobPhase},
    job::{Attempt, ShardIndex, ShardKey, Verification},
    registry::{NodeId, TierId},
    shard::{Committee, MemberState, Queued, ShardAssignment, ShardPhase, ShardRecord},
};

/// The most draws of a block, over all tiers.
pub(crate) const MAX_DRAWS: usize = 2_000;
/// The most orders that are looked at in a block.
const MAX_ORDERS: usize = 4_000;
/// After so many orders without slots the rest of a tier's queue waits for the next block.
const PATIENCE: usize = 16;
/// How many orders are read at a time.
const PAGE: usize = 64;

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// Nodes were drawn; there may be more to draw for it.
    Drawn,
    /// There is nothing to draw for it any more.
    Done,
    /// It waits.
    Waits,
}

/// What a block may still do.
struct Budget {
    draws: usize,
    orders: usize,
}

impl Budget {
    const fn is_spent(&self) -> bool {
        self.draws == 0 || self.orders == 0
    }
}

/// Whether nodes were found.
enum Found {
    Nodes(Selection),
    /// So many are needed, so many are free.
    Short {
        needed: u32,
        available: u32,
    },
    /// There is nobody, busy or not.
    Nobody,
}

impl Engine<'_, '_> {
    /// Fills orders.
    pub fn draws(&mut self) -> Result<(), LedgerError> {
        let height = self.ctx.height();
        for (key, _) in self.ctx.state.scan(Table::Draws, &[], MAX_ORDERS)? {
            let (from, order) = key.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
            if u64::from_be_bytes(*from) > height.0 {
                break;
            }
            // A key without an order only makes a block due.
            if !order.is_empty() {
                self.ctx.state.put(Table::Waiting, order, vec![0]);
            }
            self.ctx.state.delete(Table::Draws, key);
        }
        let mut budget = Budget { draws: MAX_DRAWS, orders: MAX_ORDERS };
        let mut from = Vec::new();
        while let Some((key, _)) = self.ctx.state.scan(Table::Waiting, &from, 1)?.pop() {
            let (tier, _) = Order::parse(&key)?;
            let mut pool = self.pool(tier)?;
            self.serve(tier, &mut pool, &mut budget)?;
            self.give_pool(tier, pool);
            if budget.is_spent() {
                let again = Height(height.0.saturating_add(1));
                self.ctx.state.put(Table::Draws, again.0.to_be_bytes(), Vec::new());
                break;
            }
            let Some(next) = tier.0.checked_add(1) else { break };
            from = next.to_be_bytes().to_vec();
        }
        Ok(())
    }

    /// Fills orders of one tier: more nodes for shards under way, then first draws.
    fn serve(&mut self, tier: TierId, pool: &mut Pool, budget: &mut Budget) -> Result<(), LedgerError> {
        let [high, low] = tier.0.to_be_bytes();
        for class in [Order::MORE, Order::FIRST] {
            self.serve_class(&[high, low, class], pool, budget)?;
        }
        Ok(())
    }

    /// From somewhere to the end of the class, then from its beginning to there.
    fn serve_class(&mut self, class: &[u8; 3], pool: &mut Pool, budget: &mut Budget) -> Result<(), LedgerError> {
        let first = self.ctx.state.scan(Table::Waiting, class, 1)?.pop().filter(|(key, _)| key.starts_with(class));
        let Some((first, _)) = first else { return Ok(()) };
        let [high, low, kind] = *class;
        let end = [high, low, kind.saturating_add(1)];
        let oldest = Order::parse(&first)?.1.job().0;
        let jobs = state::next_job(&self.ctx.state)?.0.saturating_sub(oldest).max(1);
        let random = self.ctx.randomness().0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let start = oldest.saturating_add(random.checked_rem(jobs).unwrap_or(0));
        let middle = [&class[..], &start.to_be_bytes()].concat();
        if self.turns(middle.clone(), &end, pool, budget)? {
            self.turns(first, &middle, pool, budget)?;
        }
        Ok(())
    }

    /// Fills the orders in an interval of the queue, a shard of each in turn. Whether the next interval may be tried.
    fn turns(
        &mut self,
        mut from: Vec<u8>,
        end: &[u8],
        pool: &mut Pool,
        budget: &mut Budget,
    ) -> Result<bool, LedgerError> {
        let mut failures = 0usize;
        loop {
            let page = self.ctx.state.scan(Table::Waiting, &from, PAGE)?;
            let mut orders: Vec<Vec<u8>> =
                page.into_iter().map(|(key, _)| key).take_while(|key| key.as_slice() < end).collect();
            let Some(last) = orders.last() else { return Ok(true) };
            from = [last.as_slice(), &[0]].concat();
            while !orders.is_empty() {
                let mut left = Vec::new();
                for key in orders {
                    if budget.is_spent() || failures >= PATIENCE {
                        return Ok(false);
                    }
                    budget.orders = budget.orders.saturating_sub(1);
                    match self.fill(&key, pool)? {
                        Filled::Drawn => {
                            budget.draws = budget.draws.saturating_sub(1);
                            left.push(key);
                        }
                        Filled::Done => self.ctx.state.delete(Table::Waiting, key),
                        Filled::Waits => failures = failures.saturating_add(1),
                    }
                }
                orders = left;
            }
        }
    }

    fn fill(&mut self, key: &[u8], pool: &mut Pool) -> Result<Filled, LedgerError> {
        match Order::parse(key)?.1 {
            Order::More(shard) => self.draw_more(shard, pool),
            Order::First(shard) => self.draw_first(key, shard, pool),
            Order::Stage(job, stage) => {
                let Some(mut job) = self.take_job(job)? else { return Ok(Filled::Done) };
                let progress = *job.progress(stage)?;
                let shard = ShardKey { job: job.record.job, stage, shard: ShardIndex(progress.placed) };
                self.give_job(job);
                if progress.placed >= progress.shards {
                    return Ok(Filled::Done);
                }
                self.draw_first(key, shard, pool)
            }
        }
    }

    /// The first draw for a shard.
    fn draw_first(&mut self, order: &[u8], key: ShardKey, pool: &mut Pool) -> Result<Filled, LedgerError> {
        let Some(mut job) = self.take_job(key.job)? else { return Ok(Filled::Done) };
        if !job.is_open() || state::shard(&self.ctx.state, key)?.is_some() {
            self.give_job(job);
            return Ok(Filled::Done);
        }
        if job.record.phase == JobPhase::Funded {
            self.set_phase(&mut job, JobPhase::Placing);
        }
        let mut shard = self.new_shard(&job, key)?;
        let filled = match self.set_aside(&mut job, &mut shard)? {
            Some(filled) => filled,
            None => match self.find(&shard, pool) {
                Found::Nodes(selection) => {
                    let before = shard.clone();
                    let slot = state::add_shard(self.ctx, &before)?;
                    let progress = job.progress(key.stage)?;
                    progress.placed = progress.placed.saturating_add(1);
                    self.assign(&mut job, slot, &mut shard, selection, pool)?;
                    state::save_shard(self.ctx, slot, &before, &shard);
                    Filled::Drawn
                }
                found => {
                    // Nothing is set aside for what is not placed.
                    job.record.reserved = crate::context::subtract(job.record.reserved, shard.reserved)?;
                    self.tell_waiting(order, key, &found, u32::from(shard.base.replicas));
                    Filled::Waits
                }
            },
        };
        self.give_job(job);
        Ok(filled)
    }

    /// More nodes for a shard: in place of others, for a jury, or to begin anew.
    fn draw_more(&mut self, key: ShardKey, pool: &mut Pool) -> Result<Filled, LedgerError> {
        let Some((slot, before)) = state::shard(&self.ctx.state, key)? else { return Ok(Filled::Done) };
        let mut job = self.expect_job(key)?;
        if !job.is_open() || before.queued.is_none() {
            self.give_job(job);
            return Ok(Filled::Done);
        }
        let mut shard = before.clone();
        let filled = if verdict::wanted(&shard) == 0 {
            shard.queued = None;
            self.steps(&mut job, &mut shard)?;
            Filled::Done
        } else if shard.reserved.is_zero()
            && let Some(filled) = self.set_aside(&mut job, &mut shard)?
        {
            filled
        } else {
            match self.find(&shard, pool) {
                Found::Nodes(selection) => {
                    self.assign(&mut job, slot, &mut shard, selection, pool)?;
                    Filled::Done
                }
                Found::Nobody => {
                    shard.queued = None;
                    shard.exhausted = true;
                    self.steps(&mut job, &mut shard)?;
                    Filled::Done
                }
                Found::Short { needed, available } => {
                    if let Some(queued) = shard.queued.filter(|queued| !queued.waiting) {
                        self.ctx.emit(Event::ShardWaiting { shard: key, needed, available });
                        shard.queued = Some(Queued { waiting: true, ..queued });
                    }
                    Filled::Waits
                }
            }
        };
        self.keep(job, slot, &before, shard)?;
        Ok(filled)
    }

    fn new_shard(&self, job: &Job, key: ShardKey) -> Result<ShardRecord, LedgerError> {
        let stage = job.stage(key.stage)?;
        let (_, tier) = self.tier(stage)?;
        let Verification::Replicated { replicas, quorum } = job.contract.verification;
        Ok(ShardRecord {
            key,
            phase: ShardPhase::Open,
            attempt: Attempt(0),
            retries: 0,
            base: Committee { replicas, quorum },
            level: 0,
            queued: Some(Queued { from: self.ctx.height(), waiting: false }),
            exhausted: false,
            metered: pricing::is_metered(&stage.program),
            unit_price: tier.price,
            limit_price: pricing::limit_price(stage, tier.price),
            reserved: Amount::ZERO,
            provisional: None,
            assignments: Vec::new(),
        })
    }

    /// Sets the price of all replicas at the limit aside. What there is not enough escrow for waits while other shards
    /// may give some back; if none can, the budget is exhausted.
    fn set_aside(&mut self, job: &mut Job, shard: &mut ShardRecord) -> Result<Option<Filled>, LedgerError> {
        let needed = pricing::times(shard.limit_price, u64::from(shard.base.replicas));
        if needed <= job.free_escrow() {
            shard.reserved = needed;
            job.record.reserved = add(job.record.reserved, needed)?;
            return Ok(None);
        }
        if job.is_waiting_for_money() {
            return Ok(Some(Filled::Waits));
        }
        job.fail(self.ctx, JobFailure::BudgetExhausted)?;
        Ok(Some(Filled::Done))
    }

    /// As many as are wanted; or as many as exist, if a contract's quorum can come of them. When every owner has been
    /// drawn before, those who were let go without an answer may be drawn again: they are as fresh as anybody.
    fn find(&self, shard: &ShardRecord, pool: &mut Pool) -> Found {
        match self.find_beside(shard, |_| true, pool) {
            Found::Nobody => self.find_beside(shard, |state| *state != MemberState::LetGo, pool),
            found => found,
        }
    }

    /// Those who were drawn before, and whose assignment counts, are passed over.
    fn find_beside(&self, shard: &ShardRecord, counts: impl Fn(&MemberState) -> bool, pool: &mut Pool) -> Found {
        let drawn = shard.assignments.iter().filter(|assignment| counts(&assignment.state));
        let before: Vec<(NodeId, AccountNumber)> =
            drawn.map(|assignment| (assignment.node, assignment.owner)).collect();
        let (count, lock) = (verdict::wanted(shard), pricing::locked_stake(shard.limit_price));
        let seed = draw::seed(&self.ctx.randomness(), shard.key, shard.attempt);
        let selection = pool.draw(&Request { seed: &seed, count, lock, before: &before });
        let available = u32::try_from(selection.drawn.len()).unwrap_or(u32::MAX);
        if available >= count {
            return Found::Nodes(selection);
        }
        let exist = pool.eligible(lock, &before).min(count);
        let least = if before.is_empty() { u32::from(shard.base.quorum) } else { 1 };
        if exist == 0 && !before.is_empty() {
            Found::Nobody
        } else if available >= exist && available >= least {
            Found::Nodes(selection)
        } else {
            Found::Short { needed: exist.max(least), available }
        }
    }

    fn assign(
        &mut self,
        job: &mut Job,
        slot: u64,
        shard: &mut ShardRecord,
        selection: Selection,
        pool: &mut Pool,
    ) -> Result<(), LedgerError> {
        if job.record.phase != JobPhase::Running {
            self.set_phase(job, JobPhase::Running);
        }
        let stage = job.stage(shard.key.stage)?;
        let (_, tier) = self.tier(stage)?;
        let now = self.ctx.work_time();
        let commit_until = now.after(pricing::commit_window(&job.contract, stage, &tier));
        let (attempt, locked) = (shard.attempt, pricing::locked_stake(shard.limit_price));
        for drawn in &selection.drawn {
            let assignment = ShardAssignment {
                node: drawn.node,
                owner: drawn.owner,
                attempt,
                juror: shard.level > 0,
                drawn_at: now,
                commit_until,
                locked,
                state: MemberState::Assigned,
            };
            capacity::take(self.ctx, slot, shard, &assignment)?;
            pool.take(drawn.node, drawn.owner, locked);
            shard.assignments.push(assignment);
        }
        self.ctx.emit(Event::ShardDrawn {
            shard: shard.key,
            attempt,
            seed_height: self.ctx.height(),
            seed: draw::seed(&self.ctx.randomness(), shard.key, attempt),
            drawn: selection.drawn,
            passed_over: selection.passed_over,
            commit_until: self.ctx.clock().block_time(commit_until),
        });
        shard.attempt = Attempt(attempt.0.saturating_add(1));
        shard.queued = None;
        Ok(())
    }

    fn set_phase(&mut self, job: &mut Job, phase: JobPhase) {
        job.record.phase = phase;
        job.record.phase_since = self.ctx.time();
        self.ctx.emit(Event::JobPhaseChanged { job: job.record.job, phase });
    }

    /// Says once what a shard without a row waits for.
    fn tell_waiting(&mut self, order: &[u8], shard: ShardKey, found: &Found, replicas: u32) {
        let (needed, available) = match found {
            Found::Short { needed, available } => (*needed, *available),
            Found::Nobody | Found::Nodes(_) => (replicas, 0),
        };
        let told = matches!(self.ctx.state.get(Table::Waiting, order), Ok(Some(value)) if value.as_slice() == [1]);
        if !told {
            self.ctx.state.put(Table::Waiting, order, vec![1]);
            self.ctx.emit(Event::ShardWaiting { shard, needed, available });
        }
    }
}
