//! What the tests share: one sandbox for each test program, requests with moderate limits.
#![allow(dead_code)]

use std::{sync::OnceLock, time::Duration};

use valo_protocol::{
    BlobHash,
    files::{RunFailure, RunStatus, Trap},
};
use valo_sandbox::*;

pub fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let config = SandboxConfig { threads: 3, queue: 10_000, ..SandboxConfig::default() };
        Sandbox::new(&config).expect("a sandbox")
    })
}

pub fn module(bytes: &[u8]) -> ModuleSource {
    ModuleSource { hash: BlobHash::of(bytes), source: Source::Bytes(bytes.into()) }
}

pub fn request(bytes: &[u8]) -> RunRequest {
    RunRequest {
        module: module(bytes),
        arguments: vec!["program".into()],
        shard: 3,
        shards: 8,
        stage: "features".into(),
        inputs: Vec::new(),
        world: World { seed: [7; 32], start: 1_700_000_000_000_000_000 },
        limits: Limits {
            fuel: 50_000_000,
            memory: 16 << 20,
            output: 1 << 20,
            wall: Duration::from_secs(60),
            log: 64 << 10,
        },
    }
}

pub fn wat(text: &str) -> RunRequest {
    request(&wat::parse_str(text).expect("test module"))
}

pub fn input(path: &str, contents: &[u8]) -> InputFile {
    InputFile {
        path: path.parse().expect("test path"),
        size: contents.len() as u64,
        hash: Some(BlobHash::of(contents)),
        source: Source::Bytes(contents.into()),
    }
}

/// Runs and expects a record.
pub fn run(request: RunRequest) -> RunOutput {
    sandbox().run(request).expect("no local failure")
}

pub fn status(request: RunRequest) -> RunStatus {
    run(request).record.status
}

pub fn failure(request: RunRequest) -> RunFailure {
    match status(request) {
        RunStatus::Failed(failure) => failure,
        RunStatus::Exited(code) => panic!("exited with {code}"),
    }
}

pub fn trap(request: RunRequest) -> Trap {
    match failure(request) {
        RunFailure::Trap(trap) => trap,
        other => panic!("not a trap: {other:?}"),
    }
}

/// A module whose `_start` is `body`, with all of WASI that the tests use, `$check` (exit with the
/// number unless it is 0), and one page of memory.
pub fn program(body: &str) -> String {
    program_with("", body)
}

pub fn program_with(items: &str, body: &str) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $resize (param i32 i64) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $preopen (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 60000) "file")
        (func $check (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
        ;; opens "file" below a directory (fd 3 is /in, 4 is /out) and gives its descriptor
        (func $open_file (param $directory i32) (param $flags i32) (param $rights i64) (result i32)
            (call $check (call $open (local.get $directory) (i32.const 0) (i32.const 60000) (i32.const 4)
                (local.get $flags) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 60008)))
            (i32.load (i32.const 60008)))
        ;; writes a range of memory to a descriptor
        (func $put (param $fd i32) (param $at i32) (param $length i32)
            (i32.store (i32.const 60016) (local.get $at))
            (i32.store (i32.const 60020) (local.get $length))
            (call $check (call $write (local.get $fd) (i32.const 60016) (i32.const 1) (i32.const 60024))))
        {items}
        (func (export "_start") {body}))"#
    )
}
