//! The story of one shard.

use super::{add, words};
use valo_client::types::{
    AnswerExplanation, DrawExplanation, DrawnExplanation, EscalationExplanation, Moment, PassedOverExplanation,
    ShardExplanation, Standing, WaitExplanation,
};
use valo_protocol::{
    AccountNumber, Amount, Hash, Height, Timestamp,
    event::{Drawn, Event, Fault, PassedOver, ShardFailure},
    job::{Attempt, ShardIndex, StageIndex},
    registry::NodeId,
    transaction::Answer,
};

/// What is known of a shard so far.
#[derive(Debug, Default)]
pub struct ShardStory {
    waits: Vec<WaitExplanation>,
    escalations: Vec<EscalationExplanation>,
    draws: Vec<DrawExplanation>,
    answers: Vec<AnswerExplanation>,
    answer: Option<Answer>,
    failure: Option<ShardFailure>,
    decided: Option<Moment>,
}

impl ShardStory {
    /// Takes the next event of this shard.
    pub fn take(&mut self, at: Moment, event: &Event) {
        match event {
            Event::ShardDrawn { attempt, seed_height, seed, drawn, passed_over, commit_until, .. } => {
                self.drawn(at, *attempt, (*seed_height, *seed), drawn, passed_over, *commit_until);
            }
            Event::ShardWaiting { needed, available, .. } => {
                self.waits.push(WaitExplanation { at, needed: *needed, available: *available });
            }
            Event::ShardEscalated { replicas, quorum, .. } => {
                self.escalations.push(EscalationExplanation { at, replicas: *replicas, quorum: *quorum });
            }
            Event::Committed { attempt, node, .. } => {
                let part = self.part(*node, Some(*attempt));
                part.committed = Some(at);
                part.standing = Standing::Committed;
            }
            Event::Revealed { attempt, node, answer, .. } => {
                let part = self.part(*node, Some(*attempt));
                part.revealed = Some(at);
                part.answer = Some(*answer);
                part.standing = Standing::Revealed;
            }
            Event::Abstained { attempt, node, reason, .. } => {
                let part = self.part(*node, Some(*attempt));
                part.abstained = Some(*reason);
                part.standing = Standing::Abstained;
            }
            Event::Missed { attempt, node, .. } => self.part(*node, Some(*attempt)).standing = Standing::Missed,
            Event::LetGo { attempt, node, .. } => self.part(*node, Some(*attempt)).standing = Standing::LetGo,
            Event::ShardAccepted { answer, agreed, differed, .. } => {
                (self.answer, self.failure, self.decided) = (Some(*answer), None, Some(at));
                agreed.iter().for_each(|node| self.part(*node, None).standing = Standing::Agreed);
                differed.iter().for_each(|node| self.part(*node, None).standing = Standing::Differed);
            }
            Event::ShardFailed { reason, .. } => self.failed(at, *reason),
            Event::Paid { node, amount, .. } => add(&mut self.part(*node, None).paid, *amount),
            Event::Slashed { node, amount, fault, .. } => self.slashed(*node, *amount, *fault),
            _ => {}
        }
    }

    fn drawn(
        &mut self,
        at: Moment,
        attempt: Attempt,
        (seed_height, seed): (Height, Hash),
        drawn: &[Drawn],
        passed_over: &[(NodeId, PassedOver)],
        commit_until: Timestamp,
    ) {
        for Drawn { node, owner, .. } in drawn {
            self.answers.push(AnswerExplanation { owner: *owner, ..blank(*node, attempt) });
        }
        self.draws.push(DrawExplanation {
            at,
            attempt,
            seed_height,
            seed,
            drawn: drawn
                .iter()
                .map(|Drawn { node, owner, rank }| DrawnExplanation {
                    node: *node,
                    owner: *owner,
                    rank: *rank,
                    why: words::drawn(*rank, passed_over),
                })
                .collect(),
            passed_over: passed_over
                .iter()
                .map(|(node, reason)| PassedOverExplanation { node: *node, reason: *reason, why: reason.to_string() })
                .collect(),
            commit_until,
        });
    }

