//! A network of real processes for the end-to-end tests: `valo dev` in a folder of its own, and the command line
//! as a user types it.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// How long a network may take to start, and a command to finish.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often something without an event of its own is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The binary under test: built beside the tests.
fn valo() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the tests lie in no build folder")?;
    let binary = folder.join("valo");
    ensure!(binary.is_file(), "{} is missing: run `make build` first", binary.display());
    Ok(binary)
}

/// A running network with a user of its own. Stopped, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Network {
    folder: tempfile::TempDir,
    dev: Option<Child>,
}

impl Network {
    /// Starts a new network and waits until it answers.
    pub fn start(validators: u32, workers: u32) -> anyhow::Result<Self> {
        let mut network = Self { folder: tempfile::tempdir()?, dev: None };
        let shape = [validators.to_string(), workers.to_string()];
        network.dev(&["--validators", &shape[0], "--workers", &shape[1], "--tiers", "small,large"])?;
        Ok(network)
    }

    /// Starts the network of the folder again after [`Network::stop`].
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.dev(&[])
    }

    fn dev(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let log = fs::File::create(self.folder.path().join("dev.log"))?;
        let mut command = self.command()?;
        command.arg("dev").arg("--home").arg(self.home()).args(arguments);
        self.dev = Some(command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?);
        self.wait("the network to answer", |network| Ok(network.run(&["account", "show"])?.status.success()))
    }

    /// Stops the network as Ctrl-C does, and waits for its end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut dev) = self.dev.take() else { return Ok(()) };
        signal("INT", dev.id())?;
        let deadline = Instant::now() + PATIENCE;
        while dev.try_wait()?.is_none() {
            if Instant::now() > deadline {
                dev.kill()?;
                bail!("the network did not stop within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Where the network keeps everything.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("network")
    }

    /// A file name in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(valo()?);
        command.current_dir(repository()).env("VALO_HOME", self.folder.path().join("user")).env("NO_COLOR", "1");
        Ok(command)
    }

    /// Runs a command of the user to its end.
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

    /// Runs a command that has to fail with exit code 1, and gives its one line.
    pub fn fail(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let err = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(output.status.code() == Some(1), "`valo {}` gave {:?}", arguments.join(" "), output.status);
        Ok(err)
    }

    /// Runs a command and reads its JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        let text = self.succeed(&arguments)?;
        serde_json::from_str(&text).with_context(|| format!("`valo {}` printed no JSON: {text}", arguments.join(" ")))
    }

    /// The process of a node.
    pub fn process(&self, name: &str) -> anyhow::Result<u32> {
        let description: Value = serde_json::from_str(&fs::read_to_string(self.home().join("dev.json"))?)?;
        let nodes = description["nodes"].as_array().context("dev.json lists no nodes")?;
        let node = nodes.iter().find(|node| node["name"] == name).with_context(|| format!("no node {name}"))?;
        let pid = node["pid"].as_u64().with_context(|| format!("{name} does not run"))?;
        Ok(u32::try_from(pid)?)
    }

    /// Kills a node as a power cut would.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        signal("KILL", self.process(name)?)
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
        fs::read_to_string(self.folder.path().join("dev.log")).unwrap_or_default()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
    }
}

fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status()?;
    ensure!(status.success(), "cannot signal process {process}");
    Ok(())
}
