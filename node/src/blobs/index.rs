//! What is stored, for whom, and how much room is left. Pure: no I/O, no clock.
//!
//! The index is the authority on which blobs exist: the store under it may still hold bytes that
//! are doomed, or already hold bytes that are not entered yet, and neither is visible to anyone. It
//! is rebuilt at each start from the tags in the store (see [`super::tags`]).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use valo_protocol::BlobHash;

use super::{BlobError, Quota};

/// A stored blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored, in seconds since 1970.
    pub stored: u64,
    /// Whose quota it counts against.
    pub owners: BTreeSet<String>,
    /// Why it must stay.
    pub pins: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) size: u64,
    pub(super) stored: u64,
    pub(super) used: u64,
    pub(super) owners: BTreeSet<String>,
    pub(super) pins: BTreeSet<String>,
}

impl Entry {
    pub(super) fn new(size: u64, stored: u64) -> Self {
        Self { size, stored, used: stored, owners: BTreeSet::new(), pins: BTreeSet::new() }
    }
}

/// Bytes of a blob whose download broke off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    pub(super) bytes: u64,
    pub(super) touched: u64,
}

#[derive(Debug)]
pub(super) struct Index {
    node_limit: u64,
    owner_limit: u64,
    entries: BTreeMap<BlobHash, Entry>,
    partials: HashMap<BlobHash, Partial>,
    fetching: HashSet<BlobHash>,
    /// Deleted, but their bytes may still be on disk; `true` once a sweep that removes them began.
    doomed: HashMap<BlobHash, bool>,
    used: u64,
    used_by: HashMap<String, u64>,
}

impl Index {
    pub(super) fn new(node_limit: u64, owner_limit: u64) -> Self {
        Self {
            node_limit,
            owner_limit,
            entries: BTreeMap::new(),
            partials: HashMap::new(),
            fetching: HashSet::new(),
            doomed: HashMap::new(),
            used: 0,
            used_by: HashMap::new(),
        }
    }

