//! Whether the loops of a node turn.
//!
//! Each has a pulse: it says when a turn begins and when it ends. A turn that does not end is a loop that hangs; one that waits
//! for something to do is between two turns. Asking costs nothing, so that anybody may.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a turn may take.
pub const LONGEST_TURN: Duration = Duration::from_secs(10);
/// The pause between two turns of a loop that is asked whether it turns.
const PAUSE: Duration = Duration::from_secs(2);

/// The pulse of one loop. Clones are the same pulse.
#[derive(Debug, Clone)]
pub struct Pulse {
    part: &'static str,
    since: Arc<Mutex<Option<Instant>>>,
}

/// A turn under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn(Pulse);

impl Pulse {
    /// The pulse of a part, by the name that people know.
    pub fn new(part: &'static str) -> Self {
        Self { part, since: Arc::default() }
    }

    /// A turn begins.
    pub fn turn(&self) -> Turn {
        self.set(Some(Instant::now()));
        Turn(self.clone())
    }

    /// Asks a loop again and again for a sign of life, each of which is a turn.
    pub async fn ask<F: Future>(self, mut sign: impl FnMut() -> F) {
        loop {
            let turn = self.turn();
            let _ = sign().await;
            drop(turn);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A turn has been under way since then; none is.
    pub(crate) fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// A loop that hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// Which.
    pub part: &'static str,
    /// How long its turn has taken so far.
    pub since: Duration,
}

/// The pulses of a node.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Vec<Pulse>);

impl Pulses {
    /// The pulses of these parts.
    pub fn new(pulses: impl IntoIterator<Item = Pulse>) -> Self {
        Self(pulses.into_iter().collect())
    }

    /// The loop that has been hanging longest, if one does.
    pub fn stuck(&self, now: Instant) -> Option<Stuck> {
        let turns = self.0.iter().filter_map(|pulse| {
            let since = (*pulse.since.lock().unwrap_or_else(PoisonError::into_inner))?;
            Some(Stuck { part: pulse.part, since: now.saturating_duration_since(since) })
        });
        turns.filter(|turn| turn.since > LONGEST_TURN).max_by_key(|turn| turn.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_does_not_end_is_named() {
        let (chain, worker) = (Pulse::new("chain"), Pulse::new("worker"));
        let pulses = Pulses::new([chain.clone(), worker.clone()]);
        let later = || Instant::now() + LONGEST_TURN + Duration::from_secs(1);
        drop(chain.turn());
        assert_eq!(pulses.stuck(later()), None, "between two turns");
        let turn = worker.turn();
        assert_eq!(pulses.stuck(Instant::now()), None, "it has only begun");
        assert_eq!(pulses.stuck(later()).map(|stuck| stuck.part), Some("worker"));
        drop(turn);
        assert_eq!(pulses.stuck(later()), None);
    }
}
