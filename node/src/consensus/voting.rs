//! Whether this node votes, why not, and when that changes.
//!
//! The engine is started as a voter or as one that follows, for good: what the node may sign is known for the height at which
//! it starts. Where that changes the process has to start again ([`Voting::starts_again`]): a follower that may vote, and a
//! voter that comes to a height for which it may not. No height is started for which a voter may not sign.

use super::{
    newcomer::Newcomer,
    signed::{LastSigned, SignedError, Standing},
};
use crate::{chain::Tip, clock::now};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use valo_protocol::{Height, PublicKey, ValidatorSet};

/// After so long without a block the chain stands, for one who is told to vote then.
const STANDSTILL: Duration = Duration::from_secs(30);

/// What a validator does whose folder is new, as long as nobody can know what its key signed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewFolder {
    /// It follows until the chain has gone on; at height 0 it waits for [`Voting::begin`].
    Waits,
    /// The same, but once the chain stands it votes: somebody vouches that the key signed nothing above its last block.
    VotesWhereTheChainStands,
    /// It votes: somebody vouches that the key is new.
    Votes,
}

/// What is said first, whenever that is.
pub(super) async fn first_word(mut said: watch::Receiver<Option<String>>) -> String {
    let word = said.wait_for(Option::is_some).await.map(|word| word.clone()).unwrap_or_default();
    match word {
        Some(word) => word,
        None => std::future::pending().await,
    }
}

/// Handle to what the node may sign. Clones share it.
#[derive(Debug, Clone)]
pub struct Voting {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    key: PublicKey,
    signed: Arc<Mutex<LastSigned>>,
    last_signed: Height,
    /// The engine votes.
    votes: bool,
    standing: watch::Sender<Standing>,
    silence: watch::Sender<Option<String>>,
    again: watch::Sender<Option<String>>,
}

impl Voting {
    pub(super) fn new(key: PublicKey, signed: Arc<Mutex<LastSigned>>, tip: &Tip) -> Self {
        let (last_signed, standing) = {
            let signed = signed.lock().unwrap_or_else(PoisonError::into_inner);
            (signed.height(), signed.standing())
        };
        let next = tip.height.next();
        let elected = tip.validators.get(&key).is_some();
        // A state older than what was signed, as after a folder was restored in part: it must not vote on its way there.
        let votes = last_signed <= next
            && match standing {
                Standing::Above(height) => next > height || !elected,
                // What happens before the first block is waited for, that it can begin at once.
                Standing::Unknown { first, .. } => !elected || (first && tip.height == Height(0)),
            };
        let shared = Shared {
            key,
            signed,
            last_signed,
            votes,
            standing: watch::Sender::new(standing),
            silence: watch::Sender::new(None),
            again: watch::Sender::new(None),
        };
        let voting = Self { shared: Arc::new(shared) };
        voting.judge(tip);
        voting
    }

    /// Whether the engine votes; otherwise it follows.
    pub fn votes(&self) -> bool {
        self.shared.votes
    }

    /// Whether the engine may start a height that these validators decide.
    pub(super) fn opens(&self, height: Height, validators: &ValidatorSet) -> bool {
        !self.shared.votes || validators.get(&self.shared.key).is_none() || self.may_sign(height)
    }

