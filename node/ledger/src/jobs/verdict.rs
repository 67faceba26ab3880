//! What is to be done next with an open shard: a pure function of its row, the block's work time, and whether its job
//! is being closed. All its windows are in work time: it stands while the chain does.
//!
//! **Commits.** The contract's committee (r replicas, q equal answers) is drawn first. Whoever abstains or misses is
//! replaced by a fresh draw while fewer have committed than could make a quorum; commits stay sealed
//! meanwhile. Once as many committed as could make one and 1.5 times their median time has passed, stragglers are
//! let go. Reveals open when nobody is waited for any more. Where more are wanted and nobody could be drawn until the
//! window of those who committed is over once to eight times, they are let go and drawn again later: two shards that wait
//! for each other's nodes would wait for ever.
//!
//! **Answers.** Without any difference a quorum is the verdict. A difference makes the quorum's answer
//! provisional at most: fresh owners are drawn to (7,5), and without a quorum there to (13,9). What reads
//! the shard waits for them, so that a verdict that is overturned has nothing to take back. The quorum of a jury is
//! final: who differs from it is slashed, an earlier majority included.
//!
//! **As many as exist.** Where nobody else can be drawn, the answers that are there decide: two thirds of them, and
//! never fewer than the contract's quorum. That is the same rule as (3,2), (7,5) and (13,9), and lets a network of three
//! owners settle a difference. Where escrow does not cover a jury, the same majority is accepted, but nobody is
//! slashed on its word; likewise while a job is being closed.
//!
//! **Not revealing** what was committed to is a fault that needs no judge. It is slashed at once; the place is filled
//! again like that of one who abstained.

use std::collections::BTreeMap;
use valo_protocol::{
    Duration, Hash, Timestamp, domain,
    encoding::encode,
    event::ShardFailure,
    shard::{Committee, MemberState, ShardAssignment, ShardPhase, ShardRecord},
    transaction::{AbstainReason, Answer},
};

/// The committees to which fresh owners are drawn when answers differ.
const JURIES: [Committee; 2] = [Committee { replicas: 7, quorum: 5 }, Committee { replicas: 13, quorum: 9 }];
/// The most nodes drawn for a shard before it has to begin anew: three full juries.
pub const MAX_DRAWN: usize = 39;
/// Stragglers have at least this long, however quick the others are: blocks are not finer.
const LEAST_PATIENCE: Duration = Duration(500);

/// The committee at a level; none above the last.
pub fn committee(base: Committee, level: u8) -> Option<Committee> {
    let juries = JURIES.iter().filter(|jury| jury.replicas > base.replicas);
    let raised = juries
        .map(|jury| Committee { replicas: jury.replicas, quorum: jury.quorum.max(base.quorum).min(jury.replicas) });
    std::iter::once(base).chain(raised).nth(usize::from(level))
}

/// The committee a shard has now.
fn present(shard: &ShardRecord) -> Committee {
    committee(shard.base, shard.level).unwrap_or(shard.base)
}

/// What is to be done next. Places are those in [`ShardRecord::assignments`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing before a message or a draw comes, or this moment.
    Wait(Option<Timestamp>),
    /// These missed the window for commits.
    Missed(Vec<usize>),
    /// These are let go without penalty. `late`: because others were done long before them.
    LetGo {
        /// Who.
        places: Vec<usize>,
        /// Why.
        late: bool,
    },
    /// More are to be drawn.
    Queue,
    /// Commits close, reveals may come.
    OpenReveals,
    /// These committed and did not reveal.
    NotRevealed(Vec<usize>),
    /// Nobody is waited for: see [`judge`].
    Judge,
    /// Its dispute window is over: the stake behind it is free.
    Release,
}

/// The answers of a shard, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Work.
    pub assigned: u32,
    /// Committed.
    pub committed: u32,
    /// Revealed.
    pub revealed: u32,
    /// Said that they cannot fetch the program or an input.
    pub cannot_fetch: u32,
    /// The answer that most revealed (the smallest of equals), and how many.
    pub best: Option<(Answer, u32)>,
    /// Whether revealed answers differ.
    pub differs: bool,
}

impl Tally {
    /// Counts.
    pub fn of(shard: &ShardRecord) -> Self {
        let mut tally = Self::default();
        let mut answers: BTreeMap<Answer, u32> = BTreeMap::new();
        for assignment in &shard.assignments {
            let count = match assignment.state {
                MemberState::Assigned => &mut tally.assigned,
                MemberState::Committed { .. } => &mut tally.committed,
                MemberState::Revealed { answer } => {
                    let votes = answers.entry(answer).or_default();
                    *votes = votes.saturating_add(1);
                    &mut tally.revealed
                }
                MemberState::Abstained { reason: AbstainReason::CannotFetch } => &mut tally.cannot_fetch,
                MemberState::Abstained { .. } | MemberState::Missed | MemberState::LetGo | MemberState::NotRevealed => {
                    continue;
                }
            };
            *count = count.saturating_add(1);
        }
        tally.differs = answers.len() > 1;
        for (answer, votes) in answers {
            if tally.best.is_none_or(|(_, most)| votes > most) {
                tally.best = Some((answer, votes));
            }
        }
        tally
    }

