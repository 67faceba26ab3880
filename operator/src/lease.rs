//! The lease that one of all replicas holds: who has it works, the others wait.
//!
//! An operator that is killed is replaced before chain and cluster would have to agree again: its own container takes the
//! lease back at once, for the name of its pod is in it; another replica takes it over after at most [`Timing::worst`].
//! One that is told to stop gives it up when its passes are finished, or after [`FINISH`]: passes can be broken off
//! anywhere, as by a kill. One that loses it drops its work, and stands for election again.

use futures::future::{BoxFuture, Shared};
use k8s_controller::LeaderElection;
use kube::Client;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The name of the lease.
pub const LEASE: &str = "valo-operator";
/// How long passes under way may take to finish when the operator is told to stop.
pub const FINISH: Duration = Duration::from_secs(5);
/// How long giving the lease up may take: it runs out by itself.
const RELEASE: Duration = Duration::from_secs(2);

/// Ends when the operator is told to stop; for as many as wait for it.
pub type End = Shared<BoxFuture<'static, ()>>;

/// The lease was lost.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease was lost: another replica goes on, or the API server does not answer")]
pub struct Lost;

/// How the lease is kept and taken over.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Unchanged for so long, it is anybody's.
    pub duration: Duration,
    /// Whoever has it gives up when it could not renew it for so long: before anybody else may take it.
    pub deadline: Duration,
    /// How often it is renewed, and looked at. Who waits looks after up to half as long again.
    pub retry: Duration,
}

/// What the operator keeps to.
pub const TIMING: Timing =
    Timing { duration: Duration::from_secs(5), deadline: Duration::from_secs(4), retry: Duration::from_secs(1) };

impl Timing {
    /// The longest time from the death of a holder to the next one: seen just before a look at the latest, then unchanged
    /// for [`Self::duration`], then noticed with the next look.
    pub fn worst(self) -> Duration {
        let look = self.retry.saturating_mul(3) / 2;
        self.duration.saturating_add(look).saturating_add(look)
    }
}

/// A candidate for the lease.
pub fn election(client: Client, namespace: &str, identity: &str, timing: Timing) -> LeaderElection {
    LeaderElection::new(client, namespace, LEASE, identity)
        .with_lease_duration(timing.duration)
        .with_renew_deadline(timing.deadline)
        .with_retry_period(timing.retry)
}

