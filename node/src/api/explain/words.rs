//! The same in sentences.

use valo_client::types::{AnswerExplanation, Moment, PhaseName, Standing, WaitExplanation};
use valo_protocol::{
    Amount, JobContract,
    event::{JobPhase, PassedOver, ShardFailure},
    job::Verification,
    params::Disjoint,
    registry::NodeId,
    transaction::Answer,
};

/// What agreement of replicas is worth on a network.
pub fn worth(verification: Verification, disjoint: Disjoint) -> String {
    let Verification::Replicated { replicas, quorum } = verification;
    if quorum <= 1 {
        return "one answer was enough: nothing was compared, and the result is worth what that one worker's word is"
            .to_owned();
    }
    match disjoint {
        Disjoint::Owner => format!(
            "the {replicas} replicas of a shard have {replicas} different owners, drawn by the chain: a wrong answer passes only if {quorum} of them agree on it"
        ),
        Disjoint::Node => format!(
            "the {replicas} replicas of a shard are on different nodes, but may have one owner: that {quorum} agree shows that machines work alike, and says nothing about the honesty of an owner of several"
        ),
    }
}

/// A job in one or two sentences.
pub fn job(
    contract: &JobContract,
    phase: JobPhase,
    submitted: Option<Moment>,
    phases: &[(Moment, JobPhase)],
    paid: Amount,
    slashed: Amount,
) -> String {
    let mut text = format!(
        "`{}`: {} {}, {} {}",
        contract.name,
        contract.total_shards(),
        plural(contract.total_shards(), "shard", "shards"),
        contract.stages.len(),
        plural(u32::try_from(contract.stages.len()).unwrap_or(u32::MAX), "stage", "stages"),
    );
    let since = phases.last().map(|(moment, _)| *moment);
    match phase {
        JobPhase::Failed(reason) => text.push_str(&format!("; failed: {reason}")),
        other => text.push_str(&format!("; {}", PhaseName::from(&other))),
    }
    if let (Some(start), Some(end), true) = (submitted, since, phase.is_over()) {
        text.push_str(&format!(" after {}", seconds(end.time.since(start.time).0)));
    }
    text.push_str(&format!(". Workers were paid {paid} VALO"));
    if !slashed.is_zero() {
        text.push_str(&format!("; {slashed} VALO of stake was taken for faults"));
    }
    text.push('.');
    text
}

/// A shard in one or two sentences.
pub fn shard(
    answers: &[AnswerExplanation],
    answer: Option<&Answer>,
    failure: Option<ShardFailure>,
    decided: Option<Moment>,
    wait: Option<&WaitExplanation>,
) -> String {
    let count = |standing| answers.iter().filter(|part| part.standing == standing).count();
    let (agreed, differed) = (count(Standing::Agreed), count(Standing::Differed));
    let height = decided.map(|moment| format!(" at height {}", moment.height)).unwrap_or_default();
    let mut text = match (answer, failure) {
        (Some(answer), _) => {
            format!("accepted{height}: {agreed} of {} agreed on {}", answers.len(), answer.digest.short())
        }
        (None, Some(failure)) => format!("failed{height}: {failure}"),
        (None, None) if answers.is_empty() => match wait {
            Some(wait) => format!("waits for {} free slots; {} are free", wait.needed, wait.available),
            None => "waits for its draw".to_owned(),
        },
        (None, None) => {
            let revealed = answers.iter().filter(|part| part.revealed.is_some()).count();
            let committed = answers.iter().filter(|part| part.committed.is_some()).count();
            format!("{} drawn, {committed} committed, {revealed} revealed; no verdict yet", answers.len())
        }
    };
    let mut others = Vec::new();
    for (standing, words) in [
        (Standing::Differed, "differed"),
        (Standing::NotRevealed, "committed and did not reveal it"),
        (Standing::Missed, "did not answer"),
        (Standing::Abstained, "abstained"),
        (Standing::LetGo, "let go"),
    ] {
        let nodes: Vec<String> =
            answers.iter().filter(|part| part.standing == standing).map(|part| format!("node {}", part.node)).collect();
        if !nodes.is_empty() {
            others.push(format!("{} {words}", nodes.join(", ")));
        }
    }
    if !others.is_empty() {
        text.push_str(&format!("; {}", others.join("; ")));
    }
    if differed == 0 && answer.is_some() && others.is_empty() {
        text.push_str(", nobody differed");
    }
    text
}

/// Why a node was drawn.
pub fn drawn(rank: u16, passed_over: &[(NodeId, PassedOver)]) -> String {
    let stepped_over = passed_over.iter().filter(|(_, reason)| *reason != PassedOver::Rank).count();
    let mut text = format!("rank {rank} in the order that the seed gives");
    if stepped_over > 0 {
        text.push_str(", after those passed over");
    }
    text
}

/// Where a node stands, in a sentence. A shard that failed has no accepted answer: its quorum agreed that the program did
/// not succeed.
pub fn standing(part: &AnswerExplanation, accepted: bool) -> String {
    let mut text = match part.standing {
        Standing::Working => "works on it".to_owned(),
        Standing::Committed => "committed; reveals are not in yet".to_owned(),
        Standing::Revealed => "revealed; there is no verdict yet".to_owned(),
        Standing::Agreed if accepted => "its answer is the accepted one".to_owned(),
        Standing::Differed if accepted => "its answer is not the accepted one".to_owned(),
        Standing::Agreed => match part.answer {
            Some(answer) => format!("its answer is that of the quorum: {}", answer.status),
            None => "its answer is that of the quorum".to_owned(),
        },
        Standing::Differed => "its answer is not that of the quorum".to_owned(),
        Standing::Abstained => match part.abstained {
            Some(reason) => format!("abstained: {reason}"),
            None => "abstained".to_owned(),
        },
        Standing::Missed => "neither answered nor abstained in time".to_owned(),
        Standing::NotRevealed => match part.fault {
            Some(fault) => fault.to_string(),
            None => "committed and did not reveal".to_owned(),
        },
        Standing::LetGo => "was let go without penalty: a quorum was there long before it".to_owned(),
        Standing::NoVerdict => "the shard ended without a verdict on its answer".to_owned(),
    };
    if let Some(committed) = part.committed {
        text.push_str(&format!("; committed at height {}", committed.height));
        if let Some(revealed) = part.revealed {
            text.push_str(&format!(", revealed at height {}", revealed.height));
        }
    }
    if !part.paid.is_zero() {
        text.push_str(&format!("; paid {} VALO", part.paid));
    }
    if !part.slashed.is_zero() {
        text.push_str(&format!("; lost {} VALO of stake", part.slashed));
    }
    text
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

fn plural<'a>(count: u32, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
