//! Every way a program can fail, each with its own reason, the same on every run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use support::*;
use valo_protocol::files::{RunFailure, RunStatus, Trap};
use valo_sandbox::*;

const COMMAND: &str = r#"(module (memory (export "memory") 1) (func (export "_start") BODY))"#;

fn command(body: &str) -> RunRequest {
    wat(&COMMAND.replace("BODY", body))
}

#[test]
fn a_program_that_returns_has_exited_with_0() {
    assert_eq!(status(command("")), RunStatus::Exited(0));
}

#[test]
fn exit_codes_are_kept_whole() {
    for code in [0u32, 1, 127, 256, 0x8000_0000, u32::MAX] {
        let exits = program(&format!("(call $exit (i32.const {}))", code.cast_signed()));
        assert_eq!(status(wat(&exits)), RunStatus::Exited(code));
    }
}

#[test]
fn files_of_a_program_that_exits_with_an_error_are_kept() {
    let body = "(call $put (call $open_file (i32.const 4) (i32.const 1) (i64.const 64)) (i32.const 60000) (i32.const 4)) (call $exit (i32.const 3))";
    let output = run(wat(&program(body)));
    assert_eq!(output.record.status, RunStatus::Exited(3));
    assert_eq!(output.files[0].contents, b"file");
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let mut request = command("(loop (br 0))");
    request.limits.fuel = 1_000_000;
    let output = run(request);
    assert_eq!(output.record.status, RunStatus::Failed(RunFailure::OutOfFuel));
    assert_eq!(output.record.fuel, 1_000_000);
    assert_eq!(output.detail.unwrap().to_string(), "the program used up its 1000000 units of fuel");
}

#[test]
fn bulk_instructions_and_host_calls_cost_what_they_move() {
    let fills = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0))";
    let reads_random = "(loop (drop (call $random (i32.const 0) (i32.const 65536))) (br 0))";
    let logs = "(loop (call $put (i32.const 1) (i32.const 0) (i32.const 60000)) (br 0))";
    for body in [fills, reads_random, logs] {
        let mut request = wat(&program(body));
        request.limits.fuel = 10_000_000;
        let output = run(request);
        assert_eq!(output.record.status, RunStatus::Failed(RunFailure::OutOfFuel), "{body}");
        assert!(output.wall < Duration::from_secs(5), "{body} took {:?}", output.wall);
    }
}

#[test]
fn refused_memory_is_minus_one_on_every_machine() {
    // 16 MiB are 256 pages, of which one is there.
    let fits = "(if (i32.ne (memory.grow (i32.const 255)) (i32.const 1)) (then unreachable))";
    let too_much = "(if (i32.ne (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))";
    let past_the_type = "(if (i32.ne (memory.grow (i32.const 65536)) (i32.const -1)) (then unreachable))";
    for body in [fits, too_much, past_the_type] {
        assert_eq!(status(command(body)), RunStatus::Exited(0), "{body}");
    }
    let own_maximum = r#"(module (memory (export "memory") 1 2) (func (export "_start")
        (if (i32.ne (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))))"#;
    assert_eq!(status(wat(own_maximum)), RunStatus::Exited(0));
}

#[test]
fn a_trap_after_refused_memory_is_out_of_memory() {
    let output = run(command("(drop (memory.grow (i32.const 1000))) unreachable"));
    assert_eq!(output.record.status, RunStatus::Failed(RunFailure::OutOfMemory));
    assert!(output.detail.unwrap().to_string().contains("16777216 bytes"));
    let hog = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (i32.store (i32.const -4) (i32.const 0))";
    assert_eq!(failure(command(hog)), RunFailure::OutOfMemory);
}

