//! The events of the chain in order, from any place on: out of storage what is past, from the chain what is new.
//!
//! A stream holds one block's events at most: whoever reads slowly falls back to storage, and one that does
//! not read at all is dropped, to come back with the id of the last event it saw.

use super::{Api, problem::ApiError};
use crate::{chain::FinalizedBlock, storage::EventPlace};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use valo_client::types::{EventId, EventRecord, event_accounts, event_type};
use valo_protocol::{AccountNumber, Height, Timestamp, event::Event, job::JobId};

/// Events read from storage at a time.
const BATCH: usize = 512;
/// A reader that lets this pass between two events, while there are more, is dropped.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Only those that name this account.
    pub account: Option<AccountNumber>,
    /// Only those of these types; empty for all.
    pub types: BTreeSet<String>,
}

impl Wanted {
    fn wants(&self, event: &Event) -> bool {
        self.job.is_none_or(|job| event.job() == Some(job))
            && self.account.is_none_or(|account| event_accounts(event).contains(&account))
            && (self.types.is_empty() || self.types.contains(event_type(event)))
    }
}

/// What a stream gives next.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(Box<EventRecord>),
    /// Nothing more: the reader was too slow.
    TooSlow,
    /// Nothing more: the node stops, or cannot read its storage.
    End,
}

/// A stream of events.
#[derive(Debug)]
pub struct Follower {
    api: Arc<Api>,
    wanted: Wanted,
    live: broadcast::Receiver<Arc<FinalizedBlock>>,
    /// The last place that was looked at.
    last: EventId,
    /// Everything up to this block is in storage, and was when the stream last looked.
    stored: Height,
    ready: VecDeque<EventRecord>,
    /// When the reader took the last event.
    taken: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// A stream of what comes after `after`; from now on without it.
    pub async fn open(api: Arc<Api>, wanted: Wanted, after: Option<EventId>) -> Result<Self, ApiError> {
        let busy = |_| ApiError::busy("too many streams of events are open; try again later");
        let permit = api.streams.clone().try_acquire_owned().map_err(busy)?;
        // First the subscription, then the head: what is finalized in between is seen twice and passed over once.
        let live = api.services.chain.subscribe();
        let head = api.services.chain.head().borrow().height;
        let last = after.unwrap_or(EventId { height: head, index: u32::MAX });
        let earliest = api.read(|snapshot| Ok(snapshot.earliest_height()?)).await?;
        if let Some(earliest) = earliest
            && last.height.next() < earliest
        {
            return Err(ApiError::gone(format!(
                "events before block {earliest} are no longer kept here; start from {earliest}.0 or later"
            )));
        }
        api.metrics.event_streams.inc();
        let ready = VecDeque::new();
        Ok(Self { api, wanted, live, last, stored: head, ready, taken: Instant::now(), _permit: permit })
    }

    /// The place that it starts after.
    pub fn start(&self) -> EventId {
        self.last
    }

    /// The next event. Waits for it, until the node stops.
    pub async fn next(&mut self) -> Next {
        // Time only counts while there is something to read.
        let slow = self.taken.elapsed() > PATIENCE && !self.ready.is_empty();
        if slow {
            return Next::TooSlow;
        }
        loop {
            if let Some(record) = self.ready.pop_front() {
                self.taken = Instant::now();
                return Next::Event(Box::new(record));
            }
            if self.last.height <= self.stored && self.last.index != u32::MAX || self.last.height < self.stored {
                match self.read_stored().await {
                    Ok(()) => continue,
                    Err(_) => return Next::End,
                }
            }
            let stop = self.api.stop.clone();
            let block = tokio::select! {
                block = self.live.recv() => block,
                () = stop.cancelled() => return Next::End,
            };
            match block {
                Ok(block) => self.take_block(&block),
                // Too many came at once: they are in storage.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.stored = self.api.services.chain.head().borrow().height;
                }
                Err(broadcast::error::RecvError::Closed) => return Next::End,
            }
        }
    }

    fn take_block(&mut self, block: &FinalizedBlock) {
        let height = block.block.header.height;
        if height <= self.last.height && self.last.index == u32::MAX || height < self.last.height {
            return;
        }
        if height > self.last.height.next() || height == self.last.height || self.last.index != u32::MAX {
            // There is a gap, or a part of a block: storage has all of it.
            self.stored = self.stored.max(height);
            return;
        }
        let time = block.block.header.time;
        for (index, event) in (0u32..).zip(&block.events) {
            self.offer(EventId { height, index }, time, event);
        }
        self.last = EventId { height, index: u32::MAX };
        self.stored = self.stored.max(height);
    }

    fn offer(&mut self, id: EventId, time: Timestamp, event: &Event) {
        if self.wanted.wants(event) {
            self.ready.push_back(EventRecord { id, time, event: event.clone() });
        }
    }

    /// Reads the next events from storage, up to the end of what is stored.
    async fn read_stored(&mut self) -> Result<(), ApiError> {
        let from = EventPlace { height: self.last.height, index: self.last.index.saturating_add(1) };
        let from =
            if self.last.index == u32::MAX { EventPlace { height: self.last.height.next(), index: 0 } } else { from };
        let (stored, job) = (self.stored, self.wanted.job);
        let found = self
            .api
            .read(move |snapshot| {
                let events = match job {
                    Some(job) => snapshot.job_events(job, from, BATCH)?,
                    None => snapshot.events(from, BATCH)?,
                };
                let complete = events.len() < BATCH;
                let mut times: BTreeMap<Height, Timestamp> = BTreeMap::new();
                let mut records = Vec::with_capacity(events.len());
                for (place, event) in events {
                    if place.height > stored {
                        return Ok((records, true));
                    }
                    let time = match times.get(&place.height) {
                        Some(time) => *time,
                        None => {
                            let header = snapshot.header(place.height)?;
                            let time = header.map(|finalized| finalized.header.time).unwrap_or_default();
                            times.insert(place.height, time);
                            time
                        }
                    };
                    records.push((EventId { height: place.height, index: place.index }, time, event));
                }
                Ok((records, complete))
            })
            .await?;
        let (records, complete) = found;
        for (id, time, event) in &records {
            self.offer(*id, *time, event);
            self.last = *id;
        }
        if complete {
            self.last = EventId { height: self.stored, index: u32::MAX }.max(self.last);
        }
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.api.metrics.event_streams.dec();
    }
}
