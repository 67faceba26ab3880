//! The threads that runs happen on, and the handle by which one waits for a run.
//!
//! The threads are few, so that a node's cores are not oversold, and have stacks long enough for
//! the deepest guest. The queue before them has a bound; whoever meets it keeps its work and is
//! told so. A handle is a future that needs no particular executor, and can also be waited for.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    task::{Context, Poll, Waker},
    thread::JoinHandle,
};

use crate::{
    engine::THREAD_STACK,
    failure::{LocalFailure, SetupError, SubmitError},
    request::RunOutput,
    run::Cancelled,
};

pub(crate) type Outcome = Result<RunOutput, LocalFailure>;

/// The work of one run; it is told when it is not wanted any more.
type Work = Box<dyn FnOnce(&Cancelled) -> Outcome + Send>;

struct Task {
    work: Work,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    cancelled: Cancelled,
    outcome: Mutex<Settled>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Settled {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Settled> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, outcome: Outcome) {
        let mut settled = self.lock();
        settled.outcome = Some(outcome);
        let waker = settled.waker.take();
        drop(settled);
        self.settled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A run that was taken on. Dropping it cancels the run.
#[derive(Debug)]
#[must_use = "a run is cancelled when its handle is dropped"]
pub struct RunHandle {
    waiting: Arc<Waiting>,
}

impl RunHandle {
    /// Ends the run with [`LocalFailure::Cancelled`], unless it has ended already.
    pub fn cancel(&self) {
        self.waiting.cancelled.store(true, Ordering::Relaxed);
    }

    /// Blocks until the run is done. A run has an end: its wall limit.
    ///
    /// # Errors
    /// A [`LocalFailure`] when this machine could not do the run.
    pub fn wait(self) -> Outcome {
        let mut settled = self.waiting.lock();
        loop {
            if let Some(outcome) = settled.outcome.take() {
                return outcome;
            }
            settled = self.waiting.settled.wait(settled).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for RunHandle {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut settled = self.waiting.lock();
        match settled.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                settled.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    running: Vec<Cancelled>,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    bound: usize,
}

impl Pool {
    /// Starts `threads` threads (at least one), with room for `bound` runs waiting for them.
    pub(crate) fn new(threads: usize, bound: usize) -> Result<Pool, SetupError> {
        let mut pool = Pool { shared: Arc::default(), threads: Vec::new(), bound };
        for number in 0..threads.max(1) {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("valo-sandbox-{number}"))
                .stack_size(THREAD_STACK)
                .spawn(move || serve(&shared))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    pub(crate) fn submit(
        &self,
        work: impl FnOnce(&Cancelled) -> Outcome + Send + 'static,
    ) -> Result<RunHandle, SubmitError> {
        let mut queue = self.shared.lock();
        if queue.stopped {
            return Err(SubmitError::ShutDown);
        }
        let idle = self.threads.len().saturating_sub(queue.running.len());
        if queue.tasks.len() >= self.bound.saturating_add(idle) {
            return Err(SubmitError::Full { waiting: queue.tasks.len() });
        }
        let waiting = Arc::new(Waiting::default());
        queue.tasks.push_back(Task { work: Box::new(work), waiting: waiting.clone() });
        drop(queue);
        self.shared.changed.notify_one();
        Ok(RunHandle { waiting })
    }
}

fn serve(shared: &Shared) {
    let mut queue = shared.lock();
    loop {
        if queue.stopped {
            return;
        }
        let Some(Task { work, waiting }) = queue.tasks.pop_front() else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        queue.running.push(waiting.cancelled.clone());
        drop(queue);
        // A panic of the compiler or the runtime is this machine's trouble and ends one run only.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&waiting.cancelled)))
            .unwrap_or_else(|panic| Err(LocalFailure::Runtime { reason: panic_message(&*panic) }));
        queue = shared.lock();
        queue.running.retain(|running| !Arc::ptr_eq(running, &waiting.cancelled));
        drop(queue);
        waiting.settle(outcome);
        queue = shared.lock();
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.stopped = true;
        for running in &queue.running {
            running.store(true, Ordering::Relaxed);
        }
        let left = std::mem::take(&mut queue.tasks);
        drop(queue);
        self.shared.changed.notify_all();
        for task in left {
            task.waiting.settle(Err(LocalFailure::ShutDown));
        }
        let own = std::thread::current().id();
        for thread in self.threads.drain(..) {
            // The last owner may let go on one of the threads themselves; that one ends by itself.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}
