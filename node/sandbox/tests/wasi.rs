//! The interface, called as no libc would: wild pointers, lengths of 4 GiB, wrong descriptors.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use proptest::prelude::*;
use support::*;
use valo_protocol::files::{RunFailure, RunStatus};
use valo_sandbox::*;

const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
const NOENT: u32 = 44;
const NOTDIR: u32 = 54;
const ROFS: u32 = 69;
const SPIPE: u32 = 70;
const NOTCAPABLE: u32 = 76;

/// The error number that a call gives.
fn errno(call: &str) -> u32 {
    match status(wat(&program(&format!("(call $exit {call})")))) {
        RunStatus::Exited(code) => code,
        RunStatus::Failed(failure) => panic!("{call}: {failure}"),
    }
}

#[test]
fn pointers_outside_memory_fault() {
    for pointer in ["65535", "65536", "-1", "-8", "0x7fffffff"] {
        let calls = [
            format!("(call $random (i32.const {pointer}) (i32.const 2))"),
            format!("(call $time (i32.const 0) (i64.const 0) (i32.const {pointer}))"),
            format!("(call $args_get (i32.const {pointer}) (i32.const 0))"),
            format!("(call $args_get (i32.const 0) (i32.const {pointer}))"),
            format!("(call $read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {pointer}))"),
            format!("(call $write (i32.const 1) (i32.const {pointer}) (i32.const 1) (i32.const 0))"),
            format!("(call $stat (i32.const 3) (i32.const {pointer}))"),
            format!("(call $preopen (i32.const 3) (i32.const {pointer}) (i32.const 3))"),
            format!("(call $readdir (i32.const 3) (i32.const {pointer}) (i32.const 100) (i64.const 0) (i32.const 0))"),
            format!("(call $poll (i32.const {pointer}) (i32.const 0) (i32.const 1) (i32.const 0))"),
            format!(
                "(call $open (i32.const 4) (i32.const 0) (i32.const {pointer}) (i32.const 4) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0))"
            ),
            format!(
                "(call $open (i32.const 4) (i32.const 0) (i32.const 60000) (i32.const 4) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const {pointer}))"
            ),
        ];
        for call in calls {
            assert_eq!(errno(&call), FAULT, "{call}");
        }
    }
}

#[test]
fn lengths_of_4_gib_are_refused_at_once() {
    let mut request = wat(&program("(call $exit (call $random (i32.const 0) (i32.const -1)))"));
    request.limits.fuel = u64::MAX;
    assert_eq!(status(request), RunStatus::Exited(FAULT));
    assert_eq!(failure(wat(&program("(drop (call $random (i32.const 0) (i32.const -1)))"))), RunFailure::OutOfFuel);
    for call in [
        "(call $readdir (i32.const 3) (i32.const 0) (i32.const -1) (i64.const 0) (i32.const 0))",
        "(call $poll (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0))",
        "(call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0))",
        "(call $open (i32.const 4) (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0))",
    ] {
        assert!([FAULT, INVAL, 37].contains(&errno(call)), "{call}");
    }
    let iovec = "(i32.store (i32.const 4) (i32.const -1)) (call $exit (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))";
    assert_eq!(status(wat(&program(iovec))), RunStatus::Exited(FAULT));
}

#[test]
fn a_module_without_memory_gets_faults() {
    let module = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (func (export "_start") (call $exit (call $random (i32.const 0) (i32.const 1)))))"#;
    assert_eq!(status(wat(module)), RunStatus::Exited(FAULT));
}

#[test]
fn descriptors_that_are_not_open_are_bad() {
    for fd in ["6", "99", "-1"] {
        let calls = [
            format!("(call $close (i32.const {fd}))"),
            format!("(call $stat (i32.const {fd}) (i32.const 0))"),
            format!("(call $read (i32.const {fd}) (i32.const 0) (i32.const 0) (i32.const 0))"),
            format!("(call $renumber (i32.const {fd}) (i32.const 3))"),
            format!("(call $renumber (i32.const 3) (i32.const {fd}))"),
            format!("(call $readdir (i32.const {fd}) (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0))"),
        ];
        for call in calls {
            assert_eq!(errno(&call), BADF, "{call}");
        }
    }
    assert_eq!(errno("(call $write (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"), BADF);
    assert_eq!(errno("(call $read (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))"), BADF);
    assert_eq!(errno("(call $pwrite (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0))"), SPIPE);
    assert_eq!(errno("(call $readdir (i32.const 1) (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0))"), NOTDIR);
    assert_eq!(errno("(call $preopen (i32.const 1) (i32.const 0) (i32.const 9))"), BADF);
}

