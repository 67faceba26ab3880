//! Validators: who is elected for an epoch, who signed, who missed a turn to propose.
//!
//! An epoch ends with the first block whose time reaches its length. That block's header names the set
//! elected from the state after its parent; the set is active from the next height.

use crate::{
    LedgerError,
    head::Head,
    overlay::Overlay,
    registry::{self, OUT},
    store::{Store, Table},
    tables,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use valo_protocol::{
    Header, Height, Parameters, PublicKey, Timestamp, Validator, ValidatorSet,
    encoding::Varint,
    event::Event,
    registry::{NodeId, NodeState},
    state::{NodeRecord, ValidatorRecord},
    time::{Duration, Round},
    vote::Certificate,
};

/// A validator that misses again and again is passed over for at most 2^10 heights at a time, so that one that
/// is back proposes again within minutes.
const MAX_SKIP_EXPONENT: u32 = 10;

/// Of a height that took more rounds than this, only the proposers of the last so many are held to have missed.
const MAX_ROUNDS_JUDGED: u32 = 64;

/// The validators with the most stake, as a set; none when no set can be made of them. Those that join take part once
/// they have said that they are ready: power that is not there yet would stop the chain.
pub fn elect(store: &dyn Store, params: &Parameters) -> Result<Option<ValidatorSet>, LedgerError> {
    elect_with(store, params, |_, _| {})
}

/// Who would be elected if nodes were changed.
pub(crate) fn elect_with(
    store: &dyn Store,
    params: &Parameters,
    change: impl Fn(NodeId, &mut NodeRecord),
) -> Result<Option<ValidatorSet>, LedgerError> {
    let mut candidates = Vec::new();
    for (_, validator) in tables::rows::<ValidatorRecord>(store, 0, usize::MAX)? {
        let mut node: NodeRecord = tables::expect_row(store, u64::from(validator.node.0))?;
        change(validator.node, &mut node);
        let power = node.stake.whole_valo();
        let is_there = node.state == NodeState::Active || (node.state == NodeState::Joining && node.ready);
        if is_there && node.stake >= params.min_validator_stake && power > 0 {
            candidates.push(Validator { key: node.key, power, owner: node.owner });
        }
    }
    candidates.sort_by(|a, b| b.power.cmp(&a.power).then(a.key.cmp(&b.key)));
    candidates.truncate(usize::from(params.max_validators));
    Ok(ValidatorSet::new(candidates).ok())
}

/// Whether a block of this time on `head` is the last of its epoch.
pub(crate) fn ends_epoch(head: &Head, params: &Parameters, time: Timestamp) -> bool {
    time.since(head.epoch_started) >= params.epoch
}

/// The set that the header of a block of this time on `head` names: only the last one of an epoch names one. When nobody
/// can be elected the present set goes on.
pub(crate) fn next_set(
    store: &dyn Store,
    params: &Parameters,
    head: &Head,
    time: Timestamp,
) -> Result<Option<Arc<ValidatorSet>>, LedgerError> {
    if !ends_epoch(head, params, time) {
        return Ok(None);
    }
    Ok(Some(match elect(store, params)? {
        Some(set) if set != *head.validators => Arc::new(set),
        _ => head.validators.clone(),
    }))
}

/// The records of some validators, read once and written back where they changed.
struct Records {
    records: BTreeMap<PublicKey, (u64, ValidatorRecord, bool)>,
}

impl Records {
    fn read<'k>(store: &dyn Store, keys: impl Iterator<Item = &'k PublicKey>) -> Result<Self, LedgerError> {
        let mut records = BTreeMap::new();
        for key in keys {
            if let std::collections::btree_map::Entry::Vacant(entry) = records.entry(*key) {
                let index = store
                    .get(Table::ValidatorByKey, &key.0)?
                    .ok_or_else(|| LedgerError::corrupt("validators", format!("validator {key} has no row")))?;
                let index = tables::row_index(Table::ValidatorByKey, &index)?;
                entry.insert((index, tables::expect_row(store, index)?, false));
            }
        }
        Ok(Self { records })
    }

    fn change(&mut self, key: &PublicKey, change: impl FnOnce(&mut ValidatorRecord)) {
        if let Some((_, record, changed)) = self.records.get_mut(key) {
            change(record);
            *changed = true;
        }
    }

    fn write(&self, state: &mut Overlay<'_>) {
        for (index, record, _) in self.records.values().filter(|(_, _, changed)| *changed) {
            state.set_row(*index, record);
        }
    }
}

/// Records what a header and the certificate in its block say of the validators.
pub(crate) fn record(
    state: &mut Overlay<'_>,
    events: &mut Vec<Event>,
    head: &Head,
    header: &Header,
    last_commit: Option<&Certificate>,
    longest_step: Duration,
) -> Result<(), LedgerError> {
    let members = |set: &'_ ValidatorSet| set.validators().iter().map(|validator| validator.key).collect::<Vec<_>>();
    let (signers, present) = (members(&head.signers), members(&head.validators));
    let mut records = Records::read(state, signers.iter().chain(&present))?;
    let missed: BTreeSet<PublicKey> = (header.round.0.saturating_sub(MAX_ROUNDS_JUDGED)..header.round.0)
        .filter_map(|round| head.proposer(Round(round)))
        .map(|validator| validator.key)
        .filter(|key| *key != header.proposer)
        .collect();
    if let Some(certificate) = last_commit {
        let signed: BTreeSet<PublicKey> = certificate.signatures.iter().map(|signature| signature.validator).collect();
        let step = header.time.since(head.time).min(longest_step);
        for key in &signers {
            records.change(key, |record| {
                record.blocks = Varint(record.blocks.0.saturating_add(1));
                record.signed = Varint(record.signed.0.saturating_add(u64::from(signed.contains(key))));
                registry::credit(record, step, signed.contains(key) && !missed.contains(key));
            });
        }
    }
    for key in missed {
        records.change(&key, |record| {
            record.misses = record.misses.saturating_add(1);
            let heights = 1u64.wrapping_shl(record.misses.min(MAX_SKIP_EXPONENT));
            // One that is out stays out.
            record.skipped_until = record.skipped_until.max(Height(header.height.0.saturating_add(heights)));
            events.push(Event::ProposalMissed {
                validator: key,
                misses: record.misses,
                skipped_until: record.skipped_until,
            });
        });
    }
    if records.records.get(&header.proposer).is_some_and(|(_, record, _)| record.misses > 0) {
        records.change(&header.proposer, |record| {
            record.misses = 0;
            if record.skipped_until != OUT {
                record.skipped_until = Height(0);
            }
        });
    }
    records.write(state);
    Ok(())
}

/// The members of a set that are passed over as proposers of a height.
pub(crate) fn skipped(
    store: &dyn Store,
    set: &ValidatorSet,
    height: Height,
) -> Result<BTreeSet<PublicKey>, LedgerError> {
    let records = Records::read(store, set.validators().iter().map(|validator| &validator.key))?;
    let skipped = records.records.into_iter().filter(|(_, (_, record, _))| record.skipped_until >= height);
    Ok(skipped.map(|(key, _)| key).collect())
}
