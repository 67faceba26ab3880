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
pub mod keys;
mod lent;
mod logs;
mod output;
mod profile;
mod progress;
#[cfg(test)]
mod tests;

use crate::{
    consensus::{StartError, signed::SignedError},
    human,
    node::ConfigError,
    storage::StorageError,
};
use arguments::{Arguments, Command};
use clap::{
    CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};
use context::Context;
use output::Output;
use std::{ffi::OsString, io::Write, path::Path, process::ExitCode};
use valo_contract::own_words;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => match bad_value(&error) {
            Some(line) => return failed(&line, ExitCode::FAILURE),
            // Prints help or what is wrong with the usage, and ends with 0 or 2.
            None => error.exit(),
        },
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if is_final(&error) { ExitCode::from(FINAL) } else { ExitCode::FAILURE };
            failed(&output::error_line(&error), code)
        }
    }
}

fn failed(line: &str, code: ExitCode) -> ExitCode {
    let head = console::style("error:").for_stderr().red().bold();
    let _ = writeln!(std::io::stderr(), "{head} {line}");
    code
}

/// The one line about a value that cannot be: the usage was right, and the help would not tell more.
fn bad_value(error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    // Where a value is missing the usage is wrong.
    if matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty()) {
        return None;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error:").unwrap_or(&text);
    let about = text.split("For more information").next().unwrap_or(text);
    Some(output::one_line(&own_words(&about.replace("\n  [possible values", " [possible values"))))
}

/// Exit code of a node that would fail the same way if it were started again.
const FINAL: u8 = 3;

/// Whether a node does not start because its files are not what they should be, or do not belong together.
fn is_final(error: &anyhow::Error) -> bool {
    let signed = |error: &SignedError| error.is_final();
    error.chain().any(|cause| {
        // A file that is not there may come, and another node may go.
        cause.downcast_ref().is_some_and(|error| !matches!(error, ConfigError::Read { .. } | ConfigError::InUse { .. }))
            || matches!(
                cause.downcast_ref(),
                Some(
                    StorageError::OtherNetwork { .. }
                        | StorageError::Newer { .. }
                        | StorageError::Older { .. }
                        | StorageError::NotStorage { .. }
                )
            )
            || cause.downcast_ref().is_some_and(signed)
            || matches!(cause.downcast_ref(), Some(StartError::Signed(error)) if signed(error))
    })
}

/// The tree of commands, as it is named in help: `kubectl valo` when kubectl called it.
fn tree(program: Option<&OsString>) -> clap::Command {
    let called = program.map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let name = if called.is_some_and(|name| name.starts_with("kubectl-")) { "kubectl valo" } else { "valo" };
    with_negative_numbers(Arguments::command()).bin_name(name)
}

/// A number below zero is a value, and a bad one where it cannot be: no flag is a digit.
fn with_negative_numbers(tree: clap::Command) -> clap::Command {
    tree.mut_args(|argument| match argument.get_action().takes_values() {
        true => argument.allow_negative_numbers(true),
        false => argument,
    })
    .mut_subcommands(with_negative_numbers)
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Command::Run(arguments) = command {
        // A node has no user: in a container there is no home, and profiles are no matter of its.
        return runtime.block_on(arguments.run(&Output::new(&global)));
    }
    let context = Context::new(global)?;
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
            Command::Init(arguments) => arguments.run(&context).await,
            Command::Bench(arguments) => arguments.run(&context).await,
            Command::Run(_) | Command::Completions(_) => Ok(()),
        }
    })
}
