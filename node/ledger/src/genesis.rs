//! The state that a genesis document stands for: height 0.

use crate::{
    LedgerError, accounts,
    context::add,
    head::{GENESIS_KEY, HEAD_KEY, Head},
    overlay::Overlay,
    registry,
    store::{Changes, MemoryStore, Table},
    tables::row_key,
    trees::Trees,
};
use std::{collections::BTreeSet, sync::Arc};
use valo_protocol::{
    Amount, Genesis, Hash, Height, Timestamp, WorkClock,
    bytes::BoundedVec,
    encoding::encode,
    hash::BlockId,
    registry::{NodeId, NodeRole, NodeState},
    state::{
        CHAIN_ROW, ChainRecord, EPOCHS_ROW, EpochStart, EpochStarts, NodeRecord, PARAMETERS_ROW, SUPPLY_ROW, Supply,
    },
};

/// The rows of the genesis state. Listed accounts come first, the nodes' own accounts after them, empty.
/// `R_0` is the genesis hash; what would come before it is zero.
pub(crate) fn changes(genesis: &Genesis) -> Result<Changes, LedgerError> {
    genesis.check()?;
    let empty = MemoryStore::default();
    let mut state = Overlay::new(&empty);
    let id = genesis.hash();
    let validators = Arc::new(genesis.validators()?);
    let randomness = [Hash(id.0), Hash::default(), Hash::default()];
    let mut supply = Supply { total: genesis.supply().unwrap_or_default(), ..Supply::default() };

    let chain = ChainRecord {
        height: Height(0),
        time: genesis.time,
        clock: WorkClock::default(),
        randomness,
        epoch: 0,
        epoch_started: genesis.time,
        duty_since: genesis.time,
        validators: validators.hash(),
    };
    // The supply is written below, when everything is counted.
    let first = EpochStart { height: Height(1), time: genesis.time };
    let starts = BoundedVec::new(vec![first]).map_err(|_| LedgerError::Overflow("epochs kept"))?;
    let system = [
        (PARAMETERS_ROW, encode(&genesis.parameters)),
        (SUPPLY_ROW, Vec::new()),
        (CHAIN_ROW, encode(&chain)),
        (EPOCHS_ROW, encode(&EpochStarts { starts })),
    ];
    for (expected, row) in system {
        if state.append_bytes(Table::System, row)? != expected {
            return Err(LedgerError::corrupt("system", format!("row {expected} is not where it belongs")));
        }
    }

    accounts::start_keys(&mut state)?;
    for account in &genesis.accounts {
        accounts::create(&mut state, account.key, account.balance, None)?;
        supply.balances = add(supply.balances, account.balance)?;
    }
    for tier in &genesis.tiers {
        state.append_row(tier)?;
    }
    for (id, node) in (0u32..).map(NodeId).zip(&genesis.nodes) {
        let account = accounts::create(&mut state, node.key, Amount::ZERO, Some(id))?;
        let validator = match node.role {
            NodeRole::Worker { .. } => None,
            NodeRole::Validator => Some(registry::genesis_validator(&mut state, id, node.key)?),
        };
        state.append_row(&NodeRecord {
            key: node.key,
            account,
            owner: node.owner,
            role: node.role,
            state: NodeState::Active,
            stake: node.stake,
            locked: Amount::ZERO,
            busy: 0,
            unanswered: 0,
            validator,
            jailed_until: Timestamp(0),
            ready: true,
            unbonding: BoundedVec::default(),
            endpoints: BoundedVec::default(),
        })?;
        supply.bonded = add(supply.bonded, node.stake)?;
    }
    state.put(Table::System, row_key(SUPPLY_ROW), encode(&supply));
    state.put(Table::Meta, GENESIS_KEY, encode(&id));

    let state_root = Trees::default().stage(state.written())?.root();
    let [randomness, before, before_that] = randomness;
    let head = Head {
        height: Height(0),
        block: BlockId(id.0),
        time: genesis.time,
        clock: WorkClock::default(),
        randomness,
        earlier_randomness: [before, before_that],
        state_root,
        signers: validators.clone(),
        validators,
        skipped: BTreeSet::new(),
        epoch: 0,
        epoch_started: genesis.time,
        // The first header carries the genesis state, so that proofs of it can be made.
        uncertified: true,
    };
    state.put(Table::Meta, HEAD_KEY, head.to_bytes());
    Ok(state.into_changes())
}
