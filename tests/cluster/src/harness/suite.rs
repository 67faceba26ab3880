//! Runs tests on a cluster that comes up before the first and goes after the last, whatever happens.

use super::{Cluster, Namespace};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::{self, ExitCode},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

/// A test: what it does in a namespace of its own.
type Test = fn(&Namespace) -> anyhow::Result<()>;

/// Tests, in the order in which they start.
#[derive(Debug, Default)]
pub struct Suite {
    tests: Vec<(&'static str, Test, Beside)>,
}

/// Which tests may run at the same time.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Others,
    Nothing,
}

/// What the tests share.
#[derive(Debug, Default)]
struct Stage {
    /// Set before the first of them starts.
    cluster: OnceLock<Arc<Cluster>>,
    /// Held by one that runs alone, shared by the others.
    turn: RwLock<()>,
}

impl Suite {
    /// A suite without tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a test that leaves others in peace.
    pub fn test(mut self, name: &'static str, test: Test) -> Self {
        self.tests.push((name, test, Beside::Others));
        self
    }

    /// Adds a test beside which nothing else runs: it changes what all see, or stops what they use.
    pub fn alone(mut self, name: &'static str, test: Test) -> Self {
        self.tests.push((name, test, Beside::Nothing));
        self
    }

    /// Runs the tests that the command line asks for.
    pub fn run(self, up: fn() -> anyhow::Result<Cluster>) -> ExitCode {
        let arguments = Arguments::from_args();
        let stage = Arc::new(Stage::default());
        let trials = self.tests.into_iter().map(|(name, test, beside)| {
            let stage = stage.clone();
            Trial::test(name, move || stage.perform(name, test, beside))
        });
        let trials: Vec<_> = trials.collect();
        if arguments.list || trials.iter().all(|trial| arguments.is_filtered_out(trial)) {
            return libtest_mimic::run(&arguments, trials).exit_code();
        }
        if let Err(error) = ctrlc::set_handler(interrupted) {
            eprintln!("cannot watch for Ctrl-C: {error}");
            return ExitCode::FAILURE;
        }
        match up() {
            Ok(cluster) => drop(stage.cluster.set(Arc::new(cluster))),
            Err(error) => {
                eprintln!("the cluster did not come up: {error:#}");
                return ExitCode::FAILURE;
            }
        }
        let conclusion = libtest_mimic::run(&arguments, trials);
        // The last to hold the cluster: it goes down here, and `exit_code` does not end the process before.
        drop(stage);
        conclusion.exit_code()
    }
}

impl Stage {
    fn perform(&self, name: &str, test: Test, beside: Beside) -> Result<(), Failed> {
        let (_shared, _alone) = match beside {
            Beside::Others => (Some(self.turn.read().unwrap_or_else(PoisonError::into_inner)), None),
            Beside::Nothing => (None, Some(self.turn.write().unwrap_or_else(PoisonError::into_inner))),
        };
        let cluster = self.cluster.get().ok_or("the cluster is not up")?;
        let namespace = Namespace::create(cluster, name).map_err(|error| format!("{error:#}"))?;
        let told = match catch_unwind(AssertUnwindSafe(|| test(&namespace))) {
            Ok(Ok(())) => return namespace.end().map_err(|error| format!("{error:#}").into()),
            Ok(Err(error)) => format!("{error:#}"),
            // The panic itself is on standard error already.
            Err(_) => "panicked".to_owned(),
        };
        let told = format!("{told}\n{}", namespace.dump());
        namespace.end_failed().map_err(|error| format!("{told}\n{error:#}"))?;
        Err(told.into())
    }
}

/// Ctrl-C, or an end from outside.
fn interrupted() {
    eprintln!("\ninterrupted: taking the cluster down");
    if !super::cluster::kept()
        && let Err(error) = Cluster::down()
    {
        eprintln!("{error:#}");
    }
    process::exit(130);
}
