//! One run: from a request to a record, or to a local failure.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use valo_protocol::{
    files::{FileTree, OutputRecord, RunStatus, Trap as TrapKind},
    job::{MAX_BLOB, MAX_MEMORY},
};
use wasmtime::{Instance, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::{
    failure::{Detail, LocalFailure, Stop, printable},
    module::{Compiled, Facts, ModuleCache, Refusal, STACK_BYTES, STACK_EXPORT, START_EXPORT},
    request::{Limits, Log, OutputFile, RunOutput, RunRequest},
    state::State,
    ticker::Ticker,
};

/// More fuel than this is never used up, and keeps sums of it far from overflowing.
const MAXIMUM_FUEL: u64 = 1 << 60;

/// Set from outside to end a run.
pub(crate) type Cancelled = Arc<AtomicBool>;

/// How the guest's part ended.
enum End {
    Exit(u32),
    Verdict(Detail),
}

/// Runs a request on this thread, whose stack must be [`crate::engine::THREAD_STACK`] long.
pub(crate) fn run(
    modules: &ModuleCache,
    ticker: &Ticker,
    request: &RunRequest,
    cancelled: &Cancelled,
) -> Result<RunOutput, LocalFailure> {
    if cancelled.load(Ordering::Relaxed) {
        return Err(LocalFailure::Cancelled);
    }
    let request = RunRequest { limits: bounded(request.limits), ..request.clone() };
    let compiled = match modules.get(&request.module) {
        Ok(compiled) => compiled,
        Err(Refusal::Local(failure)) => return Err(failure),
        Err(Refusal::Verdict(detail)) => return Ok(failed_before_start(detail)),
    };
    let state = State::new(&request)?;
    if let Err(detail) = state.budget.admits(&compiled.facts) {
        return Ok(failed_before_start(detail));
    }
    let started = Instant::now();
    let (mut store, end) = execute(&compiled, ticker, state, &request.limits, cancelled)?;
    let left = store.get_fuel().map_err(|error| runtime(&error))?;
    let fuel = request.limits.fuel.saturating_sub(left);
    conclude(store.data_mut(), end, fuel, started.elapsed())
}

fn bounded(limits: Limits) -> Limits {
    Limits {
        fuel: limits.fuel.min(MAXIMUM_FUEL),
        memory: limits.memory.min(MAX_MEMORY),
        output: limits.output.min(MAX_BLOB),
        ..limits
    }
}

fn runtime(error: &wasmtime::Error) -> LocalFailure {
    LocalFailure::Runtime { reason: format!("{error:#}") }
}

fn failed_before_start(detail: Detail) -> RunOutput {
    let record = OutputRecord {
        version: OutputRecord::VERSION,
        status: RunStatus::Failed(detail.failure()),
        fuel: 0,
        files: FileTree::default(),
    };
    RunOutput {
        record,
        files: Vec::new(),
        stdout: Log::default(),
        stderr: Log::default(),
        detail: Some(detail),
        wall: Duration::ZERO,
    }
}

fn execute(
    compiled: &Compiled,
    ticker: &Ticker,
    state: State,
    limits: &Limits,
    cancelled: &Cancelled,
) -> Result<(Store<State>, End), LocalFailure> {
    let mut store = Store::new(compiled.instance.module().engine(), state);
    store.limiter(|state| &mut state.budget);
    store.set_fuel(limits.fuel).map_err(|error| runtime(&error))?;
    watch(&mut store, limits.wall, cancelled.clone());
    let beat = ticker.beat();
    let mut instance = None;
    let outcome = call(&mut store, compiled, &mut instance);
    drop(beat);
    let end = match outcome {
        Ok(()) => End::Exit(0),
        Err(error) => classify(&error, &mut store, instance, limits)?,
    };
    Ok((store, end))
}

/// Has every tick ask whether the time is up or the run is not wanted any more.
fn watch(store: &mut Store<State>, limit: Duration, cancelled: Cancelled) {
    let started = Instant::now();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Local(LocalFailure::Cancelled).into());
        }
        if started.elapsed() >= limit {
            return Err(Stop::Local(LocalFailure::WallLimit { limit }).into());
        }
        Ok(UpdateDeadline::Continue(1))
    });
}

