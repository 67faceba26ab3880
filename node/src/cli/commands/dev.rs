//! `valo dev`: a network on this machine, in the foreground, with a profile so that other shells just work.

use crate::cli::{
    context::Context,
    devnet::{DevNetwork, Shape},
    human,
    keys::{KeyFile, StoreError},
    lent::Lent,
    output::{Format, Table, cell, phase_word, print},
    profile::{Profile, check_name},
    progress,
};
use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt;
use indicatif::ProgressBar;
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use valo_client::{
    Client, EventStream,
    types::{EventFilter, EventRecord},
};
use valo_protocol::{Height, PublicKey, SecretKey, event::Event, registry::NodeState};

/// How often the live view asks for the height.
const TICK: Duration = Duration::from_millis(500);
/// Between two lines about the height where no line can be drawn anew.
const HEIGHT_LINES: u64 = 60;
/// How long the live view waits for a node that does not answer.
const PATIENCE: Duration = Duration::from_secs(3600);

const EXAMPLES: &str = "\
Examples:
  valo dev                                      4 validators, 8 workers in tiers small and large
  valo dev --validators 1 --workers 3 --tiers small
  valo dev --home network                       keeps the chain; the same again goes on with it

In another shell:
  valo account show
  valo send 5 --to <number or key>
  valo job submit examples/wordcount/job.yaml --watch

Every node is a process of its own, with its own key and its own owner. The key `dev` is funded
and the profile `dev` points to the first validator. Ctrl-C stops all; without --home nothing is
left but the key, and the profile is as it was.";

/// `valo dev`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Validators [default: 4]
    #[arg(long)]
    validators: Option<usize>,
    /// Workers, dealt over the tiers in turn [default: 8]
    #[arg(long)]
    workers: Option<usize>,
    /// Names of the tiers, any that you like [default: small,large]
    #[arg(long, value_delimiter = ',')]
    tiers: Option<Vec<String>>,
    /// Shards that a worker runs at a time [default: 4]
    #[arg(long)]
    slots: Option<u16>,
    /// Folder of the network, kept when it stops; a temporary one unless said
    #[arg(long, value_name = "FOLDER")]
    home: Option<PathBuf>,
}

impl Arguments {
    fn shape(&self) -> Option<Shape> {
        let said = self.validators.is_some() || self.workers.is_some() || self.tiers.is_some() || self.slots.is_some();
        let usual = Shape::default();
        said.then(|| Shape {
            validators: self.validators.unwrap_or(usual.validators),
            workers: self.workers.unwrap_or(usual.workers),
            tiers: self.tiers.clone().unwrap_or(usual.tiers),
            slots: self.slots.unwrap_or(usual.slots),
        })
    }

