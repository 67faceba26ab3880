//! Signing for a wallet, exactly once.
//!
//! The nonce of the account is the lock: it is read first, then the state that decides what is to be done, and what is
//! signed carries that nonce. If anything else of the account became final in between (a transaction of an operator
//! that was killed, or somebody's with the same key), the nonce is used, the chain refuses, and the next pass decides
//! anew. So no decision is carried out twice, whoever restarts when.

use super::{Chain, ChainError, Chains, found};
use crate::Context;
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedMutexGuard;
use valo_client::{ClientError, fees::FeeSchedule, types::Account};
use valo_protocol::{
    Action, SecretKey, Transaction, TransactionId,
    encoding::Varint,
    receipt::{Made, Outcome, Reason},
};

/// How long an action may take to become final.
const FINALITY: Duration = Duration::from_secs(10);

/// Why an action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The chain refused it for good, as things are.
    #[error("the chain refused to {action}: {reason}")]
    Refused {
        /// What was asked for.
        action: &'static str,
        /// Why not.
        reason: Box<Reason>,
    },
    /// Another transaction of the wallet came first; the next pass looks again.
    #[error("another transaction of the wallet is under way; {action} waits for it")]
    Busy {
        /// What was asked for.
        action: &'static str,
    },
    /// The node did not take it, or it did not become final in time.
    #[error("cannot {action}")]
    Client {
        /// What was asked for.
        action: &'static str,
        /// What happened.
        #[source]
        source: Box<ClientError>,
    },
}

impl SignerError {
    /// In one word: the reason of events and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "ChainRefused",
            Self::Busy { .. } => "WalletBusy",
            Self::Client { .. } => "ChainUnreachable",
        }
    }
}

/// An account that signs. While this lives, no other pass of this process signs for it.
pub struct Signer {
    chain: Chain,
    key: SecretKey,
    /// The account as it was read first.
    pub account: Account,
    nonce: u64,
    _lock: OwnedMutexGuard<()>,
}

impl Chains {
    /// The account of a key, ready to sign; none if the chain has no such account yet.
    pub async fn signer(&self, chain: &Chain, key: &SecretKey) -> Result<Option<Signer>, ChainError> {
        let lock = self.wallet(key.public());
        let lock: OwnedMutexGuard<()> = Arc::clone(&lock).lock_owned().await;
        let Some(account) = found(chain.client.account(key.public()).await)? else { return Ok(None) };
        let nonce = account.nonce;
        Ok(Some(Signer { chain: chain.clone(), key: key.clone(), account, nonce, _lock: lock }))
    }
}

impl Signer {
    /// The chain that it signs for.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Signs an action and waits until it is final.
    pub async fn perform(&mut self, context: &Context, action: Action) -> Result<Made, SignerError> {
        let name = name_of(&action);
        let done = self.try_perform(name, action).await;
        let result = match &done {
            Ok(_) => "ok",
            Err(SignerError::Refused { .. }) => "refused",
            Err(SignerError::Busy { .. }) => "busy",
            Err(SignerError::Client { .. }) => "failed",
        };
        context.metrics.action(name, result);
        tracing::info!(action = name, account = %self.account.number, result, "signed for a wallet");
        done
    }

    async fn try_perform(&mut self, name: &'static str, action: Action) -> Result<Made, SignerError> {
        let failed = |source| SignerError::Client { action: name, source: Box::new(source) };
        let schedule = FeeSchedule::from(&self.chain.client.parameters().await.map_err(failed)?);
        let max_fee = schedule.max_fee(&action).ok_or_else(|| failed(ClientError::Fee))?;
        let transaction = Transaction { sender: self.account.number, nonce: Varint(self.nonce), max_fee, action };
        let signed = transaction.sign(&self.chain.status.genesis, &self.key);
        let id = self.submit(name, &signed).await?;
        let receipt = self.chain.client.await_final(id, FINALITY).await.map_err(|error| match error {
            ClientError::Dropped { .. } => SignerError::Busy { action: name },
            error => failed(error),
        })?;
        self.nonce = self.nonce.saturating_add(1);
        match receipt.outcome {
            Outcome::Done(made) => Ok(made),
            Outcome::Failed(reason) => Err(SignerError::Refused { action: name, reason: Box::new(reason) }),
        }
    }

    async fn submit(
        &self,
        name: &'static str,
        signed: &valo_protocol::SignedTransaction,
    ) -> Result<TransactionId, SignerError> {
        self.chain.client.submit(signed).await.map_err(|error| match error.code() {
            Some("nonceUsed" | "nonceGap" | "nonceTaken" | "tooFarAhead") => SignerError::Busy { action: name },
            _ => SignerError::Client { action: name, source: Box::new(error) },
        })
    }
}

/// An action in words.
const fn name_of(action: &Action) -> &'static str {
    match action {
        Action::Transfer { .. } => "transfer",
        Action::TransferToKey { .. } => "fund",
        Action::SubmitJob { .. } => "submit a job",
        Action::CancelJob { .. } => "cancel a job",
        Action::RegisterNode { .. } => "register a node",
        Action::UpdateNode { .. } => "update a node",
        Action::RemoveNode { .. } => "drain a node",
        Action::ResumeNode { .. } => "resume a node",
        Action::Bond { .. } => "bond",
        Action::Unbond { .. } => "unbond",
        Action::Rebond { .. } => "rebond",
        _ => "act",
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Signer({})", self.account.number)
    }
}
