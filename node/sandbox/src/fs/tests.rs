//! The tree against what POSIX says of it.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Fault, NodeId, OUT, OpenFiles, ROOT, Tree};
use crate::{
    failure::{Detail, Stop},
    request::{InputFile, Source},
    wasi::abi::Errno,
};

fn input(path: &str, contents: &str) -> InputFile {
    InputFile {
        path: path.parse().unwrap(),
        size: contents.len() as u64,
        hash: None,
        source: Source::Bytes(Arc::from(contents.as_bytes())),
    }
}

fn tree() -> Tree {
    Tree::new(&[input("b/c.txt", "see"), input("a.txt", "eh"), input("b.txt", "bee")], 1_000).unwrap()
}

fn errno<T: std::fmt::Debug>(result: Result<T, Fault>) -> Errno {
    match result {
        Err(Fault::Errno(errno)) => errno,
        other => panic!("not an error number: {other:?}"),
    }
}

fn create(tree: &mut Tree, path: &str) -> Result<NodeId, Fault> {
    let place = tree.lookup(ROOT, path.as_bytes())?;
    tree.create_file(&place)
}

fn make_directory(tree: &mut Tree, path: &str) -> Result<NodeId, Fault> {
    let place = tree.lookup(ROOT, path.as_bytes())?;
    tree.create_directory(&place)
}

fn rename(tree: &mut Tree, from: &str, to: &str) -> Result<(), Errno> {
    let from = tree.lookup(ROOT, from.as_bytes())?;
    let to = tree.lookup(ROOT, to.as_bytes())?;
    tree.rename(&from, &to)
}

fn names(tree: &Tree, directory: NodeId) -> Vec<String> {
    let mut names = Vec::new();
    tree.list(directory, 0, None, |entry| {
        names.push(entry.name.to_string());
        true
    })
    .unwrap();
    names
}

fn outputs(tree: &mut Tree) -> Vec<String> {
    tree.take_outputs().iter().map(|file| file.path.to_string()).collect()
}

#[test]
fn listings_and_inodes_do_not_depend_on_the_order_of_inputs() {
    let one = tree();
    let files = [input("b.txt", "bee"), input("b/c.txt", "see"), input("a.txt", "eh")];
    let other = Tree::new(&files, 1_000).unwrap();
    for path in ["in", "in/b", "in/a.txt", "in/b/c.txt"] {
        let (mine, theirs) = (one.find(ROOT, path.as_bytes()).unwrap(), other.find(ROOT, path.as_bytes()).unwrap());
        assert_eq!(one.status(mine), other.status(theirs), "{path}");
    }
    assert_eq!(names(&one, one.find(ROOT, b"in").unwrap()), [".", "..", "a.txt", "b", "b.txt"]);
    assert_eq!(names(&one, ROOT), [".", "..", "in", "out"]);
}

#[test]
fn inputs_that_clash_are_refused() {
    for clash in [["a", "a"], ["a", "a/b"], ["a/b", "a"]] {
        let files = clash.map(|path| input(path, ""));
        assert!(Tree::new(&files, 0).is_err(), "{clash:?}");
    }
}

#[test]
fn paths_cannot_leave_the_directory_they_start_from() {
    let mut tree = tree();
    let inside = make_directory(&mut tree, "out/inside").unwrap();
    for path in ["..", "../..", "../inside/../..", "./../x", "a/../.."] {
        let found = tree.lookup(inside, path.as_bytes()).map(|place| place.node);
        assert!(matches!(found, Err(Errno::NotCapable | Errno::NotFound)), "{path}: {found:?}");
    }
    assert_eq!(tree.find(inside, b"/in"), Err(Errno::NotPermitted));
    assert_eq!(tree.find(inside, b"."), Ok(inside));
    assert_eq!(tree.find(ROOT, b"out/inside/../../in/./b//c.txt"), tree.find(ROOT, b"in/b/c.txt"));
    assert_eq!(tree.find(ROOT, b"in/a.txt/.."), Err(Errno::NotDirectory));
    assert_eq!(tree.find(ROOT, b"in/a.txt/"), Err(Errno::NotDirectory));
    assert_eq!(tree.find(ROOT, b""), Err(Errno::NotFound));
    assert_eq!(tree.find(ROOT, b"a\0b"), Err(Errno::Invalid));
    assert_eq!(tree.find(ROOT, b"\xff"), Err(Errno::IllegalSequence));
    assert_eq!(tree.find(ROOT, &[b'x'; 5_000]), Err(Errno::NameTooLong));
}

