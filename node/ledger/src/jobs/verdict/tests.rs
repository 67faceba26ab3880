use super::super::fixture;
use super::*;
use valo_protocol::{
    AccountNumber, Amount, Hash, encoding::Varint, files::RunStatus, hash::Digest, job::Attempt, registry::NodeId,
    shard::Queued, time::Height,
};

const UNTIL: Timestamp = Timestamp(100_000);

fn answer(kind: u8) -> Answer {
    Answer { digest: Digest([kind; 32]), status: RunStatus::Exited(0), fuel: Varint(1) }
}

fn revealed(kind: u8) -> MemberState {
    MemberState::Revealed { answer: answer(kind) }
}

fn committed(at: u64) -> MemberState {
    MemberState::Committed { commitment: Hash::default(), at: Timestamp(at) }
}

const CANNOT_FETCH: MemberState = MemberState::Abstained { reason: AbstainReason::CannotFetch };
const DRAINING: MemberState = MemberState::Abstained { reason: AbstainReason::Draining };
use MemberState::{Assigned, LetGo, Missed, NotRevealed};

/// A shard of (3,2) at a level, with these drawn for it at time 0.
fn shard(level: u8, states: &[MemberState]) -> ShardRecord {
    let assignment = |(node, state): (u32, &MemberState)| ShardAssignment {
        node: NodeId(node),
        owner: AccountNumber::new(u64::from(node)).unwrap(),
        attempt: Attempt(0),
        juror: false,
        drawn_at: Timestamp(0),
        commit_until: UNTIL,
        locked: Amount::ZERO,
        state: *state,
    };
    ShardRecord { level, assignments: (0..).zip(states).map(assignment).collect(), ..fixture::shard(3, 2) }
}

fn exhausted(level: u8, states: &[MemberState]) -> ShardRecord {
    ShardRecord { exhausted: true, ..shard(level, states) }
}

fn at(shard: &ShardRecord, time: u64) -> Step {
    next(shard, Timestamp(time), false)
}

fn judged(shard: &ShardRecord) -> Verdict {
    judge(shard, false, |_| true)
}

const fn accept(kind: u8, punish: bool) -> Verdict {
    Verdict::Accept {
        answer: Answer { digest: Digest([kind; 32]), status: RunStatus::Exited(0), fuel: Varint(1) },
        punish,
    }
}

fn straggler(place: usize) -> Step {
    Step::LetGo { places: vec![place], late: true }
}

const fn no_quorum(owners: u16) -> Verdict {
    Verdict::Fail(ShardFailure::NoQuorum { owners })
}

#[test]
fn committees_grow_from_what_the_contract_asks() {
    let levels = |replicas, quorum| {
        let committees = (0..4).map_while(|level| committee(Committee { replicas, quorum }, level));
        committees.map(|committee| (committee.replicas, committee.quorum)).collect::<Vec<_>>()
    };
    assert_eq!(levels(3, 2), [(3, 2), (7, 5), (13, 9)]);
    assert_eq!(levels(6, 6), [(6, 6), (7, 6), (13, 9)]);
    assert_eq!(levels(7, 4), [(7, 4), (13, 9)]);
    assert_eq!(levels(13, 13), [(13, 13)]);
}

#[test]
fn reveals_open_only_when_nobody_is_waited_for() {
    assert_eq!(at(&shard(0, &[committed(900), committed(1000), committed(2000)]), 2000), Step::OpenReveals);
    // Two committed after 1,000 ms: the third has 1,500 ms, and not a moment less.
    let waiting = shard(0, &[committed(900), committed(1000), Assigned]);
    assert_eq!(at(&waiting, 1499), Step::Wait(Some(Timestamp(1500))));
    assert_eq!(at(&waiting, 1500), straggler(2));
    assert_eq!(at(&shard(0, &[committed(900), committed(1000), LetGo]), 1500), Step::OpenReveals);
    // One commit is no quorum: the others have the whole window.
    let waiting = shard(0, &[committed(900), Assigned, Assigned]);
    assert_eq!(at(&waiting, UNTIL.0), Step::Wait(Some(Timestamp(UNTIL.0 + 1))));
    assert_eq!(at(&waiting, UNTIL.0 + 1), Step::Missed(vec![1, 2]));
}

