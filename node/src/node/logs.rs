//! Logs of shards for the API: this node's own, and those of the other nodes that were drawn.

use crate::{
    api::LogAccess,
    network::Network,
    storage::Storage,
    worker::{
        logs::{Logs, RunLog},
        remote_logs,
    },
};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use valo_client::types::ShardLog;
use valo_ledger::{LedgerError, View};
use valo_protocol::{PublicKey, job::ShardKey, registry::NodeId};

/// Nodes asked at once.
const AT_ONCE: usize = 8;

/// Where logs come from.
#[derive(Debug)]
pub struct LogSources {
    /// Who was drawn.
    pub storage: Storage,
    /// Other nodes.
    pub network: Network,
    /// This node's logs.
    pub logs: Logs,
}

impl LogSources {
    /// The nodes that were drawn for a shard, or gave its accepted answer.
    fn nodes(&self, shard: ShardKey) -> Result<Vec<(NodeId, PublicKey)>, LedgerError> {
        let snapshot = self.storage.snapshot();
        let view = View::new(&snapshot);
        let mut ids: Vec<NodeId> = Vec::new();
        if let Some((_, record)) = view.shard(shard)? {
            ids.extend(record.assignments.iter().map(|assignment| assignment.node));
        }
        if let Some(verdict) = view.shard_verdict(shard)? {
            ids.extend(verdict.holders);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut nodes = Vec::with_capacity(ids.len());
        for id in ids {
            nodes.extend(view.node(id)?.map(|node| (id, node.key)));
        }
        Ok(nodes)
    }

    async fn log(&self, shard: ShardKey, key: PublicKey) -> Option<RunLog> {
        if key != self.network.key() {
            return remote_logs::ask(&self.network, key, shard).await;
        }
        let logs = self.logs.clone();
        tokio::task::spawn_blocking(move || logs.read(shard)).await.ok()?.ok().flatten()
    }
}

#[async_trait]
impl LogAccess for LogSources {
    async fn logs(&self, shard: ShardKey) -> Result<Vec<ShardLog>, String> {
        let nodes = self.nodes(shard).map_err(|error| error.to_string())?;
        let answers = stream::iter(nodes)
            .map(|(node, key)| async move { self.log(shard, key).await.map(|log| of_node(node, log)) })
            .buffered(AT_ONCE);
        Ok(answers.filter_map(std::future::ready).collect().await)
    }
}

fn of_node(node: NodeId, log: RunLog) -> ShardLog {
    let RunLog { attempt, stdout, stderr, truncated } = log;
    ShardLog { node, attempt, stdout, stderr, truncated }
}