    pub(super) fn get(&self, hash: &BlobHash) -> Option<&Entry> {
        self.entries.get(hash)
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn used_by(&self, owner: &str) -> u64 {
        self.used_by.get(owner).copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets room aside before bytes are written. Blobs that nobody owns or pins make way, the
    /// longest unused first; they are returned and already gone from the index.
    pub(super) fn reserve(&mut self, owner: Option<&str>, bytes: u64) -> Result<Vec<BlobHash>, BlobError> {
        if let Some(owner) = owner {
            let used = self.used_by(owner);
            if used.saturating_add(bytes) > self.owner_limit {
                return Err(BlobError::QuotaExceeded {
                    quota: Quota::Owner(owner.to_owned()),
                    used,
                    limit: self.owner_limit,
                    wanted: bytes,
                });
            }
        }
        let evicted = self.make_room(bytes)?;
        self.used = self.used.saturating_add(bytes);
        if let Some(owner) = owner {
            let used = self.used_by.entry(owner.to_owned()).or_default();
            *used = used.saturating_add(bytes);
        }
        Ok(evicted)
    }

    fn make_room(&mut self, bytes: u64) -> Result<Vec<BlobHash>, BlobError> {
        let room = self.node_limit.saturating_sub(self.used);
        if bytes <= room {
            return Ok(Vec::new());
        }
        let mut idle: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.owners.is_empty() && entry.pins.is_empty())
            .map(|(hash, entry)| (entry.used, *hash, entry.size))
            .collect();
        idle.sort_unstable();
        let mut freed = 0u64;
        let mut evicted = Vec::new();
        for (_, hash, size) in idle {
            if freed >= bytes.saturating_sub(room) {
                break;
            }
            freed = freed.saturating_add(size);
            evicted.push(hash);
        }
        if freed < bytes.saturating_sub(room) {
            return Err(BlobError::QuotaExceeded {
                quota: Quota::Node,
                used: self.used,
                limit: self.node_limit,
                wanted: bytes,
            });
        }
        for hash in &evicted {
            self.remove(hash);
        }
        Ok(evicted)
    }

    /// Gives back room that was set aside.
    pub(super) fn release(&mut self, owner: Option<&str>, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
        if let Some(owner) = owner {
            self.release_owner(owner, bytes);
        }
    }

    fn release_owner(&mut self, owner: &str, bytes: u64) {
        if let Some(used) = self.used_by.get_mut(owner) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                self.used_by.remove(owner);
            }
        }
    }

    /// Enters a blob as it was found at the start, whatever the quotas say by now.
    pub(super) fn restore(&mut self, hash: BlobHash, entry: Entry) {
        self.used = self.used.saturating_add(entry.size);
        for owner in &entry.owners {
            let used = self.used_by.entry(owner.clone()).or_default();
            *used = used.saturating_add(entry.size);
        }
        self.entries.insert(hash, entry);
    }

    /// Enters a blob whose bytes are complete, against room set aside for `owner` before.
    pub(super) fn commit(&mut self, hash: BlobHash, size: u64, owner: Option<&str>, reserved: u64, now: u64) {
        self.release(owner, reserved);
        self.doomed.remove(&hash);
        if !self.entries.contains_key(&hash) {
            self.used = self.used.saturating_add(size);
            self.entries.insert(hash, Entry::new(size, now));
        }
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.stored = now;
            entry.used = now;
            if let Some(owner) = owner
                && entry.owners.insert(owner.to_owned())
            {
                let used = self.used_by.entry(owner.to_owned()).or_default();
                *used = used.saturating_add(size);
            }
        }
    }

    /// Adds an owner to a blob that is here, and renews its age. False when it is not here.
    pub(super) fn claim(&mut self, hash: &BlobHash, owner: Option<&str>, now: u64) -> Result<bool, BlobError> {
        let Some(entry) = self.entries.get_mut(hash) else {
            return Ok(false);
        };
        if let Some(owner) = owner
            && !entry.owners.contains(owner)
        {
            let used = self.used_by.get(owner).copied().unwrap_or(0);
            if used.saturating_add(entry.size) > self.owner_limit {
                return Err(BlobError::QuotaExceeded {
                    quota: Quota::Owner(owner.to_owned()),
                    used,
                    limit: self.owner_limit,
                    wanted: entry.size,
                });
            }
            self.used_by.insert(owner.to_owned(), used.saturating_add(entry.size));
            entry.owners.insert(owner.to_owned());
        }
        entry.stored = now;
        entry.used = now;
        Ok(true)
    }

    /// Notes that a blob was used; `None` when it is not here.
    pub(super) fn touch(&mut self, hash: &BlobHash, now: u64) -> Option<u64> {
        let entry = self.entries.get_mut(hash)?;
        entry.used = entry.used.max(now);
        Some(entry.size)
    }

    pub(super) fn pin(&mut self, hash: &BlobHash, label: &str) -> bool {
        match self.entries.get_mut(hash) {
            Some(entry) => {
                entry.pins.insert(label.to_owned());
                true
            }
            None => false,
        }
    }

    pub(super) fn unpin(&mut self, hash: &BlobHash, label: &str) {
        if let Some(entry) = self.entries.get_mut(hash) {
            entry.pins.remove(label);
        }
    }

    /// Takes a blob off an owner's quota. The blob stays until it is collected.
    pub(super) fn disown(&mut self, hash: &BlobHash, owner: &str) {
        let Some(entry) = self.entries.get_mut(hash) else {
            return;
        };
        if entry.owners.remove(owner) {
            let size = entry.size;
            self.release_owner(owner, size);
        }
    }

    /// Takes a blob out; its bytes are doomed.
    pub(super) fn remove(&mut self, hash: &BlobHash) -> Option<Entry> {
        let entry = self.entries.remove(hash)?;
        self.used = self.used.saturating_sub(entry.size);
        for owner in &entry.owners {
            self.release_owner(owner, entry.size);
        }
        self.doomed.insert(*hash, false);
        Some(entry)
    }

    /// Blobs without pins that nobody stored or used since `before`.
    pub(super) fn expired(&self, before: u64) -> Vec<BlobHash> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.pins.is_empty() && entry.used.max(entry.stored) < before)
            .map(|(hash, _)| *hash)
            .collect()
    }

    pub(super) fn list(&self, after: Option<BlobHash>, limit: usize) -> Vec<BlobInfo> {
        use std::ops::Bound;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range((start, Bound::Unbounded))
            .take(limit)
            .map(|(hash, entry)| BlobInfo {
                hash: *hash,
                size: entry.size,
                stored: entry.stored,
                owners: entry.owners.clone(),
                pins: entry.pins.clone(),
            })
            .collect()
    }

    // ---- downloads ----

    /// A download begins; what an earlier one left behind is part of it from now on.
    pub(super) fn begin_fetch(&mut self, hash: BlobHash) {
        self.fetching.insert(hash);
        if let Some(partial) = self.partials.remove(&hash) {
            self.used = self.used.saturating_sub(partial.bytes);
        }
    }

    /// A download is over; `left` are the bytes of a broken one that stay on disk.
    pub(super) fn end_fetch(&mut self, hash: &BlobHash, left: u64, now: u64) {
        self.fetching.remove(hash);
        if left > 0 && !self.entries.contains_key(hash) {
            self.leave_partial(*hash, left, now);
        }
    }

    pub(super) fn leave_partial(&mut self, hash: BlobHash, bytes: u64, now: u64) {
        let partial = Partial { bytes, touched: now };
        if let Some(before) = self.partials.insert(hash, partial) {
            self.used = self.used.saturating_sub(before.bytes);
        }
        self.used = self.used.saturating_add(bytes);
    }

    /// Drops broken downloads that nobody took up again since `before`.
    pub(super) fn drop_partials(&mut self, before: u64) -> usize {
        let stale: Vec<_> =
            self.partials.iter().filter(|(_, partial)| partial.touched < before).map(|(hash, _)| *hash).collect();
        for hash in &stale {
            self.drop_partial(hash);
        }
        stale.len()
    }

    pub(super) fn drop_partial(&mut self, hash: &BlobHash) {
        if let Some(partial) = self.partials.remove(hash) {
            self.used = self.used.saturating_sub(partial.bytes);
        }
        self.doomed.insert(*hash, false);
    }

    // ---- sweeping ----

    /// Dooms bytes in the store that belong to no entry.
    pub(super) fn doom(&mut self, hash: BlobHash) {
        self.doomed.insert(hash, false);
    }

    pub(super) fn is_doomed(&self, hash: &BlobHash) -> bool {
        self.doomed.contains_key(hash)
    }

    /// What the next sweep must keep; `None` when there is nothing to sweep.
    pub(super) fn begin_sweep(&mut self) -> Option<Vec<BlobHash>> {
        if self.doomed.is_empty() {
            return None;
        }
        for begun in self.doomed.values_mut() {
            *begun = true;
        }
        let entries = self.entries.keys();
        let live = entries.chain(self.partials.keys()).chain(self.fetching.iter());
        Some(live.copied().collect())
    }

    /// The sweep that began last is over.
    pub(super) fn end_sweep(&mut self) {
        self.doomed.retain(|_, begun| !*begun);
    }
}

#[cfg(test)]
mod tests;
