//! The heartbeat by which runs notice that their time is up.
//!
//! Guest code looks at the engine's epoch in every loop and call. While any run is on, one thread
//! moves the epoch on; while none is, it sleeps without waking.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use wasmtime::Engine;

/// How late a wall limit or a cancellation may be noticed.
pub(crate) const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Running>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Running {
    runs: usize,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Keeps the epoch moving as long as it lives.
pub(crate) struct Beat<'a>(&'a Ticker);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("valo-sandbox-tick".into()).spawn({
            let shared = shared.clone();
            move || tick(&shared, &engine)
        })?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    pub(crate) fn beat(&self) -> Beat<'_> {
        self.shared.lock().runs += 1;
        self.shared.changed.notify_one();
        Beat(self)
    }
}

fn tick(shared: &Shared, engine: &Engine) {
    let mut running = shared.lock();
    while !running.stopped {
        running = if running.runs == 0 {
            shared.changed.wait(running).unwrap_or_else(PoisonError::into_inner)
        } else {
            let waited = shared.changed.wait_timeout(running, TICK);
            engine.increment_epoch();
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
    }
}

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        let mut running = self.0.shared.lock();
        running.runs = running.runs.saturating_sub(1);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It holds nothing that could fail it.
            let _ = thread.join();
        }
    }
}