/// Opens a path with flags and rights, below a preopened directory.
fn open(directory: u32, path: &str, flags: u32, rights: u64) -> u32 {
    let body = format!(
        "(call $exit (call $open (i32.const {directory}) (i32.const 0) (i32.const 1024) (i32.const {}) (i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 0)))",
        path.len()
    );
    let data = format!(r#"(data (i32.const 1024) "{path}")"#);
    let mut request = wat(&program_with(&data, &body));
    request.inputs = vec![input("file", b"contents"), input("folder/file", b"more")];
    match status(request) {
        RunStatus::Exited(code) => code,
        RunStatus::Failed(failure) => panic!("{path}: {failure}"),
    }
}

#[test]
fn inputs_are_read_only() {
    let (create, truncate, write) = (1, 8, 64);
    assert_eq!(open(3, "file", 0, 2), 0);
    assert_eq!(open(3, "file", 0, 2 | write), ROFS);
    assert_eq!(open(3, "file", truncate, 2), ROFS);
    assert_eq!(open(3, "new", create, write), ROFS);
    assert_eq!(open(3, "new", 0, 2), NOENT);
    assert_eq!(open(5, "in/file", 0, write), ROFS);
    assert_eq!(open(5, "new", create, write), ROFS);
    assert_eq!(open(5, "out/new", create, write), 0);
}

#[test]
fn there_is_no_way_out_of_a_directory() {
    for path in ["..", "../out/file", "folder/../../out", "folder/../..", "./../in/file"] {
        assert_eq!(open(3, path, 0, 2), NOTCAPABLE, "{path}");
    }
    assert_eq!(open(3, "/in/file", 0, 2), 63);
    assert_eq!(open(3, "folder/../file", 0, 2), 0);
    assert_eq!(open(1, "file", 0, 2), NOTDIR);
    assert_eq!(open(3, "file/deeper", 0, 2), NOTDIR);
    assert_eq!(open(5, "../../../etc/passwd", 0, 2), NOTCAPABLE);
}

#[test]
fn every_function_of_preview_1_links() {
    let signatures = [
        ("args_get", "i32 i32"),
        ("args_sizes_get", "i32 i32"),
        ("environ_get", "i32 i32"),
        ("environ_sizes_get", "i32 i32"),
        ("clock_res_get", "i32 i32"),
        ("clock_time_get", "i32 i64 i32"),
        ("fd_advise", "i32 i64 i64 i32"),
        ("fd_allocate", "i32 i64 i64"),
        ("fd_close", "i32"),
        ("fd_datasync", "i32"),
        ("fd_fdstat_get", "i32 i32"),
        ("fd_fdstat_set_flags", "i32 i32"),
        ("fd_fdstat_set_rights", "i32 i64 i64"),
        ("fd_filestat_get", "i32 i32"),
        ("fd_filestat_set_size", "i32 i64"),
        ("fd_filestat_set_times", "i32 i64 i64 i32"),
        ("fd_pread", "i32 i32 i32 i64 i32"),
        ("fd_prestat_get", "i32 i32"),
        ("fd_prestat_dir_name", "i32 i32 i32"),
        ("fd_pwrite", "i32 i32 i32 i64 i32"),
        ("fd_read", "i32 i32 i32 i32"),
        ("fd_readdir", "i32 i32 i32 i64 i32"),
        ("fd_renumber", "i32 i32"),
        ("fd_seek", "i32 i64 i32 i32"),
        ("fd_sync", "i32"),
        ("fd_tell", "i32 i32"),
        ("fd_write", "i32 i32 i32 i32"),
        ("path_create_directory", "i32 i32 i32"),
        ("path_filestat_get", "i32 i32 i32 i32 i32"),
        ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
        ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
        ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        ("path_readlink", "i32 i32 i32 i32 i32 i32"),
        ("path_remove_directory", "i32 i32 i32"),
        ("path_rename", "i32 i32 i32 i32 i32 i32"),
        ("path_symlink", "i32 i32 i32 i32 i32"),
        ("path_unlink_file", "i32 i32 i32"),
        ("poll_oneoff", "i32 i32 i32 i32"),
        ("proc_raise", "i32"),
        ("random_get", "i32 i32"),
        ("sched_yield", ""),
        ("sock_accept", "i32 i32 i32"),
        ("sock_recv", "i32 i32 i32 i32 i32 i32"),
        ("sock_send", "i32 i32 i32 i32 i32"),
        ("sock_shutdown", "i32 i32"),
    ];
    let imports: String = signatures
        .iter()
        .map(|(name, parameters)| {
            format!(r#"(import "wasi_snapshot_preview1" "{name}" (func (param {parameters}) (result i32)))"#)
        })
        .collect();
    let exit = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))"#;
    let module = format!(r#"(module {imports} {exit} (memory (export "memory") 1) (func (export "_start")))"#);
    assert_eq!(status(wat(&module)), RunStatus::Exited(0));
}

#[test]
fn huge_arguments_arrive_whole() {
    let body = "(call $check (call $args_get (i32.const 0) (i32.const 100))) (call $put (i32.const 1) (i32.load (i32.const 4)) (i32.const 50001))";
    let mut request = wat(&program(body));
    request.arguments = vec!["program".into(), "x".repeat(50_000)];
    assert_eq!(run(request).stdout.bytes().len(), 50_001);
    let mut request = wat(&program("(call $exit (call $args_get (i32.const 0) (i32.const 100)))"));
    request.arguments = vec!["x".repeat(70_000)];
    assert_eq!(status(request.clone()), RunStatus::Exited(FAULT));
    request.arguments = vec!["zero\0byte".into()];
    assert!(matches!(sandbox().run(request).unwrap_err(), LocalFailure::ZeroByte { .. }));
}

#[test]
fn long_logs_are_cut_in_the_middle_and_are_no_failure() {
    let body = "(local i32) (loop (i32.store (i32.const 0) (local.get 0)) (call $put (i32.const 2) (i32.const 0) (i32.const 4))
        (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 40000))))";
    let output = run(wat(&program(body)));
    assert_eq!(output.record.status, RunStatus::Exited(0));
    assert_eq!(output.stderr.left_out, 160_000 - (64 << 10));
    let bytes = output.stderr.bytes();
    assert_eq!(bytes[..8], [0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[bytes.len() - 4..], 39_999u32.to_le_bytes());
}

