//! Submitting transactions and waiting for their end.

use super::{Client, Query};
use crate::{
    error::ClientError,
    types::{Submission, SubmissionResult, SubmissionResults, Submitted, TransactionState, TransactionStatus},
};
use reqwest::{Method, header};
use std::time::{Duration, Instant};
use valo_protocol::{SignedTransaction, TransactionId, receipt::Receipt};

/// The longest wait of one request. The node allows no longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a connection may be away while a transaction is waited for.
const PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// Submits a transaction. Submitting the same one again is harmless and gives the same id.
    pub async fn submit(&self, transaction: &SignedTransaction) -> Result<TransactionId, ClientError> {
        self.submit_bytes(transaction.to_bytes()).await
    }

    /// Submits the canonical bytes of a transaction.
    pub async fn submit_bytes(&self, bytes: Vec<u8>) -> Result<TransactionId, ClientError> {
        let request = self
            .request(Method::POST, "v1/transactions", &Query::new())?
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(bytes);
        let submitted: Submitted = self.json(request).await?;
        Ok(submitted.id)
    }

    /// Submits many at once, at most 1,000; the answers are in their order.
    pub async fn submit_many(&self, transactions: &[SignedTransaction]) -> Result<Vec<SubmissionResult>, ClientError> {
        let transactions = transactions.iter().map(|transaction| hex::encode(transaction.to_bytes())).collect();
        let request = self.request(Method::POST, "v1/transactions", &Query::new())?.json(&Submission { transactions });
        let results: SubmissionResults = self.json(request).await?;
        Ok(results.results)
    }

    /// Where a transaction stands.
    pub async fn transaction(&self, id: TransactionId) -> Result<TransactionStatus, ClientError> {
        self.get(&format!("v1/transactions/{id}"), &Query::new()).await
    }

    /// Where a transaction stands once it is final or dropped, or after `wait` (at most 30 s).
    pub async fn transaction_within(
        &self,
        id: TransactionId,
        wait: Duration,
    ) -> Result<TransactionStatus, ClientError> {
        let query = vec![("wait", wait.min(LONGEST_WAIT).as_millis().to_string())];
        self.get(&format!("v1/transactions/{id}"), &query).await
    }

    /// Waits until a transaction is final and gives its receipt, whatever the receipt says. A connection
    /// that breaks meanwhile is taken up again.
    pub async fn await_final(&self, id: TransactionId, within: Duration) -> Result<Receipt, ClientError> {
        let start = Instant::now();
        loop {
            let left = within.saturating_sub(start.elapsed());
            match self.transaction_within(id, left).await.map(|status| status.state) {
                Ok(TransactionState::Finalized { receipt }) => return Ok(receipt),
                Ok(TransactionState::Dropped { rejection }) => return Err(ClientError::Dropped { id, rejection }),
                Ok(TransactionState::Pending) if start.elapsed() >= within => {
                    return Err(ClientError::NotFinal { id, waited: within });
                }
                Ok(TransactionState::Pending) => {}
                Err(error) if error.is_transient() && start.elapsed() < within => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }
}
