//! One simulated node: the consensus core, the chain, the log and the timers, wired as the engine wires them.

use crate::{log::Log, pool::Pool, random::Random, scenario::Micros, wire::Message};
use bytes::Bytes;
use futures::FutureExt as _;
use malachitebft_core_consensus::{
    ConsensusMsg, Effect, Error, Input, LivenessMsg, LocallyProposedValue, Params, PeerId, ProposedValue, Resumable,
    Resume, SignedConsensusMsg, State, process,
};
use malachitebft_core_types::{
    self as engine, Round, SignedMessage, Timeout, Validity, ValueOrigin, ValuePayload, ValueResponse,
    VoteExtensionPolicy,
};
use malachitebft_metrics::Metrics;
use malachitebft_signing::VerifierExt as _;
use std::{collections::BTreeMap, sync::Arc};
use valo::{
    chain::{Chain, FinalizedBlock, MemoryDisk, Offer, Stream},
    consensus::{
        codec::{certificate_of, engine_certificate},
        context::{Address, Context, Height, Value, engine_round, round_of},
        evidence::evidence_of,
        signing::{ChainVerifier, NodeSigner},
        timeouts, validators_after,
    },
};
use valo_protocol::{Genesis, SecretKey, Timestamp, vote::Certificate, vote::Evidence};

/// What a step of a node leads to.
#[derive(Debug)]
pub enum Output {
    /// To all others.
    Send(Message),
    /// To one other.
    SendTo(usize, Message),
    /// A block on its way, in parts; to be seen by whoever plays with two faces.
    Stream(Stream),
    /// A signed vote or proposal, for the judge.
    Published(SignedConsensusMsg<Context>),
    /// Back to this node, soon.
    Local(Local),
    /// A timer is set.
    Timer(Timeout, u64, Micros),
    /// A block is final; with the state after it.
    Finalized(Arc<FinalizedBlock>, valo_protocol::Hash),
    /// Faults were found.
    Faults(Vec<Evidence>),
    /// The power went in the midst of the step.
    Fell,
}

/// What a node tells itself.
#[derive(Debug, Clone)]
pub enum Local {
    /// An input for the core.
    Input(Box<Input<Context>>),
    /// The next height may be due.
    Due,
}

/// What survives a fall.
#[derive(Debug)]
pub struct Machine {
    /// Its number.
    pub index: usize,
    /// Its key.
    pub key: SecretKey,
    /// Its disk.
    pub disk: MemoryDisk,
    /// Its log.
    pub log: Log,
    /// The rest, while it has power.
    pub live: Option<Live>,
    /// How often it has risen.
    pub life: u64,
}

/// What does not survive.
pub struct Live {
    core: State<Context>,
    /// The core counts what nobody reads here.
    metrics: Metrics,
    chain: Chain<MemoryDisk>,
    /// Its mempool.
    pub pool: Pool,
    timers: BTreeMap<(u8, u32), u64>,
    set: u64,
    recovering: bool,
    /// The height is over and the next one has not started; others may have.
    hold: Option<bool>,
    fetched: BTreeMap<valo_protocol::Height, (Bytes, Certificate)>,
    asked: Micros,
    /// When it looks again whether the next height is due.
    alarm: Micros,
    fell: bool,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Live(at height {})", self.chain.next_height())
    }
}

/// The circumstances of a step.
#[derive(Debug)]
pub struct Step<'a> {
    /// Virtual time.
    pub now: Micros,
    /// The node's clock.
    pub clock: Timestamp,
    /// Chance.
    pub random: &'a mut Random,
    /// How often of a thousand effects the power goes.
    pub sudden_falls: u64,
    /// What comes of it.
    pub outputs: Vec<Output>,
}

type CoreError = Error<Context>;

