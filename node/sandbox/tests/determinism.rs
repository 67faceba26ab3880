//! The same request gives the same record: again, under load, from another sandbox, compiled anew.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use proptest::prelude::*;
use support::*;
use valo_protocol::files::RunStatus;
use valo_sandbox::*;

/// Uses floats, randomness, time, inputs, growth and host calls, and writes what it found.
fn busy() -> RunRequest {
    let body = r#"
        (local $fd i32) (local $i i32) (local $x f64)
        (local.set $fd (call $open_file (i32.const 3) (i32.const 0) (i64.const 2)))
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 2000))
        (call $check (call $read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $check (call $random (i32.const 4000) (i32.const 1000)))
        (call $check (call $time (i32.const 0) (i64.const 1) (i32.const 5000)))
        (drop (memory.grow (i32.const 3)))
        (loop
            (local.set $x (f64.sqrt (f64.add (local.get $x) (f64.convert_i32_u (i32.load8_u offset=4000 (local.get $i))))))
            (f64.store offset=100000 (i32.mul (local.get $i) (i32.const 8)) (local.get $x))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
        (call $check (call $close (local.get $fd)))
        (local.set $fd (call $open_file (i32.const 4) (i32.const 1) (i64.const 64)))
        (call $put (local.get $fd) (i32.const 0) (i32.const 60000))
        (call $put (local.get $fd) (i32.const 100000) (i32.const 8000))
        (call $put (i32.const 1) (i32.const 4000) (i32.const 100))"#;
    RunRequest { inputs: vec![input("file", &[42; 3000])], ..wat(&program(body)) }
}

#[test]
fn every_run_has_the_same_record_alone_and_under_load() {
    let alone = run(busy());
    assert_eq!(alone.record.status, RunStatus::Exited(0));
    assert!(alone.record.fuel > 10_000);
    let handles: Vec<_> = (0..60)
        .map(|number| {
            // Other work in between, some of it ended by force.
            let mut other = wat(&program("(loop (br 0))"));
            other.limits.fuel = 1_000_000 + number;
            (sandbox().submit(busy()).unwrap(), sandbox().submit(other).unwrap())
        })
        .collect();
    for (handle, other) in handles {
        let output = handle.wait().unwrap();
        assert_eq!(output.record, alone.record);
        assert_eq!(output.record.digest(), alone.record.digest());
        assert_eq!(output.files, alone.files);
        assert_eq!(output.stdout, alone.stdout);
        drop(other.wait().unwrap());
    }
}

#[test]
fn another_sandbox_and_the_cache_on_disk_agree() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        SandboxConfig { threads: 1, cache_directory: Some(folder.path().join("compiled")), ..SandboxConfig::default() };
    let expected = run(busy()).record;
    for _ in 0..2 {
        let fresh = Sandbox::new(&config).unwrap();
        assert_eq!(fresh.run(busy()).unwrap().record, expected);
    }
    assert!(folder.path().join("compiled").read_dir().unwrap().next().is_some(), "nothing was kept");
}

#[test]
fn inputs_on_disk_and_in_memory_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some blob");
    std::fs::write(&path, [42; 3000]).unwrap();
    let mut from_disk = busy();
    from_disk.inputs[0].source = Source::Path(path);
    assert_eq!(run(from_disk).record, run(busy()).record);
}

#[test]
fn the_world_is_the_contracts() {
    let first = run(busy());
    let mut reseeded = busy();
    reseeded.world.seed = [8; 32];
    let other_seed = run(reseeded);
    assert_ne!(first.files[0].contents[4000..5000], other_seed.files[0].contents[4000..5000]);
    assert_eq!(first.files[0].contents[5000..5008], 1_700_000_000_000_000_000u64.to_le_bytes());
    let mut later = busy();
    later.world.start += 1;
    let later = run(later);
    assert_eq!(first.files[0].contents[4000..5000], later.files[0].contents[4000..5000]);
    assert_ne!(first.record.digest(), later.record.digest());
}

#[test]
fn randomness_is_a_stream_and_not_a_repetition() {
    let whole = program(
        "(call $check (call $random (i32.const 0) (i32.const 1000))) (call $put (i32.const 1) (i32.const 0) (i32.const 1000))",
    );
    let pieces = program(
        "(call $check (call $random (i32.const 0) (i32.const 1))) (call $check (call $random (i32.const 1) (i32.const 0))) (call $check (call $random (i32.const 1) (i32.const 999))) (call $put (i32.const 1) (i32.const 0) (i32.const 1000))",
    );
    let (whole, pieces) = (run(wat(&whole)).stdout, run(wat(&pieces)).stdout);
    assert_eq!(whole, pieces);
    let bytes = whole.bytes();
    assert!((0..256).filter(|value| bytes.iter().any(|byte| usize::from(*byte) == *value)).count() > 200);
}

