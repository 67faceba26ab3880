//! What a simulated chain starts from.
//!
//! ```text
//!   accounts: payers | customers | owners of workers | who brings newcomers in         nodes: validators | workers
//! ```

use crate::{
    market::{self, CUSTOMERS, valo},
    scenario::Scenario,
};
use valo_protocol::{
    AccountNumber, Amount, Genesis, SecretKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    registry::{NodeRole, TierId},
};

/// Accounts that pay each other.
pub const PAYERS: usize = 6;

/// The key of an account.
pub fn account_key(index: usize) -> SecretKey {
    SecretKey::from_seed([index as u8 + 100; 32])
}

/// The key of a validator.
pub fn validator_key(index: usize) -> SecretKey {
    SecretKey::from_seed([index as u8 + 1; 32])
}

/// The key of a worker.
pub fn worker_key(index: usize) -> SecretKey {
    SecretKey::from_seed([index as u8 + 200; 32])
}

/// The account with a number.
pub fn account(index: usize) -> AccountNumber {
    AccountNumber::new(index as u64).unwrap_or_default()
}

/// The account that brings newcomers in, which sends nothing else, so that its nonces are known.
pub fn sponsor(scenario: &Scenario) -> usize {
    PAYERS + CUSTOMERS + scenario.market.workers.len()
}

/// The genesis document of a scenario.
pub fn genesis(scenario: &Scenario) -> Genesis {
    let market = &scenario.market;
    let people = sponsor(scenario) + usize::from(scenario.newcomers > 0);
    let accounts = (0..people).map(|index| GenesisAccount { key: account_key(index).public(), balance: valo(1000) });
    let validators = scenario.stakes.iter().enumerate().map(|(index, stake)| GenesisNode {
        key: validator_key(index).public(),
        owner: account(index % PAYERS),
        role: NodeRole::Validator,
        stake: valo(*stake),
    });
    let workers = market.workers.iter().enumerate().map(|(index, worker)| GenesisNode {
        key: worker_key(index).public(),
        owner: account(PAYERS + CUSTOMERS + index),
        role: NodeRole::Worker { tier: TierId(worker.tier), slots: worker.slots },
        stake: Amount::from_units(valo(100).units() * u64::from(worker.slots)),
    });
    Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("simulation").unwrap_or_default(),
        time: Timestamp(1_700_000_000_000),
        fully_connected: false,
        parameters: scenario.parameters.clone(),
        accounts: BoundedVec::new(accounts.collect()).unwrap_or_default(),
        tiers: BoundedVec::new((0..market.tiers).map(market::tier).collect()).unwrap_or_default(),
        nodes: BoundedVec::new(validators.chain(workers).collect()).unwrap_or_default(),
    }
}