    fn most(&self) -> u32 {
        self.best.map_or(0, |(_, votes)| votes)
    }

    /// Whether the commits could make a quorum with the answers that are known.
    fn could_decide(&self, quorum: u8) -> bool {
        self.most().saturating_add(self.committed) >= u32::from(quorum)
    }

    /// Nodes that answer or may still.
    fn members(&self) -> u32 {
        self.assigned.saturating_add(self.committed).saturating_add(self.revealed)
    }
}

/// How many more are to be drawn for an open shard.
pub fn wanted(shard: &ShardRecord) -> u32 {
    if shard.phase != ShardPhase::Open || cannot_grow(shard) {
        return 0;
    }
    let (tally, committee) = (Tally::of(shard), present(shard));
    if tally.could_decide(committee.quorum) || is_unavailable(shard, &tally) {
        return 0;
    }
    let room = u32::try_from(MAX_DRAWN.saturating_sub(shard.assignments.len())).unwrap_or(0);
    u32::from(committee.replicas).saturating_sub(tally.members()).min(room)
}

fn cannot_grow(shard: &ShardRecord) -> bool {
    shard.exhausted || shard.assignments.len() >= MAX_DRAWN || shard.attempt.0 == u8::MAX
}

fn is_unavailable(shard: &ShardRecord, tally: &Tally) -> bool {
    tally.cannot_fetch >= u32::from(shard.base.quorum)
}

/// What is to be done next.
pub fn next(shard: &ShardRecord, time: Timestamp, closing: bool) -> Step {
    match shard.phase {
        ShardPhase::Open => next_open(shard, time, closing),
        ShardPhase::Revealing { until } => match places(shard, |a| matches!(a.state, MemberState::Committed { .. })) {
            silent if silent.is_empty() => Step::Judge,
            silent if time > until => Step::NotRevealed(silent),
            _ => Step::Wait(Some(after(until))),
        },
        ShardPhase::Accepted { final_at, .. } | ShardPhase::Failed { final_at, .. } => {
            match shard.assignments.iter().all(|assignment| assignment.locked.is_zero()) {
                true => Step::Wait(None),
                false if time >= final_at => Step::Release,
                false => Step::Wait(Some(final_at)),
            }
        }
    }
}

fn next_open(shard: &ShardRecord, time: Timestamp, closing: bool) -> Step {
    let (tally, committee) = (Tally::of(shard), present(shard));
    let is_assigned = |a: &ShardAssignment| a.state == MemberState::Assigned;
    let late = places(shard, |a| is_assigned(a) && time > a.commit_until);
    if !late.is_empty() {
        return Step::Missed(late);
    }
    let decidable = tally.could_decide(committee.quorum);
    if tally.assigned > 0 {
        if closing || is_unavailable(shard, &tally) {
            return Step::LetGo { places: places(shard, is_assigned), late: false };
        }
        let patience = if decidable { patience(shard) } else { None };
        let leave_at = |a: &ShardAssignment| patience.map(|patience| a.drawn_at.after(patience));
        let stragglers = places(shard, |a| is_assigned(a) && leave_at(a).is_some_and(|moment| time >= moment));
        if !stragglers.is_empty() {
            return Step::LetGo { places: stragglers, late: true };
        }
        if wanted(shard) > 0 && shard.queued.is_none() {
            return Step::Queue;
        }
        let assigned = shard.assignments.iter().filter(|a| is_assigned(a));
        let moments =
            assigned.map(|a| leave_at(a).map_or(after(a.commit_until), |moment| moment.min(after(a.commit_until))));
        return Step::Wait(moments.min());
    }
    if !closing && wanted(shard) > 0 {
        if shard.queued.is_none() {
            return Step::Queue;
        }
        // Whoever could be drawn may wait for the stake that lies here, as this shard waits for theirs.
        let is_committed = |a: &ShardAssignment| matches!(a.state, MemberState::Committed { .. });
        let until = shard.assignments.iter().filter(|a| is_committed(a)).map(|a| held_until(shard, a)).max();
        return match until {
            Some(until) if time > until => Step::LetGo { places: places(shard, is_committed), late: false },
            until => Step::Wait(until.map(after)),
        };
    }
    if tally.committed > 0 { Step::OpenReveals } else { Step::Judge }
}

