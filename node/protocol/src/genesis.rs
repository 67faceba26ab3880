//! The genesis document: everything a chain starts from. Its hash names the chain.

use crate::{
    AccountNumber, Amount, Parameters,
    amount::MAX_SUPPLY,
    bytes::{BoundedString, BoundedVec},
    domain,
    encoding::{DecodeError, decode, encode},
    hash::GenesisHash,
    job::is_name,
    keys::PublicKey,
    registry::{NodeRole, Tier, TierName},
    time::Timestamp,
    validator::{Validator, ValidatorSet, ValidatorSetError},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a chain starts from. Written as JSON for people, hashed in its canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Genesis {
    /// Version of this document: 1.
    pub version: u8,
    /// Name of the chain for people: 1 to 32 of `[a-z0-9-]`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub chain: BoundedString<32>,
    /// Block time of the genesis state.
    pub time: Timestamp,
    /// Whether every validator is connected to every other: votes then go straight to their readers and are not passed
    /// on, which is about twice as fast. Nodes of two minds about it would not hear each other.
    pub fully_connected: bool,
    /// Parameters.
    pub parameters: Parameters,
    /// Accounts with their balances. Account n is the n-th of this list, from 0.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<GenesisAccount>))]
    pub accounts: BoundedVec<GenesisAccount, 1_000_000>,
    /// Tiers, in order of their ids.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Tier>))]
    pub tiers: BoundedVec<Tier, 1024>,
    /// Nodes, in order of their ids. Their own accounts follow the listed ones, in this order.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<GenesisNode>))]
    pub nodes: BoundedVec<GenesisNode, 65_536>,
}

/// An account of the genesis state.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GenesisAccount {
    /// Its key.
    pub key: PublicKey,
    /// Its balance, beside what it bonds for nodes.
    pub balance: Amount,
}

/// A node of the genesis state, registered and bonded.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GenesisNode {
    /// The node's key.
    pub key: PublicKey,
    /// The account whose stake stands behind it.
    pub owner: AccountNumber,
    /// What it does.
    pub role: NodeRole,
    /// Bonded for it, on top of the owner's balance.
    pub stake: Amount,
}

/// Bytes of the canonical encoding of a genesis document at most: every list at its bound, every row at its longest.
pub const MAX_GENESIS: usize = 49 << 20;

/// Why bytes are not the genesis document of a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Other bytes than those that were named.
    #[error("the document has hash {0}")]
    Hash(GenesisHash),
    /// They are the ones that were named, and no genesis.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// They are a genesis that breaks its own rules.
    #[error(transparent)]
    Unusable(#[from] GenesisError),
}

/// Why a genesis document is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Another version.
    #[error("genesis version {0} is not supported; this is for version 1")]
    Version(u8),
    /// A name outside the rules.
    #[error("`{0}` is not a usable name: it takes 1 to 32 of a-z, 0-9 and -")]
    Name(String),
    /// One name or key twice.
    #[error("{0} is listed twice")]
    Duplicate(String),
    /// A key that nobody can sign with.
    #[error("{0} is not a usable ed25519 public key")]
    Key(PublicKey),
    /// More money than may exist.
    #[error("balances and stakes exceed the largest supply of {MAX_SUPPLY} VALO")]
    Supply,
    /// Below the minimum balance.
    #[error("account {0} starts below the minimum balance")]
    Balance(AccountNumber),
    /// No such account or tier.
    #[error("node {node} refers to {what}, which is not in the genesis")]
    Missing {
        /// The node.
        node: PublicKey,
        /// What is not there.
        what: String,
    },
    /// Too little stake.
    #[error("node {node} has a stake of {stake} VALO; it takes {needed} VALO")]
    Stake {
        /// The node.
        node: PublicKey,
        /// What it has.
        stake: Amount,
        /// What it takes.
        needed: Amount,
    },
    /// The validators make no set.
    #[error(transparent)]
    Validators(#[from] ValidatorSetError),
}

impl Genesis {
    /// The present version.
    pub const VERSION: u8 = 1;

    /// The hash that names the chain.
    pub fn hash(&self) -> GenesisHash {
        GenesisHash(crate::Hash::of(domain::GENESIS, &[&encode(self)]).0)
    }

