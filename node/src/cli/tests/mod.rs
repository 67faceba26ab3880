//! What users see: help of every command, usage errors, tables.

mod reference;

use super::*;
use clap::Command as Tree;
use std::fmt::Write as _;

/// The help of a command and of all below it.
fn helps(tree: &Tree, path: &str, text: &mut String) {
    let mut shown = tree.clone().bin_name(path).term_width(100);
    let _ = writeln!(text, "$ {path} --help\n{}\n", shown.render_long_help());
    for command in tree.get_subcommands().filter(|command| !command.is_hide_set()) {
        helps(command, &format!("{path} {}", command.get_name()), text);
    }
}

#[test]
fn help_of_every_command() {
    let mut tree = tree(None);
    tree.build();
    let mut text = String::new();
    helps(&tree, "valo", &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn the_tree_is_consistent() {
    tree(None).debug_assert();
}

/// A command whose own flag has the name of a global one would take its value away.
fn own_flags(tree: &Tree, global: &[String], path: &str) {
    for command in tree.get_subcommands() {
        let path = format!("{path} {}", command.get_name());
        for argument in command.get_arguments() {
            let taken = !argument.is_global_set() && global.iter().any(|name| argument.get_id() == name.as_str());
            assert!(!taken, "{path} has a flag of its own by the name of the global --{}", argument.get_id());
        }
        own_flags(command, global, &path);
    }
}

#[test]
fn no_command_takes_the_name_of_a_global_flag() {
    let tree = tree(None);
    let global: Vec<String> =
        tree.get_arguments().filter(|own| own.is_global_set()).map(|own| own.get_id().to_string()).collect();
    assert!(global.iter().any(|name| name == "key"));
    own_flags(&tree, &global, "valo");
}

fn usage_error(arguments: &[&str]) -> String {
    let error = parse(arguments.iter().map(OsString::from)).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn usage_errors_name_what_is_wrong() {
    let cases: [&[&str]; 8] = [
        &["valo", "jobb"],
        &["valo", "job", "status"],
        &["valo", "job", "status", "first"],
        &["valo", "send", "five", "--to", "0000002A"],
        &["valo", "send", "5", "--to", "nobody"],
        &["valo", "job", "list", "--phase", "done"],
        &["valo", "job", "submit"],
        &["valo", "account", "show", "-o", "xml"],
    ];
    let lines: Vec<String> =
        cases.iter().map(|case| format!("{}\n    {}", case.join(" "), usage_error(case))).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn kubectl_calls_it_by_its_name_there() {
    let arguments = ["/usr/bin/kubectl-valo", "job", "status"].map(OsString::from);
    let text = parse(arguments).unwrap_err().to_string();
    assert!(text.contains("Usage: kubectl valo job status"), "{text}");
}

#[test]
fn completions_know_the_commands() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut tree(None), "valo", &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("explain") && text.contains("verify"), "{shell}");
    }
}