/// When `next` has something to do without a message or a draw: at once, at a moment, or never.
pub fn due(shard: &ShardRecord) -> Option<Timestamp> {
    match next(shard, Timestamp(0), false) {
        Step::Wait(moment) => moment,
        _ => Some(Timestamp(0)),
    }
}

const fn after(moment: Timestamp) -> Timestamp {
    moment.after(Duration(1))
}

/// Until when a commit waits for others that cannot be drawn: one to eight of its windows, by a hash of the shard and
/// its attempt, so that of two that wait for each other one gives way first.
fn held_until(shard: &ShardRecord, assignment: &ShardAssignment) -> Timestamp {
    let hash = Hash::of(domain::HOLD, &[&encode(&shard.key), &[shard.attempt.0]]);
    let more = u64::from(hash.0.first().copied().unwrap_or(0) % 8);
    let window = assignment.commit_until.since(assignment.drawn_at);
    assignment.commit_until.after(Duration(window.0.saturating_mul(more)))
}

/// How long stragglers have from their draw: 1.5 times the median time of those who committed.
fn patience(shard: &ShardRecord) -> Option<Duration> {
    let times = shard.assignments.iter().filter_map(|assignment| match assignment.state {
        MemberState::Committed { at, .. } => Some(at.since(assignment.drawn_at)),
        _ => None,
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    Some(Duration(median.0.saturating_add(median.0 / 2)).max(LEAST_PATIENCE))
}

fn places(shard: &ShardRecord, wanted: impl Fn(&ShardAssignment) -> bool) -> Vec<usize> {
    shard.assignments.iter().enumerate().filter(|(_, assignment)| wanted(assignment)).map(|(place, _)| place).collect()
}

/// What comes of a shard when nobody is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is the result. `punish`: who gave another one is slashed.
    Accept {
        /// The result.
        answer: Answer,
        /// Whether the others lose their stake.
        punish: bool,
    },
    /// More are to be drawn, at the same level.
    Draw,
    /// More are to be drawn, as a jury.
    Escalate {
        /// The new level.
        level: u8,
        /// Its committee.
        committee: Committee,
        /// How many replicas more than before that is.
        replicas: u8,
        /// What may be used meanwhile.
        provisional: Option<Answer>,
    },
    /// No result.
    Fail(ShardFailure),
    /// No result, and no money to ask more.
    OutOfMoney {
        /// What the shard itself failed for.
        reason: ShardFailure,
    },
}

/// Judges. `funded` says whether escrow covers so many replicas more.
pub fn judge(shard: &ShardRecord, closing: bool, funded: impl Fn(u8) -> bool) -> Verdict {
    let (tally, committee) = (Tally::of(shard), present(shard));
    let reason = ShardFailure::NoQuorum { owners: u16::try_from(shard.assignments.len()).unwrap_or(u16::MAX) };
    let no_quorum = Verdict::Fail(reason);
    let is_jury = shard.level > 0;
    let quorum_of = |needed: u32| tally.best.filter(|(_, votes)| *votes >= needed).map(|(answer, _)| answer);
    let decided = quorum_of(u32::from(committee.quorum));
    match decided {
        Some(answer) if is_jury || !tally.differs => return Verdict::Accept { answer, punish: is_jury && !closing },
        _ => {}
    }
    if is_unavailable(shard, &tally) {
        return Verdict::Fail(ShardFailure::Unavailable);
    }
    // Two thirds of the answers that differ, as in every committee here; never fewer than the contract asks for.
    let two_thirds = tally.revealed.saturating_mul(2).div_ceil(3);
    let base = u32::from(shard.base.quorum);
    let present = quorum_of(if tally.differs { base.max(two_thirds) } else { base });
    let accept = |punish| move |answer| Verdict::Accept { answer, punish };
    if closing || cannot_grow(shard) {
        return present.map_or(no_quorum, accept(!closing));
    }
    let reachable = |committee: Committee| {
        let open = u32::from(committee.replicas).saturating_sub(tally.revealed);
        tally.most().saturating_add(open) >= u32::from(committee.quorum)
    };
    let is_contested = tally.differs && !is_jury;
    if !is_contested && tally.revealed < u32::from(committee.replicas) && reachable(committee) {
        return Verdict::Draw;
    }
    let level = shard.level.saturating_add(1);
    match self::committee(shard.base, level) {
        Some(jury) if !reachable(jury) => no_quorum,
        Some(jury) => {
            let replicas = jury.replicas.saturating_sub(committee.replicas);
            if funded(replicas) {
                return Verdict::Escalate { level, committee: jury, replicas, provisional: decided };
            }
            present.map_or(Verdict::OutOfMoney { reason }, accept(false))
        }
        // No larger committee: where the contract asked for as many as a jury has, its own quorum decides.
        None => decided.map_or(no_quorum, accept(true)),
    }
}

#[cfg(test)]
mod tests;