#[test]
fn quick_commits_leave_the_others_half_a_second() {
    let waiting = shard(0, &[committed(10), committed(20), Assigned]);
    assert_eq!(at(&waiting, 499), Step::Wait(Some(Timestamp(500))));
    assert_eq!(at(&waiting, 500), straggler(2));
}

#[test]
fn places_are_filled_again_while_a_quorum_is_not_in_sight() {
    for out in [DRAINING, Missed, NotRevealed] {
        let vacant = shard(0, &[committed(900), Assigned, out]);
        assert_eq!(at(&vacant, 1000), Step::Queue);
        assert_eq!(wanted(&vacant), 1);
        let queued = ShardRecord { queued: Some(Queued { from: Height(1), waiting: false }), ..vacant };
        assert!(matches!(at(&queued, 1000), Step::Wait(Some(_))));
        // Two commits are enough: nobody else is drawn, and reveals open.
        let enough = shard(0, &[committed(900), committed(950), out]);
        assert_eq!(wanted(&enough), 0);
        assert_eq!(at(&enough, 1000), Step::OpenReveals);
    }
    // With nobody else to draw, the commit that is there is revealed.
    assert_eq!(at(&exhausted(0, &[committed(900), Missed, Missed]), 1000), Step::OpenReveals);
    assert_eq!(at(&exhausted(0, &[Missed, Missed, Missed]), 1000), Step::Judge);
}

#[test]
fn who_does_not_reveal_in_time_is_named() {
    let mut revealing = shard(0, &[revealed(1), committed(1), revealed(1)]);
    revealing.phase = ShardPhase::Revealing { until: Timestamp(50) };
    assert_eq!(at(&revealing, 50), Step::Wait(Some(Timestamp(51))));
    assert_eq!(at(&revealing, 51), Step::NotRevealed(vec![1]));
    revealing.assignments[1].state = NotRevealed;
    assert_eq!(at(&revealing, 51), Step::Judge);
    assert_eq!(judged(&revealing), accept(1, false), "two equal answers and no other");
}

#[test]
fn agreement_is_accepted_and_a_difference_calls_a_jury() {
    assert_eq!(judged(&shard(0, &[revealed(1), revealed(1), revealed(1)])), accept(1, false));
    assert_eq!(judged(&shard(0, &[revealed(1), revealed(1), LetGo])), accept(1, false));
    let jury = Committee { replicas: 7, quorum: 5 };
    assert_eq!(
        judged(&shard(0, &[revealed(1), revealed(1), revealed(2)])),
        Verdict::Escalate { level: 1, committee: jury, replicas: 4, provisional: Some(answer(1)) }
    );
    assert_eq!(
        judged(&shard(0, &[revealed(1), revealed(2), revealed(3)])),
        Verdict::Escalate { level: 1, committee: jury, replicas: 4, provisional: None }
    );
}

#[test]
fn a_jury_overturns_an_earlier_majority() {
    let [a, b] = [revealed(1), revealed(2)];
    assert_eq!(judged(&shard(1, &[a, a, b, b, b, b, b])), accept(2, true));
    // Four of seven are no quorum: thirteen are asked, and nine of them decide.
    let torn = [a, a, a, b, b, b, b];
    let jury = Committee { replicas: 13, quorum: 9 };
    assert_eq!(
        judged(&shard(1, &torn)),
        Verdict::Escalate { level: 2, committee: jury, replicas: 6, provisional: None }
    );
    assert_eq!(judged(&shard(2, &[&torn[..], &[b; 5], &[a]].concat())), accept(2, true));
    assert_eq!(judged(&shard(2, &[&torn[..], &[b; 4], &[a; 2]].concat())), no_quorum(13));
}

#[test]
fn a_jury_is_filled_before_a_larger_one_is_called() {
    let [a, b] = [revealed(1), revealed(2)];
    assert_eq!(judged(&shard(1, &[a, a, b, a, a, LetGo, Missed])), Verdict::Draw);
    assert_eq!(wanted(&shard(1, &[a, a, b, a, a, LetGo, Missed])), 2);
    // No way to five any more: the next committee at once.
    assert!(matches!(judged(&shard(1, &[a, a, b, b, revealed(3)])), Verdict::Escalate { level: 2, .. }));
    // No way to nine of thirteen either.
    let torn: Vec<MemberState> = (0..7).map(|node| revealed(node / 2)).collect();
    assert_eq!(judged(&shard(1, &torn)), no_quorum(7));
}