#[test]
fn a_module_that_starts_with_too_much_is_out_of_memory() {
    let pages = r#"(module (memory (export "memory") 257) (func (export "_start")))"#;
    assert_eq!(failure(wat(pages)), RunFailure::OutOfMemory);
    let table = r#"(module (memory (export "memory") 1) (table 2000000 funcref) (func (export "_start")))"#;
    assert_eq!(failure(wat(table)), RunFailure::OutOfMemory);
    let half: String = "(table 600000 funcref)".repeat(2);
    assert_eq!(failure(wat(&format!(r#"(module {half} (func (export "_start")))"#))), RunFailure::OutOfMemory);
}

#[test]
fn memory_never_exceeds_what_the_protocol_allows() {
    let mut request = command("(if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable))");
    request.limits.memory = u64::MAX;
    assert_eq!(failure(request), RunFailure::OutOfMemory);
}

#[test]
fn tables_grow_within_a_bound() {
    let module = r#"(module (table 1 funcref) (func (export "_start")
        (if (i32.eq (table.grow 0 (ref.null func) (i32.const 1000)) (i32.const -1)) (then unreachable))
        (if (i32.ne (table.grow 0 (ref.null func) (i32.const 2000000)) (i32.const -1)) (then unreachable))))"#;
    assert_eq!(status(wat(module)), RunStatus::Exited(0));
}

#[test]
fn traps_are_told_apart() {
    let cases = [
        ("unreachable", Trap::Unreachable),
        ("(drop (i32.load (i32.const 65536)))", Trap::MemoryOutOfBounds),
        ("(drop (i32.load offset=4294967295 (i32.const -1)))", Trap::MemoryOutOfBounds),
        ("(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))", Trap::MemoryOutOfBounds),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", Trap::Arithmetic),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", Trap::Arithmetic),
        ("(drop (i32.trunc_f64_s (f64.const nan)))", Trap::Arithmetic),
    ];
    for (body, expected) in cases {
        assert_eq!(trap(command(body)), expected, "{body}");
    }
    let table = |body: &str| {
        format!(
            r#"(module (type $f (func)) (table 2 funcref) (elem (i32.const 1) $g) (func $g (param i32))
            (func (export "_start") {body}))"#
        )
    };
    for index in [0, 1, 2, -1] {
        let body = format!("(call_indirect (type $f) (i32.const {index}))");
        assert_eq!(trap(wat(&table(&body))), Trap::BadIndirectCall, "{index}");
    }
}

#[test]
fn a_trap_before_start_is_a_trap() {
    let segment = r#"(module (memory (export "memory") 1) (data (i32.const 65536) "x") (func (export "_start")))"#;
    assert_eq!(trap(wat(segment)), Trap::MemoryOutOfBounds);
    let element = r#"(module (table 1 funcref) (elem (i32.const 1) $f) (func $f (export "_start")))"#;
    assert_eq!(trap(wat(element)), Trap::BadIndirectCall);
    let start = r#"(module (func $s unreachable) (start $s) (func (export "_start")))"#;
    assert_eq!(trap(wat(start)), Trap::Unreachable);
}

#[test]
fn a_start_function_runs_first_and_may_call_the_host() {
    let module = program_with(
        "(func $s (call $put (i32.const 1) (i32.const 60000) (i32.const 2))) (start $s)",
        "(call $put (i32.const 1) (i32.const 60002) (i32.const 2))",
    );
    assert_eq!(run(wat(&module)).stdout.text(), "file");
}

