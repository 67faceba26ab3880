//! From a Network to the description of its chain: the same as `valo genesis new` takes, and the same bytes come of it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use valo_contract::{
    chain::{ChainDescription, DescribedNode},
    quantity::Span,
};
use valo_crds::{
    Disjoint, GenesisTier, GenesisValidators, Isolation, Network, NewChain, NodeTier, Parameters, Preset, Role,
    Runtime, Wallet,
};
use valo_protocol::{
    AccountNumber, Amount, Duration, Genesis, GenesisHash, PublicKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::GenesisAccount,
    params,
    registry::{self, Admission, Tier},
};

/// The key of the ConfigMap under which the document lies.
pub const DOCUMENT: &str = "genesis.json";

/// Why there is no genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisProblem {
    /// The document is another one than it was.
    #[error("the genesis in ConfigMap {config_map} has hash {found}, and the chain is {expected}")]
    OtherChain {
        /// The ConfigMap.
        config_map: String,
        /// The hash of what is there.
        found: GenesisHash,
        /// The hash of the chain.
        expected: GenesisHash,
    },
    /// What is built now is another chain than the one that was started.
    #[error(
        "the genesis is gone, and what keys, wallets and spec give now has hash {found}, not {expected}: restore ConfigMap {config_map}"
    )]
    Changed {
        /// The ConfigMap.
        config_map: String,
        /// The hash of what would be made.
        found: GenesisHash,
        /// The hash of the chain.
        expected: GenesisHash,
    },
    /// No genesis document.
    #[error("ConfigMap {config_map} holds no genesis under `genesis.json`: {reason}")]
    Malformed {
        /// The ConfigMap.
        config_map: String,
        /// What is wrong.
        reason: String,
    },
    /// A field refers to something that does not fit.
    #[error("{field}: {reason}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

impl GenesisProblem {
    /// In one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherChain { .. } | Self::Changed { .. } => "GenesisMismatch",
            Self::Malformed { .. } => "GenesisMalformed",
            Self::Field { .. } => "Invalid",
        }
    }

    pub(super) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { field: field.into(), reason: reason.into() }
    }
}

/// What a description still waits for.
#[derive(Debug, PartialEq, Eq)]
pub struct Waits(pub String);

/// Reads the document of a ConfigMap.
pub fn read(config_map: &ConfigMap) -> Result<Genesis, GenesisProblem> {
    let malformed = |reason: String| GenesisProblem::Malformed { config_map: config_map.name_any(), reason };
    let text = config_map.data.as_ref().and_then(|data| data.get(DOCUMENT));
    let text = text.ok_or_else(|| malformed("there is nothing".to_owned()))?;
    let genesis: Genesis = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    genesis.check().map_err(|error| malformed(error.to_string()))?;
    Ok(genesis)
}

/// Describes the chain of a Network, or says what is missing for it.
pub fn describe(
    network: &Network,
    chain: &NewChain,
    tiers: &[NodeTier],
    wallets: &[Wallet],
) -> Result<Result<ChainDescription, Waits>, GenesisProblem> {
    check_parameters(chain)?;
    let preset = params::Parameters::preset(preset(chain));
    let least = chain.parameters.minimum_balance.map_or(preset.minimum_balance, |amount| amount.0);
    let mut accounts: Vec<GenesisAccount> = Vec::new();
    for (index, account) in chain.accounts.iter().enumerate() {
        let key = match (&account.wallet_ref, &account.public_key) {
            (Some(wallet), _) => match wallet_key(network, wallets, &wallet.name) {
                Ok(key) => key,
                Err(waits) => return Ok(Err(waits)),
            },
            (None, Some(key)) => parsed(&format!("spec.chain.accounts[{index}].publicKey"), key)?,
            (None, None) => PublicKey::default(),
        };
        if accounts.iter().any(|other| other.key == key) {
            let field = format!("spec.chain.accounts[{index}]");
            return Err(GenesisProblem::field(field, "the account of this key is listed twice"));
        }
        if account.balance.0 < least {
            let field = format!("spec.chain.accounts[{index}].balance");
            return Err(GenesisProblem::field(field, format!("{least} VALO stay on every account (minimumBalance)")));
        }
        accounts.push(GenesisAccount { key, balance: account.balance.0 });
    }
    let mut nodes = Vec::new();
    for (index, group) in chain.validators.iter().enumerate() {
        match validators(network, index, group, tiers, wallets)? {
            Ok(found) => nodes.extend(found),
            Err(waits) => return Ok(Err(waits)),
        }
    }
    for (node, balance) in &nodes {
        if !accounts.iter().any(|account| account.key == node.owner) {
            accounts.push(GenesisAccount { key: node.owner, balance: *balance });
        }
    }
    let tiers: Result<Vec<Tier>, GenesisProblem> =
        chain.tiers.iter().enumerate().map(|(index, tier)| tier_of(index, tier, &accounts)).collect();
    let created = network.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default();
    Ok(Ok(ChainDescription {
        chain: chain.name.clone().unwrap_or_else(|| network.name_any()),
        // The one moment that all passes know, in whole seconds as Kubernetes keeps it.
        time: Timestamp(u64::try_from(created).unwrap_or_default().saturating_mul(1000)),
        fully_connected: false,
        preset: self::preset(chain),
        parameters: parameters(&chain.parameters),
        accounts,
        tiers: tiers?,
        nodes: nodes.into_iter().map(|(node, _)| node).collect(),
    }))
}

