//! A session of an account: knows its number and key, counts its nonces, sets its fees, signs and submits.
//!
//! Submissions of one session go one after the other, so that nonces never leave a gap. Two sessions of one account
//! at a time step on each other's nonces; each recovers by asking the node anew.

use crate::{
    client::Client,
    error::ClientError,
    fees::FeeSchedule,
    types::{Account, SubmissionResult},
};
use std::time::Duration;
use tokio::sync::Mutex;
use valo_protocol::{
    AccountNumber, Action, Amount, GenesisHash, SecretKey, SignedTransaction, Transaction, TransactionId,
    encoding::Varint,
    receipt::{Made, Outcome, Receipt},
};

/// How many nonces are tried. Whenever one is taken, another session of the account has got on.
const NONCES: u32 = 32;
/// How often a submission is tried again after a connection broke.
const TRIES: u32 = 4;
/// The pause between tries after a connection broke.
const PAUSE: Duration = Duration::from_millis(250);

/// An account that acts through a node.
#[derive(Debug)]
pub struct AccountSession {
    client: Client,
    key: SecretKey,
    number: AccountNumber,
    genesis: GenesisHash,
    /// The nonce of the next transaction; none when the node must be asked.
    next_nonce: Mutex<Option<u64>>,
}

impl AccountSession {
    /// A session of the account that `key` signs for. Fails when there is no such account.
    pub async fn open(client: Client, key: SecretKey) -> Result<Self, ClientError> {
        let genesis = client.status().await?.genesis;
        Self::open_on(client, key, genesis).await
    }

    /// The same for a chain that the caller already trusts: a node of another chain is no use then, since its
    /// signatures are for another genesis.
    pub async fn open_on(client: Client, key: SecretKey, genesis: GenesisHash) -> Result<Self, ClientError> {
        let account = client.account(key.public()).await?;
        Ok(Self { client, key, number: account.number, genesis, next_nonce: Mutex::new(Some(account.next_nonce)) })
    }

    /// The number of the account.
    pub fn number(&self) -> AccountNumber {
        self.number
    }

    /// The chain that it signs for.
    pub fn genesis(&self) -> GenesisHash {
        self.genesis
    }

    /// The client it uses.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The account as finalized.
    pub async fn account(&self) -> Result<Account, ClientError> {
        self.client.account(self.number).await
    }

    /// What an action costs at the prices of now.
    pub async fn fee(&self, action: &Action) -> Result<Amount, ClientError> {
        self.schedule().await?.fee(action).ok_or(ClientError::Fee)
    }

    async fn schedule(&self) -> Result<FeeSchedule, ClientError> {
        Ok(FeeSchedule::from(&self.client.parameters().await?))
    }

    /// Signs and submits an action with a fee from the prices of now. Not final yet: see [`AccountSession::perform`].
    pub async fn submit(&self, action: Action) -> Result<TransactionId, ClientError> {
        let max_fee = self.schedule().await?.max_fee(&action).ok_or(ClientError::Fee)?;
        self.submit_with_fee(action, max_fee).await
    }

    /// Signs and submits an action that pays at most `max_fee`.
    pub async fn submit_with_fee(&self, action: Action, max_fee: Amount) -> Result<TransactionId, ClientError> {
        let mut next = self.next_nonce.lock().await;
        let mut tries = 0;
        loop {
            tries += 1;
            let nonce = match *next {
                Some(nonce) => nonce,
                None => self.account().await?.next_nonce,
            };
            let signed = self.sign(action.clone(), max_fee, nonce);
            match self.resubmitting(&signed).await {
                Ok(id) => {
                    *next = Some(nonce.saturating_add(1));
                    return Ok(id);
                }
                Err(error) => {
                    // Whatever went wrong, the node knows the next nonce better than this session.
                    *next = None;
                    let stale = matches!(error.code(), Some("nonceUsed" | "nonceGap" | "nonceTaken" | "tooFarAhead"));
                    let most = if stale { NONCES } else { 1 };
                    if tries >= most {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Submits the same bytes again when a connection broke: the node answers with the same id.
    async fn resubmitting(&self, signed: &SignedTransaction) -> Result<TransactionId, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.client.submit(signed).await {
                Err(error) if error.is_transient() && tries < TRIES => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
    }

    fn sign(&self, action: Action, max_fee: Amount, nonce: u64) -> SignedTransaction {
        Transaction { sender: self.number, nonce: Varint(nonce), max_fee, action }.sign(&self.genesis, &self.key)
    }

    /// Signs and submits many actions in their order, in one request of at most 1,000.
    pub async fn submit_many(&self, actions: Vec<Action>) -> Result<Vec<SubmissionResult>, ClientError> {
        let schedule = self.schedule().await?;
        let mut next = self.next_nonce.lock().await;
        let first = match *next {
            Some(nonce) => nonce,
            None => self.account().await?.next_nonce,
        };
        *next = None;
        let mut signed = Vec::with_capacity(actions.len());
        for (nonce, action) in (first..).zip(actions) {
            let max_fee = schedule.max_fee(&action).ok_or(ClientError::Fee)?;
            signed.push(self.sign(action, max_fee, nonce));
        }
        let results = self.client.submit_many(&signed).await?;
        if results.iter().all(|result| matches!(result, SubmissionResult::Taken(_))) {
            *next = Some(first.saturating_add(results.len().try_into().unwrap_or(u64::MAX)));
        }
        Ok(results)
    }

    /// Submits an action and waits until it is final. An action that was refused is an error with its reason.
    pub async fn perform(&self, action: Action, within: Duration) -> Result<(Receipt, Made), ClientError> {
        let id = self.submit(action).await?;
        let receipt = self.client.await_final(id, within).await?;
        match receipt.outcome.clone() {
            Outcome::Done(made) => Ok((receipt, made)),
            Outcome::Failed(reason) => Err(ClientError::Refused { id, reason }),
        }
    }
}