#[test]
fn nothing_changes_outside_out() {
    let mut tree = tree();
    assert_eq!(errno(create(&mut tree, "in/new")), Errno::ReadOnly);
    assert_eq!(errno(create(&mut tree, "new")), Errno::ReadOnly);
    assert_eq!(errno(make_directory(&mut tree, "in/new")), Errno::ReadOnly);
    assert_eq!(rename(&mut tree, "in/a.txt", "out/a.txt"), Err(Errno::ReadOnly));
    assert_eq!(rename(&mut tree, "out", "out2"), Err(Errno::ReadOnly));
    create(&mut tree, "out/mine").unwrap();
    assert_eq!(rename(&mut tree, "out/mine", "in/a.txt"), Err(Errno::ReadOnly));
    for path in ["in/a.txt", "in/b", "out", "in"] {
        let place = tree.lookup(ROOT, path.as_bytes()).unwrap();
        assert_eq!(tree.remove_file(&place), Err(Errno::ReadOnly), "{path}");
        assert_eq!(tree.remove_directory(&place), Err(Errno::ReadOnly), "{path}");
    }
    let input = tree.find(ROOT, b"in/a.txt").unwrap();
    assert_eq!(errno(tree.write(input, 0, b"x")), Errno::Invalid);
    assert_eq!(errno(tree.resize(input, 0)), Errno::Invalid);
}

#[test]
fn renaming_follows_posix() {
    let mut tree = tree();
    make_directory(&mut tree, "out/d").unwrap();
    make_directory(&mut tree, "out/e").unwrap();
    create(&mut tree, "out/d/f").unwrap();
    create(&mut tree, "out/g").unwrap();
    assert_eq!(rename(&mut tree, "out/d", "out/d/inside"), Err(Errno::Invalid));
    assert_eq!(rename(&mut tree, "out/e", "out/d"), Err(Errno::NotEmpty));
    assert_eq!(rename(&mut tree, "out/g", "out/d"), Err(Errno::IsDirectory));
    assert_eq!(rename(&mut tree, "out/d", "out/g"), Err(Errno::NotDirectory));
    assert_eq!(rename(&mut tree, "out/g", "out/h/"), Err(Errno::NotDirectory));
    assert_eq!(rename(&mut tree, "out/none", "out/h"), Err(Errno::NotFound));
    assert_eq!(rename(&mut tree, "out/d/.", "out/h"), Err(Errno::Invalid));
    rename(&mut tree, "out/d", "out/e").unwrap();
    rename(&mut tree, "out/g", "out/e/f").unwrap();
    rename(&mut tree, "out/e/f", "out/e/f").unwrap();
    assert_eq!(outputs(&mut tree), ["e/f"]);
}

#[test]
fn what_is_removed_while_open_lives_until_it_is_closed() {
    let mut tree = tree();
    let file = create(&mut tree, "out/f").unwrap();
    tree.open(file).unwrap();
    tree.write(file, 0, &[1; 900]).unwrap();
    let place = tree.lookup(ROOT, b"out/f").unwrap();
    tree.remove_file(&place).unwrap();
    assert_eq!(tree.find(ROOT, b"out/f"), Err(Errno::NotFound));
    let mut buffer = [0; 3];
    assert_eq!(tree.read(&mut OpenFiles::default(), file, 898, &mut buffer).unwrap(), 2);
    assert_eq!(buffer, [1, 1, 0]);
    let other = create(&mut tree, "out/g").unwrap();
    assert!(tree.write(other, 0, &[2; 900]).is_err(), "the removed file still takes its room");
    tree.close(file);
    tree.write(other, 0, &[2; 900]).unwrap();
    assert_eq!(outputs(&mut tree), ["g"]);
}

#[test]
fn a_removed_directory_takes_no_new_names() {
    let mut tree = tree();
    let directory = make_directory(&mut tree, "out/d").unwrap();
    tree.open(directory).unwrap();
    let place = tree.lookup(ROOT, b"out/d/").unwrap();
    tree.remove_directory(&place).unwrap();
    let place = tree.lookup(directory, b"f").unwrap();
    assert_eq!(errno(tree.create_file(&place)), Errno::NotFound);
    create(&mut tree, "out/f").unwrap();
    let from = tree.lookup(ROOT, b"out/f").unwrap();
    assert_eq!(tree.rename(&from, &place), Err(Errno::NotFound));
}

#[test]
fn paths_that_no_record_could_hold_are_refused_when_they_are_made() {
    let mut tree = tree();
    let long = "x".repeat(250);
    make_directory(&mut tree, &format!("out/{long}")).unwrap();
    create(&mut tree, &format!("out/{long}/1234")).unwrap();
    assert_eq!(errno(create(&mut tree, &format!("out/{long}/12345"))), Errno::NameTooLong);
    assert_eq!(errno(create(&mut tree, "out/back\\slash")), Errno::Invalid);
    assert_eq!(errno(create(&mut tree, "out/new\nline")), Errno::Invalid);
    make_directory(&mut tree, "out/d").unwrap();
    assert_eq!(rename(&mut tree, &format!("out/{long}"), &format!("out/d/{long}")), Err(Errno::NameTooLong));
    let shorter = format!("out/d/{}", "y".repeat(200));
    rename(&mut tree, &format!("out/{long}"), &shorter).unwrap();
    assert_eq!(outputs(&mut tree).len(), 1);
}

