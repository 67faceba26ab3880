//! What is true of jobs after every block, counted from the rows: for tests, simulations and `valo` to check a state.

use super::{
    state::{self, Deadline, OpenJob, Order},
    verdict,
};
use crate::{
    LedgerError,
    context::add,
    store::{Store, Table},
    tables::{row_index, rows},
};
use std::collections::{BTreeMap, BTreeSet};
use valo_protocol::{
    Amount, Timestamp,
    event::JobPhase,
    job::{JobId, ShardKey},
    proof::JobRecord,
    registry::{NodeId, NodeRole},
    shard::{ShardRecord, ShardRow},
    state::NodeRecord,
};

/// What shards hold of a node.
#[derive(Default)]
struct Held {
    slots: u16,
    stake: Amount,
}

/// Checks that slots, stake and escrow are what the shards hold, that every shard that is not over has a moment or a
/// draw ahead, and that every derived row belongs to a committed one. Slow: it reads everything.
pub fn audit(store: &dyn Store) -> Result<(), LedgerError> {
    let shards = shards(store)?;
    if shards.is_empty() && store.scan(Table::JobIndex, &[], 1)?.is_empty() {
        return Ok(());
    }
    audit_nodes(store, &shards)?;
    audit_jobs(store, &shards)?;
    audit_windows(store, &shards)
}

fn wrong(what: &'static str, reason: String) -> LedgerError {
    LedgerError::corrupt(what, reason)
}

fn ensure(holds: bool, what: &'static str, reason: impl FnOnce() -> String) -> Result<(), LedgerError> {
    if holds { Ok(()) } else { Err(wrong(what, reason())) }
}

fn shards(store: &dyn Store) -> Result<BTreeMap<ShardKey, ShardRecord>, LedgerError> {
    let mut shards = BTreeMap::new();
    for (slot, ShardRow::V1(record)) in rows::<ShardRow>(store, 0, usize::MAX)? {
        let indexed = store.get(Table::ShardIndex, &state::shard_key(record.key))?;
        let indexed = indexed.map(|bytes| row_index(Table::ShardIndex, &bytes)).transpose()?;
        ensure(indexed == Some(slot), "shards", || format!("shard {} is not found in slot {slot}", record.key))?;
        shards.insert(record.key, record);
    }
    let indexed = store.scan(Table::ShardIndex, &[], usize::MAX)?.len();
    ensure(indexed == shards.len(), "shards", || format!("{indexed} are indexed, {} have rows", shards.len()))?;
    Ok(shards)
}

fn audit_nodes(store: &dyn Store, shards: &BTreeMap<ShardKey, ShardRecord>) -> Result<(), LedgerError> {
    let mut held: BTreeMap<NodeId, Held> = BTreeMap::new();
    for record in shards.values() {
        for assignment in &record.assignments {
            let held = held.entry(assignment.node).or_default();
            held.stake = add(held.stake, assignment.locked)?;
            if assignment.state.is_live() {
                held.slots = held.slots.saturating_add(u16::from(assignment.state.has_slot()));
                let listed = store.get(Table::NodeShards, &state::node_shard_key(assignment.node, record.key))?;
                let (node, key) = (assignment.node, record.key);
                ensure(listed.is_some(), "nodes", || format!("node {node} does not list shard {key}"))?;
            }
        }
    }
    for (id, node) in rows::<NodeRecord>(store, 0, usize::MAX)? {
        let held = u32::try_from(id).ok().and_then(|id| held.remove(&NodeId(id))).unwrap_or_default();
        let slots = if let NodeRole::Worker { slots, .. } = node.role { slots } else { 0 };
        ensure(node.busy == held.slots && node.busy <= slots, "nodes", || {
            format!("node {id} has {} of {slots} slots taken, shards hold {}", node.busy, held.slots)
        })?;
        ensure(node.locked == held.stake && node.locked <= node.stake, "nodes", || {
            format!("node {id} has {} of {} locked, shards hold {}", node.locked, node.stake, held.stake)
        })?;
    }
    for (key, _) in store.scan(Table::NodeShards, &[], usize::MAX)? {
        let (node, shard) = state::parse_node_shard(&key)?;
        ensure(shards.contains_key(&shard), "nodes", || format!("node {node} lists shard {shard}, which has no row"))?;
    }
    Ok(())
}

