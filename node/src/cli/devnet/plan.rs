//! What a network on one machine consists of: its keys, its genesis, the role of each node. Nothing is started here.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use valo_protocol::{
    AccountNumber, Amount, Genesis, Parameters, PublicKey, SecretKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    job::is_name,
    params::Preset,
    registry::{Admission, Isolation, NodeRole, Runtime, Tier, TierId},
};

/// Name of the chain.
const CHAIN: &str = "dev";
/// What the user's account starts with, in whole VALO.
const USER_BALANCE: u64 = 1_000_000;
/// What the owner of each node starts with beside its stake, in whole VALO.
const OWNER_BALANCE: u64 = 1_000;
/// Stake of a validator, in whole VALO.
const VALIDATOR_STAKE: u64 = 1_000;
/// Stake behind a slot, in whole VALO: enough for shards of up to 4 VALO.
const SLOT_STAKE: u64 = 100;
/// Price of 10^9 fuel in the first tier, and what each further tier costs more, in thousandths of a VALO.
const PRICE: (u64, u64) = (50, 30);
/// Fuel that a slot burns in a second at least. A core does many times that; here all nodes share one machine.
const FUEL_PER_SECOND: u64 = 100_000_000;
/// Memory of a slot of the first tier; four times as much in each further one, up to the most a program may have.
const MEMORY: u64 = 256 << 20;

/// Of what size a network is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Validators.
    pub validators: usize,
    /// Workers, dealt over the tiers in turn.
    pub workers: usize,
    /// Names of the tiers.
    pub tiers: Vec<String>,
    /// Shards that a worker runs at a time.
    pub slots: u16,
}

/// A node before it has addresses.
#[derive(Debug, Clone)]
pub struct PlannedNode {
    /// Its name, and the name of its folder.
    pub name: String,
    /// Its tier, for a worker.
    pub tier: Option<String>,
    /// Its key.
    pub key: SecretKey,
    /// The key of its owner.
    pub owner_key: SecretKey,
    /// The account of its owner.
    pub owner: AccountNumber,
}

/// A network before it runs.
#[derive(Debug)]
pub struct Plan {
    /// What the chain starts from.
    pub genesis: Genesis,
    /// The account of the user.
    pub user: AccountNumber,
    /// Validators first.
    pub nodes: Vec<PlannedNode>,
}

impl Shape {
    /// Refuses what makes no network.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=32).contains(&self.validators), "--validators must be between 1 and 32, not {}", self.validators);
        ensure!(self.workers <= 256, "--workers must be at most 256, not {}", self.workers);
        ensure!((1..=64).contains(&self.slots), "--slots must be between 1 and 64, not {}", self.slots);
        ensure!((1..=16).contains(&self.tiers.len()), "--tiers names 1 to 16 tiers, not {}", self.tiers.len());
        for (index, tier) in self.tiers.iter().enumerate() {
            ensure!(is_name(tier), "`{tier}` is not a usable name for a tier: it takes 1 to 32 of a-z, 0-9 and -");
            ensure!(!self.tiers.iter().take(index).any(|other| other == tier), "--tiers names `{tier}` twice");
        }
        Ok(())
    }

    /// The names of the nodes, validators first, each with its tier.
    fn names(&self) -> Vec<(String, Option<usize>)> {
        let validators = (0..self.validators).map(|number| (format!("validator-{number}"), None));
        let workers = (0..self.workers).map(|number| {
            let tier = number.checked_rem(self.tiers.len()).unwrap_or(0);
            (format!("worker-{number}"), Some(tier))
        });
        validators.chain(workers).collect()
    }
}

