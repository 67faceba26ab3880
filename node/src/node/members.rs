//! Who belongs to the network: every node in the registry that has not left.

use crate::{chain::ChainHandle, network::Members, storage::Storage};
use tracing::{info, warn};
use valo_ledger::{LedgerError, Table, View};
use valo_protocol::{
    PublicKey,
    registry::{NodeId, NodeState},
};

/// The keys of all members.
pub fn keys(view: &View<'_>) -> Result<Vec<PublicKey>, LedgerError> {
    let nodes = view.nodes(NodeId(0), usize::MAX)?;
    Ok(nodes.into_iter().filter(|(_, node)| node.state != NodeState::Left).map(|(_, node)| node.key).collect())
}

/// Keeps `members` as the registry has it.
pub async fn follow(storage: Storage, chain: ChainHandle, members: Members) {
    let mut head = chain.head();
    let mut known = None;
    loop {
        // The registry only grows; rows of nodes that left are told by their state at the next change of length.
        match View::new(&storage).length(Table::Nodes) {
            Ok(length) if known != Some(length) => match keys(&View::new(&storage)) {
                Ok(keys) => {
                    if known.is_some() {
                        info!(members = keys.len(), "the registry changed");
                    }
                    members.replace(keys);
                    known = Some(length);
                }
                Err(error) => warn!(%error, "cannot read the registry"),
            },
            Ok(_) => {}
            Err(error) => warn!(%error, "cannot read the registry"),
        }
        if head.changed().await.is_err() {
            return;
        }
    }
}
