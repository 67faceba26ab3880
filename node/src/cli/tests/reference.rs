//! `docs/reference/cli.md`: written from the commands themselves; the committed page is current.

use super::tree;
use clap::{Arg, Command};
use std::{fmt::Write as _, path::Path};

/// Set to write the page anew instead of comparing it.
const UPDATE: &str = "VALO_UPDATE";

const HEAD: &str = "\
# The command line

Written from the program: `make generate`. `valo COMMAND --help` says the same in a terminal.
";

#[test]
fn the_committed_page_is_the_generated_one() {
    let path = Path::new("../docs/reference/cli.md");
    let generated = page();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == generated, "docs/reference/cli.md is not current: run this test with {UPDATE}=1");
}

/// The whole page.
fn page() -> String {
    let mut tree = tree(None);
    tree.build();
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\n| command | does |\n| --- | --- |");
    contents(&tree, &mut text);
    section(&mut tree.clone(), &mut text);
    text
}

/// The commands below one that are not hidden.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

/// The name as it is typed, from the program's on.
fn full_name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// A row for each command that does something.
fn contents(command: &Command, text: &mut String) {
    for command in below(command) {
        if below(command).next().is_some() {
            contents(command, text);
        } else {
            let name = full_name(command);
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "| [`{name}`](#{}) | {} |", name.replace(' ', "-"), about.replace('|', "\\|"));
        }
    }
}

/// The section of a command, and those of the commands below it.
fn section(command: &mut Command, text: &mut String) {
    let _ = writeln!(text, "\n## {}", full_name(command));
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = writeln!(text, "\n{}.", about.to_string().trim_end_matches('.'));
    }
    let usage = command.render_usage().to_string();
    let _ = writeln!(text, "\n```text\n{}\n```", usage.trim_start_matches("Usage: ").trim_end());
    let is_root = !full_name(command).contains(' ');
    let is_shown = |argument: &&Arg| {
        let told_once = argument.is_global_set() && !is_root;
        !argument.is_hide_set() && !told_once && !matches!(argument.get_id().as_str(), "help" | "version")
    };
    let options = command.get_arguments().filter(|argument| !argument.is_positional()).filter(is_shown);
    let arguments: Vec<&Arg> = command.get_positionals().filter(is_shown).chain(options).collect();
    if !arguments.is_empty() {
        let _ = writeln!(text, "{}", if is_root { "\nOptions of every command:\n" } else { "" });
    }
    for argument in arguments {
        describe(argument, text);
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = writeln!(text, "\n```text\n{}\n```", after.to_string().trim());
    }
    for command in command.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        section(command, text);
    }
}

/// An argument: how it is written, what it means, and what holds when it is left out.
fn describe(argument: &Arg, text: &mut String) {
    let values: Vec<&str> = argument.get_value_names().into_iter().flatten().map(clap::builder::Str::as_str).collect();
    let takes = argument.get_action().takes_values();
    let mut forms = Vec::new();
    forms.extend(argument.get_short().map(|short| format!("-{short}")));
    forms.extend(argument.get_long().map(|long| format!("--{long}")));
    if let Some(last) = forms.last_mut().filter(|_| takes) {
        let _ = write!(last, " {}", values.join(" "));
    }
    if forms.is_empty() {
        forms.push(values.join(" "));
    }
    let forms: Vec<String> = forms.iter().map(|form| format!("`{form}`")).collect();
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "- {}: {}.", forms.join(", "), help.replace('\n', " ").trim_end_matches('.'));
    if argument.is_required_set() {
        text.push_str(" Required.");
    }
    let possible = argument.get_possible_values();
    if takes && !possible.is_empty() && !argument.is_hide_possible_values_set() {
        let possible: Vec<String> = possible
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({})", value.get_name(), lower_first(&help.to_string())),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        let _ = write!(text, " One of {}.", possible.join(", "));
    }
    if takes && !argument.is_hide_default_value_set() && !argument.get_default_values().is_empty() {
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let _ = write!(text, " Default: `{}`.", defaults.join(" "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, " Environment: `{}`.", variable.to_string_lossy());
    }
    text.push('\n');
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    // Not `cPU`.
    if letters.clone().nth(1).is_some_and(char::is_uppercase) {
        return text.to_owned();
    }
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