    /// Reads the canonical encoding of the genesis that a hash names. Nothing of other bytes is looked at.
    ///
    /// # Errors
    /// When the bytes are others, or what is named is no usable genesis.
    pub fn of_document(hash: GenesisHash, bytes: &[u8]) -> Result<Self, DocumentError> {
        let found = GenesisHash(crate::Hash::of(domain::GENESIS, &[bytes]).0);
        if found != hash {
            return Err(DocumentError::Hash(found));
        }
        let genesis: Self = decode("genesis", bytes)?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The tier of a name.
    pub fn tier(&self, name: &TierName) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.name == *name)
    }

    /// The account number of the n-th listed node.
    pub fn node_account(&self, node: usize) -> Option<AccountNumber> {
        let index = self.accounts.len().checked_add(node)?;
        AccountNumber::new(u64::try_from(index).ok()?).ok()
    }

    /// The first validator set.
    pub fn validators(&self) -> Result<ValidatorSet, ValidatorSetError> {
        let validators = self.nodes.iter().filter(|node| node.role == NodeRole::Validator);
        ValidatorSet::new(
            validators
                .map(|node| Validator { key: node.key, power: node.stake.whole_valo(), owner: node.owner })
                .collect(),
        )
    }

    /// Everything that money is in at the start.
    pub fn supply(&self) -> Option<Amount> {
        let balances = self.accounts.iter().map(|account| account.balance);
        let stakes = self.nodes.iter().map(|node| node.stake);
        balances.chain(stakes).try_fold(Amount::ZERO, Amount::checked_add).filter(|supply| *supply <= MAX_SUPPLY)
    }

    /// Checks the document as a whole.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.version != Self::VERSION {
            return Err(GenesisError::Version(self.version));
        }
        let mut names = BTreeSet::new();
        for name in std::iter::once(&*self.chain).chain(self.tiers.iter().map(|tier| &*tier.name)) {
            if !is_name(name) {
                return Err(GenesisError::Name(name.to_owned()));
            }
        }
        for tier in &self.tiers {
            if !names.insert(&tier.name) {
                return Err(GenesisError::Duplicate(format!("tier {}", tier.name)));
            }
        }
        let mut keys = BTreeSet::new();
        for key in self.accounts.iter().map(|account| account.key).chain(self.nodes.iter().map(|node| node.key)) {
            if !key.is_usable() {
                return Err(GenesisError::Key(key));
            }
            if !keys.insert(key) {
                return Err(GenesisError::Duplicate(format!("key {key}")));
            }
        }
        self.supply().ok_or(GenesisError::Supply)?;
        for (index, account) in (0u64..).zip(&self.accounts) {
            if account.balance < self.parameters.minimum_balance {
                return Err(GenesisError::Balance(AccountNumber::new(index).unwrap_or_default()));
            }
        }
        for node in &self.nodes {
            self.check_node(node)?;
        }
        self.validators()?;
        Ok(())
    }

    fn check_node(&self, node: &GenesisNode) -> Result<(), GenesisError> {
        let missing = |what: String| GenesisError::Missing { node: node.key, what };
        if u64::try_from(self.accounts.len()).is_ok_and(|count| node.owner.index() >= count) {
            return Err(missing(format!("account {}", node.owner)));
        }
        let needed = match node.role {
            NodeRole::Validator => self.parameters.min_validator_stake,
            NodeRole::Worker { tier, slots } => {
                let listed = self.tiers.get(usize::from(tier.0)).ok_or_else(|| missing(format!("tier {tier}")))?;
                listed.stake_per_slot.checked_mul(u64::from(slots)).ok_or(GenesisError::Supply)?
            }
        };
        if node.stake < needed {
            return Err(GenesisError::Stake { node: node.key, stake: node.stake, needed });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Varint,
        params::Preset,
        registry::{Admission, Isolation, Runtime, TierId},
    };

    const LARGEST: Amount = Amount::from_units(u64::MAX);

    fn text<const MAX: usize>() -> BoundedString<MAX> {
        BoundedString::new("x".repeat(MAX)).unwrap()
    }

    #[test]
    fn the_longest_document_is_within_its_bound() {
        let account = GenesisAccount { key: PublicKey([0xff; 32]), balance: LARGEST };
        let owners = vec![AccountNumber::default(); 1024];
        let tier = Tier {
            name: text(),
            runtime: Runtime::Container,
            milli_cpu: u32::MAX,
            memory: u64::MAX,
            accelerator: Some(text()),
            stake_per_slot: LARGEST,
            price: LARGEST,
            fuel_per_second: u64::MAX,
            isolation: Isolation::Trusted,
            admission: Admission::Owners(BoundedVec::new(owners).unwrap()),
        };
        let role = NodeRole::Worker { tier: TierId(u16::MAX), slots: u16::MAX };
        let node = GenesisNode { key: account.key, owner: AccountNumber::default(), role, stake: LARGEST };
        let (account, tier, node) = (encode(&account).len(), encode(&tier).len(), encode(&node).len());
        // Every field of the parameters at its longest takes less than this.
        let rest = 4096;
        let longest = 1_000_000 * account + 1024 * tier + 65_536 * node + rest;
        assert!(longest <= MAX_GENESIS, "{longest}");
        assert!(longest > MAX_GENESIS - (2 << 20), "{longest}");
        assert!(encode(&Parameters::preset(Preset::Public)).len() * 10 < rest);
        assert_eq!(encode(&Varint(u64::MAX)).len(), 10);
    }

    #[test]
    fn a_document_is_believed_by_its_hash_only() {
        let genesis = Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new("test").unwrap(),
            time: Timestamp(1),
            fully_connected: false,
            parameters: Parameters::preset(Preset::Dev),
            accounts: BoundedVec::default(),
            tiers: BoundedVec::default(),
            nodes: BoundedVec::default(),
        };
        let bytes = encode(&genesis);
        // It names no validator; that is found only after its hash.
        assert!(matches!(Genesis::of_document(genesis.hash(), &bytes), Err(DocumentError::Unusable(_))));
        let mut others = bytes.clone();
        others[6] ^= 1;
        assert!(matches!(Genesis::of_document(genesis.hash(), &others), Err(DocumentError::Hash(_))));
        let cut = &bytes[..bytes.len() - 1];
        let named = GenesisHash(crate::Hash::of(domain::GENESIS, &[cut]).0);
        assert!(matches!(Genesis::of_document(named, cut), Err(DocumentError::Malformed(_))));
    }
}
