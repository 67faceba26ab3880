//! What the operator is started with.

use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

/// Runs Valo on Kubernetes: Networks, NodeTiers, Wallets and JobContracts become nodes, accounts and jobs.
#[derive(Debug, Clone, Parser)]
#[command(name = "valo-operator", version)]
pub struct Arguments {
    /// Image of nodes whose Network names none
    #[arg(long, env = "VALO_NODE_IMAGE", default_value = concat!("ghcr.io/valo-network/valo:", env!("CARGO_PKG_VERSION")))]
    pub node_image: String,
    /// The only namespace to look at; all of them unless given
    #[arg(long, env = "VALO_WATCH_NAMESPACE", value_parser = some_text)]
    pub watch_namespace: Option<String>,
    /// The namespace of this operator: its lease is there, and nodes let it in from there
    #[arg(long, env = "POD_NAMESPACE", default_value = "valo-system")]
    pub namespace: String,
    /// The name under which this process holds the lease; unique among replicas
    #[arg(long, env = "POD_NAME", default_value = "valo-operator")]
    pub identity: String,
    /// Where metrics and health are served
    #[arg(long, env = "VALO_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// How logs are written
    #[arg(long, env = "VALO_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty; leave it away for all namespaces".to_owned()) } else { Ok(text.to_owned()) }
}