impl Plan {
    /// A new network. `user` is funded, and so is each of `others`, whose accounts follow the user's.
    pub fn new(shape: &Shape, user: PublicKey, others: &[PublicKey], now: Timestamp) -> anyhow::Result<Self> {
        shape.check()?;
        let valo = |amount: u64| Amount::from_valo(amount).context("an amount does not fit");
        let mut accounts = vec![GenesisAccount { key: user, balance: valo(USER_BALANCE)? }];
        for key in others {
            accounts.push(GenesisAccount { key: *key, balance: valo(OWNER_BALANCE)? });
        }
        let tiers: anyhow::Result<Vec<Tier>> =
            (0u32..).zip(&shape.tiers).map(|(index, name)| tier(index, name)).collect();
        let (mut nodes, mut genesis_nodes) = (Vec::new(), Vec::new());
        for (name, tier) in shape.names() {
            let (key, owner_key) = (SecretKey::generate()?, SecretKey::generate()?);
            let owner = AccountNumber::new(u64::try_from(accounts.len())?)?;
            accounts.push(GenesisAccount { key: owner_key.public(), balance: valo(OWNER_BALANCE)? });
            let (role, stake) = match tier {
                None => (NodeRole::Validator, valo(VALIDATOR_STAKE)?),
                Some(tier) => (
                    NodeRole::Worker { tier: TierId(u16::try_from(tier)?), slots: shape.slots },
                    valo(SLOT_STAKE.saturating_mul(u64::from(shape.slots)))?,
                ),
            };
            genesis_nodes.push(GenesisNode { key: key.public(), owner, role, stake });
            let tier = tier.and_then(|tier| shape.tiers.get(tier)).cloned();
            nodes.push(PlannedNode { name, tier, key, owner_key, owner });
        }
        let genesis = Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new(CHAIN)?,
            time: now,
            fully_connected: true,
            parameters: Parameters::preset(Preset::Dev),
            accounts: BoundedVec::new(accounts)?,
            tiers: BoundedVec::new(tiers?)?,
            nodes: BoundedVec::new(genesis_nodes)?,
        };
        genesis.check().context("the genesis of this network is not usable")?;
        Ok(Self { genesis, user: AccountNumber::new(0)?, nodes })
    }
}

fn tier(index: u32, name: &str) -> anyhow::Result<Tier> {
    let thousandths = PRICE.0.saturating_add(PRICE.1.saturating_mul(u64::from(index)));
    Ok(Tier {
        name: BoundedString::new(name)?,
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory: MEMORY
            .checked_shl(index.saturating_mul(2))
            .unwrap_or(u64::MAX)
            .clamp(MEMORY, valo_protocol::job::MAX_MEMORY),
        accelerator: None,
        stake_per_slot: Amount::from_valo(SLOT_STAKE).context("an amount does not fit")?,
        price: Amount::from_units(thousandths.saturating_mul(1_000_000)),
        fuel_per_second: FUEL_PER_SECOND,
        isolation: Isolation::Sandboxed,
        admission: Admission::Open,
    })
}

/// Writes the key of a node's owner beside the node's own. The node does not read it.
pub fn write_owner(folder: &Path, owner: &SecretKey) -> anyhow::Result<()> {
    let path = folder.join("owner.json");
    let text = crate::cli::keys::KeyFile::plain(owner).to_text()?;
    crate::cli::keys::write_new(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape { validators: 4, workers: 5, tiers: vec!["small".to_owned(), "large".to_owned()], slots: 2 }
    }

    #[test]
    fn every_node_has_its_own_owner_and_its_stake() {
        let user = SecretKey::from_seed([1; 32]).public();
        let plan = Plan::new(&shape(), user, &[], Timestamp(1)).unwrap();
        assert_eq!(plan.nodes.len(), 9);
        let owners: std::collections::BTreeSet<AccountNumber> = plan.nodes.iter().map(|node| node.owner).collect();
        assert_eq!(owners.len(), 9);
        assert!(!owners.contains(&plan.user));
        let tiers: Vec<_> = plan.nodes.iter().skip(4).map(|node| node.tier.as_deref().unwrap()).collect();
        assert_eq!(tiers, ["small", "large", "small", "large", "small"]);
        for (node, listed) in plan.nodes.iter().zip(&plan.genesis.nodes) {
            assert_eq!((node.key.public(), node.owner), (listed.key, listed.owner));
            let owner = &plan.genesis.accounts[usize::try_from(node.owner.index()).unwrap()];
            assert_eq!(owner.key, node.owner_key.public());
        }
    }

    #[test]
    fn shapes_that_make_no_network_are_refused() {
        for (change, flag) in [
            (Shape { validators: 0, ..shape() }, "--validators"),
            (Shape { workers: 300, ..shape() }, "--workers"),
            (Shape { tiers: vec![], ..shape() }, "--tiers"),
            (Shape { tiers: vec!["a".to_owned(), "a".to_owned()], ..shape() }, "twice"),
            (Shape { tiers: vec!["A b".to_owned()], ..shape() }, "name"),
            (Shape { slots: 0, ..shape() }, "--slots"),
        ] {
            let error = change.check().unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
