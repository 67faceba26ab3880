//! The worker: does the shards that the chain has drawn this node for.
//!
//! It acts on finalized state alone, and again after every block: what the chain says it should do, less
//! what it has decided already ([`journal`]), is what it does next. Nothing depends on having seen an
//! event, so a crash at any moment costs time and nothing else.
//!
//! ```text
//!   finalized state --assignments--> reconcile --new--> run (fetch, sandbox, store outputs)
//!         ^                             |                    |
//!         |                             |<---- journal <-----+ answer and salt, on disk first
//!         +---- commit, reveal, abstain-+
//! ```

pub mod due;
mod duty;
mod fetch;
pub mod journal;
pub mod logs;
pub mod remote_logs;
mod run;

pub use duty::{Duty, WorkerError, start};
pub use run::Executor;

use futures::future::BoxFuture;
use tokio::sync::watch;
use valo_ledger::jobs::Assignment;
use valo_protocol::{
    Action, Height, JobContract, PublicKey, SignedTransaction, Timestamp,
    job::{JobId, ShardKey},
    proof::JobRecord,
    receipt::Receipt,
    registry::{NodeId, NodeState},
    transaction::Answer,
};

/// What the worker needs to know about itself and to do on the chain.
pub trait ChainAccess: Send + Sync + 'static {
    /// The finalized height, and every change of it.
    fn heights(&self) -> watch::Receiver<Height>;
    /// This node in the registry: its id, its account's next nonce and where it stands.
    fn me(&self) -> Result<Option<Me>, ChainError>;
    /// What a node is drawn for at present.
    fn assignments(&self, node: NodeId) -> Result<Vec<Assignment>, ChainError>;
    /// A job with its contract.
    fn job(&self, job: JobId) -> Result<Option<(JobRecord, JobContract)>, ChainError>;
    /// The accepted answer of a shard, and the keys of the nodes that have its outputs.
    fn accepted(&self, shard: ShardKey) -> Result<Option<(Answer, Vec<PublicKey>)>, ChainError>;
    /// Hands a transaction in and waits until it is final, or never will be.
    fn submit(&self, transaction: SignedTransaction) -> BoxFuture<'static, Result<Receipt, ChainError>>;
}

/// This node in the registry.
#[derive(Debug, Clone, Copy)]
pub struct Me {
    /// Its id.
    pub node: NodeId,
    /// Its own account.
    pub account: valo_protocol::AccountNumber,
    /// The account's next nonce.
    pub nonce: u64,
    /// Where it stands.
    pub state: NodeState,
    /// Whether it has said that it is ready.
    pub ready: bool,
    /// Until when it is jailed; zero if it never was.
    pub jailed_until: Timestamp,
}

impl Me {
    /// What it has to say of itself at `now` before anything is asked of it, if it has to.
    pub fn announcement(&self, now: Timestamp) -> Option<Action> {
        match self.state {
            _ if self.must_return() => Some(Action::Return),
            NodeState::Jailed if self.jailed_until <= now => Some(Action::Unjail),
            _ => None,
        }
    }

    /// Whether it has to say that it is there before anything is asked of it.
    pub fn must_return(&self) -> bool {
        self.state == NodeState::Absent || (self.state == NodeState::Joining && !self.ready)
    }
}

/// Why the chain did not answer, or did not take a message.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChainError {
    /// The state cannot be read.
    #[error("cannot read the state: {0}")]
    State(String),
    /// A transaction was taken and is not final yet.
    #[error("the message is not final yet")]
    Waiting,
    /// A transaction was refused or dropped.
    #[error("the message was not taken: {0}")]
    Refused(String),
}
