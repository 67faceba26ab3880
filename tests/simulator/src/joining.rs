//! Validators that join and leave while things go wrong.
//!
//! Newcomers run from the start and follow the chain. Their owner brings them in, they say that they are ready, and once
//! they are in the set the first of them leaves again, and so does a validator of the genesis if the chain lets it.

use crate::{
    genesis::{account, account_key, sponsor},
    world::World,
};
use valo_ledger::View;
use valo_protocol::{
    Action, Amount, Grant, Timestamp,
    bytes::BoundedVec,
    registry::{NodeRole, NodeState},
};

/// The next thing that somebody has to say, by the state that the node with the most blocks has.
pub fn step(world: &mut World) {
    world.move_again();
    let highest = world.machines.iter().max_by_key(|machine| machine.height());
    let Some(disk) = highest.map(|machine| machine.disk.clone()) else { return };
    let view = View::new(&disk);
    let (owner, owner_key) = (account(sponsor(&world.scenario)), account_key(sponsor(&world.scenario)));
    let Ok(Some(record)) = view.account(owner) else { return };
    let first = world.scenario.stakes.len();
    let mut wish = None;
    for index in first..world.machines.len() {
        let key = world.keys[index];
        match view.node_by_key(&key) {
            Ok(None) if record.nonce.0 < world.scenario.newcomers as u64 => {
                let grant = Grant {
                    owner,
                    node: key,
                    role: NodeRole::Validator,
                    stake: Amount::from_valo(10).unwrap_or_default(),
                    endpoints: BoundedVec::default(),
                    expires: Timestamp(u64::MAX),
                };
                let grant = grant.sign(&world.genesis.hash(), &owner_key);
                wish = wish.or(Some(Action::RegisterNode { grant }));
            }
            Ok(Some((_, record))) if record.state == NodeState::Joining && !record.ready => {
                // It says so itself, when it has caught up.
                let is_there = world.machines[index].height().is_some_and(|height| {
                    world.machines.iter().filter_map(|machine| machine.height()).all(|other| other.0 <= height.0 + 3)
                });
                let own = view.account(record.account).ok().flatten();
                if let Some(own) = own.filter(|_| is_there) {
                    let secret = world.machines[index].key.clone();
                    world.enter(record.account, own.nonce.0, Action::Return, &secret);
                }
            }
            Ok(Some((node, record))) if index == first && record.state == NodeState::Active => {
                wish = wish.or(Some(Action::RemoveNode { node }));
            }
            _ => {}
        }
    }
    if let Some(action) = wish {
        world.enter(owner, record.nonce.0, action, &owner_key);
    }
}
