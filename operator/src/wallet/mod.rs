//! Wallet: an owner's account, and the Secret with the key that signs for it.
//!
//! The key is made once or referenced, and never overwritten; a key that has been there and is gone is never replaced
//! by another, since what it owned would be lost unnoticed. Deleting a Wallet waits for whatever signs with it.

mod apply;
mod build;
mod delete;
mod dereference;
mod status;
mod validate;

pub use dereference::secret_of;

use crate::{
    Context,
    chain::{ChainError, SignerError},
    cluster::ClusterError,
    controller::{AGAIN, Kind, Problem, Steps},
    keys::KeyError,
};
use kube::runtime::controller::Action;
use std::sync::Arc;
use valo_crds::Wallet;

/// Why a pass over a Wallet fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do something.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain did not do something.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The Secret holds no key.
    #[error("spec.secretRef")]
    Key(#[source] KeyError),
    /// The Secret that is named is not there.
    #[error("spec.secretRef.name: there is no Secret {0}")]
    NoSecret(String),
    /// The Secret was there and is gone.
    #[error(
        "Secret {secret} with the key {key} is gone: restore it from a backup; no other key is made, for the account would be lost"
    )]
    KeyLost {
        /// The Secret.
        secret: String,
        /// The public key that belongs to it.
        key: String,
    },
    /// The Secret holds another key than it did.
    #[error("Secret {secret} holds the key {found}, and this wallet's is {key}: restore it, or make another Wallet")]
    KeyChanged {
        /// The Secret.
        secret: String,
        /// The key that the wallet had first.
        key: String,
        /// The key that is there.
        found: String,
    },
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] valo_protocol::keys::EntropyError),
    /// The wallet that pays is on another chain.
    #[error("spec.fundFrom.walletRef: Wallet {payer} is of Network {network}, not of {own}")]
    OtherNetwork {
        /// The wallet that pays.
        payer: String,
        /// Its Network.
        network: String,
        /// The Network of this one.
        own: String,
    },
}

impl Problem for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "ClusterError",
            Self::Chain(_) => "ChainUnreachable",
            Self::Signer(error) => error.reason(),
            Self::Key(_) => "KeyMalformed",
            Self::NoSecret(_) => "SecretMissing",
            Self::KeyLost { .. } => "KeyLost",
            Self::KeyChanged { .. } => "KeyChanged",
            Self::Entropy(_) => "NoRandomness",
            Self::OtherNetwork { .. } => "Invalid",
        }
    }
}

impl Kind for Wallet {
    const CONTROLLER: &'static str = "wallet";
    type Problem = Error;

    async fn reconcile(wallet: Arc<Self>, context: Arc<Context>) -> Result<Action, Error> {
        let steps = Steps::of::<Self>(&context);
        if wallet.metadata.deletion_timestamp.is_some() {
            return steps.run("delete", delete::delete(&context, &wallet)).await;
        }
        let found = steps.run("dereference", dereference::dereference(&context, &wallet)).await?;
        let checked = validate::validate(&wallet, found)?;
        let prepared = build::build(&wallet, &checked);
        let applied = steps.run("apply", apply::apply(&context, &wallet, &checked, prepared)).await?;
        steps.run("status", status::report(&context, &wallet, &checked, &applied)).await?;
        Ok(Action::requeue(AGAIN))
    }
}