fn audit_jobs(store: &dyn Store, shards: &BTreeMap<ShardKey, ShardRecord>) -> Result<(), LedgerError> {
    let (ends, ordered) = (ends(store)?, ordered(store)?);
    let mut jobs: BTreeMap<JobId, JobRecord> = BTreeMap::new();
    for (slot, OpenJob(record)) in rows::<OpenJob>(store, 0, usize::MAX)? {
        let id = record.job;
        let found = state::location(store, id)?;
        ensure(found == Some(state::Location::Open(slot)), "jobs", || format!("job {id} is not found in slot {slot}"))?;
        let mut reserved = record.tip;
        for (_, shard) in of_job(shards, id) {
            reserved = add(reserved, shard.reserved)?;
        }
        ensure(record.reserved == reserved && record.escrow >= reserved, "jobs", || {
            format!("job {id} holds {} and set {} aside, its shards {reserved}", record.escrow, record.reserved)
        })?;
        let is_open = !record.phase.is_over();
        for (stage, progress) in (0u8..).zip(&record.stages) {
            let own = of_job(shards, id).filter(|(key, _)| key.stage.0 == stage);
            let placed = u32::try_from(own.count()).unwrap_or(u32::MAX);
            ensure(!is_open || placed == progress.placed, "jobs", || {
                format!("stage {stage} of job {id} has {placed} shards, not {}", progress.placed)
            })?;
        }
        let has_end = match record.phase {
            JobPhase::Failed(_) => true,
            JobPhase::Accepted | JobPhase::Final => ends.contains(&(3, id)),
            JobPhase::Funded | JobPhase::Placing | JobPhase::Running => ends.contains(&(1, id)),
        };
        ensure(has_end, "jobs", || format!("job {id} has no end"))?;
        jobs.insert(id, record);
    }
    for (key, shard) in shards {
        ensure(jobs.contains_key(&key.job), "shards", || format!("shard {key} has no open job"))?;
        let is_open = jobs.get(&key.job).is_some_and(|job| !job.phase.is_over());
        if shard.phase.is_over() || !is_open {
            continue;
        }
        let is_ordered = shard.queued.is_some() && ordered.contains(key);
        ensure(is_ordered || verdict::due(shard).is_some(), "shards", || format!("shard {key} is stuck: {shard:?}"))?;
        ensure(shard.queued.is_some() == is_ordered, "shards", || format!("shard {key} waits for a draw in vain"))?;
    }
    Ok(())
}

fn of_job(shards: &BTreeMap<ShardKey, ShardRecord>, job: JobId) -> impl Iterator<Item = (&ShardKey, &ShardRecord)> {
    let first = ShardKey { job, ..ShardKey::default() };
    shards.range(first..).take_while(move |(key, _)| key.job == job)
}

/// Ends of jobs: accepted at the latest (1), final (3).
fn ends(store: &dyn Store) -> Result<BTreeSet<(u8, JobId)>, LedgerError> {
    let mut ends = BTreeSet::new();
    let deadlines = store.scan(Table::Deadlines, &[], usize::MAX)?;
    for (key, _) in deadlines.into_iter().chain(store.scan(Table::Windows, &[], usize::MAX)?) {
        match Deadline::parse(&key)?.1 {
            Deadline::Job(job) => ends.insert((1, job)),
            Deadline::Final(job) => ends.insert((3, job)),
            Deadline::Shard(_) | Deadline::Close(_) | Deadline::Unbonding(_) => continue,
        };
    }
    Ok(ends)
}

/// Shards with a row for which more nodes are to be drawn.
fn ordered(store: &dyn Store) -> Result<BTreeSet<ShardKey>, LedgerError> {
    let draws =
        store.scan(Table::Draws, &[], usize::MAX)?.into_iter().filter_map(|(key, _)| key.get(8..).map(<[u8]>::to_vec));
    let waiting = store.scan(Table::Waiting, &[], usize::MAX)?.into_iter().map(|(key, _)| key);
    let mut ordered = BTreeSet::new();
    for key in draws.chain(waiting).filter(|key| !key.is_empty()) {
        if let (_, Order::More(shard)) = Order::parse(&key)? {
            ordered.insert(shard);
        }
    }
    Ok(ordered)
}

fn audit_windows(store: &dyn Store, shards: &BTreeMap<ShardKey, ShardRecord>) -> Result<(), LedgerError> {
    let mut moments: BTreeMap<ShardKey, Timestamp> = BTreeMap::new();
    for (key, _) in store.scan(Table::Windows, &[], usize::MAX)? {
        if let (moment, Deadline::Shard(shard)) = Deadline::parse(&key)? {
            ensure(moments.insert(shard, moment).is_none(), "windows", || format!("shard {shard} has two"))?;
        }
    }
    for (key, shard) in shards {
        let (found, expected) = (moments.remove(key), verdict::due(shard));
        ensure(found == expected, "windows", || format!("shard {key} has {found:?}, not {expected:?}"))?;
    }
    ensure(moments.is_empty(), "windows", || format!("{moments:?} belong to no shard"))
}
