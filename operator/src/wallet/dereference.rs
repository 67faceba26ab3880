//! What a Wallet refers to: its Secret, its Network, the wallet that pays, and its account on the chain.

use super::Error;
use crate::{
    Context,
    chain::{Chain, ChainError, found},
    keys,
    names::namespace_of,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use valo_client::types::{Account, Node};
use valo_crds::{Network, SecretKeyRef, Wallet};
use valo_protocol::SecretKey;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The Secret, if it is there.
    pub secret: Option<Secret>,
    /// A new key, drawn in case that one is needed.
    pub fresh: Option<SecretKey>,
    /// The Network, if it is there.
    pub network: Option<Network>,
    /// The wallet that pays, if one is named and there.
    pub payer: Option<Wallet>,
    /// The Secret of the wallet that pays.
    pub payer_secret: Option<Secret>,
    /// The chain, if a node answers.
    pub chain: Option<Chain>,
    /// Why none does.
    pub silent: Option<String>,
    /// The account, if the chain has it.
    pub account: Option<Account>,
    /// The nodes that the account owns.
    pub nodes: Vec<Node>,
}

/// Where the key of a wallet is.
pub fn secret_of(wallet: &Wallet) -> SecretKeyRef {
    let own = || SecretKeyRef { name: wallet.name_any(), key: keys::DATA_KEY.to_owned() };
    wallet.spec.secret_ref.clone().unwrap_or_else(own)
}

/// Asks for everything that the Wallet refers to.
pub async fn dereference(context: &Context, wallet: &Wallet) -> Result<Found, Error> {
    let namespace = namespace_of(wallet);
    let reference = secret_of(wallet);
    let secret: Option<Secret> = context.cluster.get(&namespace, &reference.name).await?;
    let fresh = match (&secret, &wallet.spec.secret_ref) {
        (None, None) => Some(SecretKey::generate()?),
        _ => None,
    };
    let mut all = Found { secret, fresh, ..Found::default() };
    all.network = context.cluster.get(&namespace, &wallet.spec.network_ref.name).await?;
    if let Some(from) = &wallet.spec.fund_from {
        all.payer = context.cluster.get(&namespace, &from.wallet_ref.name).await?;
    }
    if let Some(payer) = &all.payer {
        all.payer_secret = context.cluster.get(&namespace, &secret_of(payer).name).await?;
    }
    read_chain(context, wallet, &namespace, &mut all).await?;
    Ok(all)
}

/// Reads the account. A chain that does not run yet is no failure.
async fn read_chain(context: &Context, wallet: &Wallet, namespace: &str, all: &mut Found) -> Result<(), Error> {
    let hash = all.network.as_ref().and_then(|network| network.status.as_ref()?.genesis_hash.as_ref()?.parse().ok());
    let (Some(network), Some(genesis)) = (&all.network, hash) else { return Ok(()) };
    let chain = match context.chain(namespace, &network.name_any(), genesis).await {
        Ok(chain) => chain,
        Err(error @ ChainError::Silent { .. }) => {
            all.silent = Some(error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let key = all.secret.as_ref().and_then(|secret| keys::read(secret, &secret_of(wallet).key).ok());
    if let Some(key) = key {
        all.account = found(chain.client.account(key.public()).await).map_err(ChainError::from)?;
    }
    if let Some(account) = &all.account {
        all.nodes = chain.nodes_of(account.number).await.map_err(ChainError::from)?;
    }
    all.chain = Some(chain);
    Ok(())
}
