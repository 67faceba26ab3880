//! The `valo` command line, also found by kubectl as `kubectl-valo`.
//!
//! A command is one file in [`commands`]: its flags and what it does. It talks to nodes through `valo-client` only. Answers
//! go to standard output as a table, JSON or YAML; remarks and progress go to standard error; whatever fails ends
//! with one line there and exit code 1.

mod arguments;
mod commands;
mod context;
pub mod contract;
pub mod devnet;
pub mod human;
pub mod keys;
mod lent;
mod logs;
mod output;
mod profile;
mod progress;
#[cfg(test)]
mod tests;

use arguments::{Arguments, Command};
use clap::{CommandFactory, FromArgMatches, error::ErrorKind};
use context::Context;
use std::{ffi::OsString, io::Write, path::Path, process::ExitCode};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => match bad_value(&error) {
            Some(line) => return failed(&line),
            // Prints help or what is wrong with the usage, and ends with 0 or 2.
            None => error.exit(),
        },
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&output::error_line(&error)),
    }
}

fn failed(line: &str) -> ExitCode {
    let head = console::style("error:").for_stderr().red().bold();
    let _ = writeln!(std::io::stderr(), "{head} {line}");
    ExitCode::FAILURE
}

/// The one line about a value that cannot be: the usage was right, and the help would not tell more.
fn bad_value(error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error:").unwrap_or(&text);
    let about = text.split("For more information").next().unwrap_or(text);
    Some(output::one_line(about))
}

/// The tree of commands, as it is named in help: `kubectl valo` when kubectl called it.
fn tree(program: Option<&OsString>) -> clap::Command {
    let called = program.map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let name = if called.is_some_and(|name| name.starts_with("kubectl-")) { "kubectl valo" } else { "valo" };
    Arguments::command().bin_name(name)
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut tree = tree(arguments.first());
    let matches = tree.try_get_matches_from_mut(arguments)?;
    Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut tree))
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { global, command } = arguments;
    if let Command::Completions(arguments) = command {
        return arguments.run(tree(None));
    }
    logs::start(&global, matches!(command, Command::Run(_)));
    let context = Context::new(global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Key(arguments) => arguments.run(&context.with_profile()?),
            Command::Profile(arguments) => arguments.run(context).await,
            Command::Job(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Verify(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Send(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Account(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Node(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Tier(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Block(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Tx(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Blob(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Dev(arguments) => arguments.run(context).await,
            Command::Grant(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Stake(arguments) => arguments.run(&context.with_profile()?).await,
            Command::Genesis(arguments) => arguments.run(&context),
            Command::Init(arguments) => arguments.run(&context),
            Command::Run(arguments) => arguments.run(&context).await,
            Command::Bench(arguments) => arguments.run(&context).await,
            Command::Completions(_) => Ok(()),
        }
    })
}