fn call(store: &mut Store<State>, compiled: &Compiled, instance: &mut Option<Instance>) -> wasmtime::Result<()> {
    let running = compiled.instance.instantiate(&mut *store)?;
    *instance = Some(running);
    let Facts { has_start, .. } = compiled.facts;
    if has_start {
        running.get_typed_func::<(), ()>(&mut *store, START_EXPORT)?.call(&mut *store, ())?;
    }
    running.get_typed_func::<(), ()>(&mut *store, "_start")?.call(&mut *store, ())
}

/// Tells verdicts from local failures. What is not known for a verdict is local.
fn classify(
    error: &wasmtime::Error,
    store: &mut Store<State>,
    instance: Option<Instance>,
    limits: &Limits,
) -> Result<End, LocalFailure> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Exit(code) => Ok(End::Exit(*code)),
            Stop::OutOfFuel => Ok(End::Verdict(Detail::OutOfFuel { limit: limits.fuel })),
            Stop::Verdict(detail) => Ok(End::Verdict(detail.clone())),
            Stop::Local(failure) => Err(failure.clone()),
        };
    }
    let trap = error.downcast_ref::<Trap>().ok_or_else(|| runtime(error))?;
    let overflowed = instance.is_some_and(|instance| is_past_stack_limit(store, instance));
    let kind = match trap {
        Trap::OutOfFuel => return Ok(End::Verdict(Detail::OutOfFuel { limit: limits.fuel })),
        Trap::UnreachableCodeReached if overflowed => TrapKind::StackOverflow,
        Trap::UnreachableCodeReached => TrapKind::Unreachable,
        Trap::MemoryOutOfBounds => TrapKind::MemoryOutOfBounds,
        Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature => TrapKind::BadIndirectCall,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => TrapKind::Arithmetic,
        Trap::StackOverflow => return Err(LocalFailure::NativeStack),
        _ => return Err(runtime(error)),
    };
    if store.data().budget.refused && kind != TrapKind::StackOverflow {
        let detail = Detail::OutOfMemory { trap: kind.to_string(), limit: limits.memory };
        return Ok(End::Verdict(detail));
    }
    Ok(End::Verdict(Detail::Trap { kind, message: kind.to_string(), trace: trace(error) }))
}

fn is_past_stack_limit(store: &mut Store<State>, instance: Instance) -> bool {
    let depth = instance.get_global(&mut *store, STACK_EXPORT).and_then(|depth| depth.get(&mut *store).i32());
    depth.is_some_and(|depth| depth.cast_unsigned() > STACK_BYTES)
}

/// The functions that were being called, as far as the module names them.
fn trace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names = backtrace.frames().iter().map(|frame| match frame.func_name() {
        Some(name) => printable(name),
        None => format!("function {}", frame.func_index()),
    });
    format!(" in {}", names.collect::<Vec<_>>().join(", called from "))
}

fn conclude(state: &mut State, end: End, fuel: u64, wall: Duration) -> Result<RunOutput, LocalFailure> {
    let (status, detail, files) = match end {
        End::Exit(code) => (RunStatus::Exited(code), None, state.tree.take_outputs()),
        End::Verdict(detail) => (RunStatus::Failed(detail.failure()), Some(detail), Vec::new()),
    };
    let entries = files.iter().map(OutputFile::entry).collect();
    let tree = FileTree::new(entries).map_err(|error| LocalFailure::Runtime { reason: error.to_string() })?;
    Ok(RunOutput {
        record: OutputRecord { version: OutputRecord::VERSION, status, fuel, files: tree },
        files,
        stdout: std::mem::take(&mut state.stdout),
        stderr: std::mem::take(&mut state.stderr),
        detail,
        wall,
    })
}
