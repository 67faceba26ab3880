//! Who belongs to the network.
//!
//! The chain decides; whoever follows it replaces the set here, and the network acts on the change:
//! members are dialed, those who left are disconnected.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;

use valo_protocol::PublicKey;

/// The set of node keys that this network accepts. Clones share the set.
#[derive(Clone, Debug)]
pub struct Members {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keys: RwLock<BTreeSet<PublicKey>>,
    version: watch::Sender<u64>,
}

impl Members {
    /// A set to start with; it may be empty.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self {
            shared: Arc::new(Shared { keys: RwLock::new(keys.into_iter().collect()), version: watch::Sender::new(0) }),
        }
    }

    /// Replaces the whole set. Nothing happens when it is the same set.
    pub fn replace(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        let changed = {
            let mut present = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
            let changed = *present != keys;
            *present = keys;
            changed
        };
        if changed {
            self.shared.version.send_modify(|version| *version = version.wrapping_add(1));
        }
    }

    /// Whether this key belongs to the network now.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Resolves at each change of the set.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey([byte; 32])
    }

    #[test]
    fn replacing_tells_watchers_only_of_changes() {
        let members = Members::new([key(1)]);
        let mut watch = members.watch();
        members.replace([key(1)]);
        assert!(!watch.has_changed().unwrap());
        members.replace([key(2)]);
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        assert!(!members.contains(&key(1)));
        assert!(members.contains(&key(2)));
    }
}
