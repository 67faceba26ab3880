//! What the effects of the core do: to the chain, the log and the timers of its node.

use super::{Local, Output, Step, timer_key};
use crate::{log::Log, wire::Message};
use futures::FutureExt as _;
use malachitebft_core_consensus::{
    ConsensusMsg, Effect, Input, LivenessMsg, LocallyProposedValue, Resumable, Resume, SignedConsensusMsg,
};
use malachitebft_core_types::{self as engine, Round, SignedMessage, ValueOrigin, ValueResponse};
use malachitebft_signing::VerifierExt as _;
use std::collections::BTreeMap;
use valo::{
    chain::{Chain, MemoryDisk},
    consensus::{
        codec::certificate_of,
        context::{Context, Height, Value, round_of},
        evidence::evidence_of,
        proposed_value,
        signing::{ChainVerifier, NodeSigner},
        timeouts,
    },
};

/// What the core's effects work on.
pub(super) struct Hands<'a, 'b> {
    pub index: usize,
    pub signer: NodeSigner,
    pub verifier: ChainVerifier,
    pub chain: &'a mut Chain<MemoryDisk>,
    pub timers: &'a mut BTreeMap<(u8, u32), u64>,
    pub set: &'a mut u64,
    pub recovering: bool,
    pub hold: &'a mut Option<bool>,
    pub fell: &'a mut bool,
    pub log: &'a mut Log,
    pub step: &'a mut Step<'b>,
}

impl Hands<'_, '_> {
    fn output(&mut self, output: Output) {
        if !*self.fell {
            self.step.outputs.push(output);
        }
    }

    fn local(&mut self, input: Input<Context>) {
        self.output(Output::Local(Local::Input(Box::new(input))));
    }

    fn chain_fails(&self, error: &dyn std::fmt::Display) -> ! {
        panic!("node {}: {error}", self.index)
    }

    pub fn handle(&mut self, effect: Effect<Context>) -> Resume<Context> {
        // Between any two effects the power may go: what follows does not happen.
        if !*self.fell && self.step.random.chance(self.step.sudden_falls) {
            self.output(Output::Fell);
            *self.fell = true;
        }
        match effect {
            Effect::CancelAllTimeouts(resume) => {
                self.timers.clear();
                resume.resume_with(())
            }
            Effect::CancelTimeout(timeout, resume) => {
                self.timers.remove(&timer_key(&timeout));
                resume.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, resume) => {
                *self.set += 1;
                let token = *self.set;
                self.timers.insert(timer_key(&timeout), token);
                let wait = timeouts().duration_for(timeout).as_micros() as u64;
                self.output(Output::Timer(timeout, token, wait));
                resume.resume_with(())
            }
            Effect::StartRound(height, round, _, _, resume) => {
                self.flush();
                self.started_round(height, round);
                resume.resume_with(())
            }
            Effect::GetValue(height, round, _, resume) => {
                self.get_value(height, round);
                resume.resume_with(())
            }
            Effect::RestreamProposal(height, round, valid_round, proposer, value, resume) => {
                if let Some(round) = round_of(round)
                    && let Some(stream) =
                        self.chain.restream(height.0, round, round_of(valid_round), proposer.0, value.0)
                {
                    self.output(Output::Stream(stream));
                }
                resume.resume_with(())
            }
            Effect::PublishConsensusMsg(message, resume) => {
                self.flush();
                self.output(Output::Published(message.clone()));
                self.output(Output::Send(Message::Core(match message {
                    SignedConsensusMsg::Vote(vote) => Input::Vote(vote),
                    SignedConsensusMsg::Proposal(proposal) => Input::Proposal(proposal),
                })));
                resume.resume_with(())
            }
            Effect::PublishLivenessMsg(message, resume) => {
                self.output(Output::Send(Message::Core(match message {
                    LivenessMsg::Vote(vote) => Input::Vote(vote),
                    LivenessMsg::PolkaCertificate(certificate) => Input::PolkaCertificate(certificate),
                    LivenessMsg::SkipRoundCertificate(certificate) => Input::RoundCertificate(certificate),
                })));
                resume.resume_with(())
            }
            Effect::RepublishVote(vote, resume) => {
                self.output(Output::Send(Message::Core(Input::Vote(vote))));
                resume.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, resume) => {
                self.output(Output::Send(Message::Core(Input::RoundCertificate(certificate))));
                resume.resume_with(())
            }
            Effect::CertVerifiedSyncValue(response, _, resume) => {
                self.synced(&response);
                resume.resume_with(())
            }
            Effect::CertRejectedSyncValue(_, height, error, _) => {
                self.chain_fails(&format!("an honest node's certificate of height {height} is refused: {error}"));
            }
            Effect::Decide(certificate, _, resume) => {
                self.flush();
                self.decide(&certificate);
                resume.resume_with(())
            }
            Effect::Finalize(_, _, evidence, resume) => {
                if !*self.fell {
                    let faults = evidence_of(&evidence);
                    self.chain.keep_evidence(&faults).unwrap_or_else(|error| self.chain_fails(&error));
                    self.output(Output::Faults(faults));
                    *self.hold = Some(false);
                    self.output(Output::Local(Local::Due));
                }
                resume.resume_with(())
            }
            Effect::WalAppend(height, entry, resume) => {
                if !self.recovering && !*self.fell {
                    self.log.append(height.0, entry);
                }
                resume.resume_with(())
            }
            Effect::SignVote(vote, resume) => {
                let signature = self.signer.vote(&vote);
                resume.resume_with(SignedMessage::new(vote, signature))
            }
            Effect::SignProposal(proposal, resume) => {
                let signature = self.signer.proposal(&proposal);
                resume.resume_with(SignedMessage::new(proposal, signature))
            }
            other => self.verify(other),
        }
    }

