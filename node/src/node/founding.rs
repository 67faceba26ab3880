//! How validators whose folders are new find out whether the chain has begun (`valo/begun/1`).
//!
//! Each asks the others of the genesis, by their keys; who answers reads its own disk. What follows is decided by
//! [`newcomer::founding`](crate::consensus::newcomer::founding).
//! ```text
//! question = nothing; who asks has no block itself
//! answer   = borsh(bool): whether there is a block
//! ```

use crate::{
    chain::{BlockStore, Tip},
    consensus::{
        Voting,
        newcomer::{Founding, Said, founding, is_quorum},
    },
    network::{
        Network, Protocol,
        questions::{self, Answers},
    },
    storage::Storage,
};
use futures::{FutureExt, future::join_all};
use std::{
    collections::BTreeMap,
    future::pending,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use valo_protocol::{
    Height, PublicKey,
    encoding::{decode, encode},
};

const ALPN: &[u8] = b"valo/begun/1";
const TIMEOUT: Duration = Duration::from_secs(3);
/// Between two questions to the same validator.
const AGAIN: Duration = Duration::from_millis(250);
/// How often it is decided anew when nobody says anything.
const LOOK: Duration = Duration::from_millis(200);

/// What others say, in answers and by asking.
pub type Words = mpsc::Sender<(PublicKey, Said)>;

/// What this node says, and to whom it tells what it hears.
#[derive(Debug)]
struct Begun(Storage, Words);

impl Answers for Begun {
    const MOST: usize = 0;
    const UNUSED: Duration = Duration::from_secs(60);

    async fn answer(&self, asker: PublicKey, _: Vec<u8>) -> Option<Vec<u8>> {
        // Heard before it is answered: whoever begins has asked all the others, so none of them is left behind. Later nobody
        // listens any more.
        let _ = self.1.try_send((asker, Said::NoBlock));
        let storage = self.0.clone();
        let begun = tokio::task::spawn_blocking(move || BlockStore::earliest(&storage)).await.ok()?.ok()?.is_some();
        Some(encode(&begun))
    }
}

/// Says to others whether this node has a block.
pub fn protocol(storage: Storage, words: Words) -> Protocol {
    questions::protocol(ALPN, Begun(storage, words))
}

async fn ask(network: &Network, key: PublicKey) -> Option<Said> {
    let connection = timeout(TIMEOUT, network.connection(key, ALPN)).await.ok()?.ok()?;
    let answer = timeout(TIMEOUT, questions::ask(&connection, &[], 1)).await.ok().flatten();
    let begun = answer.and_then(|answer| decode::<bool>("answer", &answer).ok());
    if begun.is_none() {
        network.forget(key, ALPN, &connection).await;
    }
    Some(if begun? { Said::Blocks } else { Said::NoBlock })
}

async fn ask_again(network: &Network, key: PublicKey, tell: Words) {
    loop {
        if let Some(said) = ask(network, key).await
            && tell.send((key, said)).await.is_err()
        {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// Asks the other validators until it is clear whether the chain has begun, where this node has to know.
pub async fn find_out(
    network: Network,
    voting: Voting,
    mut head: watch::Receiver<Tip>,
    (tell, told): (Words, mpsc::Receiver<(PublicKey, Said)>),
) {
    let tip = head.borrow().clone();
    if !voting.awaits_founding(&tip) {
        return;
    }
    let others = tip.validators.validators().iter().map(|validator| validator.key).filter(|key| *key != network.key());
    let asking = join_all(others.map(|key| ask_again(&network, key, tell.clone())));
    // A validator that is alone has nobody to ask, and decides all the same.
    let asking = asking.then(|_| pending::<()>());
    tokio::select! {
        () = asking => {}
        () = decide(network.key(), &tip, &voting, told) => {}
        _ = head.wait_for(|tip| tip.height > Height(0)) => {}
    }
}

/// Until the chain begins, or this node follows.
async fn decide(own: PublicKey, tip: &Tip, voting: &Voting, mut told: mpsc::Receiver<(PublicKey, Said)>) {
    let mut said = BTreeMap::new();
    let mut quorum: Option<Instant> = None;
    loop {
        quorum = quorum.filter(|_| is_quorum(&own, &tip.validators, &said));
        if quorum.is_none() && is_quorum(&own, &tip.validators, &said) {
            quorum = Some(Instant::now());
        }
        let waited = quorum.map(|since| {
            u64::try_from(since.elapsed().as_millis())
                .map_or(valo_protocol::Duration(u64::MAX), valo_protocol::Duration)
        });
        match founding(&own, &tip.validators, &said, waited, !voting.votes()) {
            Founding::Begins => match voting.begin().await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, "cannot begin"),
            },
            Founding::Follows => return voting.follow_first(),
            Founding::Waits => {}
        }
        if let Ok(Some((key, word))) = timeout(LOOK, told.recv()).await {
            said.insert(key, word);
        }
    }
}
