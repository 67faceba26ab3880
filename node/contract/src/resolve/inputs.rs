//! From what a stage's `input` names to a file tree for each shard, and the blobs that have to be there.
//!
//! A path in the shard's tree is the path as written, below the folder of the document. Of a path that leads out
//! of that folder only what follows its fixed part is kept: `../data/*.txt` gives `a.txt`.

use super::{
    FieldError,
    blobs::{Blob, Blobs},
    split::{self, Split, Unit},
};
use crate::{Entry, InputSpec, SplitSpec};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufReader,
    path::{Component, Path, PathBuf},
};
use valo_protocol::{
    BlobHash,
    files::{FileEntry, FilePath, FileTree, InputManifest},
    job::MAX_BLOB,
};

/// A file of this machine, or a blob of the network, with the path it gets in a shard's input.
#[derive(Debug, Clone)]
pub enum Item {
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// Where the program finds it.
        name: FilePath,
        /// Its length in bytes.
        size: u64,
    },
    /// A blob.
    Blob(FileEntry),
}

/// Resolves inputs of one document.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Folder of the document.
    pub folder: &'a Path,
    /// Lengths of blobs that the document names by digest only.
    pub sizes: &'a BTreeMap<BlobHash, u64>,
}

impl Inputs<'_> {
    /// The tree of each shard. Files and parts of files are added to `blobs`.
    pub fn trees(
        &self,
        field: &str,
        input: &InputSpec,
        shards: Option<u32>,
        blobs: &mut Blobs,
    ) -> Result<Vec<FileTree>, FieldError> {
        if let Some(lists) = &input.shards {
            let trees = (0usize..).zip(lists).map(|(index, entries)| {
                let field = format!("{field}.shards[{index}]");
                let items = self.items(&field, entries)?;
                whole(&field, &items, blobs)
            });
            return trees.collect();
        }
        let (field, items) = match (&input.file, &input.files) {
            (Some(entry), _) => {
                let field = format!("{field}.file");
                let items = self.items(&field, std::slice::from_ref(entry))?;
                if items.len() != 1 {
                    return Err(FieldError::new(field, "it matches several files; write files: [...]"));
                }
                (field, items)
            }
            (None, Some(entries)) => {
                let field = format!("{field}.files");
                (field.clone(), self.items(&field, entries)?)
            }
            (None, None) => return Err(FieldError::new(field, "it names no file")),
        };
        match input.split {
            Some(spec) => split_items(&field, &items, spec, blobs),
            None => {
                let tree = whole(&field, &items, blobs)?;
                let count = usize::try_from(shards.unwrap_or(1)).unwrap_or(usize::MAX);
                Ok(std::iter::repeat_n(tree, count).collect())
            }
        }
    }

    fn items(&self, field: &str, entries: &[Entry]) -> Result<Vec<Item>, FieldError> {
        if entries.is_empty() {
            return Err(FieldError::new(
                field,
                "it names no file; a stage that reads none has no input, and says shards: N",
            ));
        }
        let mut items = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in entries {
            match entry {
                Entry::Path(pattern) => {
                    for path in self.matches(field, pattern)? {
                        if seen.insert(path.clone()) {
                            items.push(self.item(field, pattern, path)?);
                        }
                    }
                }
                Entry::Blob { digest, path, size } => {
                    let path: FilePath = path.parse().map_err(|error| FieldError::new(field, error))?;
                    let size = size.or_else(|| self.sizes.get(digest).copied());
                    let size = size.ok_or_else(|| {
                        FieldError::new(field, format!("the network has no blob {digest}; say its size, or upload it"))
                    })?;
                    items.push(Item::Blob(FileEntry { path, size, hash: *digest }));
                }
            }
        }
        Ok(items)
    }

    /// The paths that a pattern matches, sorted.
    fn matches(&self, field: &str, pattern: &str) -> Result<Vec<PathBuf>, FieldError> {
        if !is_pattern(pattern) {
            return Ok(vec![self.folder.join(pattern)]);
        }
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { self.folder };
        let folder = folder.to_str().ok_or_else(|| FieldError::new(field, "the document's folder is not UTF-8"))?;
        let full = match Path::new(pattern).is_absolute() {
            true => pattern.to_owned(),
            false => format!("{}/{pattern}", glob::Pattern::escape(folder)),
        };
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let found = glob::glob_with(&full, options)
            .map_err(|error| FieldError::new(field, format!("`{pattern}` is not a usable pattern: {}", error.msg)))?;
        let mut paths = Vec::new();
        for path in found {
            let path = path.map_err(|error| FieldError::new(field, format!("cannot read a folder: {error}")))?;
            if !path.is_dir() {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(FieldError::new(field, format!("no file matches `{pattern}`")));
        }
        paths.sort();
        Ok(paths)
    }

    fn item(&self, field: &str, pattern: &str, path: PathBuf) -> Result<Item, FieldError> {
        let size = file_size(field, &path)?;
        let outside = Path::new(pattern)
            .components()
            .any(|part| matches!(part, Component::ParentDir | Component::RootDir | Component::Prefix(_)));
        let root = if outside { self.folder.join(fixed_part(pattern)) } else { self.folder.to_owned() };
        let plain = |path: &Path| -> PathBuf { path.components().filter(|part| *part != Component::CurDir).collect() };
        let (path_parts, root_parts) = (plain(&path), plain(&root));
        let name =
            path_parts.strip_prefix(&root_parts).unwrap_or(&path_parts).to_str().map(|name| name.replace('\\', "/"));
        let name =
            name.ok_or_else(|| FieldError::new(field, format!("the name of `{}` is not UTF-8", path.display())))?;
        let name = name.parse().map_err(|error| FieldError::new(field, error))?;
        Ok(Item::File { path, name, size })
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The folder in front of the first part with a wildcard, or of the last part.
fn fixed_part(pattern: &str) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let wild = parts.iter().position(|part| part.as_os_str().to_str().is_none_or(is_pattern));
    parts.truncate(wild.unwrap_or(parts.len().saturating_sub(1)));
    parts.into_iter().collect()
}

fn file_size(field: &str, path: &Path) -> Result<u64, FieldError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(metadata) if metadata.is_dir() => {
            Err(FieldError::new(field, format!("`{0}` is a folder; `{0}/**/*` means all files in it", path.display())))
        }
        Ok(_) => Err(FieldError::new(field, format!("`{}` is not a regular file", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(FieldError::new(field, format!("there is no file `{}`", path.display())))
        }
        Err(error) => Err(FieldError::new(field, format!("cannot read `{}`: {error}", path.display()))),
    }
}

/// A tree of whole files.
fn whole(field: &str, items: &[Item], blobs: &mut Blobs) -> Result<FileTree, FieldError> {
    let entries: Result<Vec<FileEntry>, FieldError> = items
        .iter()
        .map(|item| match item {
            Item::Blob(entry) => {
                blobs.refer(entry.hash);
                Ok(entry.clone())
            }
            Item::File { path, name, size } => part(field, path, name, 0..*size, blobs),
        })
        .collect();
    FileTree::new(entries?).map_err(|error| FieldError::new(field, error))
}

fn part(
    field: &str,
    path: &Path,
    name: &FilePath,
    range: std::ops::Range<u64>,
    blobs: &mut Blobs,
) -> Result<FileEntry, FieldError> {
    let size = range.end.saturating_sub(range.start);
    if size > MAX_BLOB {
        return Err(FieldError::new(
            field,
            format!("{size} bytes of `{}` would be one blob, which has at most {MAX_BLOB}; split it", path.display()),
        ));
    }
    let blob = Blob::of_file(path, range).map_err(|error| FieldError::new(field, error))?;
    let hash = blob.hash;
    blobs.add(blob);
    Ok(FileEntry { path: name.clone(), size, hash })
}

fn split_items(field: &str, items: &[Item], spec: SplitSpec, blobs: &mut Blobs) -> Result<Vec<FileTree>, FieldError> {
    let split_field = field.rsplit_once('.').map_or_else(|| field.to_owned(), |(stage, _)| format!("{stage}.split"));
    let refuse = |error: split::SplitError| FieldError::new(&split_field, error);
    let how = Split::try_from(spec).map_err(refuse)?;
    if let Unit::Files(files) = how.unit {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let shards = split::deal(count.div_ceil(files), how.shards).map_err(refuse)?;
        let at = |unit: u64| usize::try_from(unit.saturating_mul(files)).unwrap_or(usize::MAX).min(items.len());
        return shards
            .into_iter()
            .map(|shard| whole(field, items.get(at(shard.start)..at(shard.end)).unwrap_or_default(), blobs))
            .collect();
    }
    let [item] = items else {
        return Err(FieldError::new(
            split_field,
            "bytes, records and lines split one file; several are split by files: N",
        ));
    };
    let Item::File { path, name, size } = item else {
        return Err(FieldError::new(split_field, "a blob cannot be split here; name a file, or a blob for each shard"));
    };
    let ranges = split::split(*size, how, || File::open(path).map(|file| BufReader::with_capacity(1 << 18, file)));
    ranges
        .map_err(refuse)?
        .into_iter()
        .map(|range| {
            let entry = part(field, path, name, range, blobs)?;
            FileTree::new(vec![entry]).map_err(|error| FieldError::new(field, error))
        })
        .collect()
}

/// The manifest of trees, as a blob, with the most bytes that one shard reads.
pub fn manifest(field: &str, trees: Vec<FileTree>, blobs: &mut Blobs) -> Result<(BlobHash, u64), FieldError> {
    let most = trees.iter().map(FileTree::total_size).max().unwrap_or(0);
    let shards = valo_protocol::bytes::BoundedVec::new(trees).map_err(|error| FieldError::new(field, error))?;
    let blob = Blob::of_bytes(valo_protocol::encoding::encode(&InputManifest { shards }), "input manifest");
    if blob.size > MAX_BLOB {
        return Err(FieldError::new(field, "the list of files is too long; put files together"));
    }
    let hash = blob.hash;
    blobs.add(blob);
    Ok((hash, most))
}