    /// Every change of what may be signed.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    fn may_sign(&self, height: Height) -> bool {
        let known = matches!(*self.shared.standing.borrow(), Standing::Above(above) if height > above);
        known && self.shared.last_signed <= height
    }

    /// Why the node does not vote though it is a validator, and every change of that.
    pub fn silence(&self) -> watch::Receiver<Option<String>> {
        self.shared.silence.subscribe()
    }

    /// Whether it waits for the chain to begin, or to be told that it has.
    pub fn awaits_founding(&self, tip: &Tip) -> bool {
        let unknown = matches!(*self.shared.standing.borrow(), Standing::Unknown { .. });
        unknown && tip.height == Height(0) && tip.validators.get(&self.shared.key).is_some()
    }

    /// The chain has not begun: it may vote for the first block.
    pub async fn begin(&self) -> Result<(), SignedError> {
        self.allow(Height(0)).await
    }

    /// Somebody has blocks: they are fetched without voting.
    pub fn follow_first(&self) {
        if self.shared.votes {
            self.start_again(
                "the chain has begun, and this folder is new: it follows first, without voting".to_owned(),
            );
        }
    }

    /// Resolves, with the reason, when the process has to start again.
    pub fn starts_again(&self) -> impl Future<Output = String> + Send + 'static {
        first_word(self.shared.again.subscribe())
    }

    /// From now on it may sign above a height. That is on disk when this returns.
    async fn allow(&self, above: Height) -> Result<(), SignedError> {
        let signed = self.shared.signed.clone();
        let allowed = spawn_blocking(move || signed.lock().unwrap_or_else(PoisonError::into_inner).allow(above)).await;
        if let Ok(allowed) = allowed {
            allowed?;
            tracing::info!(%above, "it is known that this key signed nothing above this height elsewhere: it may vote");
            self.shared.standing.send_replace(Standing::Above(above));
        }
        Ok(())
    }

    fn start_again(&self, reason: String) {
        self.shared.again.send_if_modified(|again| {
            let first = again.is_none();
            if first {
                *again = Some(reason);
            }
            first
        });
    }

    /// Says what follows from the last block.
    fn judge(&self, tip: &Tip) {
        let next = tip.height.next();
        let elected = tip.validators.get(&self.shared.key).is_some();
        let may_sign = self.may_sign(next);
        let silence = (elected && !(self.shared.votes && may_sign)).then(|| self.reason(tip.height));
        if *self.shared.silence.borrow() != silence {
            match &silence {
                Some(reason) => tracing::warn!("{reason}"),
                None => tracing::info!("this validator votes"),
            }
            self.shared.silence.send_replace(silence);
        }
        match (self.shared.votes, elected && may_sign) {
            (false, true) => self.start_again(format!("this validator may vote from height {next} on")),
            (true, false) if elected && tip.height > Height(0) => self.follow_first(),
            _ => {}
        }
    }

    fn reason(&self, height: Height) -> String {
        let last = self.shared.last_signed;
        match *self.shared.standing.borrow() {
            _ if last > height.next() => {
                format!("the state is older than what this node signed: it follows without voting up to height {last}")
            }
            Standing::Above(above) => format!("this validator votes above height {above}, and follows until then"),
            Standing::Unknown { .. } if height == Height(0) => {
                "this folder is new: before the first block validators with more than two thirds of the power have to \
                 say that they have none either"
                    .to_owned()
            }
            Standing::Unknown { .. } => {
                "this folder is new, and the key may have voted from another one: it follows without voting until a \
                 block is final that is younger than the folder"
                    .to_owned()
            }
        }
    }

    /// Watches the chain, and notes when it is known what may be signed. Ends with an error when that cannot be written.
    pub(super) async fn watch(self, mut head: watch::Receiver<Tip>, new_folder: NewFolder) -> Result<(), SignedError> {
        let mut standing = self.standing();
        let mut newcomer = match *standing.borrow_and_update() {
            Standing::Unknown { since, .. } => Some(Newcomer::new(since)),
            Standing::Above(_) => None,
        };
        loop {
            let tip = head.borrow_and_update().clone();
            if matches!(*standing.borrow_and_update(), Standing::Above(_)) {
                newcomer = None;
            }
            if let Some(unsure) = &mut newcomer
                && tip.height > Height(0)
                && unsure.sees(tip.time, now())
            {
                self.allow(tip.height).await?;
            }
            self.judge(&tip);
            let told_to_vote = newcomer.is_some() && new_folder == NewFolder::VotesWhereTheChainStands;
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                changed = standing.changed() => if changed.is_err() { return Ok(()) },
                () = sleep(STANDSTILL), if told_to_vote => {
                    tracing::warn!(height = %tip.height, "the chain stands, and this node was told to vote without a record");
                    self.allow(tip.height).await?;
                }
            }
        }
    }
}
