//! Jobs.

use super::{Client, Query, page_query};
use crate::{
    error::ClientError,
    types::{Job, JobExplanation, JobFilter, JobResults, JobSummary, Page, PageRequest, Shard, ShardLogs},
};
use valo_protocol::{
    AccountNumber,
    job::{JobContract, JobId, ShardKey},
};

impl Client {
    /// Jobs, newest first.
    pub async fn jobs(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<JobSummary>, ClientError> {
        let mut query = page_query(page);
        if let Some(submitter) = filter.submitter {
            query.push(("submitter", submitter.to_string()));
        }
        if let Some(client_id) = &filter.client_id {
            query.push(("clientId", client_id.clone()));
        }
        if let Some(phase) = filter.phase {
            query.push(("phase", phase.to_string()));
        }
        self.get("v1/jobs", &query).await
    }

    /// The job that an account submitted by an id of its own, if it did.
    pub async fn job_by_client_id(
        &self,
        submitter: AccountNumber,
        client_id: [u8; 16],
    ) -> Result<Option<JobId>, ClientError> {
        let filter =
            JobFilter { submitter: Some(submitter), client_id: Some(hex::encode(client_id)), ..JobFilter::default() };
        let page = self.jobs(&filter, &PageRequest::limited(1)).await?;
        Ok(page.items.first().map(|job| job.id))
    }

    /// A job.
    pub async fn job(&self, job: JobId) -> Result<Job, ClientError> {
        self.get(&format!("v1/jobs/{job}"), &Query::new()).await
    }

    /// The contract of a job.
    pub async fn job_contract(&self, job: JobId) -> Result<JobContract, ClientError> {
        self.get(&format!("v1/jobs/{job}/contract"), &Query::new()).await
    }

    /// Shards of a job in order of stage and shard.
    pub async fn job_shards(&self, job: JobId, page: &PageRequest) -> Result<Page<Shard>, ClientError> {
        self.get(&format!("v1/jobs/{job}/shards"), &page_query(page)).await
    }

    /// The verdicts of a job so far.
    pub async fn job_results(&self, job: JobId) -> Result<JobResults, ClientError> {
        self.get(&format!("v1/jobs/{job}/results"), &Query::new()).await
    }

    /// What the program of a shard wrote, by the nodes that ran it.
    pub async fn shard_logs(&self, shard: ShardKey) -> Result<ShardLogs, ClientError> {
        let path = format!("v1/jobs/{}/shards/{}/{}/logs", shard.job, shard.stage, shard.shard);
        self.get(&path, &Query::new()).await
    }

    /// Why a job went as it did; `page` walks its shards.
    pub async fn job_explanation(&self, job: JobId, page: &PageRequest) -> Result<JobExplanation, ClientError> {
        self.get(&format!("v1/jobs/{job}/explain"), &page_query(page)).await
    }
}
