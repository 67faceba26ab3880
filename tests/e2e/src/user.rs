//! A user: a folder of its own for keys, profiles and files, and the command line in it.

use crate::{LOOK, PATIENCE, repository};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::runtime::Runtime;

/// Two networks at once would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A user. The folder is removed when it is dropped; until then no other user of this process exists.
#[derive(Debug)]
pub struct User {
    folder: tempfile::TempDir,
    runtime: Runtime,
    _alone: MutexGuard<'static, ()>,
}

impl User {
    /// Waits for its turn.
    pub fn new() -> anyhow::Result<Self> {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { folder: tempfile::tempdir()?, runtime, _alone: alone })
    }

    /// A file name in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for an answer of the API.
    pub fn ask<F: Future>(&self, question: F) -> F::Output {
        self.runtime.block_on(question)
    }

    /// The command line, with nothing said yet.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(valo()?);
        command.current_dir(repository()).env("VALO_HOME", self.path("user")).env("NO_COLOR", "1");
        Ok(command)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command()?.args(arguments).stdin(Stdio::null()).output()?)
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "`valo {}` failed:\n{out}{err}\n{}", arguments.join(" "), self.log());
        Ok(out.into_owned())
    }

    /// Runs a command that has to fail with exit code 1, and gives what it said about that.
    pub fn fail(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let err = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(output.status.code() == Some(1), "`valo {}` gave {:?}: {err}", arguments.join(" "), output.status);
        Ok(err)
    }

    /// Runs a command that has to fail with one clear line, in which these words are.
    pub fn fail_with(&self, arguments: &[&str], words: &str) -> anyhow::Result<()> {
        let line = self.fail(arguments)?;
        let command = arguments.join(" ");
        ensure!(line.starts_with("error: ") && line.lines().count() == 1, "`valo {command}` said: {line}");
        ensure!(line.contains(words), "`valo {command}` does not say `{words}`: {line}");
        Ok(())
    }

    /// Runs a command and reads its JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        let text = self.succeed(&arguments)?;
        serde_json::from_str(&text).with_context(|| format!("`valo {}` printed no JSON: {text}", arguments.join(" ")))
    }

    /// Looks until something is so.
    pub fn wait(&self, what: &str, mut is_so: impl FnMut(&Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self)? {
            ensure!(Instant::now() < deadline, "waited {} s for {what}\n{}", PATIENCE.as_secs(), self.log());
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The phase of a job.
    pub fn phase(&self, job: u64) -> anyhow::Result<String> {
        let status = self.json(&["job", "status", &job.to_string()])?;
        Ok(status["phase"].as_str().unwrap_or_default().to_owned())
    }

    /// The last finalized height.
    pub fn height(&self) -> anyhow::Result<u64> {
        let blocks = self.json(&["block", "list"])?;
        let heights = blocks.as_array().into_iter().flatten().filter_map(|block| block["height"].as_u64());
        heights.max().context("no blocks")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("dev.log")).unwrap_or_default()
    }
}

/// The binary under test: built beside the tests.
fn valo() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the tests lie in no build folder")?;
    let binary = folder.join("valo");
    ensure!(binary.is_file(), "{} is missing: run `make build` first", binary.display());
    Ok(binary)
}