    /// Runs the command.
    pub async fn run(self, mut context: Context) -> anyhow::Result<()> {
        let shape = self.shape();
        if let Some(shape) = &shape {
            shape.check()?;
        }
        let profile = context.global.profile.clone().unwrap_or_else(|| "dev".to_owned());
        check_name(&profile)?;
        let key_name = context.global.key.clone().unwrap_or_else(|| "dev".to_owned());
        // Removed when it goes out of scope, after the network has stopped.
        let (home, temporary) = match &self.home {
            Some(home) => {
                std::fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
                (home.clone(), None)
            }
            None => {
                let temporary = temporary()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let user = user_key(&context, &key_name)?;

        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let starting = spinner(&context, "starting the nodes");
        let started = tokio::select! {
            network = DevNetwork::start(&home, shape, user, &[], context.global.verbose) => network,
            _ = terminate.recv() => bail!("stopped before the network had started"),
            _ = interrupt.recv() => bail!("stopped before the network had started"),
        };
        starting.finish_and_clear();
        let mut network = started?;
        let mut lent = None;
        let result = async {
            let lent = lent.insert(take_profile(&mut context, &profile, &key_name, &network)?);
            if temporary.is_some()
                && let Some(other) = lent.elsewhere()
            {
                context.output.note(format_args!("profile `{profile}` was for {other}, and will be again"));
            }
            show(&context, &profile, &network)?;
            let client = network.client()?;
            let mut view = std::pin::pin!(live_view(&context, &client));
            let mut viewing = true;
            // The network goes on without a node, as it would elsewhere, for as long as one runs.
            loop {
                tokio::select! {
                    ended = network.node_ended() => match ended {
                        Some(reason) => context.output.warn(reason),
                        None => break Err(anyhow::anyhow!("no node runs any more")),
                    },
                    error = &mut view, if viewing => {
                        context.output.warn(format_args!("the live view ended: {error:#}"));
                        viewing = false;
                    }
                    _ = terminate.recv() => break Ok(()),
                    _ = interrupt.recv() => break Ok(()),
                }
            }
        }
        .await;
        context.output.note("stopping");
        let killed = network.stop().await;
        if !killed.is_empty() {
            context.output.warn(format_args!("had to be killed: {}", killed.join(", ")));
        }
        if temporary.is_some()
            && let Some(lent) = lent
        {
            lent.give_back()?;
        }
        result
    }
}

/// A folder for a network, removed in the end.
pub fn temporary() -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix("valo-dev-").tempdir().context("cannot make a folder for the network")
}

/// The key that the network funds: made plain if it is not there, since a dev network's money is worth nothing.
pub fn user_key(context: &Context, name: &str) -> anyhow::Result<PublicKey> {
    match context.keys.read(name) {
        Ok(file) => Ok(file.public()),
        Err(StoreError::Missing { .. }) => {
            let key = SecretKey::generate()?;
            context.keys.write(name, &KeyFile::plain(&key))?;
            Ok(key.public())
        }
        Err(error) => Err(error.into()),
    }
}

fn take_profile(context: &mut Context, name: &str, key: &str, network: &DevNetwork) -> anyhow::Result<Lent> {
    let description = &network.description;
    let profile = Profile {
        endpoint: Some(description.endpoint.clone()),
        key: Some(key.to_owned()),
        account: Some(description.account),
        genesis: Some(description.genesis),
    };
    let (lent, config) = Lent::take(&context.home, name, profile)?;
    context.config = config;
    Ok(lent)
}

fn show(context: &Context, profile: &str, network: &DevNetwork) -> anyhow::Result<()> {
    let description = &network.description;
    context.output.show(description, || {
        let mut nodes = Table::new(["node", "tier", "api", "owner", "key"]);
        for node in &description.nodes {
            nodes.row([
                cell(&node.name),
                cell(node.tier.as_deref().unwrap_or("")),
                cell(node.endpoint()),
                cell(node.owner),
                cell(node.key.short()),
            ]);
        }
        let in_use = context.config.name_in_use(None).ok().flatten();
        let hint = match in_use.as_deref() == Some(profile) {
            true => String::new(),
            false => format!(" --profile {profile}"),
        };
        format!(
            "{nodes}\n\nchain {} · account {} has the money · Ctrl-C stops all\nin another shell: valo{hint} account show",
            description.genesis.short(),
            description.account
        )
    })?;
    // For whoever reads JSON from a pipe, and waits for the end of the document.
    if context.output.format != Format::Table { print("") } else { Ok(()) }
}

fn spinner(context: &Context, text: &str) -> ProgressBar {
    match context.output.draws() {
        true => progress::spinner(text.to_owned()),
        false => ProgressBar::hidden(),
    }
}

/// Says what happens on the chain, until the node cannot be asked any more.
async fn live_view(context: &Context, client: &Client) -> anyhow::Error {
    let line = spinner(context, "");
    let mut events: EventStream = client.events(EventFilter::default(), None, PATIENCE);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Height(0);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(record)) => if let Some(text) = describe(&record) {
                    if context.output.draws() { line.println(text) } else { context.output.note(text) }
                },
                Some(Err(error)) => return error.into(),
                None => return anyhow::anyhow!("the stream of events ended"),
            },
            _ = tick.tick() => {
                let Ok(status) = client.status().await else { continue };
                let text = format!("height {} · epoch {} · {} · {} waiting", status.height, status.epoch,
                    human::plural(status.validators, "validator"), status.node.pending_transactions);
                if context.output.draws() {
                    line.set_message(text);
                } else if status.height.0 >= said.0.saturating_add(HEIGHT_LINES) || said.0 == 0 {
                    said = status.height;
                    context.output.note(text);
                }
            }
        }
    }
}

/// An event that is worth a line.
fn describe(record: &EventRecord) -> Option<String> {
    let text = match &record.event {
        Event::JobSubmitted { job, submitter, budget, shards, .. } => {
            format!("job {job} of {submitter}: {}, budget {budget} VALO", human::plural(*shards, "shard"))
        }
        Event::JobPhaseChanged { job, phase } => format!("job {job} is {}", phase_word(phase)),
        Event::StageCompleted { job, stage } => format!("job {job}: stage {stage} is accepted"),
        Event::Transferred { from, to, amount } => format!("{from} sent {amount} VALO to {to}"),
        Event::AccountCreated { account, key } => format!("account {account} made for key {}", key.short()),
        Event::ProposalMissed { validator, misses, .. } => {
            format!("validator {} missed its turn ({})", validator.short(), human::plural(*misses, "time"))
        }
        Event::Slashed { shard, node, amount, fault, .. } => {
            format!("node {node} lost {amount} VALO at shard {shard}: {fault}")
        }
        Event::NodeAbsent { node } => format!("node {node} is absent"),
        Event::NodeReturned { node } => format!("node {node} is back"),
        Event::NodeRegistered { node, owner, .. } => format!("node {node} of {owner} joins"),
        Event::NodeStateChanged { node, state, .. } => match state {
            NodeState::Left => format!("node {node} has left"),
            state => format!("node {node} is {state}"),
        },
        Event::StakePaid { node, owner, amount } => format!("{amount} VALO of node {node} paid to {owner}"),
        _ => return None,
    };
    Some(format!("{}  {text}", record.id.height))
}
