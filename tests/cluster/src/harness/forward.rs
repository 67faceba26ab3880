//! A port of a Service on this machine, as `kubectl port-forward` gives it.

use super::Namespace;
use anyhow::Context;
use std::{
    io::{self, BufRead, BufReader},
    process::{Child, Stdio},
    thread,
};

/// A forwarded port; it ends with this.
#[derive(Debug)]
pub struct Forward {
    child: Child,
    address: String,
}

impl Forward {
    /// Forwards a port of loopback that is free to one of an object.
    pub fn to(namespace: &Namespace, object: &str, port: u16) -> anyhow::Result<Self> {
        let mut command = namespace.cluster().lasting("kubectl");
        command.args(["--namespace", namespace.name(), "port-forward", object, &format!(":{port}")]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start kubectl")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("kubectl has no output")?;
        let mut reader = BufReader::new(stdout);
        let read = reader.read_line(&mut line);
        // It says a line for each connection, and ends if nobody listens.
        thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(" -> ").next());
        // Made before anything can fail: the program ends with it.
        let forward = Self { child, address: address.unwrap_or_default().to_owned() };
        read.context("kubectl port-forward")?;
        anyhow::ensure!(!forward.address.is_empty(), "kubectl port-forward {object} said {line:?}");
        Ok(forward)
    }

    /// `http://127.0.0.1:…`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // One that ended by itself is none to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
