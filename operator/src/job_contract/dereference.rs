//! What a JobContract refers to: its Network, its Wallet, its files, and, once it is submitted, the job.

use super::{
    Error,
    apply::client_id,
    blobs::{self, Missing},
};
use crate::{
    Context,
    chain::{Chain, ChainError, found},
    keys,
    names::namespace_of,
    wallet,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use std::collections::BTreeMap;
use valo_client::types::{Job, ParametersInForce, TierInfo};
use valo_contract::resolve::{Document, Metadata};
use valo_crds::{JobContract, JobReason, Network, Wallet};
use valo_protocol::{BlobHash, SecretKey, job::JobId};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is missing before anything can be done.
    pub waits: Option<Waits>,
    /// The chain, if a node answers.
    pub chain: Option<Chain>,
    /// The key of the wallet.
    pub key: Option<SecretKey>,
    /// The job, if it was submitted.
    pub job: Option<Job>,
    /// Its files by path, if it is still to be submitted.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Lengths of blobs that the contract names by digest only.
    pub sizes: BTreeMap<BlobHash, u64>,
    /// A program or manifest that it names by digest and no node has.
    pub missing: Option<Missing>,
    /// Prices and limits, if it is still to be submitted.
    pub market: Option<(ParametersInForce, Vec<TierInfo>)>,
}

/// Something that may still come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// In one word.
    pub reason: JobReason,
    /// In words.
    pub message: String,
}

impl Waits {
    pub(super) fn new(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The number of the job, if it was submitted.
pub fn submitted(job: &JobContract) -> Option<JobId> {
    job.status.as_ref()?.job.as_ref()?.parse().ok().map(JobId)
}

/// The number of the job as the chain has it, by the id under which it is submitted.
pub async fn submitted_by(chain: &Chain, key: &SecretKey, job: &JobContract) -> Result<Option<JobId>, ChainError> {
    let Some(client_id) = client_id(job) else { return Ok(None) };
    let Some(account) = found(chain.client.account(key.public()).await)? else { return Ok(None) };
    Ok(chain.client.job_by_client_id(account.number, client_id).await?)
}

/// The contract as the document that the command line reads.
pub fn document(job: &JobContract) -> Document {
    Document {
        api_version: valo_contract::API_VERSION.to_owned(),
        kind: valo_contract::KIND.to_owned(),
        metadata: Metadata {
            name: job.metadata.name.clone().unwrap_or_default(),
            namespace: None,
            labels: None,
            annotations: None,
        },
        spec: job.spec.0.clone(),
    }
}

/// Asks for everything that the JobContract refers to.
pub async fn dereference(context: &Context, job: &JobContract) -> Result<Found, Error> {
    let mut all = Found::default();
    let namespace = namespace_of(job);
    match chain_of(context, job).await? {
        Ok(chain) => all.chain = Some(chain),
        Err(waits) => return Ok(Found { waits: Some(waits), ..all }),
    }
    let Some(chain) = &all.chain else { return Ok(all) };
    if let Some(id) = submitted(job) {
        all.job = found(chain.client.job(id).await).map_err(ChainError::from)?;
        return Ok(all);
    }
    match key_of(context, job).await? {
        Ok(key) => {
            // Submitted by an operator that was killed before it wrote the number down.
            if let Some(id) = submitted_by(chain, &key, job).await? {
                all.job = found(chain.client.job(id).await).map_err(ChainError::from)?;
                return Ok(all);
            }
            all.key = Some(key);
        }
        Err(waits) => return Ok(Found { waits: Some(waits), ..all }),
    }
    for from in &job.spec.0.files_from {
        let name = &from.config_map_ref.name;
        let Some(map) = context.cluster.get::<ConfigMap>(&namespace, name).await? else {
            all.waits =
                Some(Waits::new(JobReason::MissingInput, format!("spec.filesFrom: there is no ConfigMap {name} yet")));
            return Ok(all);
        };
        let paths: BTreeMap<&str, &str> = from.items.iter().map(|item| (&*item.key, &*item.path)).collect();
        let path_of = |key: &str| paths.get(key).copied().unwrap_or(key).to_owned();
        let texts = map.data.into_iter().flatten().map(|(key, text)| (path_of(&key), text.into_bytes()));
        let bytes = map.binary_data.into_iter().flatten().map(|(key, bytes)| (path_of(&key), bytes.0));
        all.files.extend(texts.chain(bytes));
    }
    let chain = chain.clone();
    blobs::ask(&chain, &document(job), &mut all).await?;
    let parameters = chain.client.parameters().await.map_err(ChainError::from)?;
    all.market = Some((parameters, chain.client.tiers().await.map_err(ChainError::from)?.items));
    Ok(all)
}

/// The chain that the contract goes to, or what it waits for.
pub async fn chain_of(context: &Context, job: &JobContract) -> Result<Result<Chain, Waits>, Error> {
    let namespace = namespace_of(job);
    let name = job.spec.0.network_ref.as_ref().map(|network| network.name.clone()).unwrap_or_default();
    let Some(network) = context.cluster.get::<Network>(&namespace, &name).await? else {
        return Ok(Err(Waits::new(
            JobReason::NetworkMissing,
            format!("spec.networkRef.name: there is no Network {name}"),
        )));
    };
    let genesis = network.status.and_then(|status| status.genesis_hash?.parse().ok());
    let Some(genesis) = genesis else {
        return Ok(Err(Waits::new(JobReason::WaitingForNetwork, format!("Network {name} has no genesis yet"))));
    };
    match context.chain(&namespace, &name, genesis).await {
        Ok(chain) => Ok(Ok(chain)),
        Err(error @ ChainError::Silent { .. }) => Ok(Err(Waits::new(JobReason::ChainUnreachable, error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

/// The key that pays and signs, or what it waits for.
pub async fn key_of(context: &Context, job: &JobContract) -> Result<Result<SecretKey, Waits>, Error> {
    let namespace = namespace_of(job);
    let name = job.spec.0.wallet_ref.as_ref().map(|wallet| wallet.name.clone()).unwrap_or_default();
    let Some(wallet) = context.cluster.get::<Wallet>(&namespace, &name).await? else {
        return Ok(Err(Waits::new(
            JobReason::WalletNotReady,
            format!("spec.walletRef.name: there is no Wallet {name}"),
        )));
    };
    let reference = wallet::secret_of(&wallet);
    match context.cluster.get::<Secret>(&namespace, &reference.name).await? {
        Some(secret) => Ok(Ok(keys::read(&secret, &reference.key)?)),
        None => Ok(Err(Waits::new(JobReason::WalletNotReady, format!("Wallet {name} has no key yet")))),
    }
}