#[test]
fn where_nobody_else_exists_two_thirds_decide() {
    let [a, b] = [revealed(1), revealed(2)];
    assert_eq!(judged(&exhausted(0, &[a, a, b])), accept(1, true), "the network of three owners");
    assert_eq!(judged(&exhausted(1, &[a, a, b, a])), accept(1, true));
    assert_eq!(judged(&exhausted(1, &[a, a, b, b])), no_quorum(4), "two against two");
    assert_eq!(judged(&exhausted(1, &[a, a, b, b, a])), no_quorum(5), "three of five");
    assert_eq!(judged(&exhausted(0, &[a, b, LetGo])), no_quorum(3));
    assert_eq!(judged(&exhausted(0, &[a, Missed, Missed])), no_quorum(3), "never below the contract's quorum");
    assert_eq!(judged(&exhausted(0, &[a, a, Missed])), accept(1, false));
}

#[test]
fn without_money_for_a_jury_nobody_is_slashed() {
    let [a, b] = [revealed(1), revealed(2)];
    let poor = |states: &[MemberState]| judge(&shard(0, states), false, |_| false);
    assert_eq!(poor(&[a, a, b]), accept(1, false));
    assert_eq!(poor(&[a, b, revealed(3)]), Verdict::OutOfMoney { reason: ShardFailure::NoQuorum { owners: 3 } });
    assert_eq!(judge(&shard(0, &[a, a, b]), false, |replicas| replicas <= 4), judged(&shard(0, &[a, a, b])));
}

#[test]
fn a_closing_job_asks_nobody_else_and_slashes_nobody_for_an_answer() {
    let [a, b] = [revealed(1), revealed(2)];
    let closing = |states: &[MemberState]| judge(&shard(0, states), true, |_| true);
    assert_eq!(closing(&[a, a, b]), accept(1, false));
    assert_eq!(closing(&[a, b, LetGo]), no_quorum(3));
    assert_eq!(
        next(&shard(0, &[committed(5), Assigned, Assigned]), Timestamp(6), true),
        Step::LetGo { places: vec![1, 2], late: false }
    );
    assert_eq!(next(&shard(0, &[committed(5), LetGo, LetGo]), Timestamp(6), true), Step::OpenReveals);
    assert_eq!(next(&shard(0, &[DRAINING, LetGo, LetGo]), Timestamp(6), true), Step::Judge);
}

#[test]
fn what_a_quorum_cannot_fetch_is_unavailable() {
    assert_eq!(
        at(&shard(0, &[CANNOT_FETCH, CANNOT_FETCH, Assigned]), 10),
        Step::LetGo { places: vec![2], late: false }
    );
    let over = shard(0, &[CANNOT_FETCH, CANNOT_FETCH, LetGo]);
    assert_eq!(at(&over, 10), Step::Judge);
    assert_eq!(judged(&over), Verdict::Fail(ShardFailure::Unavailable));
    // Who could fetch it shows so, and is paid for it.
    assert_eq!(at(&shard(0, &[CANNOT_FETCH, CANNOT_FETCH, committed(5)]), 10), Step::OpenReveals);
    assert_eq!(judged(&shard(0, &[CANNOT_FETCH, CANNOT_FETCH, revealed(1)])), Verdict::Fail(ShardFailure::Unavailable));
    assert_eq!(at(&shard(0, &[CANNOT_FETCH, Assigned, Assigned]), 10), Step::Queue);
}

#[test]
fn one_alone_is_judged_as_the_contract_asks() {
    let alone = ShardRecord { base: Committee { replicas: 1, quorum: 1 }, ..shard(0, &[revealed(1)]) };
    assert_eq!(judged(&alone), accept(1, false));
}

