//! A disk in memory: state, blocks and proposals that survive the fall of everything else. For the simulator
//! and for tests.

use super::{BlockStore, FinalizedBlock, ProposedBlock};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use valo_ledger::{Changes, Ledger, LedgerError, MemoryStore, Store, StoreError, Table, store::Row};
use valo_protocol::{
    Block, BlockId, Genesis, Height,
    vote::{Certificate, Evidence},
};

/// A disk in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    state: MemoryStore,
    decided: BTreeMap<Height, (Block, Certificate)>,
    proposed: BTreeMap<(Height, BlockId), ProposedBlock>,
    evidence: Vec<Evidence>,
}

impl MemoryDisk {
    /// A disk with the genesis state of a chain.
    pub fn with_genesis(genesis: &Genesis) -> Result<Self, LedgerError> {
        let disk = Self::default();
        disk.contents().state.apply(&Ledger::<MemoryStore>::genesis_changes(genesis)?);
        Ok(disk)
    }

    /// A copy of the state as it is now.
    pub fn state(&self) -> MemoryStore {
        self.contents().state.clone()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Nothing in here panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.contents().state.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.contents().state.scan(table, from, limit)
    }
}

impl BlockStore for MemoryDisk {
    fn save_decided(&self, finalized: &FinalizedBlock, changes: &Changes) -> Result<(), StoreError> {
        let mut contents = self.contents();
        let height = finalized.block.header.height;
        contents.state.apply(changes);
        contents.decided.insert(height, (finalized.block.clone(), finalized.certificate.clone()));
        contents.proposed.retain(|(proposed, _), _| *proposed > height);
        Ok(())
    }

    fn save_certificate(&self, certificate: &Certificate) -> Result<(), StoreError> {
        if let Some((_, known)) = self.contents().decided.get_mut(&certificate.height) {
            *known = certificate.clone();
        }
        Ok(())
    }

    fn decided(&self, height: Height) -> Result<Option<(Block, Certificate)>, StoreError> {
        Ok(self.contents().decided.get(&height).cloned())
    }

    fn earliest(&self) -> Result<Option<Height>, StoreError> {
        Ok(self.contents().decided.keys().next().copied())
    }

    fn save_proposed(&self, proposed: &ProposedBlock) -> Result<(), StoreError> {
        let key = (proposed.block.header.height, proposed.id);
        self.contents().proposed.insert(key, proposed.clone());
        Ok(())
    }

    fn proposed(&self, height: Height) -> Result<Vec<ProposedBlock>, StoreError> {
        let contents = self.contents();
        let of_height = contents.proposed.iter().filter(|((proposed, _), _)| *proposed == height);
        Ok(of_height.map(|(_, proposed)| proposed.clone()).collect())
    }

    fn save_evidence(&self, evidence: &[Evidence]) -> Result<(), StoreError> {
        self.contents().evidence.extend_from_slice(evidence);
        Ok(())
    }

    fn evidence(&self, limit: usize) -> Result<Vec<Evidence>, StoreError> {
        Ok(self.contents().evidence.iter().take(limit).cloned().collect())
    }
}
