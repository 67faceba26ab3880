//! What a NodeTier refers to: its Network, keys, wallets, pods, and the records of its nodes on the chain.

use super::{
    Error,
    node_keys::{NodeKeys, told},
};
use crate::{
    Context,
    chain::{Chain, ChainError, Signer},
    key_reservation, keys,
    names::{self, namespace_of},
    wallet,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Secret, Service},
};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};
use valo_client::types::{Node, TierInfo, Validators};
use valo_crds::{ConsensusKeyReservation, Network, NodeTier, Role, Wallet};
use valo_protocol::{Amount, GenesisHash, PublicKey, SecretKey};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The Network, if it is there.
    pub network: Option<Network>,
    /// The other NodeTiers of the Network, and this one.
    pub siblings: Vec<NodeTier>,
    /// The StatefulSet, if it is there.
    pub stateful_set: Option<StatefulSet>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// The Services by which the world reaches nodes, by pod.
    pub external: BTreeMap<String, Service>,
    /// The Secrets with the keys of nodes, by ordinal.
    pub secrets: BTreeMap<i32, Secret>,
    /// Of those, the ones without the label of the NodeTier: they are found by their names only.
    pub mislabelled: BTreeSet<i32>,
    /// The reservations of those keys, as far as there are any, by ordinal.
    pub reservations: BTreeMap<i32, ConsensusKeyReservation>,
    /// New keys, drawn in case that they are needed, by ordinal.
    pub fresh: BTreeMap<i32, SecretKey>,
    /// The wallets that own the nodes, by name.
    pub wallets: BTreeMap<String, Wallet>,
    /// What the wallet that fills those can spend, if there is one and its key is known.
    pub payer: Option<Amount>,
    /// What of the chain was read, if a node answers.
    pub chain: Option<OnChain>,
    /// Why none does.
    pub silent: Option<String>,
}

/// What was read of the chain, behind the nonces of the wallets that sign.
#[derive(Debug)]
pub struct OnChain {
    /// The chain.
    pub chain: Chain,
    /// Wallets that have an account, by name, ready to sign.
    pub signers: tokio::sync::Mutex<BTreeMap<String, Signer>>,
    /// The nodes, by ordinal.
    pub records: BTreeMap<i32, Node>,
    /// The tiers.
    pub tiers: Vec<TierInfo>,
    /// The validators.
    pub validators: Validators,
}

/// The wallet that owns a node.
pub fn wallet_of(tier: &NodeTier, ordinal: i32) -> Option<String> {
    let stake = tier.spec.stake.as_ref()?;
    let own = || names::pod(&tier.name_any(), ordinal);
    Some(stake.wallet_ref.as_ref().map_or_else(own, |reference| reference.name.clone()))
}

/// Asks for everything that the NodeTier refers to.
pub async fn dereference(context: &Context, tier: &NodeTier) -> Result<Found, Error> {
    let (namespace, name) = (namespace_of(tier), tier.name_any());
    let network = &tier.spec.network_ref.name;
    let cluster = &context.cluster;
    let own = names::selector(&[(names::NODE_TIER, &name)]);
    let siblings: Vec<NodeTier> = cluster.list(&namespace, "").await?;
    let secrets: Vec<Secret> = cluster.list(&namespace, &own).await?;
    let of_world = names::selector(&[(names::NODE_TIER, &name), (names::COMPONENT, names::EXTERNAL)]);
    let services: Vec<Service> = cluster.list(&namespace, &of_world).await?;
    let by_pod = services
        .into_iter()
        .filter_map(|service| Some((service.name_any().strip_suffix("-external")?.to_owned(), service)));
    let mut found = Found {
        external: by_pod.collect(),
        network: cluster.get(&namespace, network).await?,
        siblings: siblings.into_iter().filter(|other| other.spec.network_ref.name == *network).collect(),
        stateful_set: cluster.get(&namespace, &name).await?,
        pods: cluster.list(&namespace, &own).await?,
        secrets: secrets.into_iter().filter_map(|secret| Some((ordinal_of(&name, &secret)?, secret))).collect(),
        ..Found::default()
    };
    for ordinal in told(tier).into_keys() {
        if found.secrets.contains_key(&ordinal) {
            continue;
        }
        // Labels are what Secrets are listed by; what pods mount goes by the name.
        if let Some(secret) = cluster.get(&namespace, &names::node_key(&name, ordinal)).await? {
            found.secrets.insert(ordinal, secret);
            found.mislabelled.insert(ordinal);
        }
    }
    let new = (0..wanted(tier)).filter(|ordinal| found.network.is_some() && !found.secrets.contains_key(ordinal));
    for ordinal in new.collect::<Vec<_>>() {
        found.fresh.insert(ordinal, SecretKey::generate()?);
    }
    let keys = NodeKeys::of(tier, &found.secrets)?.known();
    let highest = keys.keys().next_back().map_or(0, |ordinal| ordinal.saturating_add(1)).max(wanted(tier));
    let wallets: BTreeSet<String> = (0..highest).filter_map(|ordinal| wallet_of(tier, ordinal)).collect();
    for wallet in wallets {
        if let Some(read) = cluster.get::<Wallet>(&namespace, &wallet).await? {
            found.wallets.insert(wallet, read);
        }
    }
    let status = found.network.as_ref().and_then(|network| network.status.as_ref());
    let genesis: Option<GenesisHash> = status.and_then(|status| status.genesis_hash.as_ref()?.parse().ok());
    if let Some(genesis) = genesis {
        for (ordinal, key) in &keys {
            let read = key_reservation::read(context, &genesis, key).await?;
            found.reservations.extend(read.map(|reservation| (*ordinal, reservation)));
        }
        read_chain(context, tier, genesis, &keys, &mut found).await?;
    }
    Ok(found)
}

