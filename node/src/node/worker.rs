//! What the registry asks of a node, as long as it asks: a worker works, a validator says when it is ready.
//!
//! A node may run long before it is registered, and after it has left: until the registry knows its key it only
//! follows the chain.

use super::{DataFolder, NodeConfig};
use crate::{
    blobs::Blobs,
    chain::ChainHandle,
    mempool::{Mempool, NotFinal},
    network::Protocol,
    pulse::Pulse,
    storage::Storage,
    worker::{ChainAccess, ChainError, Duty, Executor, Me, journal::Journal, logs::Logs},
};
use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use valo_ledger::{LedgerError, View, jobs::Assignment};
use valo_protocol::{
    Amount, GenesisHash, Height, JobContract, PublicKey, SecretKey, SignedTransaction, Transaction, Varint,
    job::{JobId, ShardKey},
    proof::JobRecord,
    receipt::Receipt,
    registry::{NodeId, NodeRole, NodeState, TierId},
    transaction::Answer,
};
use valo_sandbox::{Sandbox, SandboxConfig};

/// Logs kept.
const LOGS: usize = 1000;
/// How long a message may take to become final before the worker looks at the state again. Sending the same message
/// twice is sending it once, and reaches nodes that were not connected the first time.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the worker is made from.
pub struct Setting {
    pub folder: DataFolder,
    pub config: NodeConfig,
    pub key: SecretKey,
    pub genesis: GenesisHash,
    pub storage: Storage,
    pub chain: ChainHandle,
    pub mempool: Mempool,
    pub blobs: Blobs,
    pub logs: Logs,
    pub pulse: Pulse,
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

/// Follows the registry: does what it asks of this node, and stops when it no longer does.
pub async fn follow(setting: Setting, stop: CancellationToken) -> anyhow::Result<()> {
    let chain = Arc::new(FinalizedChain::new(&setting));
    let mut heights = chain.heights();
    loop {
        match chain.place()? {
            Some((node, role @ NodeRole::Worker { tier, slots })) => {
                info!(%node, %tier, slots, "this node is a worker");
                let duty = duty(&setting, &chain, tier, slots)?;
                let over = stop.child_token();
                let watch = until_replaced(chain.clone(), (node, role), over.clone());
                let (worked, ()) = tokio::join!(crate::worker::start(duty, over.clone()), async {
                    watch.await;
                    over.cancel();
                });
                worked?;
            }
            Some((_, NodeRole::Validator)) => announce(&setting, &chain).await?,
            None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = heights.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Until the registry asks something else of this node, or the worker stops.
async fn until_replaced(chain: Arc<FinalizedChain>, place: (NodeId, NodeRole), over: CancellationToken) {
    let mut heights = chain.heights();
    // A state that cannot be read is the worker's to report.
    while chain.place().is_ok_and(|now| now == Some(place)) {
        tokio::select! {
            () = over.cancelled() => return,
            changed = heights.changed() => if changed.is_err() { return },
        }
    }
}

/// A validator that joins, or whose jail is over, says that it is ready, once it has caught up: from the next epoch on
/// blocks need its vote.
async fn announce(setting: &Setting, chain: &FinalizedChain) -> anyhow::Result<()> {
    let Some(me) = chain.me()? else { return Ok(()) };
    let (time, height) = {
        let head = setting.chain.head();
        let tip = head.borrow();
        (tip.time, tip.height)
    };
    let params = View::new(&setting.storage).params()?;
    let is_behind = crate::api::behind(time, height.0, &params).is_some();
    let Some(action) = me.announcement(time).filter(|_| !is_behind) else { return Ok(()) };
    let nonce = Varint(me.nonce);
    let transaction = Transaction { sender: me.account, nonce, max_fee: Amount::ZERO, action };
    match chain.submit(transaction.sign(&setting.genesis, &setting.key)).await {
        Ok(_) => info!(node = %me.node, "said that this validator is ready"),
        Err(error) => debug!(%error, "will say again that this validator is ready"),
    }
    Ok(())
}

/// The worker of this node.
fn duty(
    setting: &Setting,
    chain: &Arc<FinalizedChain>,
    tier: TierId,
    slots: u16,
) -> anyhow::Result<Duty<FinalizedChain>> {
    let view = View::new(&setting.storage);
    let tier = view.tier(tier)?.with_context(|| format!("tier {tier} of this node is not in the state"))?;
    let slots = usize::from(slots).max(1);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sandbox = Sandbox::new(&SandboxConfig {
        threads: setting.config.worker.threads.unwrap_or(slots.min(cores)).max(1),
        queue: slots,
        cache_directory: Some(setting.folder.join("worker/modules")),
        ..SandboxConfig::default()
    })?;
    Ok(Duty {
        executor: Executor {
            chain: chain.clone(),
            blobs: setting.blobs.clone(),
            sandbox,
            logs: setting.logs.clone(),
            fuel_per_second: tier.fuel_per_second,
        },
        chain: chain.clone(),
        journal: Journal::open(setting.folder.join("worker/journal"))?,
        key: setting.key.clone(),
        genesis: setting.genesis,
        slots,
        said: None,
        pulse: setting.pulse.clone(),
    })
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
    fn new(setting: &Setting) -> Self {
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

    /// This node's number and what it is to do, if the registry knows it and it has not left.
    fn place(&self) -> Result<Option<(NodeId, NodeRole)>, ChainError> {
        self.read(|view| {
            let found = view.node_by_key(&self.key)?.filter(|(_, record)| record.state != NodeState::Left);
            Ok(found.map(|(node, record)| (node, record.role)))
        })
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
            let (state, ready, jailed_until) = (record.state, record.ready, record.jailed_until);
            Ok(Some(Me { node, account: record.account, nonce, state, ready, jailed_until }))
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