/// Plays a shard to its end with members that do what a number says; nobody is ever waited for in vain.
fn play(script: &[u8], exist: usize, replicas: u8, quorum: u8) -> (ShardRecord, Verdict, usize) {
    let mut shard = ShardRecord { ..fixture::shard(replicas, quorum) };
    let mut time = 0u64;
    for turn in 1..2000 {
        match next(&shard, Timestamp(time), false) {
            Step::Wait(moment) => {
                let count = wanted(&shard) as usize;
                if shard.queued.take().is_some() && count > 0 {
                    let fresh = count.min(exist.saturating_sub(shard.assignments.len()));
                    shard.exhausted = fresh == 0;
                    for _ in 0..fresh {
                        let member = self::shard(0, &[Assigned]).assignments[0];
                        let node = NodeId(shard.assignments.len() as u32);
                        let (drawn_at, commit_until) = (Timestamp(time), Timestamp(time + UNTIL.0));
                        shard.assignments.push(ShardAssignment { node, drawn_at, commit_until, ..member });
                    }
                    shard.attempt.0 += u8::from(fresh > 0);
                    continue;
                }
                let revealing = matches!(shard.phase, ShardPhase::Revealing { .. });
                let before: Vec<MemberState> = shard.assignments.iter().map(|member| member.state).collect();
                for (place, member) in shard.assignments.iter_mut().enumerate() {
                    let kind = script[place % script.len()];
                    member.state = match (member.state, kind, revealing) {
                        (Assigned, 0..=3, false) => committed(time + 1),
                        (Assigned, 4, false) => DRAINING,
                        (Assigned, 5, false) => CANNOT_FETCH,
                        (MemberState::Committed { .. }, 0..=2, true) => revealed(kind),
                        (state, ..) => state,
                    };
                }
                let acted = shard.assignments.iter().map(|member| member.state).ne(before);
                let moment = moment.unwrap_or_else(|| panic!("stuck after {turn} turns: {shard:?}"));
                time = if acted { time + 1 } else { moment.0.max(time + 1) };
            }
            Step::Missed(places) => places.iter().for_each(|place| shard.assignments[*place].state = Missed),
            Step::LetGo { places, .. } => places.iter().for_each(|place| shard.assignments[*place].state = LetGo),
            Step::NotRevealed(places) => places.iter().for_each(|place| shard.assignments[*place].state = NotRevealed),
            Step::Release => unreachable!("it has no verdict yet"),
            Step::Queue => shard.queued = Some(Queued { from: Height(1), waiting: false }),
            Step::OpenReveals => shard.phase = ShardPhase::Revealing { until: Timestamp(time + 1000) },
            Step::Judge => {
                shard.phase = ShardPhase::Open;
                match judged(&shard) {
                    Verdict::Draw => shard.queued = Some(Queued { from: Height(1), waiting: false }),
                    Verdict::Escalate { level, .. } => {
                        shard.level = level;
                        shard.queued = Some(Queued { from: Height(1), waiting: false });
                    }
                    verdict => return (shard, verdict, turn),
                }
            }
        }
    }
    panic!("no verdict: {shard:?}");
}

proptest::proptest! {
    /// 0: answers 0; 1, 2: lie; 3: does not reveal; 4, 5: abstains; 6: silent.
    #[test]
    fn every_shard_comes_to_an_end_and_two_thirds_of_honest_owners_win(
        script in proptest::collection::vec(0u8..7, 1..40), exist in 0usize..45, replicas in 1u8..14, slack in 0u8..7
    ) {
        let quorum = (replicas / 2 + 1 + slack).min(replicas);
        let (shard, verdict, _) = play(&script, exist, replicas, quorum);
        let tally = Tally::of(&shard);
        if let Verdict::Accept { answer, punish } = verdict {
            let votes = shard.assignments.iter().filter(|a| a.state == MemberState::Revealed { answer }).count();
            proptest::prop_assert!(votes >= usize::from(quorum), "never below the contract's quorum");
            proptest::prop_assert!(!tally.differs || punish, "money was never short");
            proptest::prop_assert!(!tally.differs || 3 * votes >= 2 * tally.revealed as usize - 2 || replicas >= 7);
        }
        let liars = script.iter().any(|kind| matches!(kind, 1 | 2));
        if !liars && let Verdict::Accept { answer, .. } = verdict {
            proptest::prop_assert_eq!(answer, self::answer(0));
        }
        proptest::prop_assert!(shard.assignments.len() <= MAX_DRAWN + 13);
    }
}
