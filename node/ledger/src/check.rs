//! Whether a block is acceptable as the next one: everything that the state says about it. Signatures of
//! transactions, the signatures in the parent's certificate and the wall clock are the caller's to check.

use crate::{
    BlockError, LedgerError, admission::Admission, head::Head, overlay::Overlay, registry, store::Store, validators,
};
use std::sync::Arc;
use valo_protocol::{
    Amount, Block, Header, Parameters, ValidatorSet,
    encoding::encode,
    hash::{GenesisHash, Hash},
    vote::Certificate,
    vrf::{self, VrfOutput},
};

/// Checks header and certificate against the head; gives the proposer's random output.
pub(crate) fn header(
    store: &dyn Store,
    genesis: &GenesisHash,
    params: &Parameters,
    head: &Head,
    block: &Block,
) -> Result<VrfOutput, BlockError> {
    let header = &block.header;
    if header.version != Header::VERSION {
        return Err(BlockError::Version(header.version));
    }
    if header.height != head.height.next() {
        return Err(BlockError::Height { expected: head.height.next(), found: header.height });
    }
    if header.parent != head.block {
        return Err(BlockError::Parent { expected: head.block, found: header.parent });
    }
    if header.time <= head.time {
        return Err(BlockError::Time { parent: head.time, found: header.time });
    }
    let expected = head.proposer(header.round).map(|validator| validator.key);
    if expected != Some(header.proposer) {
        return Err(BlockError::Proposer { expected, found: header.proposer });
    }
    if header.state != head.state_root {
        return Err(BlockError::State { expected: head.state_root, found: header.state });
    }
    let expected = validators::next_set(store, params, head, header.time)?.map(|set| set.hash());
    if header.next_validators != expected {
        return Err(BlockError::NextValidators { expected, found: header.next_validators });
    }
    if !block.is_consistent() {
        return Err(BlockError::Contents);
    }
    registry::check_all_evidence(store, genesis, head.height, &block.evidence)?.map_err(BlockError::Evidence)?;
    last_commit(head, block.last_commit.as_ref())?;
    randomness(head, header)
}

/// The proposer's random output, if its proof holds.
pub(crate) fn randomness(head: &Head, header: &Header) -> Result<VrfOutput, BlockError> {
    let input = vrf::input(&head.randomness, header.height);
    Ok(vrf::verify(&header.proposer, &input, &header.vrf_proof)?)
}

/// Checks that the certificate is for the parent and by its validators, signatures aside.
fn last_commit(head: &Head, certificate: Option<&Certificate>) -> Result<(), BlockError> {
    let wrong = |reason: &str| Err(BlockError::LastCommit(reason.to_owned()));
    let certificate = match (certificate, head.height.previous()) {
        (None, None) => return Ok(()),
        (Some(_), None) => return wrong("the first block has no certified parent"),
        (None, Some(_)) => return wrong("it is missing"),
        (Some(certificate), Some(_)) => certificate,
    };
    if certificate.height != head.height || certificate.block != head.block {
        return wrong("it is for another block");
    }
    if !certificate.signatures.is_sorted_by(|a, b| a.validator < b.validator) {
        return wrong("its signatures are not in ascending order");
    }
    match signed_power(&head.signers, certificate) {
        None => wrong("somebody signed who was no validator"),
        Some(power) if head.signers.is_quorum(power) => Ok(()),
        Some(_) => wrong("two thirds of the power or less signed it"),
    }
}

/// The power behind a certificate; none when a stranger is among the signers.
fn signed_power(set: &ValidatorSet, certificate: &Certificate) -> Option<u64> {
    certificate
        .signatures
        .iter()
        .try_fold(0u64, |power, signature| Some(power.saturating_add(set.get(&signature.validator)?.power)))
}

/// Phase 1 of a block: admits all its transactions in `state`; gives their fees.
pub(crate) fn transactions(
    state: &mut Overlay<'_>,
    params: &Arc<Parameters>,
    block: &Block,
) -> Result<Vec<Amount>, BlockError> {
    let mut admission = Admission::new(params.clone());
    let mut fees = Vec::with_capacity(block.transactions.len());
    for (index, signed) in (0u32..).zip(&block.transactions) {
        let size = encode(signed).len();
        let fee = admission.admit(state, &signed.transaction, size);
        fees.push(fee.map_err(|refusal| refusal.into_block_error(index))?);
    }
    Ok(fees)
}

/// The hash of the next validator set, as the header names it.
pub(crate) fn next_validators(
    store: &dyn Store,
    params: &Parameters,
    head: &Head,
    time: valo_protocol::Timestamp,
) -> Result<Option<Hash>, LedgerError> {
    Ok(validators::next_set(store, params, head, time)?.map(|set| set.hash()))
}