/// Custom sections may stand anywhere, also between the exports and the start function.
#[test]
fn a_start_function_is_found_behind_a_name_section() {
    let module = wat::parse_str(r#"(module (func $s unreachable) (start $s) (func (export "_start")))"#).unwrap();
    let start = module.windows(3).position(|bytes| bytes == [8, 1, 0]).unwrap();
    let names = [0, 7, 4, b'n', b'a', b'm', b'e', 7, 0];
    let moved = [&module[..start], &names, &module[start..]].concat();
    assert_eq!(trap(request(&moved)), Trap::Unreachable);
}

#[test]
fn endless_recursion_overflows_the_metered_stack() {
    let plain = "(module (func $f (call $f)) (func (export \"_start\") (call $f)))";
    let with_results = "(module (func $f (param i64 v128) (result i32 f64)
            (local v128 v128) (if (i64.eqz (local.get 0)) (then (return (i32.const 1) (f64.const 1))))
            (call $f (i64.sub (local.get 0) (i64.const 1)) (local.get 1)))
        (func (export \"_start\") (call $f (i64.const -1) (v128.const i64x2 0 0)) drop drop))";
    let mutual = "(module (table funcref (elem $f $g)) (type $t (func))
        (func $f (call_indirect (type $t) (i32.const 1))) (func $g (call_indirect (type $t) (i32.const 0)))
        (func (export \"_start\") (call $f)))";
    let at_start = "(module (func $f (call $f)) (start $f) (func (export \"_start\")))";
    for module in [plain, with_results, mutual, at_start] {
        assert_eq!(trap(wat(module)), Trap::StackOverflow, "{module}");
    }
}

#[test]
fn large_frames_overflow_by_the_meter_and_not_by_the_native_stack() {
    // Many vectors that live across the recursive call, so that each has to be spilled.
    let count = 400;
    let locals = "(local v128)".repeat(count);
    let set: String = (0..count)
        .map(|index| format!("(local.set {index} (i32x4.splat (i32.add (global.get $g) (i32.const {index}))))"))
        .collect();
    let sum: String =
        (0..count).map(|index| format!("(global.set $v (i32x4.add (global.get $v) (local.get {index})))")).collect();
    let module = format!(
        "(module (global $g (mut i32) (i32.const 1)) (global $v (mut v128) (v128.const i64x2 0 0))
        (func $f {locals} (global.set $g (i32.add (global.get $g) (i32.const 1))) {set} (call $f) {sum})
        (func (export \"_start\") (call $f)))"
    );
    assert_eq!(trap(wat(&module)), Trap::StackOverflow);
}

#[test]
fn deep_but_finite_recursion_works_and_gives_right_results() {
    // sum(n) = n + sum(n - 1), by every way a function can end
    let module = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func $sum (param i32) (result i32)
            (block $out (result i32)
                (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
                (br_table 0 1 (i32.add (local.get 0) (call $sum (i32.sub (local.get 0) (i32.const 1))))
                    (i32.and (local.get 0) (i32.const 1)))))
        (func (export "_start") (call $exit (call $sum (i32.const 20000)))))"#;
    assert_eq!(status(wat(module)), RunStatus::Exited(200_010_000));
}

#[test]
fn calls_that_return_give_their_depth_back() {
    let module = r#"(module (func $leaf) (func $f (param i32)
            (if (local.get 0) (then (call $leaf) (return)))
            (call $leaf) (br 0))
        (func (export "_start") (local i32)
            (loop (call $f (i32.and (local.get 0) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 300000))))))"#;
    assert_eq!(status(wat(module)), RunStatus::Exited(0));
}

#[test]
fn too_much_output_is_its_own_reason() {
    let body = "(local $fd i32) (local.set $fd (call $open_file (i32.const 4) (i32.const 1) (i64.const 64)))
        (loop (call $put (local.get $fd) (i32.const 0) (i32.const 60000)) (br 0))";
    let output = run(wat(&program(body)));
    assert_eq!(output.record.status, RunStatus::Failed(RunFailure::OutputTooLarge));
    assert!(output.files.is_empty() && output.record.files.files().is_empty());
    let far = "(local $fd i32) (local.set $fd (call $open_file (i32.const 4) (i32.const 1) (i64.const 64)))
        (call $check (call $resize (local.get $fd) (i64.const 9000000000000000000)))";
    assert_eq!(failure(wat(&program(far))), RunFailure::OutputTooLarge);
}

#[test]
fn imports_that_are_not_there_are_named() {
    let cases = [
        (r#"(import "env" "now" (func))"#, "env", "now"),
        (r#"(import "wasi_snapshot_preview1" "fd_fly" (func))"#, "wasi_snapshot_preview1", "fd_fly"),
        (r#"(import "wasi_snapshot_preview1" "fd_close" (global i32))"#, "wasi_snapshot_preview1", "fd_close"),
        (r#"(import "env" "memory" (memory 1))"#, "env", "memory"),
        (r#"(import "wasi_unstable" "fd_close" (func (param i32) (result i32)))"#, "wasi_unstable", "fd_close"),
    ];
    for (import, module, name) in cases {
        let output = run(wat(&format!(r#"(module {import} (func (export "_start")))"#)));
        assert_eq!(output.record.status, RunStatus::Failed(RunFailure::MissingImport), "{import}");
        let expected = Detail::MissingImport { module: module.into(), name: name.into() };
        assert_eq!(output.detail, Some(expected));
    }
    let mistyped = r#"(module (import "wasi_snapshot_preview1" "fd_close" (func)) (func (export "_start")))"#;
    assert_eq!(failure(wat(mistyped)), RunFailure::InvalidModule);
}

#[test]
fn what_is_not_a_command_in_plain_webassembly_is_invalid() {
    let modules = [
        "(module)",
        r#"(module (func (export "_start") (param i32)))"#,
        r#"(module (func (export "_start") (result i32) (i32.const 0)))"#,
        r#"(module (global (export "_start") i32 (i32.const 0)))"#,
        r#"(module (func (export "_start")) (func (export "valo:stack")))"#,
        r#"(module (memory 1) (memory 1) (func (export "_start")))"#,
        r#"(module (memory i64 1) (func (export "_start")))"#,
        r#"(module (memory 1 1 shared) (func (export "_start")))"#,
        r#"(module (func (export "_start") (return_call 0)))"#,
        r#"(module (tag) (func (export "_start") (throw 0)))"#,
        r#"(module (func (export "_start") (drop (ref.null extern))))"#,
        r#"(module (type (struct)) (func (export "_start")))"#,
        r#"(module (func (export "_start") (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))))"#,
        "(component)",
    ];
    for module in modules {
        assert_eq!(failure(wat(module)), RunFailure::InvalidModule, "{module}");
    }
    for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"\x7fELF", &[0xff; 100]] {
        assert_eq!(failure(request(bytes)), RunFailure::InvalidModule, "{bytes:?}");
    }
}

#[test]
fn modules_are_bounded_before_they_are_compiled() {
    let long_function =
        format!(r#"(module (func (export "_start") {}))"#, "(drop (i64.const 0x7fffffffffffffff))".repeat(100_000));
    let many_functions = format!(r#"(module (func (export "_start")) {})"#, "(func)".repeat(100_001));
    for module in [long_function, many_functions] {
        assert_eq!(failure(wat(&module)), RunFailure::InvalidModule);
    }
    let mut padded = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
    padded.resize((32 << 20) + 1, 0);
    assert_eq!(failure(request(&padded)), RunFailure::InvalidModule);
}

#[test]
fn local_trouble_is_never_a_verdict() {
    let mut slow = command("(loop (br 0))");
    slow.limits = Limits { fuel: u64::MAX, wall: Duration::from_millis(50), ..slow.limits };
    let failure = sandbox().run(slow).unwrap_err();
    assert!(matches!(failure, LocalFailure::WallLimit { .. }), "{failure}");

    let reads = program("(drop (call $open_file (i32.const 3) (i32.const 0) (i64.const 2)))");
    let mut rotten = wat(&reads);
    rotten.inputs = vec![InputFile { source: Source::Bytes(b"rotten".as_slice().into()), ..input("file", b"sound!") }];
    let failure = sandbox().run(rotten).unwrap_err();
    assert!(matches!(failure, LocalFailure::Damaged { .. }), "{failure}");

    let mut missing = wat(&reads);
    missing.inputs = vec![InputFile { source: Source::Path("/nowhere/at/all".into()), ..input("file", b"x") }];
    let failure = sandbox().run(missing).unwrap_err();
    assert!(matches!(failure, LocalFailure::HostIo { .. }), "{failure}");

    let mut other_module = command("");
    other_module.module.source = Source::Bytes(b"something else".as_slice().into());
    other_module.module.hash = valo_protocol::BlobHash::of(b"what was asked for");
    let failure = sandbox().run(other_module).unwrap_err();
    assert!(matches!(failure, LocalFailure::Damaged { .. }), "{failure}");
}

#[test]
fn a_local_failure_of_a_module_is_not_remembered() {
    let good = command("(nop)");
    let mut bad = good.clone();
    bad.module.source = Source::Path("/nowhere/at/all".into());
    assert!(sandbox().run(bad).is_err());
    assert_eq!(status(good), RunStatus::Exited(0));
}

#[test]
fn a_shorter_host_file_than_announced_is_local() {
    let body = "(local $fd i32) (local.set $fd (call $open_file (i32.const 3) (i32.const 0) (i64.const 2)))
        (i32.store (i32.const 8) (i32.const 1000)) (i32.store (i32.const 12) (i32.const 100))
        (call $check (call $read (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16)))";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, b"short").unwrap();
    let mut request = wat(&program(body));
    request.inputs = vec![InputFile { size: 50, hash: None, source: Source::Path(path), ..input("file", b"") }];
    let failure = sandbox().run(request).unwrap_err();
    assert!(matches!(failure, LocalFailure::HostIo { .. }), "{failure}");
}

#[test]
fn a_run_can_be_cancelled_while_it_runs() {
    let mut request = command("(loop (br 0))");
    request.limits.fuel = u64::MAX;
    let handle = sandbox().submit(request).unwrap();
    handle.cancel();
    assert!(matches!(handle.wait().unwrap_err(), LocalFailure::Cancelled));
}

#[test]
fn a_full_pool_says_so_and_dropping_it_ends_everything() {
    let small = Sandbox::new(&SandboxConfig { threads: 1, queue: 1, ..SandboxConfig::default() }).unwrap();
    let mut endless = command("(loop (br 0))");
    endless.limits.fuel = u64::MAX;
    let first = small.submit(endless.clone()).unwrap();
    let second = small.submit(endless.clone()).unwrap();
    // The thread may or may not have taken up the first by now.
    let mut more = Vec::new();
    let refused = loop {
        match small.submit(endless.clone()) {
            Ok(handle) => more.push(handle),
            Err(refused) => break refused,
        }
        assert!(more.len() < 2);
    };
    assert!(matches!(refused, SubmitError::Full { .. }), "{refused}");
    drop(small);
    assert!(first.wait().is_err());
    assert!(matches!(second.wait().unwrap_err(), LocalFailure::ShutDown));
}

/// Polls a future on this thread, sleeping until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_handle_can_be_awaited_without_any_executor() {
    let mut request = command("(loop (br 0))");
    request.limits.fuel = 300_000_000;
    let output = block_on(sandbox().submit(request).unwrap()).unwrap();
    assert_eq!(output.record.status, RunStatus::Failed(RunFailure::OutOfFuel));
}

#[test]
fn dropping_a_handle_frees_its_thread() {
    let single = Sandbox::new(&SandboxConfig { threads: 1, queue: 4, ..SandboxConfig::default() }).unwrap();
    let mut endless = command("(loop (br 0))");
    endless.limits.fuel = u64::MAX;
    drop(single.submit(endless).unwrap());
    assert_eq!(single.run(command("")).unwrap().record.status, RunStatus::Exited(0));
}