/// How many nodes there shall be: none when the NodeTier is deleted.
pub fn wanted(tier: &NodeTier) -> i32 {
    if tier.metadata.deletion_timestamp.is_some() { 0 } else { tier.spec.replicas }
}

/// The ordinal of the node whose key a Secret holds.
fn ordinal_of(tier: &str, secret: &Secret) -> Option<i32> {
    let name = secret.name_any();
    name.strip_prefix(tier)?.strip_prefix('-')?.strip_suffix("-node-key")?.parse().ok()
}

async fn read_chain(
    context: &Context,
    tier: &NodeTier,
    genesis: GenesisHash,
    keys: &BTreeMap<i32, PublicKey>,
    found: &mut Found,
) -> Result<(), Error> {
    let namespace = namespace_of(tier);
    let chain = match context.chain(&namespace, &tier.spec.network_ref.name, genesis).await {
        Ok(chain) => chain,
        Err(error @ ChainError::Silent { .. }) => {
            found.silent = Some(error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let signers = signers(context, &namespace, &chain, found).await?;
    // Read behind the nonces: see `Signer`.
    let mut records = BTreeMap::new();
    if tier.spec.role != Role::Full {
        for (ordinal, key) in keys {
            // The node of another pod is none of ours, though we have its key: it is neither drained nor moved.
            let own = key_reservation::build(tier, *ordinal, &genesis, key);
            if found.reservations.get(ordinal).is_some_and(|reservation| reservation.spec != own.spec) {
                continue;
            }
            if let Some(record) = chain.node(*key).await.map_err(ChainError::from)? {
                records.insert(*ordinal, record);
            }
        }
    }
    let client = &chain.client;
    let template = tier.spec.stake.as_ref().and_then(|stake| stake.wallet_template.as_ref());
    if let Some(template) = template {
        let payer: Option<Wallet> = context.cluster.get(&namespace, &template.fund_from).await?;
        let key: Option<PublicKey> = payer.and_then(|payer| payer.status?.public_key?.parse().ok());
        if let Some(key) = key {
            let account = crate::chain::found(client.account(key).await).map_err(ChainError::from)?;
            found.payer = Some(account.map_or(Amount::ZERO, |account| account.balance));
        }
    }
    found.chain = Some(OnChain {
        records,
        signers: tokio::sync::Mutex::new(signers),
        tiers: client.tiers().await.map_err(ChainError::from)?.items,
        validators: client.validators().await.map_err(ChainError::from)?,
        chain,
    });
    Ok(())
}

/// Takes the locks of all wallets, in the order of their keys, so that two passes never wait for each other.
async fn signers(
    context: &Context,
    namespace: &str,
    chain: &Chain,
    found: &Found,
) -> Result<BTreeMap<String, Signer>, Error> {
    let mut in_order = BTreeMap::new();
    for (name, owner) in &found.wallets {
        let reference = wallet::secret_of(owner);
        let secret: Option<Secret> = context.cluster.get(namespace, &reference.name).await?;
        if let Some(secret) = secret {
            let key = keys::read(&secret, &reference.key)?;
            in_order.insert(key.public(), (name.clone(), key));
        }
    }
    let mut signers = BTreeMap::new();
    for (name, key) in in_order.into_values() {
        if let Some(signer) = context.chains.signer(chain, &key).await? {
            signers.insert(name, signer);
        }
    }
    Ok(signers)
}
