use proptest::prelude::*;

use super::*;

fn hash(byte: u8) -> BlobHash {
    BlobHash([byte; 32])
}

fn put(index: &mut Index, byte: u8, size: u64, owner: Option<&str>, now: u64) {
    index.reserve(owner, size).unwrap();
    index.commit(hash(byte), size, owner, size, now);
}

#[test]
fn quotas_name_whose_room_is_gone() {
    let mut index = Index::new(100, 60);
    put(&mut index, 1, 50, Some("a"), 1);
    let error = index.reserve(Some("a"), 20).unwrap_err();
    assert!(matches!(
        error,
        BlobError::QuotaExceeded { quota: Quota::Owner(owner), used: 50, .. } if owner == "a"
    ));
    put(&mut index, 2, 40, Some("b"), 1);
    let error = index.reserve(Some("c"), 20).unwrap_err();
    assert!(matches!(error, BlobError::QuotaExceeded { quota: Quota::Node, used: 90, .. }));
}

#[test]
fn unowned_blobs_make_way_oldest_first() {
    let mut index = Index::new(100, 100);
    put(&mut index, 1, 30, None, 1);
    put(&mut index, 2, 30, None, 2);
    put(&mut index, 3, 30, Some("a"), 0);
    index.touch(&hash(1), 5);
    assert_eq!(index.reserve(None, 40).unwrap(), [hash(2)]);
    assert!(index.get(&hash(1)).is_some());
    assert!(index.is_doomed(&hash(2)));
    index.pin(&hash(1), "job 1");
    assert!(index.reserve(None, 10).is_err());
}

#[test]
fn a_blob_of_two_owners_is_stored_once_and_counts_for_both() {
    let mut index = Index::new(100, 100);
    put(&mut index, 1, 40, Some("a"), 1);
    put(&mut index, 1, 40, Some("b"), 1);
    assert_eq!(index.used(), 40);
    assert_eq!((index.used_by("a"), index.used_by("b")), (40, 40));
    index.disown(&hash(1), "a");
    assert_eq!((index.used_by("a"), index.used()), (0, 40));
    index.remove(&hash(1));
    assert_eq!((index.used_by("b"), index.used()), (0, 0));
}

#[test]
fn a_sweep_keeps_what_is_needed_and_forgets_what_it_removed() {
    let mut index = Index::new(100, 100);
    put(&mut index, 1, 10, None, 1);
    put(&mut index, 2, 10, None, 1);
    assert_eq!(index.begin_sweep(), None);
    index.remove(&hash(2));
    index.begin_fetch(hash(3));
    index.leave_partial(hash(4), 5, 1);
    let mut live = index.begin_sweep().unwrap();
    live.sort();
    assert_eq!(live, [hash(1), hash(3), hash(4)]);
    index.doom(hash(5));
    index.end_sweep();
    assert!(!index.is_doomed(&hash(2)));
    assert!(index.is_doomed(&hash(5)));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u64, Option<u8>),
    Remove(u8),
    Disown(u8, u8),
    Fetch(u8, u64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    // The size of a blob follows from its name, as it does in life.
    let size = |byte: u8| u64::from(byte) * 7 + 1;
    prop_oneof![
        (0u8..12, prop::option::of(0u8..3)).prop_map(move |(b, o)| Step::Put(b, size(b), o)),
        (0u8..12).prop_map(Step::Remove),
        (0u8..12, 0u8..3).prop_map(|(b, o)| Step::Disown(b, o)),
        (0u8..12).prop_map(move |b| Step::Fetch(b, size(b))),
        Just(Step::Expire),
    ]
}

proptest! {
    #[test]
    fn the_sums_are_always_those_of_the_entries(steps in prop::collection::vec(step(), 0..60)) {
        let mut index = Index::new(200, 120);
        for (now, step) in (0u64..).zip(steps) {
            match step {
                Step::Put(byte, size, owner) => {
                    let owner = owner.map(|owner| owner.to_string());
                    if index.reserve(owner.as_deref(), size).is_ok() {
                        index.commit(hash(byte), size, owner.as_deref(), size, now);
                    }
                }
                Step::Remove(byte) => { index.remove(&hash(byte)); }
                Step::Disown(byte, owner) => index.disown(&hash(byte), &owner.to_string()),
                Step::Fetch(byte, size) => if index.get(&hash(byte)).is_none() {
                    index.begin_fetch(hash(byte));
                    if index.reserve(None, size).is_ok() {
                        index.release(None, size);
                        index.end_fetch(&hash(byte), size / 2, now);
                    } else {
                        index.end_fetch(&hash(byte), 0, now);
                    }
                },
                Step::Expire => {
                    for expired in index.expired(now.saturating_sub(5)) {
                        index.remove(&expired);
                    }
                    index.drop_partials(now.saturating_sub(5));
                }
            }
            let entries: u64 = index.entries.values().map(|entry| entry.size).sum();
            let partials: u64 = index.partials.values().map(|partial| partial.bytes).sum();
            prop_assert_eq!(index.used(), entries + partials);
            prop_assert!(index.used() <= 200);
            for owner in 0u8..3 {
                let owner = owner.to_string();
                let sum: u64 = index.entries.values().filter(|entry| entry.owners.contains(&owner)).map(|entry| entry.size).sum();
                prop_assert_eq!(index.used_by(&owner), sum);
                prop_assert!(sum <= 120);
            }
        }
    }
}
