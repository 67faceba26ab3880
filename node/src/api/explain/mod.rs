//! Why a job went as it did: the story of each shard, folded from the events of the job's blocks.
//!
//! Pure: events in the order of the chain go in ([`Story::take`]), an explanation comes out
//! ([`Story::tell`]). Only the shards of one page are kept, so that a job of any size can be told in bounded memory.

mod shard;
mod words;

use shard::ShardStory;
use std::collections::BTreeMap;
use valo_client::types::{JobExplanation, Moment};
use valo_protocol::{
    Amount, JobContract,
    event::{Event, JobPhase},
    job::{JobId, ShardIndex, ShardKey, StageIndex},
    params::Disjoint,
};

/// A shard within its job.
pub type Place = (StageIndex, ShardIndex);

/// What is known of a job so far.
#[derive(Debug)]
pub struct Story {
    job: JobId,
    from: Place,
    limit: usize,
    submitted: Option<Moment>,
    phases: Vec<(Moment, JobPhase)>,
    paid: Amount,
    slashed: Amount,
    refunded: Amount,
    shards: BTreeMap<Place, ShardStory>,
    next: Option<Place>,
}

impl Story {
    /// The story of a job, in which the shards from `from` on are told, at most `limit`.
    pub fn new(job: JobId, from: Place, limit: usize) -> Self {
        Self {
            job,
            from,
            limit: limit.max(1),
            submitted: None,
            phases: Vec::new(),
            paid: Amount::ZERO,
            slashed: Amount::ZERO,
            refunded: Amount::ZERO,
            shards: BTreeMap::new(),
            next: None,
        }
    }

    /// Takes the next event. Events of other jobs change nothing.
    pub fn take(&mut self, at: Moment, event: &Event) {
        if event.job() != Some(self.job) {
            return;
        }
        match event {
            Event::JobSubmitted { .. } => self.submitted = Some(at),
            Event::JobPhaseChanged { phase, .. } => self.phases.push((at, *phase)),
            Event::Refunded { amount, .. } => add(&mut self.refunded, *amount),
            Event::Paid { amount, .. } => add(&mut self.paid, *amount),
            Event::Slashed { amount, .. } => add(&mut self.slashed, *amount),
            _ => {}
        }
        if let Some(shard) = shard_of(event)
            && let Some(story) = self.shard((shard.stage, shard.shard))
        {
            story.take(at, event);
        }
    }

    /// The story of a shard, if it is of this page.
    fn shard(&mut self, place: Place) -> Option<&mut ShardStory> {
        if place < self.from || self.next.is_some_and(|next| place >= next) {
            return None;
        }
        self.shards.entry(place).or_default();
        if self.shards.len() > self.limit {
            let (last, _) = self.shards.pop_last()?;
            self.next = Some(last);
        }
        self.shards.get_mut(&place)
    }

    /// The explanation, with where the job stands by its record.
    pub fn tell(self, contract: &JobContract, phase: JobPhase, disjoint: Disjoint) -> JobExplanation {
        let over = phase.is_over();
        let shards = self.shards.into_iter().map(|((stage, shard), story)| {
            let name = contract.stage(stage).map(|stage| stage.name.to_string()).unwrap_or_default();
            story.tell(stage, name, shard, over)
        });
        JobExplanation {
            job: self.job,
            phase,
            summary: words::job(contract, phase, self.submitted, &self.phases, self.paid, self.slashed),
            disjoint,
            worth: words::worth(contract.verification, disjoint),
            submitted: self.submitted,
            phases: self.phases,
            paid: self.paid,
            slashed: self.slashed,
            refunded: self.refunded,
            shards: shards.collect(),
            next: self.next.map(|(stage, shard)| format!("{stage}.{shard}")),
        }
    }
}

/// The shard that an event is about.
fn shard_of(event: &Event) -> Option<ShardKey> {
    match event {
        Event::ShardDrawn { shard, .. }
        | Event::ShardWaiting { shard, .. }
        | Event::Committed { shard, .. }
        | Event::RevealOpened { shard, .. }
        | Event::Revealed { shard, .. }
        | Event::Abstained { shard, .. }
        | Event::Missed { shard, .. }
        | Event::LetGo { shard, .. }
        | Event::ShardEscalated { shard, .. }
        | Event::ShardAccepted { shard, .. }
        | Event::ShardFailed { shard, .. }
        | Event::Paid { shard, .. }
        | Event::Slashed { shard, .. } => Some(*shard),
        _ => None,
    }
}

fn add(total: &mut Amount, amount: Amount) {
    *total = total.checked_add(amount).unwrap_or(*total);
}
