//! What must be true of jobs, whoever works and whatever goes wrong.

use crate::{market::Character, worker::truth};
use std::collections::{BTreeMap, BTreeSet};
use valo::chain::{FinalizedBlock, MemoryDisk};
use valo_ledger::{LedgerError, View, jobs::Location};
use valo_protocol::{
    Digest, Timestamp,
    event::{Event, Fault, JobFailure, JobPhase},
    job::{JobId, ShardKey},
    registry::NodeId,
    transaction::Answer,
};

/// Equal answers that a contract asks for; [`crate::market`] makes no others.
const QUORUM: usize = 2;

/// Watches jobs and workers.
#[derive(Debug, Default)]
pub struct Jobs {
    characters: BTreeMap<NodeId, Character>,
    /// Whether the network and all machines are well from the start.
    peaceful: bool,
    /// Jobs that are not closed yet.
    pub open: BTreeSet<JobId>,
    /// Jobs that came to a result.
    pub accepted: usize,
    /// Jobs that failed.
    pub failed: usize,
    /// Times that stake was taken.
    pub slashed: usize,
    /// Accepted shards with a wrong answer: those who told the same lie were a quorum.
    pub deceived: usize,
    /// Who answered what, since the shard last began anew.
    revealed: BTreeMap<ShardKey, BTreeMap<NodeId, Digest>>,
    drawn: BTreeMap<ShardKey, BTreeSet<NodeId>>,
}

/// Fails with a complaint unless a claim holds.
fn ensure(claim: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if claim { Ok(()) } else { Err(complaint()) }
}

fn unreadable(error: LedgerError) -> String {
    format!("the state does not hold together: {error}")
}

impl Jobs {
    /// Watches workers of these characters.
    pub fn new(characters: BTreeMap<NodeId, Character>, peaceful: bool) -> Self {
        Self { characters, peaceful, ..Self::default() }
    }

    /// A block is final for the first time. Its node may be further already.
    pub fn finalized(&mut self, block: &FinalizedBlock, disk: &MemoryDisk) -> Result<(), String> {
        let view = View::new(disk);
        for event in &block.events {
            self.event(event, &view, block.block.header.time)?;
        }
        if self.open.is_empty() {
            return Ok(());
        }
        valo_ledger::jobs::audit(disk).map_err(unreadable)?;
        for job in self.open.clone() {
            let (record, location) = view.job(job).map_err(unreadable)?.ok_or_else(|| format!("job {job} is gone"))?;
            if matches!(location, Location::Closed(_)) {
                ensure(matches!(record.phase, JobPhase::Final | JobPhase::Failed(_)), || {
                    format!("job {job} is closed, and {:?}", record.phase)
                })?;
                ensure(record.escrow.is_zero(), || format!("job {job} is closed and keeps {}", record.escrow))?;
                self.open.remove(&job);
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, view: &View<'_>, time: Timestamp) -> Result<(), String> {
        match event {
            Event::JobSubmitted { job, .. } => {
                self.open.insert(*job);
            }
            Event::JobPhaseChanged { phase: JobPhase::Accepted, .. } => self.accepted += 1,
            Event::JobPhaseChanged { job, phase: JobPhase::Failed(reason) } => {
                self.failed += 1;
                let deadline = view.contract(*job).map_err(unreadable)?.map(|contract| contract.deadline);
                let is_late = deadline.is_none_or(|deadline| time > deadline);
                ensure(*reason != JobFailure::DeadlinePassed || is_late, || {
                    format!("job {job} failed at {time} by a deadline that has not passed: {deadline:?}")
                })?;
            }
            Event::ShardDrawn { shard, drawn, .. } => {
                self.drawn.entry(*shard).or_default().extend(drawn.iter().map(|drawn| drawn.node));
            }
            Event::Revealed { shard, node, answer, .. } => {
                self.revealed.entry(*shard).or_default().insert(*node, answer.digest);
            }
            // It may begin anew, and then forgets who was asked.
            Event::ShardFailed { shard, .. } => {
                self.revealed.remove(shard);
                self.drawn.remove(shard);
            }
            Event::ShardAccepted { shard, answer, agreed, .. } => self.shard_accepted(*shard, answer, agreed)?,
            Event::Slashed { shard, node, fault, .. } => self.slashed(*shard, *node, *fault)?,
            _ => {}
        }
        Ok(())
    }

    /// A quorum and two thirds of all answers are behind an accepted one; a wrong one takes as many liars.
    fn shard_accepted(&mut self, shard: ShardKey, answer: &Answer, agreed: &[NodeId]) -> Result<(), String> {
        let revealed = self.revealed.get(&shard).cloned().unwrap_or_default();
        let votes = revealed.values().filter(|digest| **digest == answer.digest).count();
        ensure(votes >= QUORUM && votes * 3 >= revealed.len() * 2 && votes == agreed.len(), || {
            format!("shard {shard}: {votes} of {} answers made a verdict for {agreed:?}", revealed.len())
        })?;
        if *answer == truth(shard) {
            return Ok(());
        }
        self.deceived += 1;
        let drawn = self.drawn.get(&shard).cloned().unwrap_or_default();
        let character = |node: &NodeId| self.characters.get(node).copied().unwrap_or(Character::Honest);
        let lies = |node: &&NodeId| matches!(character(node), Character::Liar(_));
        ensure(drawn.iter().filter(lies).count() >= QUORUM, || {
            format!("shard {shard} was accepted with a wrong answer, though few of {drawn:?} lie")
        })
    }

    fn slashed(&mut self, shard: ShardKey, node: NodeId, fault: Fault) -> Result<(), String> {
        self.slashed += 1;
        let honest = self.characters.get(&node) == Some(&Character::Honest);
        let outvoted = matches!(fault, Fault::WrongAnswer { accepted } if accepted != truth(shard).digest);
        ensure(!honest || outvoted || !self.peaceful, || {
            format!("all is well, and the honest node {node} pays for shard {shard}: {fault}")
        })?;
        let excusable = matches!(fault, Fault::Missed | Fault::NotRevealed);
        ensure(!honest || outvoted || excusable, || format!("the honest node {node} pays for shard {shard}: {fault}"))
    }

    /// Everything is over: nothing is held any more.
    pub fn finished(&self, disk: &MemoryDisk) -> Result<(), String> {
        let view = View::new(disk);
        let supply = view.supply().map_err(unreadable)?;
        ensure(supply.escrows.is_zero(), || format!("all jobs are closed, and escrows hold {}", supply.escrows))?;
        for node in self.characters.keys() {
            let record = view.node(*node).map_err(unreadable)?;
            let free = record.as_ref().is_some_and(|record| record.busy == 0 && record.locked.is_zero());
            ensure(free, || format!("all jobs are closed, and node {node} is still bound: {record:?}"))?;
        }
        Ok(())
    }
}
