//! Dense binary Merkle trees over blake3: one for each table of the state.
//!
//! A tree over `n` leaves has the shape of RFC 6962: pairs from the left; the last node of a level
//! of odd length goes up unchanged. Leaves and inner nodes are hashed with different first bytes.
//! ```text
//!   level 2            h(h(a,b),c)            leaf:  blake3(0 || row)
//!   level 1        h(a,b)       c             node:  blake3(1 || left || right)
//!   level 0       a     b       c             no leaf: 32 zero bytes
//! ```
//! The shape follows from the length alone, so a proof is only the siblings on the way up. A root says
//! nothing of the length: whoever commits to a tree commits to both (see [`crate::proof`]).

use crate::{domain, hash::Hash};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The hash of a row as a leaf.
pub fn leaf(row: &[u8]) -> Hash {
    Hash::of(&[domain::MERKLE_LEAF], &[row])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[domain::MERKLE_NODE], &[left.as_bytes(), right.as_bytes()])
}

/// The root over rows in order.
pub fn root<R: AsRef<[u8]>>(rows: impl IntoIterator<Item = R>) -> Hash {
    MerkleTree::from_leaves(rows.into_iter().map(|row| leaf(row.as_ref())).collect()).root()
}

/// A tree in memory: 64 bytes a leaf, `log2 n` hashes an update. Updates touch the leaves at once and
/// the inner nodes at [`MerkleTree::settle`], so that a block of many updates hashes each node once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MerkleTree {
    levels: Vec<Vec<Hash>>,
}

impl MerkleTree {
    /// The tree over leaf hashes.
    pub fn from_leaves(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(parent).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// How many leaves there are.
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, |level| u64::try_from(level.len()).unwrap_or(u64::MAX))
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The root; zero for no leaf.
    pub fn root(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The leaf hash at a place.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.levels.first()?.get(usize::try_from(index).ok()?).copied()
    }

    /// Sets leaves and rebuilds what is above them. Indices at the end of the tree append, in
    /// ascending order without gaps; one beyond the end is ignored and answered with `false`.
    pub fn update(&mut self, leaves: impl IntoIterator<Item = (u64, Hash)>) -> bool {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        let mut dirty: Vec<usize> = Vec::new();
        let mut complete = true;
        if let Some(bottom) = self.levels.first_mut() {
            for (index, hash) in leaves {
                let Ok(index) = usize::try_from(index) else {
                    complete = false;
                    continue;
                };
                if let Some(slot) = bottom.get_mut(index) {
                    *slot = hash;
                } else if index == bottom.len() {
                    bottom.push(hash);
                } else {
                    complete = false;
                    continue;
                }
                dirty.push(index);
            }
        }
        self.settle(dirty);
        complete
    }

    /// Rehashes the ancestors of the given leaves, level by level.
    fn settle(&mut self, mut dirty: Vec<usize>) {
        let mut level = 0usize;
        while let Some(below) = self.levels.get(level) {
            if below.len() <= 1 {
                break;
            }
            for index in &mut dirty {
                *index >>= 1;
            }
            dirty.sort_unstable();
            dirty.dedup();
            let fresh: Vec<(usize, Hash)> = dirty
                .iter()
                .filter_map(|index| {
                    let start = index.checked_mul(2)?;
                    let end = start.saturating_add(2).min(below.len());
                    Some((*index, parent(below.get(start..end)?)))
                })
                .collect();
            level = level.saturating_add(1);
            if self.levels.get(level).is_none() {
                self.levels.push(Vec::new());
            }
            if let Some(above) = self.levels.get_mut(level) {
                for (index, hash) in fresh {
                    if index >= above.len() {
                        above.resize(index.saturating_add(1), Hash::default());
                    }
                    if let Some(slot) = above.get_mut(index) {
                        *slot = hash;
                    }
                }
            }
        }
    }

    /// What [`Self::update`] would do, computed beside the tree: the new root is known before anything changes.
    /// Leaves in ascending order of their places, none twice; places at the end append. None when there is
    /// a gap or the order is broken.
    pub fn stage(&self, leaves: Vec<(u64, Hash)>) -> Option<Staged> {
        let old = self.len();
        let mut width = old;
        let mut dirty = Vec::with_capacity(leaves.len());
        let mut previous = None;
        for (index, hash) in leaves {
            if previous.is_some_and(|previous| previous >= index) || index > width {
                return None;
            }
            previous = Some(index);
            width = width.max(index.saturating_add(1));
            dirty.push((usize::try_from(index).ok()?, hash));
        }
        let length = width;
        let mut levels = Vec::new();
        if dirty.is_empty() {
            return Some(Staged { levels, length, root: self.root() });
        }
        let mut width = usize::try_from(width).ok()?;
        while width > 1 {
            let base = self.levels.get(levels.len()).map_or(&[][..], Vec::as_slice);
            let above = Self::stage_level(base, &dirty, width)?;
            levels.push(std::mem::replace(&mut dirty, above));
            width = width.div_ceil(2);
        }
        let root = dirty.first().map(|(_, hash)| *hash)?;
        levels.push(dirty);
        Some(Staged { levels, length, root })
    }

