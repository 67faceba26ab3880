//! The tree of commands. Each is a file below [`commands`](super::commands); here it gets its name and its place.

use super::{
    commands::{
        account, bench, blob, block, completions, dev, genesis, grant, init, job, key, node, profile, run, send, stake,
        tier, tx, verify,
    },
    output::Format,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  valo dev                                              a network on this machine
  valo job submit examples/wordcount/job.yaml --watch   a job, followed to its verdict
  valo job explain 1                                    who computed what, and why
  valo verify 1                                         proof of the result
  valo send 5 --to 0000002A                             money to an account

The endpoint and the key come from a profile (`valo profile`), which `valo dev` makes for its
network.
Exit codes: 0 done, 1 failed (with one line on standard error), 2 wrong usage.";

/// Turns machines that belong to strangers into one cluster: submit jobs, follow them, prove their results.
#[derive(Debug, Parser)]
#[command(name = "valo", version, after_help = EXAMPLES, propagate_version = true, subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true, max_term_width = 110)]
pub struct Arguments {
    /// Flags of all commands.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of all commands.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Profile to use: endpoint, key and trusted chain
    #[arg(long, global = true, value_name = "NAME", env = "VALO_PROFILE", hide_env_values = true)]
    pub profile: Option<String>,
    /// Address of a node's API, such as http://127.0.0.1:8080
    #[arg(long, global = true, value_name = "URL", env = "VALO_ENDPOINT", hide_env_values = true)]
    pub endpoint: Option<String>,
    /// Key to sign with
    #[arg(long, global = true, value_name = "NAME", env = "VALO_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// File whose first line is the passphrase of the key (else VALO_PASSPHRASE, else a prompt)
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Ask nothing: agree to prices and removals
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Say only what was asked for
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit jobs, follow them, fetch their results
    Job(job::Arguments),
    /// Check a job's result against the chain, trusting no node
    Verify(verify::Arguments),
    /// Send VALO to an account or a key
    Send(send::Arguments),
    /// Show accounts
    Account(account::Arguments),
    /// Make and keep keys
    Key(key::Arguments),
    /// Choose between networks: endpoint, key and trusted chain
    #[command(alias = "config")]
    Profile(profile::Arguments),
    /// Show the nodes of the network; bring nodes in and take them out
    Node(node::Arguments),
    /// Permit a node to join in your name
    Grant(grant::Arguments),
    /// Bond and unbond the stake of nodes
    Stake(stake::Arguments),
    /// Show the tiers of the network, and what they cost
    Tier(tier::Arguments),
    /// Show blocks
    Block(block::Arguments),
    /// Show and submit transactions
    Tx(tx::Arguments),
    /// Upload, download and list blobs
    Blob(blob::Arguments),
    /// Start a network on this machine: validators, workers, a funded key
    Dev(dev::Arguments),
    /// Make and check the document that a chain starts from
    Genesis(genesis::Arguments),
    /// Make the data folder of a node
    Init(init::Arguments),
    /// Run a node from its data folder
    Run(run::Arguments),
    /// Measure a network of real processes on this machine
    Bench(bench::Arguments),
    /// Write completions for a shell
    Completions(completions::Arguments),
}
