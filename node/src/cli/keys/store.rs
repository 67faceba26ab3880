//! The folder of keys: one file a key, readable by its owner only.

use super::file::{KeyFile, KeyFileError};
use crate::bounded::Kind;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use valo_protocol::job::is_name;

/// Why a key cannot be stored or found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A name outside the rules.
    #[error("`{0}` is not a usable name for a key: it takes 1 to 32 of a-z, 0-9 and -")]
    Name(String),
    /// No such key.
    #[error("there is no key `{name}`; `valo key generate {name}` makes it, `valo key list` shows those there are")]
    Missing {
        /// The name.
        name: String,
    },
    /// One of that name is there.
    #[error("there is a key `{0}` already; choose another name, or remove it first")]
    Exists(String),
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:03o}); run: chmod 600 {path}")]
    Permissions {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no usable key.
    #[error("key `{name}` ({path}): {source}")]
    File {
        /// Name of the key.
        name: String,
        /// Its file.
        path: String,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// Reading or writing failed.
    #[error("cannot {what} {path}: {source}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// The keys of a configuration folder.
#[derive(Debug, Clone)]
pub struct KeyStore {
    folder: PathBuf,
}

impl KeyStore {
    /// The keys below a configuration folder. Nothing is made until a key is written.
    pub fn new(home: &Path) -> Self {
        Self { folder: home.join("keys") }
    }

    /// The file of a key.
    pub fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        if !is_name(name) {
            return Err(StoreError::Name(name.to_owned()));
        }
        Ok(self.folder.join(format!("{name}.json")))
    }

    /// Reads a key's file.
    pub fn read(&self, name: &str) -> Result<KeyFile, StoreError> {
        let path = self.path(name)?;
        read_key_file(name, &path)
    }

    /// Writes a new key's file; one that is there is never overwritten.
    pub fn write(&self, name: &str, file: &KeyFile) -> Result<PathBuf, StoreError> {
        let path = self.path(name)?;
        let wrong = |source| StoreError::File { name: name.to_owned(), path: path.display().to_string(), source };
        let text = file.to_text().map_err(wrong)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(disk("make", &self.folder))?;
        write_new(&path, text.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists(name.to_owned()),
            _ => StoreError::Disk { what: "write", path: path.display().to_string(), source },
        })?;
        Ok(path)
    }

    /// Removes a key's file.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { name: name.to_owned() },
            _ => StoreError::Disk { what: "remove", path: path.display().to_string(), source },
        })
    }

    /// The names of all keys, sorted.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(disk("read", &self.folder)(source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(disk("read", &self.folder))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(name) = stem.filter(|name| is_name(name))
                && path.extension().is_some_and(|extension| extension == "json")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Reads a key file from any path, refusing one that others can read.
pub fn read_key_file(name: &str, path: &Path) -> Result<KeyFile, StoreError> {
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { name: name.to_owned() },
        _ => StoreError::Disk { what: "read", path: path.display().to_string(), source },
    })?;
    let text = zeroize::Zeroizing::new(Kind::KEY.text(path).map_err(disk("read", path))?);
    let file = KeyFile::parse(&text).map_err(|source| StoreError::File {
        name: name.to_owned(),
        path: path.display().to_string(),
        source,
    })?;
    // Only of a key: the way out that this names would do harm to another file.
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Permissions { path: path.display().to_string(), mode });
    }
    Ok(file)
}

/// Writes a file that only its owner can read, whole or not at all: the contents are on disk before the name
/// is, and an existing file is an error.
pub fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut suffix = [0u8; 8];
    getrandom::fill(&mut suffix).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = folder.join(format!(".new-{}", hex::encode(suffix)));
    let result = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        // Unlike a rename, a link fails when the name is taken.
        fs::hard_link(&temporary, path)
    })();
    let _ = fs::remove_file(&temporary);
    result?;
    fs::File::open(folder)?.sync_all()
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.display().to_string();
    move |source| StoreError::Disk { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::SecretKey;

    #[test]
    fn keys_are_stored_for_their_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let store = KeyStore::new(home.path());
        assert!(store.names().unwrap().is_empty());
        let file = KeyFile::plain(&SecretKey::from_seed([1; 32]));
        let path = store.write("alice", &file).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(store.read("alice").unwrap().public(), file.public());
        assert_eq!(store.names().unwrap(), ["alice"]);
        store.remove("alice").unwrap();
        assert!(matches!(store.read("alice"), Err(StoreError::Missing { .. })));
        assert!(matches!(store.remove("alice"), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let store = KeyStore::new(home.path());
        store.write("alice", &KeyFile::plain(&SecretKey::from_seed([1; 32]))).unwrap();
        let other = KeyFile::plain(&SecretKey::from_seed([2; 32]));
        assert!(matches!(store.write("alice", &other), Err(StoreError::Exists(_))));
        assert_eq!(store.read("alice").unwrap().public(), SecretKey::from_seed([1; 32]).public());
        let left: Vec<_> = fs::read_dir(home.path().join("keys")).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left");
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let store = KeyStore::new(home.path());
        let path = store.write("alice", &KeyFile::plain(&SecretKey::from_seed([1; 32]))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = store.read("alice").unwrap_err().to_string();
        assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_mode_of_what_is_no_key_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("passwd");
        fs::write(&path, "root:x:0:0:root:/root:/bin/bash").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_key_file("passwd", &path).unwrap_err().to_string();
        assert!(!error.contains("chmod"), "{error}");
    }

    #[test]
    fn names_stay_in_the_folder() {
        let store = KeyStore::new(Path::new("nowhere"));
        for name in ["", "../a", "a/b", "A", "a.json", "a\n"] {
            assert!(matches!(store.path(name), Err(StoreError::Name(_))), "{name:?}");
        }
    }
}