const fn preset(chain: &NewChain) -> params::Preset {
    match chain.preset {
        Preset::Dev => params::Preset::Dev,
        Preset::Consortium => params::Preset::Consortium,
        Preset::Public => params::Preset::Public,
    }
}

/// Refuses parameters that contradict each other or the validators, those of the preset included.
fn check_parameters(chain: &NewChain) -> Result<(), GenesisProblem> {
    let preset = params::Parameters::preset(preset(chain));
    let p = &chain.parameters;
    let span = |said: Option<Span>, otherwise: Duration| said.unwrap_or(Span(otherwise.0));
    let (least, idle) = (span(p.min_interval, preset.min_interval), span(p.idle_interval, preset.idle_interval));
    if least > idle {
        let (field, reason) = match p.idle_interval {
            Some(_) => ("idleInterval", format!("it is less than minInterval, {least}")),
            None => ("minInterval", format!("it is more than idleInterval, {idle}")),
        };
        return Err(GenesisProblem::field(format!("spec.chain.parameters.{field}"), reason));
    }
    let stake = p.min_validator_stake.map_or(preset.min_validator_stake, |amount| amount.0);
    if let Some(index) = chain.validators.iter().position(|group| group.stake.0 < stake) {
        let field = format!("spec.chain.validators[{index}].stake");
        return Err(GenesisProblem::field(
            field,
            format!("a validator bonds {stake} VALO at least (minValidatorStake)"),
        ));
    }
    let most = p.max_validators.unwrap_or_else(|| i32::from(preset.max_validators));
    let count = chain.validators.iter().fold(0i32, |sum, group| sum.saturating_add(group.count.unwrap_or(1)));
    if count > most {
        let reason = format!("the genesis has {count} validators, and {most} is the most");
        return Err(GenesisProblem::field("spec.chain.parameters.maxValidators", reason));
    }
    Ok(())
}

/// The validators of one entry, each with the balance that its owner starts with unless it is listed.
type Described = Vec<(DescribedNode, Amount)>;

fn validators(
    network: &Network,
    index: usize,
    group: &GenesisValidators,
    tiers: &[NodeTier],
    wallets: &[Wallet],
) -> Result<Result<Described, Waits>, GenesisProblem> {
    let field = format!("spec.chain.validators[{index}]");
    let node = |key, owner| DescribedNode { key, owner, stake: group.stake.0, tier: None, slots: None };
    if let (Some(key), Some(owner)) = (&group.public_key, &group.owner_key) {
        let key = parsed(&format!("{field}.publicKey"), key)?;
        let owner = parsed(&format!("{field}.ownerKey"), owner)?;
        return Ok(Ok(vec![(node(key, owner), OWNER_BALANCE)]));
    }
    let name = group.node_tier.as_deref().unwrap_or_default();
    let Some(tier) = tiers.iter().find(|tier| tier.name_any() == name) else {
        return Ok(Err(Waits(format!("{field}.nodeTier: there is no NodeTier {name} of this Network yet"))));
    };
    if tier.spec.role != Role::Validator {
        return Err(GenesisProblem::field(format!("{field}.nodeTier"), format!("{name} has no role: validator")));
    }
    let count = group.count.unwrap_or(1);
    if tier.spec.replicas < count {
        let reason =
            format!("NodeTier {name} has {} replicas, fewer than the {count} of the genesis", tier.spec.replicas);
        return Err(GenesisProblem::field(format!("{field}.count"), reason));
    }
    let mut all = Vec::new();
    for ordinal in 0..count {
        let pod = crate::names::pod(name, ordinal);
        let nodes = tier.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
        let status = nodes.iter().find(|node| node.pod == pod);
        let key = status.and_then(|node| node.public_key.as_ref()?.parse().ok());
        let Some(key) = key else { return Ok(Err(Waits(format!("{pod} of NodeTier {name} has no key yet")))) };
        let stake = tier.spec.stake.as_ref();
        let template = stake.and_then(|stake| stake.wallet_template.as_ref());
        let wallet = match stake.and_then(|stake| stake.wallet_ref.as_ref()) {
            Some(reference) => reference.name.clone(),
            None => pod,
        };
        let owner = match wallet_key(network, wallets, &wallet) {
            Ok(owner) => owner,
            Err(waits) => return Ok(Err(waits)),
        };
        all.push((node(key, owner), template.map_or(OWNER_BALANCE, |template| template.amount.0)));
    }
    Ok(Ok(all))
}