    fn verify(&mut self, effect: Effect<Context>) -> Resume<Context> {
        let verifier = self.verifier;
        match effect {
            Effect::VerifySignature(message, key, resume) => {
                let good = match &message.message {
                    ConsensusMsg::Vote(vote) => verifier.vote(vote, &message.signature, &key),
                    ConsensusMsg::Proposal(proposal) => verifier.proposal(proposal, &message.signature, &key),
                };
                resume.resume_with(good)
            }
            Effect::VerifyCommitCertificate(certificate, set, thresholds, resume) => resume
                .resume_with(at_once(verifier.verify_commit_certificate(&Context, &certificate, &set, thresholds))),
            Effect::VerifyExtendedCommitCertificate(certificate, set, thresholds, policy, resume) => resume
                .resume_with(at_once(verifier.verify_extended_commit_certificate(
                    &Context,
                    &certificate,
                    &set,
                    thresholds,
                    policy,
                ))),
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, resume) => {
                resume.resume_with(at_once(verifier.verify_polka_certificate(&Context, &certificate, &set, thresholds)))
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, resume) => {
                resume.resume_with(at_once(verifier.verify_round_certificate(&Context, &certificate, &set, thresholds)))
            }
            Effect::ExtendVote(_, _, _, _, resume) => resume.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, resume) => {
                resume.resume_with(Err(malachitebft_core_consensus::VoteExtensionError::InvalidVoteExtension))
            }
            other => panic!("an effect nobody handles: {other:?}"),
        }
    }

    fn flush(&mut self) {
        if !self.recovering && !*self.fell {
            self.log.flush();
        }
    }

    fn started_round(&mut self, height: Height, round: Round) {
        let (Some(round), false) = (round_of(round), *self.fell) else { return };
        if height.0 != self.chain.next_height() {
            return;
        }
        let offers = self.chain.enter_round(round, self.step.clock).unwrap_or_else(|error| self.chain_fails(&error));
        for offer in offers {
            self.local(Input::ProposedValue(proposed_value(offer), ValueOrigin::Consensus));
        }
    }

    fn get_value(&mut self, height: Height, round: Round) {
        let (Some(protocol_round), false) = (round_of(round), *self.fell) else { return };
        let stream =
            self.chain.propose(protocol_round, self.step.clock).unwrap_or_else(|error| self.chain_fails(&error));
        self.local(Input::Propose(LocallyProposedValue::new(height, round, Value(stream.block))));
        self.output(Output::Stream(stream));
    }

    fn synced(&mut self, response: &ValueResponse<Context>) {
        let certificate = &response.certificate;
        let (Some(round), false) = (round_of(certificate.round), *self.fell) else { return };
        let offer = self.chain.receive_decided(certificate.height.0, round, &response.value_bytes);
        match offer {
            Ok(Some(offer)) => {
                if !offer.valid {
                    self.chain_fails(&format!("a decided block is refused at height {}", certificate.height));
                }
                self.local(Input::ProposedValue(proposed_value(offer), ValueOrigin::Sync));
            }
            Ok(None) => {}
            Err(error) => self.chain_fails(&error),
        }
    }

    fn decide(&mut self, certificate: &engine::CommitCertificate<Context>) {
        if *self.fell {
            return;
        }
        let certificate = certificate_of(certificate).unwrap_or_else(|error| self.chain_fails(&error));
        let finalized = self.chain.decide(certificate).unwrap_or_else(|error| self.chain_fails(&error));
        let state = self.chain.head().state_root;
        self.output(Output::Finalized(finalized, state));
    }
}

/// The answer of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap_or_else(|| panic!("verification waits for something"))
}
