//! The chains of this cluster, by the nodes that run here.
//!
//! A pass talks to one node: what it reads is then of one finalized state or a later one, never of an earlier one. That
//! is what the optimistic lock of [`Signer`] stands on.

mod signer;

pub use signer::{Signer, SignerError};

use crate::{Context, cluster::ClusterError, names};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use valo_client::{
    Client, ClientError,
    types::{Node, PageRequest, Status},
};
use valo_protocol::{AccountNumber, Amount, GenesisHash, PublicKey};

/// The port of the HTTP API of nodes.
pub const API_PORT: u16 = 8080;
/// How long a node may take to say where it stands.
const STATUS: Duration = Duration::from_secs(2);
/// Nodes of a page.
const PAGE: u32 = 1000;

/// Why a chain could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No node of this cluster answers.
    #[error("no node of Network {network} answers{}", last.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
    Silent {
        /// The Network.
        network: String,
        /// What the last one that was asked did.
        last: Option<String>,
    },
    /// The cluster did not list the nodes.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A node did not answer what it was asked.
    #[error("a node answered with an error")]
    Client(#[from] ClientError),
}

/// Connections to nodes, and the locks of wallets.
#[derive(Debug, Default)]
pub struct Chains {
    clients: Mutex<BTreeMap<String, Client>>,
    wallets: Mutex<BTreeMap<PublicKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// A chain, as one node has finalized it.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The node.
    pub client: Client,
    /// Where it stands.
    pub status: Status,
}

impl Chains {
    fn client(&self, endpoint: &str) -> Result<Client, ClientError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(endpoint) {
            return Ok(client.clone());
        }
        // Pods come and go with their addresses: what is not used is made again when it is.
        if clients.len() >= 256 {
            clients.clear();
        }
        let client = Client::new(endpoint)?;
        clients.insert(endpoint.to_owned(), client.clone());
        Ok(client)
    }

    /// Lets an endpoint be asked by a client that is there already.
    #[cfg(test)]
    pub(crate) fn know(&self, endpoint: &str, client: Client) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint.to_owned(), client);
    }

    fn wallet(&self, key: PublicKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut wallets = self.wallets.lock().unwrap_or_else(PoisonError::into_inner);
        // A lock that only this map has is held by nobody, and nobody waits for it.
        wallets.retain(|_, lock| Arc::strong_count(lock) > 1);
        wallets.entry(key).or_default().clone()
    }
}

impl Context {
    /// The chain of a Network, by a node of this cluster that follows it.
    pub async fn chain(&self, namespace: &str, network: &str, genesis: GenesisHash) -> Result<Chain, ChainError> {
        let pods: Vec<Pod> = self.cluster.list(namespace, &names::selector(&[(names::NETWORK, network)])).await?;
        let mut last = None;
        for endpoint in endpoints(&pods) {
            let client = self.chains.client(&endpoint)?;
            match tokio::time::timeout(STATUS, client.status()).await {
                Ok(Ok(status)) if status.genesis == genesis => return Ok(Chain { client, status }),
                Ok(Ok(status)) => {
                    last = Some(format!("{endpoint} is on the chain {}, not {genesis}", status.genesis));
                }
                Ok(Err(error)) => last = Some(error.to_string()),
                Err(_) => last = Some(format!("{endpoint} does not answer")),
            }
        }
        Err(ChainError::Silent { network: network.to_owned(), last })
    }
}

impl Chain {
    /// Why the node is not caught up, if it is not. No other of this cluster is then: those that are ready are asked first.
    pub fn behind(&self) -> Option<String> {
        let node = &self.status.node;
        (!node.ready).then(|| node.not_ready.clone().unwrap_or_else(|| "it is behind".to_owned()))
    }

    /// All registered nodes of an owner.
    pub async fn nodes_of(&self, owner: AccountNumber) -> Result<Vec<Node>, ClientError> {
        let mut nodes = Vec::new();
        let mut page = PageRequest { from: None, limit: Some(PAGE) };
        loop {
            let part = self.client.nodes(&page).await?;
            nodes.extend(part.items.into_iter().filter(|node| node.owner == owner));
            match part.next {
                Some(next) => page.from = Some(next),
                None => return Ok(nodes),
            }
        }
    }

    /// A registered node by its key.
    pub async fn node(&self, key: PublicKey) -> Result<Option<Node>, ClientError> {
        found(self.client.node(key).await)
    }
}

/// A sum of money; all there can be if it does not fit.
pub fn sum(amounts: impl IntoIterator<Item = Amount>) -> Amount {
    let most = Amount::from_units(u64::MAX);
    amounts.into_iter().fold(Amount::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(most))
}

/// What is not there is no error.
pub fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the nodes in pods are asked: those that are ready first, then those that run.
fn endpoints(pods: &[Pod]) -> Vec<String> {
    let mut all: Vec<(bool, String, String)> = pods
        .iter()
        .filter_map(|pod| {
            let status = pod.status.as_ref()?;
            let address = status.pod_ip.as_ref().filter(|address| !address.is_empty())?;
            let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            (status.phase.as_deref() == Some("Running"))
                .then(|| (!is_ready(pod), pod.name_any(), format!("http://{host}:{API_PORT}")))
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, _, endpoint)| endpoint).collect()
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|list| list.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_are_kept_as_long_as_somebody_has_them() {
        let chains = Chains::default();
        let held = chains.wallet(PublicKey([0; 32])).lock_owned().await;
        for key in 1..100 {
            drop(chains.wallet(PublicKey([key; 32])).lock_owned().await);
        }
        assert!(chains.wallets.lock().unwrap().len() <= 2, "those of wallets that are gone are not kept");
        assert!(chains.wallet(PublicKey([0; 32])).try_lock().is_err(), "it is the same lock");
        drop(held);
        assert!(chains.wallet(PublicKey([0; 32])).try_lock().is_ok());
    }
}