    fn failed(&mut self, at: Moment, reason: ShardFailure) {
        (self.failure, self.decided) = (Some(reason), Some(at));
        for part in self.answers.iter_mut().filter(|part| part.standing == Standing::Revealed) {
            part.standing = match (reason, part.answer) {
                // The workers agreed that the program does not succeed: that is a verdict too.
                (ShardFailure::Status(status), Some(answer)) if answer.status == status => Standing::Agreed,
                (ShardFailure::Status(_), Some(_)) => Standing::Differed,
                _ => Standing::NoVerdict,
            };
        }
    }

    fn slashed(&mut self, node: NodeId, amount: Amount, fault: Fault) {
        let part = self.part(node, None);
        add(&mut part.slashed, amount);
        part.fault = Some(fault);
        part.standing = match fault {
            Fault::WrongAnswer { .. } => Standing::Differed,
            Fault::NotRevealed | Fault::Mismatch => Standing::NotRevealed,
            Fault::Missed => Standing::Missed,
        };
    }

    /// A node's part in this shard: of that attempt, or its last one.
    fn part(&mut self, node: NodeId, attempt: Option<Attempt>) -> &mut AnswerExplanation {
        let known = self
            .answers
            .iter()
            .rposition(|part| part.node == node && attempt.is_none_or(|attempt| part.attempt == attempt));
        let place = known.unwrap_or_else(|| {
            // Only when its draw is before the first event that this node has.
            self.answers.push(blank(node, attempt.unwrap_or_default()));
            self.answers.len().saturating_sub(1)
        });
        #[allow(clippy::indexing_slicing, reason = "the place was found or made two lines above")]
        &mut self.answers[place]
    }

    /// The explanation; `over` says that the job as a whole will not change any more.
    pub fn tell(mut self, stage: StageIndex, stage_name: String, shard: ShardIndex, over: bool) -> ShardExplanation {
        let accepted = self.answer.is_some();
        for part in &mut self.answers {
            let open = matches!(part.standing, Standing::Working | Standing::Committed | Standing::Revealed);
            if open && over {
                part.standing = Standing::NoVerdict;
            }
            part.why = words::standing(part, accepted);
        }
        let summary = words::shard(&self.answers, self.answer.as_ref(), self.failure, self.decided, self.waits.last());
        ShardExplanation {
            stage,
            stage_name,
            shard,
            summary,
            answer: self.answer,
            decided: self.decided,
            failure: self.failure,
            waits: self.waits,
            escalations: self.escalations,
            draws: self.draws,
            answers: self.answers,
        }
    }
}

fn blank(node: NodeId, attempt: Attempt) -> AnswerExplanation {
    AnswerExplanation {
        node,
        owner: AccountNumber::default(),
        attempt,
        standing: Standing::Working,
        why: String::new(),
        committed: None,
        revealed: None,
        answer: None,
        abstained: None,
        paid: Amount::ZERO,
        slashed: Amount::ZERO,
        fault: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::{Digest, Varint, files::RunStatus, job::ShardKey};

    #[test]
    fn a_shard_that_failed_has_no_accepted_answer() {
        let at = Moment { height: Height(7), time: Timestamp(1) };
        let shard = ShardKey::default();
        let mut story = ShardStory::default();
        for (node, code) in [(1, 4), (2, 4), (3, 0)] {
            let (node, attempt) = (NodeId(node), Attempt(0));
            let answer = Answer { digest: Digest::default(), fuel: Varint(1), status: RunStatus::Exited(code) };
            story.take(at, &Event::Revealed { shard, attempt, node, answer });
        }
        story.take(at, &Event::ShardFailed { shard, reason: ShardFailure::Status(RunStatus::Exited(4)) });
        let told = story.tell(StageIndex(0), "one".to_owned(), ShardIndex(0), true);
        assert_eq!(told.summary, "failed at height 7: exit code 4; node 3 differed");
        let why: Vec<&str> = told.answers.iter().map(|part| part.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "its answer is that of the quorum: exit code 4",
                "its answer is that of the quorum: exit code 4",
                "its answer is not that of the quorum",
            ]
        );
    }
}