#[test]
fn time_goes_on_by_a_microsecond_for_each_look_and_sleeping_takes_none() {
    let body = "
        (call $check (call $time (i32.const 0) (i64.const 0) (i32.const 0)))
        (call $check (call $time (i32.const 1) (i64.const 0) (i32.const 8)))
        ;; a subscription to the monotonic clock, an hour from now
        (i32.store8 (i32.const 1008) (i32.const 0)) (i32.store (i32.const 1016) (i32.const 1))
        (i64.store (i32.const 1024) (i64.const 3600000000000))
        (call $check (call $poll (i32.const 1000) (i32.const 2000) (i32.const 1) (i32.const 3000)))
        (call $check (call $time (i32.const 1) (i64.const 0) (i32.const 16)))
        (if (i32.ne (i32.load (i32.const 3000)) (i32.const 1)) (then unreachable))
        (call $put (i32.const 1) (i32.const 0) (i32.const 24))";
    let output = run(wat(&program(body)));
    let times: Vec<u64> =
        output.stdout.bytes().chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
    let start = 1_700_000_000_000_000_000;
    assert_eq!(times, [start, start + 1_000, start + 2_000 + 3_600_000_000_000]);
    assert!(output.wall.as_secs() < 10);
}

#[test]
fn nans_are_canonical() {
    // Each makes a NaN another way; a NaN with a payload goes in where one can.
    let payload32 = "(f32.reinterpret_i32 (i32.const 0xffc12345))";
    let payload64 = "(f64.reinterpret_i64 (i64.const 0xfff8123456789abc))";
    let singles = [
        "(f32.div (f32.const 0) (f32.const 0))".to_string(),
        "(f32.sqrt (f32.const -1))".into(),
        format!("(f32.add {payload32} (f32.const 1))"),
        format!("(f32.min (f32.const 1) {payload32})"),
        format!("(f32.nearest {payload32})"),
        format!("(f32.demote_f64 {payload64})"),
        "(f32.sub (f32.const inf) (f32.const inf))".into(),
        format!("(f32x4.extract_lane 2 (f32x4.mul (f32x4.splat {payload32}) (f32x4.splat (f32.const 2))))"),
        format!("(f32x4.extract_lane 1 (f32x4.demote_f64x2_zero (f64x2.splat {payload64})))"),
    ];
    let doubles = [
        "(f64.div (f64.const 0) (f64.const 0))".to_string(),
        format!("(f64.mul {payload64} (f64.const 1))"),
        format!("(f64.max {payload64} (f64.const 1))"),
        format!("(f64.promote_f32 {payload32})"),
        format!("(f64x2.extract_lane 1 (f64x2.sqrt (f64x2.splat {payload64})))"),
    ];
    for expression in singles {
        let body =
            format!("(if (i32.ne (i32.reinterpret_f32 {expression}) (i32.const 0x7fc00000)) (then unreachable))");
        assert_eq!(status(wat(&program(&body))), RunStatus::Exited(0), "{expression}");
    }
    for expression in doubles {
        let body = format!(
            "(if (i64.ne (i64.reinterpret_f64 {expression}) (i64.const 0x7ff8000000000000)) (then unreachable))"
        );
        assert_eq!(status(wat(&program(&body))), RunStatus::Exited(0), "{expression}");
    }
}

/// What stays fixed from one version of the runtime to the next, or else is a change of the protocol.
#[test]
fn fuel_of_known_programs_is_what_it_was() {
    let empty = wat(r#"(module (func (export "_start")))"#);
    let adds = wat(r#"(module (func (export "_start") (drop (i32.add (i32.const 1) (i32.const 2)))))"#);
    let calls = wat(r#"(module (func $f) (func (export "_start") (call $f) (call $f)))"#);
    let host = wat(&program("(drop (call $random (i32.const 0) (i32.const 10)))"));
    let grows = wat(r#"(module (memory 1) (func (export "_start") (drop (memory.grow (i32.const 2)))))"#);
    let fuel: Vec<u64> = [empty, adds, calls, host, grows].map(|request| run(request).record.fuel).into();
    assert_eq!(fuel, [1, 4, 17, 126, 762]);
    let digest = run(busy()).record.digest().to_string();
    assert_eq!(digest, "f45637c5a858e94f24bec66ec29debde058402aecc4f3d8a0de6211ffc06db7c");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However little fuel there is, the same amount stops the program at the same place.
    #[test]
    fn running_out_of_fuel_is_as_deterministic_as_the_rest(fuel in 0u64..70_000) {
        let mut request = busy();
        request.limits.fuel = fuel;
        let (first, second) = (run(request.clone()), run(request));
        prop_assert_eq!(&first.record, &second.record);
        prop_assert_eq!(first.stdout, second.stdout);
        prop_assert!(first.record.fuel <= fuel);
    }
}