/// Waits for the lease and does the work as long as it is held; work that ends hands it over. Told to stop, who waits
/// stops at once, and who works has `finish`.
pub async fn lead(
    election: &LeaderElection,
    end: End,
    finish: Duration,
    work: impl Future<Output = ()>,
) -> Result<(), Lost> {
    let leads = Arc::new(AtomicBool::new(false));
    let begun = leads.clone();
    let led = election.with_lease(async move {
        begun.store(true, Ordering::Relaxed);
        work.await;
    });
    let stopped = async {
        end.await;
        if leads.load(Ordering::Relaxed) {
            tokio::time::sleep(finish).await;
        }
    };
    let result = tokio::select! {
        done = led => done.ok_or(Lost),
        () = stopped => Ok(()),
    };
    if result.is_ok() {
        // Again, even if it was given up: a renewal that was under way may have come in between.
        let _ = tokio::time::timeout(RELEASE, election.release()).await;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ApiServer;
    use futures::FutureExt;
    use k8s_openapi::api::coordination::v1::Lease;
    use std::{future::pending, time::Instant};
    use tokio::sync::oneshot;

    /// A tenth of the real times.
    const QUICK: Timing = Timing {
        duration: Duration::from_millis(400),
        deadline: Duration::from_millis(300),
        retry: Duration::from_millis(100),
    };

    fn end(told: impl Future<Output = ()> + Send + 'static) -> End {
        told.boxed().shared()
    }

    /// So long that nothing runs out.
    const PATIENT: Timing = Timing {
        duration: Duration::from_secs(3600),
        deadline: Duration::from_secs(1800),
        retry: Duration::from_millis(100),
    };

    fn candidate(server: &ApiServer, identity: &str, timing: Timing) -> LeaderElection {
        election(server.client(), "valo-system", identity, timing)
    }

    fn holder(server: &ApiServer) -> Option<String> {
        server.read::<Lease>("valo-system", LEASE)?.spec?.holder_identity
    }

    /// Work that says when it has begun and goes on for ever.
    fn work() -> (impl Future<Output = ()> + Send, oneshot::Receiver<()>) {
        let (begins, begun) = oneshot::channel();
        let work = async move {
            let _ = begins.send(());
            pending::<()>().await;
        };
        (work, begun)
    }

    #[test]
    fn a_dead_operator_is_replaced_in_time() {
        // Then all objects are listed, and each has its first pass.
        assert!(TIMING.worst() <= Duration::from_secs(8), "{:?}", TIMING.worst());
        assert!(TIMING.deadline < TIMING.duration && TIMING.retry < TIMING.deadline);
        // Told to stop, the next one takes over with its next look.
        assert!(FINISH + RELEASE + TIMING.retry * 3 / 2 <= Duration::from_secs(9));
    }

    #[tokio::test]
    async fn one_that_was_killed_takes_its_own_lease_back_and_others_wait_it_out() {
        let server = ApiServer::start().await;
        // The second time it is known by its name: nothing has to run out.
        for _ in 0..2 {
            let (work, begun) = work();
            let election = candidate(&server, "a", PATIENT);
            let running = tokio::spawn(async move { lead(&election, end(pending()), FINISH, work).await });
            begun.await.unwrap();
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
            assert_eq!(holder(&server).as_deref(), Some("a"), "a kill gives nothing up");
        }
        let start = Instant::now();
        let (next, begun) = work();
        let election = candidate(&server, "b", QUICK);
        let running = tokio::spawn(async move { lead(&election, end(pending()), FINISH, next).await });
        begun.await.unwrap();
        assert!(start.elapsed() >= QUICK.duration, "nobody knows whether the first one is dead");
        assert_eq!(holder(&server).as_deref(), Some("b"));
        running.abort();
    }

    #[tokio::test]
    async fn one_that_is_told_to_stop_hands_the_lease_over() {
        let server = ApiServer::start().await;
        // Work that ends when it is told, as controllers do; and work that does not.
        for (ends, finish) in [(true, PATIENT.duration), (false, Duration::from_millis(50))] {
            let (stop, told) = oneshot::channel::<()>();
            let told = end(told.map(drop));
            let (forever, begun) = work();
            let until = told.clone();
            let work = async move {
                let until = async move { if ends { until.await } else { pending().await } };
                futures::future::select(Box::pin(forever), Box::pin(until)).await;
            };
            let election = candidate(&server, "a", PATIENT);
            let running = tokio::spawn(async move { lead(&election, told, finish, work).await });
            begun.await.unwrap();
            stop.send(()).unwrap();
            assert_eq!(running.await.unwrap(), Ok(()));
            assert_eq!(holder(&server), None, "it is anybody's at once");
        }
    }

    #[tokio::test]
    async fn one_that_waits_stops_at_once_and_leaves_the_lease_alone() {
        let server = ApiServer::start().await;
        let (first, begun) = work();
        let election = candidate(&server, "a", PATIENT);
        let running = tokio::spawn(async move { lead(&election, end(pending()), FINISH, first).await });
        begun.await.unwrap();
        let (next, _) = work();
        let election = candidate(&server, "b", PATIENT);
        assert_eq!(lead(&election, end(async {}), PATIENT.duration, next).await, Ok(()));
        assert_eq!(holder(&server).as_deref(), Some("a"));
        running.abort();
    }

    #[tokio::test]
    async fn one_that_loses_the_lease_drops_its_work() {
        for is_taken in [true, false] {
            let server = ApiServer::start().await;
            let (begins, begun) = oneshot::channel();
            let (held, dropped) = oneshot::channel::<()>();
            let work = async move {
                let _held = held;
                let _ = begins.send(());
                pending::<()>().await;
            };
            let election = candidate(&server, "a", QUICK);
            let running = tokio::spawn(async move { lead(&election, end(pending()), FINISH, work).await });
            begun.await.unwrap();
            if is_taken {
                let mut lease: Lease = server.read("valo-system", LEASE).unwrap();
                lease.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
                server.put_object(&lease);
            } else {
                server.set_down(true);
            }
            assert!(dropped.await.is_err(), "its work is gone");
            assert_eq!(running.await.unwrap(), Err(Lost));
        }
    }
}