#[test]
fn outputs_have_a_bound_in_bytes_and_in_number() {
    let mut tree = Tree::new(&[], 10).unwrap();
    let file = create(&mut tree, "out/f").unwrap();
    tree.write(file, 4, b"1234").unwrap();
    let over = tree.write(file, 8, b"567");
    assert!(matches!(over, Err(Fault::Stop(Stop::Verdict(Detail::OutputTooLarge { limit: 10 })))), "{over:?}");
    assert!(tree.resize(file, u64::MAX).is_err());
    assert_eq!(tree.take_outputs()[0].contents, b"\0\0\0\x001234");

    let mut tree = Tree::new(&[], 0).unwrap();
    let mut made = 0u32;
    let stopped = loop {
        match create(&mut tree, &format!("out/{made}")) {
            Ok(_) => made += 1,
            Err(fault) => break fault,
        }
    };
    assert_eq!(made, 16_384);
    assert!(matches!(stopped, Fault::Stop(Stop::Verdict(Detail::TooManyOutputs { .. }))), "{stopped:?}");
}

#[test]
fn a_reader_that_removes_as_it_lists_misses_nothing() {
    let mut tree = Tree::new(&[], 0).unwrap();
    for name in 0..50 {
        create(&mut tree, &format!("out/{name:02}")).unwrap();
    }
    let (mut cookie, mut cursor, mut seen) = (0, None, Vec::new());
    loop {
        let mut batch = Vec::new();
        tree.list(OUT, cookie, cursor.as_ref(), |entry| {
            batch.push(entry);
            batch.len() < 7
        })
        .unwrap();
        let Some(last) = batch.last() else { break };
        cookie = last.next;
        cursor = Some(super::listing::Cursor { cookie, name: last.name.clone() });
        for entry in batch.iter().filter(|entry| !entry.name.starts_with('.')) {
            let place = tree.lookup(OUT, entry.name.as_bytes()).unwrap();
            tree.remove_file(&place).unwrap();
            seen.push(entry.name.to_string());
        }
    }
    assert_eq!(seen, (0..50).map(|name| format!("{name:02}")).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    Directory(String),
    Remove(String),
    RemoveDirectory(String),
    Rename(String, String),
    Write(String, u64, Vec<u8>),
    Resize(String, u64),
}

fn paths() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab.]|\\.\\.", 1..4).prop_map(|parts| format!("out/{}", parts.join("/")))
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        paths().prop_map(Step::Create),
        paths().prop_map(Step::Directory),
        paths().prop_map(Step::Remove),
        paths().prop_map(Step::RemoveDirectory),
        (paths(), paths()).prop_map(|(from, to)| Step::Rename(from, to)),
        (paths(), 0u64..40, proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(path, at, bytes)| Step::Write(path, at, bytes)),
        (paths(), 0u64..60).prop_map(|(path, size)| Step::Resize(path, size)),
    ]
}

fn take(tree: &mut Tree, step: &Step) -> Result<(), Fault> {
    match step {
        Step::Create(path) => create(tree, path).map(|_| ()),
        Step::Directory(path) => make_directory(tree, path).map(|_| ()),
        Step::Remove(path) => {
            let place = tree.lookup(ROOT, path.as_bytes())?;
            Ok(tree.remove_file(&place)?)
        }
        Step::RemoveDirectory(path) => {
            let place = tree.lookup(ROOT, path.as_bytes())?;
            Ok(tree.remove_directory(&place)?)
        }
        Step::Rename(from, to) => Ok(rename(tree, from, to)?),
        Step::Write(path, at, bytes) => {
            let node = tree.find(ROOT, path.as_bytes())?;
            tree.write(node, *at, bytes)
        }
        Step::Resize(path, size) => {
            let node = tree.find(ROOT, path.as_bytes())?;
            tree.resize(node, *size)
        }
    }
}

proptest! {
    /// Whatever a program does, the bytes are counted right and the files make a tree.
    #[test]
    fn any_sequence_of_changes_keeps_the_books(steps in proptest::collection::vec(steps(), 0..60)) {
        let mut tree = Tree::new(&[], 100).unwrap();
        for step in &steps {
            let _ = take(&mut tree, step);
            prop_assert!(tree.output_bytes() <= 100);
        }
        let counted = tree.output_bytes();
        let files = tree.take_outputs();
        prop_assert_eq!(counted, files.iter().map(|file| file.contents.len() as u64).sum::<u64>());
        let entries = files.iter().map(crate::request::OutputFile::entry).collect();
        prop_assert!(valo_protocol::files::FileTree::new(entries).is_ok());
    }
}