impl Machine {
    /// Power on: the chain opens from disk, the log is replayed.
    pub fn rise(&mut self, genesis: &Arc<Genesis>, step: &mut Step<'_>) {
        self.life += 1;
        let pool = Pool::new(genesis.hash());
        let disk = self.disk.clone();
        let chain =
            Chain::open(genesis.clone(), self.key.clone(), disk.clone(), Arc::new(disk), Arc::new(pool.clone()))
                .unwrap_or_else(|error| panic!("node {} does not open its chain: {error}", self.index));
        let params = Params {
            address: Address(self.key.public()),
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let height = Height(chain.next_height());
        let core = State::new(Context, height, validators_after(chain.head()), params, 10, 500);
        self.live = Some(Live {
            core,
            metrics: Metrics::new(),
            chain,
            pool,
            timers: BTreeMap::new(),
            set: self.life << 32,
            recovering: false,
            hold: None,
            fetched: BTreeMap::new(),
            asked: 0,
            alarm: 0,
            fell: false,
        });
        self.start_height(step);
    }

    /// Power off.
    pub fn fall(&mut self, random: &mut Random) {
        self.live = None;
        self.log.fall(random);
    }

    /// The last finalized height.
    pub fn height(&self) -> Option<valo_protocol::Height> {
        self.live.as_ref().map(|live| live.chain.head().height)
    }

    fn start_height(&mut self, step: &mut Step<'_>) {
        let Some(live) = &mut self.live else { return };
        live.hold = None;
        let height = Height(live.chain.next_height());
        let entries = self.log.start(height.0);
        let validators = validators_after(live.chain.head());
        let start = Input::StartHeight(height, validators, false, None, VoteExtensionPolicy::Disabled);
        self.input(step, start);
        if !entries.is_empty() {
            if let Some(live) = &mut self.live {
                live.recovering = true;
                live.core.index_wal_entries(&entries);
            }
            for entry in entries {
                self.input(step, entry);
            }
            if let Some(live) = &mut self.live {
                live.recovering = false;
                live.core.reset_entries_index();
            }
        }
        self.feed_fetched(step);
    }

    /// Takes a message from the network.
    pub fn receive(&mut self, step: &mut Step<'_>, from: usize, message: Message) {
        let Some(live) = &mut self.live else { return };
        if message.height().is_some_and(|height| height >= live.chain.next_height())
            && let Some(started) = &mut live.hold
        {
            *started = true;
        }
        match message {
            Message::Core(input) => self.input(step, input),
            Message::Part { stream, sequence, part } => {
                let offer = live.chain.receive(&[from as u8], &stream, sequence, part, step.clock);
                match offer {
                    Ok(Some(offer)) => {
                        self.work_ahead(step);
                        self.input(step, Input::ProposedValue(proposed(offer), ValueOrigin::Consensus));
                    }
                    Ok(None) => {}
                    Err(error) => panic!("node {}: {error}", self.index),
                }
            }
            Message::Transaction(transaction) => live.pool.add(transaction),
            Message::Status(height) => {
                let next = live.chain.next_height();
                if height >= next && step.now >= live.asked {
                    live.asked = step.now + 300_000;
                    step.outputs.push(Output::SendTo(from, Message::Fetch(next)));
                }
            }
            Message::Fetch(height) => {
                let mut blocks = Vec::new();
                let mut height = height;
                while let Ok(Some((block, certificate))) = live.chain.decided(height)
                    && blocks.len() < 20
                {
                    blocks.push((Bytes::from(block.to_bytes()), certificate));
                    height = height.next();
                }
                step.outputs.push(Output::SendTo(from, Message::Fetched(blocks)));
            }
            Message::Fetched(blocks) => {
                for (bytes, certificate) in blocks {
                    live.fetched.insert(certificate.height, (bytes, certificate));
                }
                live.asked = step.now;
                self.feed_fetched(step);
            }
        }
        self.start_if_due(step);
    }

    /// Takes a message from itself.
    pub fn local(&mut self, step: &mut Step<'_>, local: Local) {
        match local {
            Local::Input(input) => self.input(step, *input),
            Local::Due => {}
        }
        self.start_if_due(step);
    }

    /// A timer went off.
    pub fn timer(&mut self, step: &mut Step<'_>, timeout: Timeout, token: u64) {
        let Some(live) = &mut self.live else { return };
        let key = timer_key(&timeout);
        if live.timers.get(&key) == Some(&token) {
            live.timers.remove(&key);
            self.input(step, Input::TimeoutElapsed(timeout));
        }
        self.start_if_due(step);
    }

    fn start_if_due(&mut self, step: &mut Step<'_>) {
        let Some(live) = &mut self.live else { return };
        let Some(started) = live.hold else { return };
        let due = live.chain.due();
        if started || due <= step.clock {
            self.start_height(step);
        } else if let wait = due.since(step.clock).0.max(1) * 1000
            && live.alarm != step.now + wait
        {
            // Asked again whenever something happens; at the latest then.
            live.alarm = step.now + wait;
            step.outputs.push(Output::Timer(Timeout::finalize_height(Round::new(0), Default::default()), 0, wait));
        }
    }

    fn feed_fetched(&mut self, step: &mut Step<'_>) {
        let Some(live) = &mut self.live else { return };
        let next = live.chain.next_height();
        live.fetched.retain(|height, _| *height >= next);
        if live.core.height().0 != next || live.hold.is_some() {
            if let Some(started) = &mut live.hold
                && live.fetched.contains_key(&next)
            {
                *started = true;
            }
            return;
        }
        if let Some((bytes, certificate)) = live.fetched.remove(&next) {
            let peer = PeerId::from_bytes(&[0, 2, 0, 0]).unwrap_or_else(|error| panic!("{error}"));
            let response = ValueResponse::new(peer, bytes, engine_certificate(&certificate));
            self.input(step, Input::SyncValueResponse(response));
        }
    }

    fn work_ahead(&mut self, step: &mut Step<'_>) {
        if let Some(live) = &mut self.live
            && step.random.chance(500)
            && let Err(error) = live.chain.work_ahead()
        {
            panic!("node {}: {error}", self.index);
        }
    }

    /// Drives the core with one input.
    fn input(&mut self, step: &mut Step<'_>, input: Input<Context>) {
        let index = self.index;
        let genesis = match &self.live {
            Some(live) if !live.fell => live.chain.ledger().genesis_hash(),
            _ => return,
        };
        let Some(live) = &mut self.live else { return };
        let Live { core, metrics, chain, timers, set, recovering, hold, fell, .. } = live;
        let mut hands = Hands {
            index,
            signer: NodeSigner::new(self.key.clone(), genesis),
            verifier: ChainVerifier::new(genesis),
            chain,
            timers,
            set,
            recovering: *recovering,
            hold,
            fell,
            log: &mut self.log,
            step,
        };
        let result: Result<(), CoreError> = process!(
            input: input,
            state: core,
            metrics: metrics,
            with: effect => Ok::<_, CoreError>(hands.handle(effect))
        );
        if let Err(error) = result
            && !*hands.fell
        {
            panic!("node {index}: the core fails: {error}");
        }
    }
}

fn timer_key(timeout: &Timeout) -> (u8, u32) {
    use malachitebft_core_types::TimeoutKind;
    let kind = match timeout.kind {
        TimeoutKind::Propose => 0,
        TimeoutKind::Prevote => 1,
        TimeoutKind::Precommit => 2,
        TimeoutKind::Rebroadcast => 3,
        TimeoutKind::FinalizeHeight(_) => 4,
    };
    (kind, timeout.round.as_u32().unwrap_or(u32::MAX))
}

fn proposed(offer: Offer) -> ProposedValue<Context> {
    let Offer { proposal, valid } = offer;
    ProposedValue {
        height: Height(proposal.height),
        round: engine_round(proposal.round),
        valid_round: proposal.valid_round.map_or(Round::Nil, engine_round),
        proposer: Address(proposal.proposer),
        value: Value(proposal.block),
        validity: Validity::from_bool(valid),
    }
}

/// What the core's effects work on.
struct Hands<'a, 'b> {
    index: usize,
    signer: NodeSigner,
    verifier: ChainVerifier,
    chain: &'a mut Chain<MemoryDisk>,
    timers: &'a mut BTreeMap<(u8, u32), u64>,
    set: &'a mut u64,
    recovering: bool,
    hold: &'a mut Option<bool>,
    fell: &'a mut bool,
    log: &'a mut Log,
    step: &'a mut Step<'b>,
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

    fn handle(&mut self, effect: Effect<Context>) -> Resume<Context> {
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
            self.local(Input::ProposedValue(proposed(offer), ValueOrigin::Consensus));
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
                self.local(Input::ProposedValue(proposed(offer), ValueOrigin::Sync));
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
