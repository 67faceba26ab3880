//! Which folders are opened, and what is said of the others.

use std::fs;

use valo_protocol::encoding::encode;

use super::*;
use crate::storage::{FORMAT, columns::Column, open::FORMAT_KEY};

#[test]
fn a_new_folder_starts_with_the_genesis_state_and_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let storage = create(&path);
    assert_eq!(storage.head(), (Height(0), BlockId(GENESIS.0)));
    check_whole(&storage);
    for _ in 0..5 {
        write_next(&storage, 10).unwrap();
    }
    let head = storage.head();
    drop(storage);
    let storage = Storage::open_or_create(&path, GENESIS, small(), || Err::<Changes, _>("made twice")).unwrap();
    assert_eq!(storage.head(), head);
    check_whole(&storage);
}

#[test]
fn an_empty_folder_is_taken_and_what_a_crash_left_beside_it_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    fs::create_dir(&path).unwrap();
    fs::create_dir(folder.path().join("db.unfinished")).unwrap();
    fs::write(folder.path().join("db.unfinished/CURRENT"), "half").unwrap();
    check_whole(&create(&path));
    assert!(!folder.path().join("db.unfinished").exists());
}

#[test]
fn a_folder_of_another_chain_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(create(&path));
    let other = GenesisHash([8; 32]);
    let error = Storage::open(&path, other, small()).unwrap_err();
    assert_eq!(error, StorageError::OtherNetwork { path: path.clone(), found: GENESIS, expected: other });
    assert!(error.to_string().contains(&GENESIS.to_string()) && error.to_string().contains(&other.to_string()));
    check_whole(&open(&path).unwrap());
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let storage = create(&path);
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(storage.column(Column::Node).unwrap(), FORMAT_KEY, encode(&(FORMAT + 1)));
    storage.write(batch, true).unwrap();
    drop(storage);
    let newer = StorageError::Newer { path: path.clone(), found: FORMAT + 1, supported: FORMAT };
    assert_eq!(open(&path).unwrap_err(), newer);
    assert!(newer.to_string().contains("update valo"));
    // A newer format may well have more column families.
    let names: Vec<String> = rocksdb::DB::list_cf(&rocksdb::Options::default(), &path).unwrap();
    let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), &path, names).unwrap();
    db.create_cf("state/tokens", &rocksdb::Options::default()).unwrap();
    drop(db);
    assert_eq!(open(&path).unwrap_err(), newer);
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let _storage = create(&path);
    assert_eq!(open(&path).unwrap_err(), StorageError::Locked { path: path.clone() });
}

#[test]
fn a_folder_with_other_files_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("letters.txt"), "dear diary").unwrap();
    let error = Storage::open_or_create(&path, GENESIS, small(), || Ok::<_, StorageError>(state_of(0))).unwrap_err();
    assert!(matches!(error, StorageError::NotStorage { .. }), "{error}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
}

#[test]
fn somebody_elses_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    rocksdb::DB::open(&options, &path).unwrap().put("name", "value").unwrap();
    let error = Storage::open_or_create(&path, GENESIS, small(), || Ok::<_, StorageError>(state_of(0))).unwrap_err();
    assert!(matches!(error, StorageError::NotStorage { .. }), "{error}");
}
