//! Prints how fast the sandbox is on this machine: `cargo run --release -p valo-sandbox --example figures`.
//!
//! Compile and instantiate times, the rate at which fuel burns in loops of different kinds (which
//! says how much a unit of the cost table is worth), and what calls and files cost.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use valo_protocol::BlobHash;
use valo_sandbox::{Limits, ModuleSource, RunOutput, RunRequest, Sandbox, SandboxConfig, Source, World};

type Outcome<T> = Result<T, Box<dyn Error>>;

const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))"#;

/// A module whose `_start` repeats `body` until the fuel is gone.
fn endless(items: &str, locals: &str, body: &str) -> Outcome<Vec<u8>> {
    let text = format!(
        r#"(module {IMPORTS} (memory (export "memory") 256) {items} (func (export "_start") {locals} (loop {body} (br 0))))"#
    );
    Ok(wat::parse_str(text)?)
}

fn request(module: &[u8], fuel: u64) -> RunRequest {
    RunRequest {
        module: ModuleSource { hash: BlobHash::of(module), source: Source::Bytes(module.into()) },
        arguments: vec!["figures".into()],
        shard: 0,
        shards: 1,
        stage: "figures".into(),
        inputs: Vec::new(),
        world: World { seed: [0; 32], start: 0 },
        limits: Limits { fuel, memory: 1 << 30, output: 1 << 30, wall: Duration::from_secs(600), log: 1 << 16 },
    }
}

/// Repeats a loop body and prints how much fuel it burns in a second.
fn rate(sandbox: &Sandbox, name: &str, module: &[u8], fuel: u64) -> Outcome<()> {
    let output: RunOutput = sandbox.run(request(module, fuel))?;
    let seconds = output.wall.as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let rate = output.record.fuel as f64 / seconds / 1e9;
    println!("{name:<44} {rate:8.3} G fuel/s   ({} fuel, {:?})", output.record.fuel, output.wall);
    Ok(())
}

fn main() -> Outcome<()> {
    let sandbox = Sandbox::new(&SandboxConfig { threads: 1, ..SandboxConfig::default() })?;

    let empty = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#)?;
    let started = Instant::now();
    sandbox.run(request(&empty, 100))?;
    println!("{:<44} {:?}", "first run of an empty module", started.elapsed());
    const RUNS: u32 = 2_000;
    let started = Instant::now();
    let mut inside = Duration::ZERO;
    for _ in 0..RUNS {
        inside += sandbox.run(request(&empty, 100))?.wall;
    }
    println!("{:<44} {:?} ({:?} in the runtime)", "each run after it", started.elapsed() / RUNS, inside / RUNS);

    if let Some(path) = std::env::args().nth(1) {
        let module = std::fs::read(&path)?;
        let started = Instant::now();
        // Compiled and started; whether it gets on without its inputs is of no interest.
        let output = sandbox.run(request(&module, 1))?;
        println!(
            "{path}: {} bytes compiled and started in {:?}: {}",
            module.len(),
            started.elapsed(),
            output.record.status
        );
    }

    let counter = "(local $i i32)";
    let count = "(local.set $i (i32.add (local.get $i) (i32.const 1)))";
    let loops = [
        ("counting", endless("", counter, count)?),
        (
            "64-bit divisions",
            endless(
                "",
                "(local $a i64)",
                "(local.set $a (i64.div_u (i64.const -3) (i64.or (local.get $a) (i64.const 1))))",
            )?,
        ),
        (
            "square roots",
            endless("", "(local $x f64)", "(local.set $x (f64.sqrt (f64.add (local.get $x) (f64.const 2))))")?,
        ),
        (
            "loads and stores",
            endless(
                "",
                counter,
                &format!(
                    "{count} (i32.store (i32.and (local.get $i) (i32.const 0xffff)) (i32.load (i32.and (i32.mul (local.get $i) (i32.const 64)) (i32.const 0xffff))))"
                ),
            )?,
        ),
        (
            "loads that miss the cache",
            endless(
                "",
                counter,
                "(local.set $i (i32.add (i32.const 40503) (i32.mul (i32.const 1664525) (i32.add (local.get $i) (i32.load (i32.and (local.get $i) (i32.const 0xfffff0)))))))",
            )?,
        ),
        (
            "vector products",
            endless(
                "",
                "(local $v v128)",
                "(local.set $v (f32x4.add (local.get $v) (f32x4.mul (local.get $v) (local.get $v))))",
            )?,
        ),
        ("calls of a leaf", endless("(func $f)", "", "(call $f)")?),
        ("calls of a function that calls", endless("(func $g) (func $f (call $g))", "", "(call $f)")?),
        (
            "indirect calls",
            endless(
                "(type $t (func)) (func $f) (table funcref (elem $f))",
                "",
                "(call_indirect (type $t) (i32.const 0))",
            )?,
        ),
        ("memory.fill of 16 MiB", endless("", "", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x1000000))")?),
        ("memory.copy of 8 bytes", endless("", counter, "(memory.copy (i32.const 0) (local.get $i) (i32.const 8))")?),
        ("memory.grow by nothing", endless("", "", "(drop (memory.grow (i32.const 0)))")?),
        ("random_get of 64 KiB", endless("", "", "(drop (call $random (i32.const 0) (i32.const 65536)))")?),
        ("empty host calls", endless("", "", "(drop (call $yield))")?),
    ];
    for (name, module) in loops {
        rate(&sandbox, name, &module, 1_000_000_000)?;
    }
    let grow = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "_start") (local $i i32)
            (loop (drop (memory.grow (i32.const 1))) (i32.store8 (i32.mul (local.get $i) (i32.const 65536)) (i32.const 1))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16000))))))"#,
    )?;
    rate(&sandbox, "growing to 1 GiB page by page", &grow, 1_000_000_000)
}
