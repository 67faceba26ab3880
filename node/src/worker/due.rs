//! What a worker says next, and what it need not remember any more: pure functions of finalized state and of what it
//! has decided. [`Duty`](super::Duty) acts on them, and so do the workers of the simulator.

use super::{
    Me,
    journal::{AssignmentKey, Entry},
};
use tracing::error;
use valo_ledger::jobs::{Assignment, AssignmentState};
use valo_protocol::{
    Action, GenesisHash,
    bytes::BoundedVec,
    transaction::{AbstainEntry, CommitEntry, MAX_ENTRIES, RevealEntry, commitment},
};

/// The most urgent message that the present state calls for: first reveals, whose window is the shortest, then
/// commits, then abstentions. Whoever is absent first says that it is back.
pub fn due(
    genesis: &GenesisHash,
    me: &Me,
    assignments: &[Assignment],
    decided: impl Fn(&AssignmentKey) -> Option<Entry>,
) -> Option<Action> {
    if me.must_return() {
        return Some(Action::Return);
    }
    let (mut commits, mut reveals, mut abstentions) = (Vec::new(), Vec::new(), Vec::new());
    for &Assignment { shard, attempt, state, .. } in assignments {
        match (state, decided(&(shard, attempt))) {
            (AssignmentState::Assigned { .. }, Some(Entry::Answered { answer, salt })) => {
                let commitment = commitment(genesis, shard, attempt, me.node, &answer.digest, &salt);
                commits.push(CommitEntry { shard, attempt, commitment });
            }
            (AssignmentState::Assigned { .. }, Some(Entry::Abstained(reason))) => {
                abstentions.push(AbstainEntry { shard, attempt, reason });
            }
            (AssignmentState::RevealOpen { .. }, Some(Entry::Answered { answer, salt })) => {
                reveals.push(RevealEntry { shard, attempt, answer, salt });
            }
            (AssignmentState::RevealOpen { .. }, _) => {
                error!(%shard, "committed, but the journal has no answer to reveal");
            }
            _ => {}
        }
    }
    // What does not fit goes with the next message.
    let reveal = bounded(reveals).map(|entries| Action::Reveal { entries });
    let commit = || bounded(commits).map(|entries| Action::Commit { entries });
    let abstain = || bounded(abstentions).map(|entries| Action::Abstain { entries });
    reveal.or_else(commit).or_else(abstain)
}

/// Whether the chain asks for an assignment at present.
pub fn is_asked(assignments: &[Assignment], key: &AssignmentKey) -> bool {
    assignments.iter().any(|wanted| (wanted.shard, wanted.attempt) == *key)
}

fn bounded<T>(mut entries: Vec<T>) -> Option<BoundedVec<T, MAX_ENTRIES>> {
    entries.truncate(MAX_ENTRIES);
    BoundedVec::new(entries).ok().filter(|entries| !entries.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::registry::NodeState;
    use valo_protocol::{
        AccountNumber, Digest, Duration, Timestamp, Varint,
        files::RunStatus,
        job::{Attempt, JobId, ShardKey},
        registry::NodeId,
        transaction::{AbstainReason, Answer},
    };

    const ANSWER: Answer = Answer { digest: Digest([7; 32]), status: RunStatus::Exited(0), fuel: Varint(9) };

    #[test]
    fn a_validator_asks_to_be_let_in_again_when_its_jail_is_over() {
        let asks = |state, ready, now| Me { ready, ..me(state) }.announcement(Timestamp(now));
        assert_eq!(asks(NodeState::Jailed, false, 4), None);
        assert_eq!(asks(NodeState::Jailed, false, 5), Some(Action::Unjail));
        assert_eq!(asks(NodeState::Joining, false, 4), Some(Action::Return));
        for (state, ready) in [(NodeState::Joining, true), (NodeState::Active, true), (NodeState::Tombstoned, false)] {
            assert_eq!(asks(state, ready, 9), None);
        }
    }

    fn me(state: NodeState) -> Me {
        Me {
            node: NodeId(4),
            account: AccountNumber::default(),
            nonce: 0,
            state,
            ready: true,
            jailed_until: Timestamp(5),
        }
    }

    fn assignment(job: u64, state: AssignmentState) -> Assignment {
        let shard = ShardKey { job: JobId(job), ..ShardKey::default() };
        Assignment { shard, attempt: Attempt(0), node: NodeId(4), state }
    }

    fn assigned(job: u64) -> Assignment {
        assignment(job, AssignmentState::Assigned { commit_until: Timestamp(1), left: Duration(1) })
    }

    fn opened(job: u64) -> Assignment {
        assignment(job, AssignmentState::RevealOpen { reveal_until: Timestamp(1) })
    }

    /// Job 3 could not be done, job 9 is not done yet; all others are.
    fn decided((shard, _): &AssignmentKey) -> Option<Entry> {
        match shard.job.0 {
            3 => Some(Entry::Abstained(AbstainReason::Memory)),
            9 => None,
            _ => Some(Entry::Answered { answer: ANSWER, salt: [1; 32] }),
        }
    }

    fn said(state: NodeState, assignments: &[Assignment]) -> Option<Action> {
        due(&GenesisHash::default(), &me(state), assignments, decided)
    }

    #[test]
    fn reveals_go_before_commits_and_commits_before_abstentions() {
        let all = [assigned(3), assigned(1), opened(2), assigned(9)];
        let Some(Action::Reveal { entries }) = said(NodeState::Active, &all) else { panic!("no reveal") };
        assert_eq!(entries.iter().map(|entry| entry.shard.job.0).collect::<Vec<_>>(), [2]);
        let Some(Action::Commit { entries }) = said(NodeState::Active, &all[..2]) else { panic!("no commit") };
        let expected =
            commitment(&GenesisHash::default(), entries[0].shard, Attempt(0), NodeId(4), &ANSWER.digest, &[1; 32]);
        assert_eq!((entries.len(), entries[0].shard.job.0, entries[0].commitment), (1, 1, expected));
        let Some(Action::Abstain { entries }) = said(NodeState::Active, &all[..1]) else { panic!("no abstention") };
        assert_eq!(entries[0].reason, AbstainReason::Memory);
    }

    #[test]
    fn nothing_is_said_of_what_is_undecided_or_over() {
        assert_eq!(said(NodeState::Active, &[assigned(9), opened(9), opened(3)]), None);
        assert_eq!(said(NodeState::Active, &[assignment(1, AssignmentState::Committed)]), None);
        assert_eq!(said(NodeState::Active, &[assignment(1, AssignmentState::Over)]), None);
    }

    #[test]
    fn whoever_is_absent_first_says_that_it_is_back() {
        assert_eq!(said(NodeState::Absent, &[opened(2)]), Some(Action::Return));
    }

    #[test]
    fn what_does_not_fit_goes_with_the_next_message() {
        let many: Vec<Assignment> = (10..).take(MAX_ENTRIES + 1).map(opened).collect();
        let Some(Action::Reveal { entries }) = said(NodeState::Active, &many) else { panic!("no reveal") };
        assert_eq!(entries.len(), MAX_ENTRIES);
    }
}