    /// The parents of changed nodes of one level, in ascending order.
    fn stage_level(base: &[Hash], dirty: &[(usize, Hash)], width: usize) -> Option<Vec<(usize, Hash)>> {
        let mut above = Vec::with_capacity(dirty.len());
        let mut rest = dirty.iter().peekable();
        while let Some((index, hash)) = rest.next() {
            let sibling = index ^ 1;
            let parent = if index & 1 == 1 {
                node(base.get(sibling)?, hash)
            } else if let Some((_, right)) = rest.next_if(|(next, _)| *next == sibling) {
                node(hash, right)
            } else if sibling < width {
                node(hash, base.get(sibling)?)
            } else {
                *hash
            };
            above.push((index >> 1, parent));
        }
        Some(above)
    }

    /// Takes over what [`Self::stage`] computed on this very tree.
    pub fn apply(&mut self, staged: &Staged) {
        for (position, changes) in staged.levels.iter().enumerate() {
            if self.levels.get(position).is_none() {
                self.levels.push(Vec::new());
            }
            let Some(level) = self.levels.get_mut(position) else { return };
            for (index, hash) in changes {
                match level.get_mut(*index) {
                    Some(slot) => *slot = *hash,
                    None => level.push(*hash),
                }
            }
        }
    }

    /// The siblings of a leaf, from the bottom up; none when there is no such leaf.
    pub fn prove(&self, index: u64) -> Option<MerklePath> {
        let mut position = usize::try_from(index).ok()?;
        self.levels.first()?.get(position)?;
        let mut siblings = Vec::new();
        for level in &self.levels {
            if level.len() <= 1 {
                break;
            }
            if let Some(sibling) = level.get(position ^ 1) {
                siblings.push(*sibling);
            }
            position >>= 1;
        }
        Some(MerklePath { siblings })
    }
}

/// Changes to a tree, computed beside it by [`MerkleTree::stage`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staged {
    levels: Vec<Vec<(usize, Hash)>>,
    length: u64,
    root: Hash,
}

impl Staged {
    /// The root after the changes.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// How many leaves there are after the changes.
    pub fn length(&self) -> u64 {
        self.length
    }
}

fn parent(children: &[Hash]) -> Hash {
    match children {
        [left, right] => node(left, right),
        [only] => *only,
        _ => Hash::default(),
    }
}

/// The way from a leaf to the root: the sibling on each level that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MerklePath {
    siblings: Vec<Hash>,
}

impl MerklePath {
    /// The root that this path gives for a leaf at `index` of a tree of `length` leaves. None when
    /// the path has not exactly the siblings that this place calls for.
    pub fn root(&self, leaf: Hash, index: u64, length: u64) -> Option<Hash> {
        if index >= length {
            return None;
        }
        let (mut hash, mut position, mut width) = (leaf, index, length);
        let mut siblings = self.siblings.iter();
        while width > 1 {
            let is_right = position & 1 == 1;
            let is_alone = !is_right && position.saturating_add(1) == width;
            if !is_alone {
                let sibling = siblings.next()?;
                hash = if is_right { node(sibling, &hash) } else { node(&hash, sibling) };
            }
            position >>= 1;
            width = width.div_ceil(2);
        }
        siblings.next().is_none().then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_le_bytes())).collect()
    }

    #[test]
    fn every_place_of_every_small_tree_is_proven_and_no_other() {
        for length in 0..40 {
            let tree = MerkleTree::from_leaves(leaves(length));
            assert_eq!(tree.prove(length), None);
            for index in 0..length {
                let path = tree.prove(index).unwrap();
                let leaf = tree.leaf(index).unwrap();
                assert_eq!(path.root(leaf, index, length), Some(tree.root()));
                for other in (0..length).filter(|other| *other != index) {
                    assert_ne!(path.root(leaf, other, length), Some(tree.root()), "{index} as {other} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_leaf_is_never_a_node() {
        let tree = MerkleTree::from_leaves(leaves(2));
        let joined: Vec<u8> = leaves(2).iter().flat_map(|hash| hash.0).collect();
        assert_ne!(leaf(&joined), tree.root());
    }

    proptest! {
        #[test]
        fn updates_give_the_tree_of_the_final_leaves(
            start in 0u64..50,
            rounds in proptest::collection::vec(proptest::collection::vec((0u64..80, any::<u64>()), 0..20), 0..6),
        ) {
            let mut plain = leaves(start);
            let mut tree = MerkleTree::from_leaves(plain.clone());
            for round in rounds {
                let mut updates = Vec::new();
                for (place, value) in round {
                    let place = place.min(plain.len() as u64);
                    let hash = leaf(&value.to_le_bytes());
                    if place == plain.len() as u64 { plain.push(hash) } else { plain[place as usize] = hash }
                    updates.push((place, hash));
                }
                let last: std::collections::BTreeMap<u64, Hash> = updates.iter().copied().collect();
                let staged = tree.stage(last.into_iter().collect()).unwrap();
                let mut other = tree.clone();
                other.apply(&staged);
                prop_assert!(tree.update(updates));
                prop_assert_eq!(&other, &tree);
                prop_assert_eq!((staged.root(), staged.length()), (tree.root(), tree.len()));
                prop_assert_eq!(tree.root(), MerkleTree::from_leaves(plain.clone()).root());
                prop_assert_eq!(tree.len(), plain.len() as u64);
            }
        }
    }
}
