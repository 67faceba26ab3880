//! The Merkle trees over the committed tables, in memory, and the state root over them.

use crate::{
    LedgerError,
    store::{Changes, Store, Table},
    tables::{row_index, row_key},
};
use std::collections::BTreeMap;
use valo_protocol::{
    Hash,
    merkle::{MerklePath, MerkleTree, Staged, leaf},
    proof::{StateTable, TableRoot, state_root},
};

/// How many rows are read at a time when the trees are built.
const PAGE: usize = 4096;

/// One tree for each committed table.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    trees: BTreeMap<StateTable, MerkleTree>,
}

impl Default for Trees {
    fn default() -> Self {
        Self { trees: StateTable::ALL.into_iter().map(|table| (table, MerkleTree::default())).collect() }
    }
}

/// Changes to the trees, computed beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StagedTrees {
    staged: BTreeMap<StateTable, Staged>,
    root: Hash,
}

impl StagedTrees {
    pub(crate) fn root(&self) -> Hash {
        self.root
    }
}

impl Trees {
    /// Hashes all rows of a store.
    pub(crate) fn build(store: &dyn Store) -> Result<Self, LedgerError> {
        let mut trees = BTreeMap::new();
        for state_table in StateTable::ALL {
            let table = Table::from(state_table);
            let mut leaves = Vec::new();
            let mut next = 0u64;
            loop {
                let page = store.scan(table, &row_key(next), PAGE)?;
                for (key, row) in &page {
                    let index = row_index(table, key)?;
                    if index != next {
                        return Err(LedgerError::corrupt(table.name(), format!("row {next} is missing")));
                    }
                    leaves.push(leaf(row));
                    next = next.checked_add(1).ok_or(LedgerError::Overflow("rows of a table"))?;
                }
                if page.len() < PAGE {
                    break;
                }
            }
            trees.insert(state_table, MerkleTree::from_leaves(leaves));
        }
        Ok(Self { trees })
    }

    /// What the changes of a block do to the trees.
    pub(crate) fn stage(&self, changes: &Changes) -> Result<StagedTrees, LedgerError> {
        let mut staged = BTreeMap::new();
        for state_table in StateTable::ALL {
            let table = Table::from(state_table);
            let Some(rows) = changes.table(table).filter(|rows| !rows.is_empty()) else { continue };
            let mut leaves = Vec::with_capacity(rows.len());
            for (key, row) in rows {
                let row = row.as_ref().ok_or_else(|| LedgerError::corrupt(table.name(), "a row was deleted"))?;
                leaves.push((row_index(table, key)?, leaf(row)));
            }
            let changed = self.trees.get(&state_table).and_then(|tree| tree.stage(leaves));
            let changed = changed.ok_or_else(|| LedgerError::corrupt(table.name(), "rows are not dense"))?;
            staged.insert(state_table, changed);
        }
        let roots: Vec<TableRoot> = StateTable::ALL.into_iter().map(|table| self.table_root(table, &staged)).collect();
        Ok(StagedTrees { staged, root: state_root(&roots) })
    }

    /// Takes over what was computed beside these trees.
    pub(crate) fn apply(&mut self, staged: &StagedTrees) {
        for (table, staged) in &staged.staged {
            self.trees.entry(*table).or_default().apply(staged);
        }
    }

    fn table_root(&self, table: StateTable, staged: &BTreeMap<StateTable, Staged>) -> TableRoot {
        let tree = self.trees.get(&table);
        let (length, root) = match staged.get(&table) {
            Some(staged) => (staged.length(), staged.root()),
            None => (tree.map_or(0, MerkleTree::len), tree.map(MerkleTree::root).unwrap_or_default()),
        };
        TableRoot { table, length, root }
    }

    /// Lengths and roots of all tables.
    pub(crate) fn roots(&self) -> Vec<TableRoot> {
        StateTable::ALL.into_iter().map(|table| self.table_root(table, &BTreeMap::new())).collect()
    }

    pub(crate) fn root(&self) -> Hash {
        state_root(&self.roots())
    }

    pub(crate) fn prove(&self, table: StateTable, index: u64) -> Option<MerklePath> {
        self.trees.get(&table)?.prove(index)
    }
}
