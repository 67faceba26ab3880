//! One simulated node: the consensus core, the chain, the log and the timers, wired as the engine wires them.

mod hands;

use crate::{log::Log, pool::Pool, random::Random, scenario::Micros, wire::Message};
use bytes::Bytes;
use hands::Hands;
use malachitebft_core_consensus::{Error, Input, Params, PeerId, SignedConsensusMsg, State, process};
use malachitebft_core_types::{Round, Timeout, ValueOrigin, ValuePayload, ValueResponse, VoteExtensionPolicy};
use malachitebft_metrics::Metrics;
use std::{collections::BTreeMap, sync::Arc};
use valo::{
    chain::{Chain, FinalizedBlock, MemoryDisk, Stream},
    consensus::{
        codec::engine_certificate,
        context::{Address, Context, Height},
        newcomer::Newcomer,
        proposed_value,
        signing::{ChainVerifier, NodeSigner},
        validators_after,
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
    /// Its disk is new, and what it signed before is not known: it follows.
    pub newcomer: Option<Newcomer>,
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
        let pool = Pool::new(genesis.hash(), self.disk.clone());
        let disk = self.disk.clone();
        let chain =
            Chain::open(genesis.clone(), self.key.clone(), disk.clone(), Arc::new(disk), Arc::new(pool.clone()))
                .unwrap_or_else(|error| panic!("node {} does not open its chain: {error}", self.index));
        let params = Params {
            address: Address(self.key.public()),
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: self.newcomer.is_none(),
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

    /// What is on its disk is lost, its record of what it signed too. `guarded` means that it minds that.
    pub fn wipe(&mut self, genesis: &Genesis, clock: Timestamp, guarded: bool) {
        self.disk = MemoryDisk::with_genesis(genesis).unwrap_or_else(|error| panic!("{error}"));
        self.log = Log::default();
        self.newcomer = guarded.then(|| Newcomer::new(clock));
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
                        self.input(step, Input::ProposedValue(proposed_value(offer), ValueOrigin::Consensus));
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
