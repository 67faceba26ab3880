//! `valo verify`: the light check of a job's result.

use crate::{
    bounded::Kind,
    cli::{
        context::Context,
        human,
        output::{Mood, Table, cell, mood, phase_cell, print},
    },
};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use std::path::PathBuf;
use valo_client::{
    Client,
    light::{OutputScope, Trust, verify_job},
};
use valo_protocol::{Genesis, GenesisHash, Hash, Height, job::JobId};

const EXAMPLES: &str = "\
Examples:
  valo verify 1                                 from the genesis that the profile trusts
  valo verify 1 --genesis genesis.json          from a genesis document of your own
  valo verify 1 --checkpoint 1200:7422b988...   from a height and the hash of its validator set
  valo verify 1 --outputs none                  the verdicts only

Nothing that the node says is believed: signatures, hashes and Merkle paths are checked here,
from what is trusted down to every byte of the output. What that does not prove is said at the
end.";

/// `valo verify`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Number of the job
    job: u64,
    /// Genesis document to trust
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
    genesis: Option<PathBuf>,
    /// Height and hash of a validator set to trust, from a source of yours
    #[arg(long, value_name = "HEIGHT:HASH")]
    checkpoint: Option<String>,
    /// Which outputs to download and check
    #[arg(long, value_enum, default_value_t = Outputs::Result)]
    outputs: Outputs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Outputs {
    /// None: stop at the digests
    None,
    /// Those that are the job's result
    Result,
    /// Those of all stages
    All,
}

impl Arguments {
    /// The result of a job, from a genesis document.
    pub const fn from_genesis(job: JobId, genesis: PathBuf) -> Self {
        Self { job: job.0, genesis: Some(genesis), checkpoint: None, outputs: Outputs::Result }
    }

    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client().await?;
        let trust = match (&self.genesis, &self.checkpoint) {
            (Some(path), _) => genesis_file(path)?,
            (None, Some(text)) => checkpoint(context, text)?,
            (None, None) => profile(context, &client).await?,
        };
        let scope = match self.outputs {
            Outputs::None => OutputScope::None,
            Outputs::Result => OutputScope::Result,
            Outputs::All => OutputScope::All,
        };
        let output = context.output;
        let shows_steps = output.format == crate::cli::output::Format::Table;
        if shows_steps {
            print(format_args!("trusted: {}", trust.describe()))?;
        }
        let report = verify_job(&client, &trust, JobId(self.job), scope, |step| {
            if shows_steps {
                let _ = print(format_args!("{} {:<12} {}", tick(), step.name, step.detail));
            }
        })
        .await?;
        output.show(&report, || {
            let mut table = Table::fields();
            table.row([
                cell("Verified").fg(comfy_table::Color::DarkGrey),
                mood(format_args!("job {}", report.job), Mood::Good),
            ]);
            table.row([cell("Phase").fg(comfy_table::Color::DarkGrey), phase_cell(&report.phase)]);
            table.field("State of", format_args!("block {} of {}", report.height, human::moment(report.time)));
            table.field("Results root", report.results_root);
            table.field(
                "Checked",
                format_args!("{} of {}", human::size(report.bytes), human::plural(report.files, "file")),
            );
            for trusted in report.trusted.iter().skip(1) {
                table.field("Rests on", trusted);
            }
            for caveat in &report.caveats {
                table.field("Mind", caveat);
            }
            table.to_string()
        })
    }
}

fn tick() -> console::StyledObject<&'static str> {
    console::style("✓").green()
}

/// Reads a genesis document to trust.
pub fn genesis_file(path: &std::path::Path) -> anyhow::Result<Trust> {
    let text = Kind::GENESIS.text(path).with_context(|| format!("cannot read {}", path.display()))?;
    let genesis: Genesis =
        serde_json::from_str(&text).with_context(|| format!("{} is not a genesis document", path.display()))?;
    genesis.check().with_context(|| format!("{} is not usable", path.display()))?;
    Ok(Trust::from_genesis(&genesis)?)
}

fn trusted_hash(context: &Context) -> anyhow::Result<GenesisHash> {
    context.profile().genesis.context(
        "no chain is trusted yet: name a genesis document with --genesis, or pin its hash with `valo profile set NAME --genesis HASH`",
    )
}

fn checkpoint(context: &Context, text: &str) -> anyhow::Result<Trust> {
    let parsed = text
        .split_once(':')
        .and_then(|(height, hash)| Some((Height(height.parse().ok()?), hash.parse::<Hash>().ok()?)));
    let Some((height, validators)) = parsed else {
        bail!(
            "`{text}` is not a checkpoint: it takes HEIGHT:HASH, the hash of the validator set in 64 hexadecimal characters"
        );
    };
    Ok(Trust::Checkpoint { genesis: trusted_hash(context)?, height, validators })
}

/// The genesis document comes from the node, and must have the trusted hash.
async fn profile(context: &Context, client: &Client) -> anyhow::Result<Trust> {
    let trusted = trusted_hash(context)?;
    let genesis = client.genesis().await?;
    ensure!(genesis.hash() == trusted, "the node's genesis has hash {}; the profile trusts {trusted}", genesis.hash());
    Ok(Trust::from_genesis(&genesis)?)
}
