//! The chain: status, parameters, genesis, blocks, proofs, health.

use super::{Client, Query, page_query};
use crate::{
    error::ClientError,
    types::{Block, BlockSummary, Page, PageRequest, ParametersInForce, Proof, Status},
};
use reqwest::Method;
use valo_protocol::{
    Genesis, Height,
    block::FinalizedHeader,
    encoding::decode,
    job::JobId,
    proof::{StateProof, StateTable},
};

impl Client {
    /// Where the node and its chain stand.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("v1/status", &Query::new()).await
    }

    /// The parameters in force, with the prices of now.
    pub async fn parameters(&self) -> Result<ParametersInForce, ClientError> {
        self.get("v1/params", &Query::new()).await
    }

    /// The genesis document. Its hash is the caller's to check: [`Genesis::hash`].
    pub async fn genesis(&self) -> Result<Genesis, ClientError> {
        self.get("v1/genesis", &Query::new()).await
    }

    /// Blocks, newest first; `from` is the height to start at.
    pub async fn blocks(&self, page: &PageRequest) -> Result<Page<BlockSummary>, ClientError> {
        self.get("v1/blocks", &page_query(page)).await
    }

    /// A finalized block with its transactions and receipts.
    pub async fn block(&self, height: Height) -> Result<Block, ClientError> {
        self.get(&format!("v1/blocks/{height}"), &Query::new()).await
    }

    /// The header of a finalized block with the certificate that makes it final, in canonical form.
    pub async fn header(&self, height: Height) -> Result<FinalizedHeader, ClientError> {
        self.canonical("header", &format!("v1/blocks/{height}/header")).await
    }

    /// A row of the state with everything that makes it certain, in canonical form.
    pub async fn proof(&self, table: StateTable, index: u64) -> Result<StateProof, ClientError> {
        self.canonical("proof", &proof_path(table, index)).await
    }

    /// The same as JSON.
    pub async fn proof_json(&self, table: StateTable, index: u64) -> Result<Proof, ClientError> {
        self.get(&proof_path(table, index), &Query::new()).await
    }

    /// The record of a job with everything that makes it certain, in canonical form.
    pub async fn job_proof(&self, job: JobId) -> Result<StateProof, ClientError> {
        self.canonical("proof", &format!("v1/jobs/{job}/proof")).await
    }

    /// The same as JSON.
    pub async fn job_proof_json(&self, job: JobId) -> Result<Proof, ClientError> {
        self.get(&format!("v1/jobs/{job}/proof"), &Query::new()).await
    }

    /// Whether the node's own loop turns. An error says that it does not answer.
    pub async fn health(&self) -> Result<(), ClientError> {
        self.send(self.request(Method::GET, "healthz", &Query::new())?).await.map(drop)
    }

    /// Whether the node has caught up with its chain. A problem document says why not.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.send(self.request(Method::GET, "readyz", &Query::new())?).await.map(drop)
    }

    /// The node's metrics in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, "metrics", &Query::new())?).await?;
        String::from_utf8(self.read(response).await?)
            .map_err(|error| ClientError::Malformed { what: "/metrics".to_owned(), reason: error.to_string() })
    }

    async fn canonical<T: borsh::BorshDeserialize>(&self, what: &'static str, path: &str) -> Result<T, ClientError> {
        let bytes = self.bytes(path).await?;
        decode(what, &bytes)
            .map_err(|error| ClientError::Malformed { what: format!("/{path}"), reason: error.to_string() })
    }
}

fn proof_path(table: StateTable, index: u64) -> String {
    format!("v1/proofs/{}/{index}", crate::types::table_name(table))
}
