//! Modules that nobody would write.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

mod support;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use support::*;
use valo_protocol::files::{RunFailure, RunStatus};

/// Runs it twice; whatever it is, both runs come to the same, and neither panics.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut request = request(bytes);
    request.limits.fuel = 200_000;
    request.limits.wall = Duration::from_secs(30);
    request.inputs = vec![input("file", b"some input")];
    let (first, second) = (sandbox().run(request.clone()), sandbox().run(request));
    match (first, second) {
        (Ok(first), Ok(second)) => prop_assert_eq!(first.record, second.record),
        // A machine's own trouble has no place here: nothing is slow, missing, or too large.
        (first, second) => prop_assert!(false, "local failure: {:?} {:?}", first.err(), second.err()),
    }
    Ok(())
}

/// Programs with something of everything, to be mutated.
fn seeds() -> Vec<Vec<u8>> {
    let everything = program_with(
        r#"(table 4 8 funcref) (elem (i32.const 1) $twice $twice)
        (type $pair (func (param i64) (result i64 i64)))
        (global $g (mut i64) (i64.const 5))
        (func $twice (type $pair) (if (i64.eqz (local.get 0)) (then (return (local.get 0) (i64.const 1))))
            (block (result i64 i64) (br 0 (local.get 0) (global.get $g))))
        (func $sum (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (local.get 0) (call $sum (i32.sub (local.get 0) (i32.const 1)))))
                (else (i32.const 0))))
        (data $passive "passive data")"#,
        r#"(local f64 v128 i32)
        (drop (call $sum (i32.const 100)))
        (call_indirect (type $pair) (i64.const 3) (i32.const 1)) drop drop
        (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 12)) (data.drop $passive)
        (memory.copy (i32.const 100) (i32.const 0) (i32.const 12))
        (local.set 0 (f64.div (f64.const 1) (f64.const 3)))
        (local.set 1 (i32x4.splat (i32.trunc_sat_f64_s (local.get 0))))
        (drop (table.grow 0 (ref.null func) (i32.const 1)))
        (drop (memory.grow (i32.const 1)))
        (block (block (block (br_table 0 1 2 (i32.const 1)))))
        (loop (br_if 0 (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (i32.const 50))))
        (call $put (i32.const 1) (i32.const 60000) (i32.const 4))
        (call $check (call $random (i32.const 0) (i32.const 8)))"#,
    );
    let small = r#"(module (func $s) (start $s) (func (export "_start") (call $s)))"#;
    [everything.as_str(), small].map(|text| wat::parse_str(text).unwrap()).into()
}

#[test]
fn the_seeds_themselves_run() {
    for seed in seeds() {
        assert!(run(request(&seed)).record.status.is_success());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_are_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
        check(&[b"\0asm\x01\0\0\0".as_slice(), &bytes].concat())?;
    }

    #[test]
    fn mutated_modules_come_to_the_same_twice(
        seed in 0usize..2,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let mut bytes = seeds()[seed].clone();
        for (at, value, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                _ => bytes.insert(at, value),
            }
        }
        check(&bytes)?;
    }

    #[test]
    fn truncated_modules_are_refused_in_peace(seed in 0usize..2, at in any::<prop::sample::Index>()) {
        let bytes = &seeds()[seed];
        check(&bytes[..at.index(bytes.len())])?;
    }
}

/// A module of one function with this body, written without the text parser, which recurses.
fn module_of(locals: u32, body: &[u8]) -> Vec<u8> {
    fn number(value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut left = value;
        while left >= 0x80 {
            bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes
    }
    fn section(id: u8, contents: &[u8]) -> Vec<u8> {
        [&[id], number(contents.len()).as_slice(), contents].concat()
    }
    let declared = if locals == 0 { vec![0] } else { [&[1], number(locals as usize).as_slice(), &[0x7f]].concat() };
    let function = [declared.as_slice(), body, &[0x0b]].concat();
    let code = [&[1], number(function.len()).as_slice(), function.as_slice()].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(5, &[1, 0, 1]),
        section(7, b"\x01\x06_start\x00\x00"),
        section(10, &code),
    ]
    .concat()
}

/// `count` nested blocks of a kind around a body.
fn nested(kind: &[u8], count: usize, body: &[u8]) -> Vec<u8> {
    [kind.repeat(count).as_slice(), body, &[0x0b].repeat(count)].concat()
}

/// Adds one to each of so many locals (below 128).
fn touch(locals: u8) -> Vec<u8> {
    (0..locals).flat_map(|local| [0x20, local, 0x41, 1, 0x6a, 0x21, local]).collect()
}

const BLOCK: &[u8] = &[0x02, 0x40];
const LOOP: &[u8] = &[0x03, 0x40];
const IF: &[u8] = &[0x41, 1, 0x04, 0x40];
/// Back to the loop around, never taken.
const AGAIN: &[u8] = &[0x41, 0, 0x0d, 0];

/// Small modules that would keep the compiler busy for minutes, or take its stack or all memory,
/// are refused before it sees them; the like of them in moderation compile.
#[test]
fn modules_that_compilers_choke_on_are_refused() {
    let switch = |targets: usize| {
        let labels: Vec<u8> =
            (0..targets).flat_map(|label| [(label & 0x7f) as u8 | 0x80, (label >> 7) as u8]).collect();
        let count = [(targets & 0x7f) as u8 | 0x80, (targets >> 7) as u8];
        nested(BLOCK, targets, &[&[0x41, 7, 0x0e], count.as_slice(), labels.as_slice(), &[0]].concat())
    };
    let loops = |depth: usize, locals: u8| {
        let inner = touch(locals);
        [LOOP.repeat(depth), inner, [AGAIN, &[0x0b]].concat().repeat(depth)].concat()
    };
    let many_calls = [0x10, 0].repeat(200_000);
    let too_much = [
        ("nested blocks", 0, nested(BLOCK, 100_000, &[])),
        ("nested ifs", 0, nested(IF, 80_000, &[])),
        ("nested loops", 0, nested(LOOP, 20_000, &[])),
        ("values through loops", 128, loops(1_500, 127)),
        (
            "a switch",
            0,
            [&[0x02, 0x40, 0x41, 1, 0x0e, 0xf0, 0xa2, 0x04], [0].repeat(70_000).as_slice(), &[0, 0x0b]].concat(),
        ),
        ("calls", 0, [many_calls.as_slice(), &many_calls].concat()),
    ];
    for (name, locals, body) in too_much {
        let started = Instant::now();
        let output = run(request(&module_of(locals, &body)));
        assert_eq!(output.record.status, RunStatus::Failed(RunFailure::InvalidModule), "{name}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name} took {:?}", started.elapsed());
    }
    let moderate = [
        ("nested blocks", 0, nested(BLOCK, 2_000, &[])),
        ("nested ifs", 0, nested(IF, 1_000, &[])),
        ("nested loops", 0, nested(LOOP, 300, &[])),
        ("values through loops", 128, loops(30, 127)),
        ("a switch", 0, switch(1_000)),
        ("a long sum", 0, [&[0x41, 1], [0x41, 1, 0x6a].repeat(20_000).as_slice(), &[0x1a]].concat()),
    ];
    for (name, locals, body) in moderate {
        let output = run(request(&module_of(locals, &body)));
        assert_eq!(output.record.status, RunStatus::Exited(0), "{name}: {:?}", output.detail);
    }
}
