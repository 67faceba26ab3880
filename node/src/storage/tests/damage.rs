//! Damaged files are reported, never repaired by forgetting.

use std::{fs, path::PathBuf};

use valo_ledger::Store;

use super::*;
use crate::storage::{BlockReader, columns::Column};

/// A storage with blocks in tables and in the log, closed.
fn closed(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("db");
    let storage = create(&path);
    for _ in 0..20 {
        write_next(&storage, 50).unwrap();
    }
    for column in Column::all() {
        storage.inner.db.flush_cf(storage.column(column).unwrap()).unwrap();
    }
    for _ in 0..20 {
        write_next(&storage, 50).unwrap();
    }
    path
}

fn files(path: &Path, matching: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| matching(file.file_name().unwrap().to_str().unwrap()))
        .collect();
    files.sort_by_key(|file| std::cmp::Reverse(fs::metadata(file).unwrap().len()));
    files
}

/// Flips some bits, so many percent into the file.
fn flip(file: &Path, percent: usize) {
    let mut bytes = fs::read(file).unwrap();
    let start = bytes.len() * percent / 100;
    for byte in bytes.iter_mut().skip(start).take(64) {
        *byte ^= 0xff;
    }
    fs::write(file, bytes).unwrap();
}

/// Everything that carries data, to see that a refusal changed nothing.
fn data(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let of_data = |name: &str| {
        name.ends_with(".sst") || name.ends_with(".log") || name == "CURRENT" || name.starts_with("MANIFEST")
    };
    files(path, of_data).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn refused(path: &Path) -> StorageError {
    let before = data(path);
    let taken = Storage::open_or_create(path, GENESIS, small(), || Ok::<_, StorageError>(state_of(0)));
    let error = match taken {
        Ok(storage) => panic!("a damaged folder was opened at {:?}", storage.head()),
        Err(error) => error,
    };
    assert_eq!(data(path), before, "a refused folder was changed");
    error
}

#[test]
fn without_current_it_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    fs::remove_file(path.join("CURRENT")).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StorageError::NotStorage { .. }), "{error}");
}

#[test]
fn a_damaged_current_is_reported() {
    for contents in ["", "MANIFEST-999999\n", "nonsense"] {
        let folder = tempfile::tempdir().unwrap();
        let path = closed(&folder);
        fs::write(path.join("CURRENT"), contents).unwrap();
        let error = refused(&path);
        assert!(matches!(error, StorageError::Corrupt { .. }), "{contents:?}: {error}");
    }
}

#[test]
fn a_damaged_manifest_is_reported() {
    for percent in [0, 2, 10, 50, 90] {
        let folder = tempfile::tempdir().unwrap();
        let path = closed(&folder);
        flip(&files(&path, |name| name.starts_with("MANIFEST"))[0], percent);
        let error = refused(&path);
        // Where the damage is before the first of our columns, nothing says that they are ours.
        let early = percent < 5 && matches!(error, StorageError::NotStorage { .. });
        assert!(early || matches!(error, StorageError::Corrupt { .. }), "{percent} %: {error}");
        assert!(error.to_string().contains("damaged"), "{percent} %: {error}");
    }
}

#[test]
fn missing_and_truncated_tables_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    let table = files(&path, |name| name.ends_with(".sst")).remove(0);
    let bytes = fs::read(&table).unwrap();
    fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    fs::remove_file(&table).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[test]
fn a_damaged_table_is_reported_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    // The largest table holds blocks.
    flip(&files(&path, |name| name.ends_with(".sst"))[0], 40);
    let storage = open(&path).unwrap();
    let faults: Vec<StorageError> = (1..=20).filter_map(|height| storage.block(Height(height)).err()).collect();
    assert!(!faults.is_empty(), "no damage was seen");
    assert!(matches!(faults[0], StorageError::Corrupt { .. }), "{}", faults[0]);
}

#[test]
fn a_damaged_table_of_the_state_is_reported_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    for table in files(&path, |name| name.ends_with(".sst")) {
        // All are small: whatever is hit, it is a data block of some table.
        flip(&table, 0);
    }
    let seen = match open(&path) {
        Err(error) => error.to_string(),
        Ok(storage) => Table::ALL.iter().find_map(|table| storage.scan(*table, &[], 100).err()).unwrap().to_string(),
    };
    assert!(seen.contains("is damaged"), "{seen}");
}

#[test]
fn a_log_damaged_in_the_middle_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    flip(&files(&path, |name| name.ends_with(".log"))[0], 30);
    let error = refused(&path);
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

#[test]
fn a_log_cut_off_at_its_end_loses_only_what_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    let log = files(&path, |name| name.ends_with(".log")).remove(0);
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 100]).unwrap();
    let storage = open(&path).unwrap();
    assert_eq!(storage.head().0, Height(39));
    check_whole(&storage);
}

#[test]
fn an_index_without_its_block_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed(&folder);
    let storage = open(&path).unwrap();
    let mut batch = rocksdb::WriteBatch::default();
    batch.delete_cf(storage.column(Column::Blocks).unwrap(), 40u64.to_be_bytes());
    storage.write(batch, true).unwrap();
    drop(storage);
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains("block 40 is missing"), "{error}");
}
