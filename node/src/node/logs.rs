//! Logs of shards for the API: this node's own, and those of the other nodes that were drawn.

use crate::{
    api::LogAccess,
    network::Network,
    worker::{
        logs::{Logs, RunLog},
        remote_logs,
    },
};
use async_trait::async_trait;
use futures::{StreamExt, stream};
use valo_client::types::ShardLog;
use valo_protocol::{PublicKey, job::ShardKey, registry::NodeId};

/// Nodes asked at once.
const AT_ONCE: usize = 8;

/// Where logs come from.
#[derive(Debug)]
pub struct LogSources {
    /// Other nodes.
    pub network: Network,
    /// This node's logs.
    pub logs: Logs,
}

impl LogSources {
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
    async fn logs(&self, shard: ShardKey, nodes: &[(NodeId, PublicKey)]) -> Vec<ShardLog> {
        let answers = stream::iter(nodes.iter().copied())
            .map(|(node, key)| async move { self.log(shard, key).await.map(|log| of_node(node, log)) })
            .buffered(AT_ONCE);
        answers.filter_map(std::future::ready).collect().await
    }
}

fn of_node(node: NodeId, log: RunLog) -> ShardLog {
    let RunLog { attempt, stdout, stderr, truncated } = log;
    ShardLog { node, attempt, stdout, stderr, truncated }
}
