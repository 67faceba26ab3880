//! `valo tier`: the classes of workers, and what they cost.

use crate::cli::{
    context::Context,
    human,
    output::{Table, cell},
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use valo_client::types::TierInfo;
use valo_protocol::registry::{Admission, Isolation, Runtime};

const EXAMPLES: &str = "\
Examples:
  valo tier list
  valo tier show small -o yaml

The price is for 1G fuel (wasm) or for one second (container), for each replica. No shard may
have more replicas than its tier has owners.";

/// `valo tier`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tiers
    #[command(alias = "ls")]
    List,
    /// Show a tier
    Show {
        /// Its name
        name: String,
    },
}

impl Arguments {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> anyhow::Result<()> {
        let tiers = context.client().await?.tiers().await?.items;
        match self.command {
            Command::List => context.output.show(&tiers, || list(&tiers)),
            Command::Show { name } => {
                let tier = find(&tiers, &name)?;
                context.output.show(tier, || show(tier).to_string())
            }
        }
    }
}

/// The tier of a name.
pub fn find<'a>(tiers: &'a [TierInfo], name: &str) -> anyhow::Result<&'a TierInfo> {
    tiers.iter().find(|tier| *tier.tier.name == *name).with_context(|| {
        let names: Vec<&str> = tiers.iter().map(|tier| tier.tier.name.as_str()).collect();
        format!("there is no tier `{name}`; there are: {}", names.join(", "))
    })
}

const fn runtime(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Wasm => "wasm",
        Runtime::Container => "container",
    }
}

fn list(tiers: &[TierInfo]) -> String {
    let mut table = Table::new(["tier", "runtime", "price", "cpu", "memory", "nodes", "owners", "busy"]);
    for info in tiers {
        table.row([
            cell(&info.tier.name),
            cell(runtime(info.tier.runtime)),
            cell(info.tier.price),
            cell(format_args!("{}m", info.tier.milli_cpu)),
            cell(human::size(info.tier.memory)),
            cell(info.nodes),
            cell(info.owners),
            cell(format_args!("{}/{}", info.busy, info.slots)),
        ]);
    }
    table.to_string()
}

fn show(info: &TierInfo) -> Table {
    let tier = &info.tier;
    let unit = match tier.runtime {
        Runtime::Wasm => "1G fuel",
        Runtime::Container => "second",
    };
    let mut table = Table::fields();
    table.field("Tier", format_args!("{} ({})", tier.name, info.id));
    table.field("Runtime", runtime(tier.runtime));
    table.field("Price", format_args!("{} VALO for each {unit}", tier.price));
    table.field("Slot", format_args!("{}m cpu, {}", tier.milli_cpu, human::size(tier.memory)));
    if let Some(accelerator) = &tier.accelerator {
        table.field("Accelerator", accelerator);
    }
    table.field("Speed", format_args!("at least {} fuel a second", human::count(tier.fuel_per_second)));
    table.field("Stake", format_args!("{} VALO a slot", tier.stake_per_slot));
    table.field("Slots", format_args!("{} busy of {}", info.busy, info.slots));
    table.field(
        "Workers",
        format_args!("{} of {}", human::plural(info.nodes, "node"), human::plural(info.owners, "owner")),
    );
    table.field(
        "Isolation",
        match tier.isolation {
            Isolation::Sandboxed => "sandboxed",
            Isolation::Trusted => "trusted",
        },
    );
    table.field(
        "Admission",
        match &tier.admission {
            Admission::Open => "open".to_owned(),
            Admission::Owners(owners) => {
                let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
                owners.join(", ")
            }
        },
    );
    table
}