#[test]
fn reading_over_the_list_of_buffers_moves_no_more_than_was_asked_for() {
    // The first buffer is the list itself; what is read there would make the second one huge.
    let body = "(local $fd i32) (local.set $fd (call $open_file (i32.const 3) (i32.const 0) (i64.const 2)))
        (i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 16))
        (i32.store (i32.const 8) (i32.const 100)) (i32.store (i32.const 12) (i32.const 4))
        (drop (call $read (local.get $fd) (i32.const 0) (i32.const 2) (i32.const 200)))
        (if (i32.gt_u (i32.load (i32.const 200)) (i32.const 20)) (then unreachable))";
    let mut contents = vec![0u8; 4096];
    contents[8..16].copy_from_slice(&[0, 1, 0, 0, 0, 8, 0, 0]);
    let mut request = wat(&program(body));
    request.inputs = vec![input("file", &contents)];
    assert_eq!(status(request), RunStatus::Exited(0));
}

#[test]
fn descriptors_run_out_and_come_back() {
    let body = "(local i32) (loop
            (local.set 0 (call $open (i32.const 4) (i32.const 0) (i32.const 60000) (i32.const 4) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))
            (br_if 0 (i32.eqz (local.get 0))))
        (if (i32.ne (local.get 0) (i32.const 33)) (then unreachable))
        (call $check (call $close (i32.const 500)))
        (if (i32.ne (call $open_file (i32.const 4) (i32.const 0) (i64.const 2)) (i32.const 500)) (then unreachable))";
    assert_eq!(status(wat(&program(body))), RunStatus::Exited(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever numbers a program passes, it gets an answer, and the same one again.
    #[test]
    fn no_call_panics_or_differs(calls in proptest::collection::vec(any_call(), 1..12)) {
        let module = program(&calls.concat());
        let request = || RunRequest { inputs: vec![input("file", &[9; 500])], ..wat(&module) };
        let (first, second) = (sandbox().run(request()).unwrap(), sandbox().run(request()).unwrap());
        prop_assert_eq!(first.record, second.record);
        prop_assert_eq!(first.stdout, second.stdout);
    }
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![0..8i32, Just(-1), any::<i32>(), 59_990..60_030i32, 65_500..65_540i32]
}

fn wide() -> impl Strategy<Value = i64> {
    prop_oneof![0..100i64, Just(-1), any::<i64>()]
}

fn any_call() -> impl Strategy<Value = String> {
    // i is a 32-bit argument, I a 64-bit one.
    let functions = [
        ("args_get", "ii"),
        ("random", "ii"),
        ("time", "iIi"),
        ("poll", "iiii"),
        ("read", "iiii"),
        ("write", "iiii"),
        ("pwrite", "iiiIi"),
        ("readdir", "iiiIi"),
        ("stat", "ii"),
        ("resize", "iI"),
        ("preopen", "iii"),
        ("renumber", "ii"),
        ("close", "i"),
        ("open", "iiiiiIIii"),
    ];
    let numbers = (proptest::collection::vec(number(), 9), proptest::collection::vec(wide(), 9));
    (proptest::sample::select(functions.to_vec()), numbers).prop_map(|((name, arguments), (narrow, wide))| {
        let arguments: Vec<String> = arguments
            .bytes()
            .enumerate()
            .map(|(index, kind)| match kind {
                b'i' => format!("(i32.const {})", narrow[index]),
                _ => format!("(i64.const {})", wide[index]),
            })
            .collect();
        format!("(drop (call ${name} {}))", arguments.join(" "))
    })
}
