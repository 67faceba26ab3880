//! NodeTier: nodes of one role that are scaled together.
//!
//! What is done next is planned by a pure function ([`plan`]), and so is what may be disrupted ([`power`]). A pod is
//! started only under a reservation of its consensus key, and ended only when the chain has let its node go.

mod apply;
mod build;
mod dereference;
mod external;
pub mod funds;
mod node_keys;
pub mod plan;
pub mod power;
pub mod roll;
mod status;
mod validate;

use crate::{
    Context,
    chain::{ChainError, SignerError},
    cluster::ClusterError,
    controller::{AGAIN, Kind, Problem, SOON, Steps},
    keys::KeyError,
};
use kube::runtime::controller::Action;
use std::sync::Arc;
use valo_crds::NodeTier;

/// Why a pass over a NodeTier fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do something.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A Secret holds no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] valo_protocol::keys::EntropyError),
    /// What the spec refers to does not fit.
    #[error("{field}: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Problem for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "ClusterError",
            Self::Chain(_) => "ChainUnreachable",
            Self::Key(_) => "KeyMalformed",
            Self::Entropy(_) => "NoRandomness",
            Self::Field { .. } => "Invalid",
        }
    }
}

/// Why a step on the chain was not taken. It is told in the status, and holds nothing else up.
#[derive(Debug)]
pub struct Hindrance {
    /// The node.
    pub ordinal: i32,
    /// In one word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
    /// Whether it is told in an event already, as each attempt to do something on the chain is.
    pub is_told: bool,
}

impl Hindrance {
    fn new(ordinal: i32, reason: &'static str, message: String) -> Self {
        Self { ordinal, reason, message, is_told: false }
    }

    fn of(ordinal: i32, error: &SignerError) -> Self {
        Self { ordinal, reason: error.reason(), message: crate::controller::causes(error), is_told: true }
    }

    /// Whether it passes by itself, with the next passes.
    fn passes(&self) -> bool {
        matches!(self.reason, "WalletBusy" | "ChainUnreachable")
    }
}

impl Kind for NodeTier {
    const CONTROLLER: &'static str = "node-tier";
    type Problem = Error;

    /// While passes fail nodes neither come nor go.
    fn denies(_reason: &str) -> &'static [&'static str] {
        &[status::PROGRESSING]
    }

    async fn reconcile(tier: Arc<Self>, context: Arc<Context>) -> Result<Action, Error> {
        let steps = Steps::of::<Self>(&context);
        let found = steps.run("dereference", dereference::dereference(&context, &tier)).await?;
        let checked = validate::validate(&tier, found, &context.settings)?;
        let prepared = build::build(&tier, &checked, &context.settings);
        let applied = steps.run("apply", apply::apply(&context, &tier, &checked, prepared)).await?;
        let settled = steps.run("status", status::report(&context, &tier, &checked, &applied)).await?;
        Ok(match applied.is_over {
            true => Action::await_change(),
            false => Action::requeue(if settled { AGAIN } else { SOON }),
        })
    }
}

#[cfg(test)]
mod tests;
