//! The outputs of shards as one result: where each file goes, and whether it starts one or goes on with it.
//!
//! `folders` keeps a folder for each shard (`00000`, `00001`, ...); `concatenate` appends files of one name in order of
//! shards. When several stages make up the result, each has a folder of its name.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use valo_protocol::{
    files::FileTree,
    job::{Merge, ShardIndex},
};

/// Where one file of a shard goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path below the result's folder.
    pub path: PathBuf,
    /// Whether it goes on where another left off.
    pub append: bool,
}

/// Merges shard after shard.
#[derive(Debug)]
pub struct Merger {
    merge: Merge,
    several_stages: bool,
    begun: BTreeSet<PathBuf>,
}

/// Two files that want one place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is a file in one shard and a folder in another; download the result with --folders")]
pub struct Clash(String);

impl Merger {
    /// A merger for the outputs of one or of several stages.
    pub fn new(merge: Merge, several_stages: bool) -> Self {
        Self { merge, several_stages, begun: BTreeSet::new() }
    }

    /// Where the files of a shard go, in the order of the tree. Shards must come in order.
    pub fn place(&mut self, stage: &str, shard: ShardIndex, tree: &FileTree) -> Result<Vec<Place>, Clash> {
        let mut folder = PathBuf::new();
        if self.several_stages {
            folder.push(stage);
        }
        if self.merge == Merge::Folders {
            folder.push(format!("{:05}", shard.0));
        }
        tree.files().iter().map(|file| self.file(folder.join(&*file.path))).collect()
    }

    fn file(&mut self, path: PathBuf) -> Result<Place, Clash> {
        let below = |folder: &Path| {
            self.begun.range(folder.to_owned()..).nth(0).is_some_and(|next| next != folder && next.starts_with(folder))
        };
        let inside = path.ancestors().skip(1).any(|folder| self.begun.contains(folder));
        if inside || below(&path) {
            return Err(Clash(path.display().to_string()));
        }
        let append = !self.begun.insert(path.clone());
        Ok(Place { path, append })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::{BlobHash, files::FileEntry};

    fn tree(paths: &[&str]) -> FileTree {
        let entry = |path: &&str| FileEntry { path: path.parse().unwrap(), size: 1, hash: BlobHash::of(b"x") };
        FileTree::new(paths.iter().map(entry).collect()).unwrap()
    }

    fn place(merger: &mut Merger, shard: u32, paths: &[&str]) -> Vec<(String, bool)> {
        let places = merger.place("last", ShardIndex(shard), &tree(paths)).unwrap();
        places.into_iter().map(|place| (place.path.display().to_string(), place.append)).collect()
    }

    #[test]
    fn folders_keep_shards_apart() {
        let mut merger = Merger::new(Merge::Folders, false);
        assert_eq!(place(&mut merger, 0, &["a"]), [("00000/a".to_owned(), false)]);
        assert_eq!(place(&mut merger, 12, &["a"]), [("00012/a".to_owned(), false)]);
        let mut merger = Merger::new(Merge::Folders, true);
        assert_eq!(place(&mut merger, 0, &["a"]), [("last/00000/a".to_owned(), false)]);
    }

    #[test]
    fn concatenation_goes_on_in_order() {
        let mut merger = Merger::new(Merge::Concatenate, false);
        assert_eq!(place(&mut merger, 0, &["a", "b/c"]), [("a".to_owned(), false), ("b/c".to_owned(), false)]);
        assert_eq!(place(&mut merger, 1, &["a", "d"]), [("a".to_owned(), true), ("d".to_owned(), false)]);
    }

    #[test]
    fn a_file_and_a_folder_of_one_name_clash() {
        let mut merger = Merger::new(Merge::Concatenate, false);
        place(&mut merger, 0, &["a", "b/c"]);
        assert!(merger.place("last", ShardIndex(1), &tree(&["a/x"])).is_err());
        assert!(merger.place("last", ShardIndex(1), &tree(&["b"])).is_err());
    }
}
