//! Crashes and full disks, in processes of their own: what was reported as final is there afterwards, whole.
//!
//! The helpers are tests of this binary that do nothing unless they are told a folder.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::*;

/// How often a writing process is killed.
const KILLS: u32 = 24;

const FOLDER: &str = "VALO_TEST_STORAGE_FOLDER";

fn helper(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", &format!("storage::tests::crash::{name}"), "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    command
}

/// Heights that a helper says are final, as it says so.
fn heights(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.rsplit_once("final ")?.1.trim().parse().ok())
}

#[test]
fn killed_at_any_moment_the_last_block_is_there_or_not_but_never_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(create(&path));
    let mut reached = 0;
    for round in 0..KILLS {
        let mut child = helper("write_until_killed", &path).spawn().unwrap();
        let mut heights = heights(&mut child);
        for _ in 0..=(round % 5) {
            reached = heights.next().expect("the writing process ended by itself");
        }
        // Killed at a different moment each time, spread over the few milliseconds that the next blocks take.
        std::thread::sleep(Duration::from_micros(u64::from(round) * 331 % 5000));
        child.kill().unwrap();
        // What it still said before it died counts as well.
        reached = heights.last().unwrap_or(reached);
        child.wait().unwrap();
        let storage = open(&path).unwrap();
        let head = storage.head().0.0;
        assert!(head >= reached, "block {reached} was reported as final, but the storage ends at {head}");
        assert!(head <= reached + 1, "the storage is at {head}, though only {reached} was reported");
        check_whole(&storage);
    }
}

#[test]
#[ignore = "a helper of another test, which kills it"]
fn write_until_killed() {
    let Some(path) = env::var_os(FOLDER) else { return };
    let storage = open(&PathBuf::from(path)).unwrap();
    loop {
        println!("final {}", write_next(&storage, 40).unwrap());
    }
}

/// Runs the helper on a file system of 24 MiB that only it sees.
#[test]
fn on_a_full_disk_nothing_final_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let helper = helper("fill_the_disk", folder.path());
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--mount", "sh", "-c", "mount -t tmpfs -o size=24m tmpfs \"$0\" && exec \"$@\""])
        .arg(folder.path())
        .arg(helper.get_program())
        .args(helper.get_args())
        .env(FOLDER, folder.path())
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("NOT TESTED: the behaviour on a full disk; it takes `unshare` from util-linux: {error}")
    });
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        out.contains("the disk was filled"),
        "NOT TESTED, or failed: the behaviour on a full disk; it takes root or user namespaces to mount a tmpfs\n{out}\n{errors}"
    );
    assert!(output.status.success(), "{out}\n{errors}");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

#[test]
#[ignore = "a helper of another test, which gives it a small disk"]
fn fill_the_disk() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let path = folder.join("db");
    let reserve = folder.join("reserve");
    std::fs::write(&reserve, vec![1u8; 8 << 20]).unwrap();
    let storage = create(&path);
    let mut reached = 0;
    let error = loop {
        match write_next(&storage, 600) {
            Ok(height) => reached = height,
            Err(error) => break error,
        }
        assert!(reached < 1000, "the disk never became full");
    };
    println!("the disk was filled after block {reached}: {error}");
    assert!(error.contains("is full; finalized blocks are safe"), "{error}");
    assert!(reached > 3, "it was full before anything was written");
    assert!(storage.failure().borrow().is_some());
    let again = write_next(&storage, 1).unwrap_err();
    assert!(again.contains("nothing more is written after a failed write"), "{again}");
    check_whole(&storage);
    drop(storage);
    if let Err(error) = open(&path) {
        assert!(error.to_string().contains("is full"), "{error}");
    }
    std::fs::remove_file(reserve).unwrap();
    let storage = open(&path).unwrap();
    let head = storage.head().0.0;
    assert!(head == reached || head == reached + 1, "{head} after {reached} was reported");
    check_whole(&storage);
    write_next(&storage, 10).unwrap();
    check_whole(&storage);
}
