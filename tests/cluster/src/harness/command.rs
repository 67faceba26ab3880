//! Other programs, with an end to each.

use anyhow::{Context, bail};
use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Output, Stdio},
    thread,
};

/// `timeout` with how long a program may take at most. Whoever waits for something gives `kubectl wait` less.
const LIMIT: [&str; 3] = ["timeout", "--kill-after=5", "300"];

/// A program that is killed if it does not end. `timeout` also keeps a Ctrl-C of the terminal from it.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(LIMIT[0]);
    command.args(&LIMIT[1..]).arg(name);
    command
}

/// Runs a program with an input; what it printed, or an error that says what it complained of.
pub fn run(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let output = output(command, input)?;
    if !output.status.success() {
        bail!("{}: {}\n{}", words(command), output.status, text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// Runs a program that has to fail; what it complained of.
pub fn refusal(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let output = output(command, input)?;
    if output.status.success() {
        bail!("{} should have failed, and printed\n{}", words(command), text(&output.stdout));
    }
    Ok(text(&output.stderr))
}

fn output(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", words(command)))?;
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        // Beside the reading: either side may fill its pipe. A program that reads nothing says itself what is wrong.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        Ok(child.wait_with_output()?)
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// A command as somebody would type it.
fn words(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.strip_prefix(LIMIT.map(Into::into).as_slice()).unwrap_or(&words).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_outputs_and_complaints_arrive() {
        let large = "line\n".repeat(100_000);
        assert_eq!(run(&mut program("cat"), &large).ok().as_deref(), Some(large.trim_end()));
        let refused = refusal(program("sh").args(["-c", "echo no >&2; false"]), "");
        assert_eq!(refused.ok().as_deref(), Some("no"));
    }

    #[test]
    fn errors_name_the_command_without_its_time_limit() {
        let error = run(program("sh").args(["-c", "echo broken >&2; exit 3"]), "").map_err(|error| error.to_string());
        assert_eq!(error, Err("sh -c echo broken >&2; exit 3: exit status: 3\nbroken".to_owned()));
        assert!(refusal(&mut program("true"), "").is_err());
    }
}
