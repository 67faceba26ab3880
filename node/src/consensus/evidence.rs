//! Faults that the engine saw, as proofs that anybody can check.

use super::context::Context;
use malachitebft_core_consensus::MisbehaviorEvidence;
use valo_protocol::vote::Evidence;

/// The engine's evidence in the form of the protocol. The engine also reports a proposal that came twice;
/// only two for different blocks are a fault.
pub fn evidence_of(found: &MisbehaviorEvidence<Context>) -> Vec<Evidence> {
    let votes = found.votes.iter().flat_map(|(_, pairs)| pairs).map(|(first, second)| Evidence::Votes {
        first: (first.message.protocol(), first.signature),
        second: (second.message.protocol(), second.signature),
    });
    let proposals = found.proposals.iter().flat_map(|(_, pairs)| pairs).map(|(first, second)| Evidence::Proposals {
        first: (first.message.protocol(), first.signature),
        second: (second.message.protocol(), second.signature),
    });
    votes.chain(proposals).filter(is_fault).collect()
}

fn is_fault(evidence: &Evidence) -> bool {
    match evidence {
        Evidence::Votes { first: (first, _), second: (second, _) } => first.block != second.block,
        Evidence::Proposals { first: (first, _), second: (second, _) } => first.block != second.block,
    }
}
