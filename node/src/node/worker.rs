//! The worker of a node: the chain as it sees it, and what it serves to others.

use super::{DataFolder, NodeConfig};
use crate::{
    blobs::Blobs,
    chain::ChainHandle,
    mempool::{Mempool, NotFinal},
    network::Protocol,
    storage::Storage,
    worker::{ChainAccess, ChainError, Duty, Executor, Me, journal::Journal, logs::Logs},
};
use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use valo_ledger::{LedgerError, View, jobs::Assignment};
use valo_protocol::{
    GenesisHash, Height, JobContract, PublicKey, SecretKey, SignedTransaction,
    job::{JobId, ShardKey},
    proof::JobRecord,
    receipt::Receipt,
    registry::{NodeId, NodeRole},
    transaction::Answer,
};
use valo_sandbox::{Sandbox, SandboxConfig};

/// Logs kept.
const LOGS: usize = 1000;
/// How long a message may take to become final before the worker looks at the state again. Sending the same message
/// twice is sending it once, and reaches nodes that were not connected the first time.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the worker is made from.
pub struct Setting<'a> {
    pub folder: &'a DataFolder,
    pub config: &'a NodeConfig,
    pub key: &'a SecretKey,
    pub genesis: GenesisHash,
    pub storage: &'a Storage,
    pub chain: &'a ChainHandle,
    pub mempool: &'a Mempool,
    pub blobs: &'a Blobs,
    pub logs: &'a Logs,
}

/// The logs of a node.
pub fn open_logs(folder: &DataFolder) -> anyhow::Result<Logs> {
    let path = folder.join("worker/logs");
    Logs::open(path.clone(), LOGS).with_context(|| format!("cannot open {}", path.display()))
}

/// Serves this node's logs to other members.
pub fn log_protocol(logs: Logs) -> Protocol {
    crate::worker::remote_logs::protocol(logs)
}

/// The worker of this node; none when the registry does not know it as one.
pub fn duty(setting: Setting<'_>) -> anyhow::Result<Option<Duty<FinalizedChain>>> {
    let view = View::new(setting.storage);
    let Some((_, node)) = view.node_by_key(&setting.key.public())? else { return Ok(None) };
    let NodeRole::Worker { tier, slots } = node.role else { return Ok(None) };
    let tier = view.tier(tier)?.with_context(|| format!("tier {tier} of this node is not in the state"))?;
    let slots = usize::from(slots).max(1);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sandbox = Sandbox::new(&SandboxConfig {
        threads: setting.config.worker.threads.unwrap_or(slots.min(cores)).max(1),
        queue: slots,
        cache_directory: Some(setting.folder.join("worker/modules")),
        ..SandboxConfig::default()
    })?;
    let chain = Arc::new(FinalizedChain::new(&setting));
    Ok(Some(Duty {
        executor: Executor {
            chain: chain.clone(),
            blobs: setting.blobs.clone(),
            sandbox,
            logs: setting.logs.clone(),
            fuel_per_second: tier.fuel_per_second,
        },
        chain,
        journal: Journal::open(setting.folder.join("worker/journal"))?,
        key: setting.key.clone(),
        genesis: setting.genesis,
        slots,
        said: None,
    }))
}

/// The chain as the worker sees it: finalized state on disk, and the mempool for what it says.
#[derive(Debug)]
pub struct FinalizedChain {
    key: PublicKey,
    storage: Storage,
    mempool: Mempool,
    heights: watch::Receiver<Height>,
}

impl FinalizedChain {
    fn new(setting: &Setting<'_>) -> Self {
        let mut head = setting.chain.head();
        let (sender, heights) = watch::channel(head.borrow().height);
        tokio::spawn(async move {
            while head.changed().await.is_ok() {
                let height = head.borrow().height;
                if sender.send(height).is_err() {
                    return;
                }
            }
        });
        Self { key: setting.key.public(), storage: setting.storage.clone(), mempool: setting.mempool.clone(), heights }
    }

    fn read<T>(&self, read: impl FnOnce(View<'_>) -> Result<T, LedgerError>) -> Result<T, ChainError> {
        read(View::new(&self.storage.snapshot())).map_err(|error| ChainError::State(error.to_string()))
    }
}

impl ChainAccess for FinalizedChain {
    fn heights(&self) -> watch::Receiver<Height> {
        self.heights.clone()
    }

    fn me(&self) -> Result<Option<Me>, ChainError> {
        self.read(|view| {
            let Some((node, record)) = view.node_by_key(&self.key)? else { return Ok(None) };
            let account = view.account(record.account)?;
            let nonce = account.map_or(0, |account| account.nonce.0);
            Ok(Some(Me { node, account: record.account, nonce, state: record.state }))
        })
    }

    fn assignments(&self, node: NodeId) -> Result<Vec<Assignment>, ChainError> {
        self.read(|view| view.assignments(node))
    }

    fn job(&self, job: JobId) -> Result<Option<(JobRecord, JobContract)>, ChainError> {
        self.read(|view| {
            let Some((record, _)) = view.job(job)? else { return Ok(None) };
            Ok(view.contract(job)?.map(|contract| (record, contract)))
        })
    }

    fn accepted(&self, shard: ShardKey) -> Result<Option<(Answer, Vec<PublicKey>)>, ChainError> {
        self.read(|view| {
            let Some(verdict) = view.shard_verdict(shard)? else { return Ok(None) };
            let Some(answer) = verdict.result.answer else { return Ok(None) };
            let mut keys = Vec::with_capacity(verdict.holders.len());
            for node in verdict.holders {
                keys.extend(view.node(node)?.map(|node| node.key));
            }
            Ok(Some((answer, keys)))
        })
    }

    fn submit(&self, transaction: SignedTransaction) -> BoxFuture<'static, Result<Receipt, ChainError>> {
        let mempool = self.mempool.clone();
        Box::pin(async move {
            let refused = |error: &dyn std::fmt::Display| ChainError::Refused(error.to_string());
            let id = mempool.submit(Bytes::from(transaction.to_bytes())).await.map_err(|error| refused(&error))?;
            mempool.await_final(id, PATIENCE).await.map_err(|error| match error {
                NotFinal::Waiting => ChainError::Waiting,
                other => refused(&other),
            })
        })
    }
}