/// What an owner starts with that is not listed among the accounts: enough for many fees. 1 VALO.
const OWNER_BALANCE: Amount = Amount::from_units(valo_protocol::amount::UNITS_PER_VALO);

fn wallet_key(network: &Network, wallets: &[Wallet], name: &str) -> Result<PublicKey, Waits> {
    let of_this = |wallet: &&Wallet| wallet.name_any() == name && wallet.spec.network_ref.name == network.name_any();
    let wallet = wallets.iter().find(of_this);
    let wallet = wallet.ok_or_else(|| Waits(format!("there is no Wallet {name} of this Network yet")))?;
    let key = wallet.status.as_ref().and_then(|status| status.public_key.as_ref()?.parse().ok());
    key.ok_or_else(|| Waits(format!("Wallet {name} has no key yet")))
}

pub(super) fn parsed(field: &str, key: &str) -> Result<PublicKey, GenesisProblem> {
    let parsed: Option<PublicKey> = key.parse().ok();
    parsed
        .filter(PublicKey::is_usable)
        .ok_or_else(|| GenesisProblem::field(field, format!("`{key}` is no ed25519 public key")))
}

fn tier_of(index: usize, tier: &GenesisTier, accounts: &[GenesisAccount]) -> Result<Tier, GenesisProblem> {
    let field = |name: &str| format!("spec.chain.tiers[{index}].{name}");
    let too_large = |name: &str| GenesisProblem::field(field(name), "it is too large");
    let mut admitted = Vec::new();
    for (place, key) in tier.admit.iter().enumerate() {
        let name = field(&format!("admit[{place}]"));
        let owner: PublicKey = parsed(&name, key)?;
        let number = (0u64..).zip(accounts).find(|(_, account)| account.key == owner);
        let (number, _) = number.ok_or_else(|| {
            GenesisProblem::field(&name, "no account of the genesis has this key: list it in accounts")
        })?;
        admitted.push(AccountNumber::new(number).map_err(|error| GenesisProblem::field(&name, error.to_string()))?);
    }
    Ok(Tier {
        name: BoundedString::new(&tier.name).map_err(|_| too_large("name"))?,
        runtime: match tier.runtime {
            Runtime::Wasm => registry::Runtime::Wasm,
            Runtime::Container => registry::Runtime::Container,
        },
        milli_cpu: u32::try_from(tier.cpu.0).map_err(|_| too_large("cpu"))?,
        memory: tier.memory.0,
        accelerator: match &tier.accelerator {
            Some(class) => Some(BoundedString::new(class).map_err(|_| too_large("accelerator"))?),
            None => None,
        },
        stake_per_slot: tier.stake_per_slot.0,
        price: tier.price.0,
        fuel_per_second: tier.fuel_per_second.0,
        isolation: match tier.isolation {
            Isolation::Sandboxed => registry::Isolation::Sandboxed,
            Isolation::Trusted => registry::Isolation::Trusted,
        },
        admission: match admitted.is_empty() {
            true => Admission::Open,
            false => Admission::Owners(BoundedVec::new(admitted).map_err(|_| too_large("admit"))?),
        },
    })
}

/// Parameters as the genesis has them: durations in milliseconds, prices in units.
fn parameters(parameters: &Parameters) -> BTreeMap<String, Value> {
    let p = parameters;
    let all = [
        ("minInterval", p.min_interval.map(|span| json!(span.0))),
        ("idleInterval", p.idle_interval.map(|span| json!(span.0))),
        ("epoch", p.epoch.map(|span| json!(span.0))),
        ("unbonding", p.unbonding.map(|span| json!(span.0))),
        ("downtimeWindow", p.downtime_window.map(|span| json!(span.0))),
        ("jail", p.jail.map(|span| json!(span.0))),
        ("revealWindow", p.reveal_window.map(|span| json!(span.0))),
        ("disputeWindow", p.dispute_window.map(|span| json!(span.0))),
        ("maxJobTime", p.max_job_time.map(|span| json!(span.0))),
        ("minValidatorStake", p.min_validator_stake.map(|amount| json!(amount.0))),
        ("maxValidators", p.max_validators.map(|count| json!(count))),
        ("minimumBalance", p.minimum_balance.map(|amount| json!(amount.0))),
        ("accountFee", p.account_fee.map(|amount| json!(amount.0))),
        ("groupSize", p.group_size.map(|count| json!(count))),
        ("disjoint", p.disjoint.map(|what| json!(if what == Disjoint::Owner { "owner" } else { "node" }))),
        ("blockBytes", p.block_bytes.map(|size| json!(size.0))),
        ("blockWeight", p.block_weight.map(|count| json!(count.0))),
        ("bytePrice", p.byte_price.map(|amount| json!(amount.0.units()))),
        ("weightPrice", p.weight_price.map(|amount| json!(amount.0.units()))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests;
