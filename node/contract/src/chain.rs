//! A new chain as people describe it: the YAML that `valo genesis new` takes, and what the operator makes of a Network.
//!
//! The same description gives the same genesis, to the byte, on every machine.

use serde::Deserialize;
use std::collections::BTreeMap;
use valo_protocol::{
    AccountNumber, Genesis, Parameters, PublicKey, Timestamp,
    account::AccountNumberError,
    bytes::{BoundedString, BoundedVec, TooLong},
    genesis::{GenesisAccount, GenesisError, GenesisNode},
    params::Preset,
    registry::{NodeRole, Tier, TierId},
};

/// A chain as people describe it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainDescription {
    /// Its name for people.
    pub chain: String,
    /// Block time of the start.
    pub time: Timestamp,
    /// Whether every validator is connected to every other: votes then go straight to their readers.
    #[serde(default)]
    pub fully_connected: bool,
    /// The parameters that it takes.
    pub preset: Preset,
    /// Parameters that differ from the preset, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Accounts with their balances.
    pub accounts: Vec<GenesisAccount>,
    /// Tiers of workers.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// The first nodes.
    pub nodes: Vec<DescribedNode>,
}

/// A node: a worker if it has a tier.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribedNode {
    /// Its key.
    pub key: PublicKey,
    /// The key of its owner, which is among the accounts.
    pub owner: PublicKey,
    /// Bonded for it.
    pub stake: valo_protocol::Amount,
    /// Name of its tier, for a worker.
    pub tier: Option<String>,
    /// Shards it runs at a time, for a worker; one unless said.
    pub slots: Option<u16>,
}

/// Why a description makes no chain.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// An owner without an account.
    #[error("owner {owner} of node {node} has no account")]
    NoOwner {
        /// The node.
        node: PublicKey,
        /// Its owner.
        owner: PublicKey,
    },
    /// Slots where there is no tier.
    #[error("node {0} has slots and no tier")]
    SlotsWithoutTier(PublicKey),
    /// A worker that runs nothing.
    #[error("node {0} has no slots")]
    NoSlots(PublicKey),
    /// A tier that is not listed.
    #[error("node {node}: there is no tier `{tier}`")]
    NoTier {
        /// The node.
        node: PublicKey,
        /// The tier it names.
        tier: String,
    },
    /// A parameter that does not exist.
    #[error("there is no parameter `{0}`")]
    NoParameter(String),
    /// A parameter of another kind.
    #[error("a parameter has a wrong value")]
    Parameter(#[from] serde_json::Error),
    /// More than the document takes.
    #[error("the description is too large")]
    TooLong(#[from] TooLong),
    /// More than may be numbered.
    #[error(transparent)]
    Number(#[from] AccountNumberError),
    /// The document breaks a rule.
    #[error("the chain is not usable")]
    Genesis(#[from] GenesisError),
}

impl ChainDescription {
    /// The genesis document.
    pub fn genesis(self) -> Result<Genesis, DescriptionError> {
        let numbers: BTreeMap<PublicKey, u64> =
            (0u64..).zip(&self.accounts).map(|(number, account)| (account.key, number)).collect();
        let nodes = self.nodes.iter().map(|node| described(node, &numbers, &self.tiers));
        let nodes = nodes.collect::<Result<Vec<GenesisNode>, DescriptionError>>()?;
        let genesis = Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new(self.chain)?,
            time: self.time,
            fully_connected: self.fully_connected,
            parameters: parameters(self.preset, self.parameters)?,
            accounts: BoundedVec::new(self.accounts)?,
            tiers: BoundedVec::new(self.tiers)?,
            nodes: BoundedVec::new(nodes)?,
        };
        genesis.check()?;
        Ok(genesis)
    }
}

fn described(
    node: &DescribedNode,
    numbers: &BTreeMap<PublicKey, u64>,
    tiers: &[Tier],
) -> Result<GenesisNode, DescriptionError> {
    let owner = numbers.get(&node.owner);
    let owner = owner.ok_or(DescriptionError::NoOwner { node: node.key, owner: node.owner })?;
    let role = match (&node.tier, node.slots) {
        (None, None) => NodeRole::Validator,
        (None, Some(_)) => return Err(DescriptionError::SlotsWithoutTier(node.key)),
        (Some(_), Some(0)) => return Err(DescriptionError::NoSlots(node.key)),
        (Some(name), slots) => {
            let place = tiers.iter().position(|tier| *tier.name == **name).and_then(|place| u16::try_from(place).ok());
            let place = place.ok_or_else(|| DescriptionError::NoTier { node: node.key, tier: name.clone() })?;
            NodeRole::Worker { tier: TierId(place), slots: slots.unwrap_or(1) }
        }
    };
    Ok(GenesisNode { key: node.key, owner: AccountNumber::new(*owner)?, role, stake: node.stake })
}

/// A preset with what differs.
fn parameters(preset: Preset, changes: BTreeMap<String, serde_json::Value>) -> Result<Parameters, DescriptionError> {
    let mut all = serde_json::to_value(Parameters::preset(preset))?;
    for (name, value) in changes {
        match all.get_mut(&name) {
            Some(present) => *present = value,
            None => return Err(DescriptionError::NoParameter(name)),
        }
    }
    Ok(serde_json::from_value(all)?)
}
