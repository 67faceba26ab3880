//! Who belongs to the network: every node in the registry that has not left.

use crate::{chain::ChainHandle, network::Members, storage::Storage};
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};
use valo_ledger::{LedgerError, View};
use valo_protocol::{
    PublicKey,
    event::Event,
    registry::{NodeId, NodeState},
};

/// The keys of all members.
pub fn keys(view: &View<'_>) -> Result<Vec<PublicKey>, LedgerError> {
    let nodes = view.nodes(NodeId(0), usize::MAX)?;
    Ok(nodes.into_iter().filter(|(_, node)| node.state != NodeState::Left).map(|(_, node)| node.key).collect())
}

/// Whether an event changes who belongs.
const fn changes(event: &Event) -> bool {
    matches!(event, Event::NodeRegistered { .. } | Event::NodeStateChanged { .. })
}

/// Keeps `members` as the registry has it.
pub async fn follow(storage: Storage, chain: ChainHandle, members: Members) {
    let mut blocks = chain.subscribe();
    let mut changed = true;
    loop {
        if changed {
            match keys(&View::new(&storage)) {
                Ok(keys) => {
                    info!(members = keys.len(), "the registry");
                    members.replace(keys);
                }
                Err(error) => warn!(%error, "cannot read the registry"),
            }
        }
        changed = match blocks.recv().await {
            Ok(block) => block.events.iter().any(changes),
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
    }
}
