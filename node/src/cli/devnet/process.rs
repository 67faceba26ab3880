//! Nodes as child processes of this one. A child runs as long as its standard input is open: it stops when we close
//! it, and also when we are killed, because then the system closes it.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};
use valo_protocol::PublicKey;

/// How long a node may take to serve.
const START: Duration = Duration::from_secs(60);
/// How long a node may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(20);
/// How much of the end of a log is searched for the reason of a failure.
const TAIL: u64 = 8 * 1024;

/// What a node prints once it serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// Its key.
    pub key: PublicKey,
    /// Where its API listens.
    pub api: SocketAddr,
}

/// A running node.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    /// Open as long as the node should run.
    lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts the node of a data folder. It writes what it has to say to `node.log` there.
    pub fn start(name: &str, folder: &Path, verbose: u8) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let log = folder.join("node.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command.arg("run").arg("--home").arg(folder).args(["--with-parent", "-o", "json"]);
        command.args(std::iter::repeat_n("-v", usize::from(verbose)));
        // In a group of its own, so that Ctrl-C in the terminal reaches us only and we stop it in order.
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"));
        let mut child = child?;
        let lifeline = child.stdin.take();
        Ok(Self { name: name.to_owned(), log, child, lifeline })
    }

    /// Waits until it serves. An error has the reason from its log.
    pub async fn ready(&mut self) -> anyhow::Result<Ready> {
        let stdout = self.child.stdout.take().context("the node is waited for already")?;
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        let mut text = String::new();
        let read = async {
            // JSON over several lines, up to the line that closes it.
            while reader.read_line(&mut line).await? > 0 {
                text.push_str(&line);
                if line.trim_end() == "}" {
                    break;
                }
                line.clear();
            }
            Ok::<_, std::io::Error>(())
        };
        match timeout(START, read).await {
            Err(_) => {
                bail!("{} does not serve after {} s; its log is {}", self.name, START.as_secs(), self.log.display())
            }
            Ok(result) => result.with_context(|| format!("cannot hear {}", self.name))?,
        }
        match serde_json::from_str(&text) {
            Ok(ready) => Ok(ready),
            Err(_) => {
                let _ = timeout(STOP, self.child.wait()).await;
                bail!("{} did not start: {}", self.name, self.reason())
            }
        }
    }

    /// Its process id, as long as it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end, and says why.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let folder = self.log.parent().unwrap_or(&self.log).display();
        format!("{} ended ({how}): {}; start it again with `valo run --home {folder}`", self.name, self.reason())
    }

    /// Closes its lifeline: it begins to stop.
    pub fn let_go(&mut self) {
        self.lifeline = None;
    }

    /// Waits until it has stopped; kills it when that takes too long. Whether it stopped by itself.
    pub async fn stopped(&mut self) -> bool {
        self.let_go();
        if timeout(STOP, self.child.wait()).await.is_ok() {
            return true;
        }
        let _ = self.child.kill().await;
        false
    }

    /// The last error line of its log.
    fn reason(&self) -> String {
        let unknown = || format!("its log is {}", self.log.display());
        let Ok(mut file) = fs::File::open(&self.log) else { return unknown() };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut tail = Vec::new();
        let from = SeekFrom::Start(length.saturating_sub(TAIL));
        if file.seek(from).and_then(|_| file.take(TAIL).read_to_end(&mut tail)).is_err() {
            return unknown();
        }
        let text = String::from_utf8_lossy(&tail);
        let line =
            text.lines().rev().find_map(|line| line.split_once("error: ").map(|(_, reason)| reason.trim().to_owned()));
        line.unwrap_or_else(unknown)
    }
}
