//! A node by hand: `valo run`, in a data folder.

use crate::{LOOK, User, signal};
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// How long a node may take to stop in order.
const STOP: Duration = Duration::from_secs(20);

/// A node that runs. Stopped in order when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// Where its API listens.
    pub endpoint: String,
}

impl Node {
    /// Runs the node of a data folder, and waits until it serves.
    pub fn run(user: &User, home: &Path) -> anyhow::Result<Self> {
        let said = home.join("ready.json");
        let log = fs::OpenOptions::new().create(true).append(true).open(home.join("node.log"))?;
        let mut command = user.command()?;
        // As people do: from the folder beside it.
        let (beside, name) = home.parent().zip(home.file_name()).context("a folder without a name")?;
        command.current_dir(beside).arg("run").arg("--home").arg(name).args(["-o", "json"]);
        let child = command.stdin(Stdio::null()).stdout(fs::File::create(&said)?).stderr(log).spawn()?;
        let mut node = Self { child, endpoint: String::new() };
        user.wait(&format!("{} to serve", home.display()), |_| {
            let ended = node.child.try_wait()?;
            let log = || fs::read_to_string(home.join("node.log")).unwrap_or_default();
            ensure!(ended.is_none(), "`valo run` ended ({ended:?}): {}", log());
            let ready: Option<Value> = serde_json::from_str(&fs::read_to_string(&said)?).ok();
            if let Some(address) = ready.as_ref().and_then(|ready| ready["api"].as_str()) {
                node.endpoint = format!("http://{address}");
            }
            Ok(ready.is_some())
        })?;
        Ok(node)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = signal("TERM", self.child.id());
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("process {} had to be killed", self.child.id());
                let _ = self.child.kill();
            }
            std::thread::sleep(LOOK);
        }
    }
}
