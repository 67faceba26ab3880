//! When the next height starts.
//!
//! The engine's timeouts run from the start of a height, so an idle chain keeps the heights back rather than
//! the proposals: the answer to `Finalized` is held until a block is due. Transactions flood to all validators,
//! so all of them start within milliseconds, and one that hears others start goes with them.

use super::App;
use crate::{
    chain::{Chain, Wake},
    clock::now,
    consensus::context::Context,
};
use malachitebft_app_channel::{
    Reply,
    app::{
        consensus::SignedConsensusMsg,
        events::{RxEvent, TxEvent},
    },
};
use malachitebft_engine::{host::Next, util::events::Event};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};
use valo_ledger::Store;
use valo_protocol::{Duration, Height};

/// A height that waits for its start.
pub(super) struct Hold {
    reply: Reply<Next<Context>>,
    heard: RxEvent<Context>,
    /// Never later than this, whatever the clocks say.
    latest: Instant,
    /// Others have started.
    started: bool,
}

impl Hold {
    pub fn new(reply: Reply<Next<Context>>, events: &TxEvent<Context>, idle: Duration) -> Self {
        Self { reply, heard: events.subscribe(), latest: Instant::now() + idle.into(), started: false }
    }
}

impl<S: Store> App<S> {
    /// Starts the next height if a block is due.
    pub(super) fn release_if_due(&mut self) {
        let Some(hold) = &self.hold else { return };
        let due = hold.started || self.chain.due() <= now() || hold.latest <= Instant::now();
        if due && let Some(hold) = self.hold.take() {
            let (height, params) = self.next_height();
            // Fails only when the engine stops, which ends the loop.
            let _ = hold.reply.send(Next::Start(height, params));
        }
    }
}

/// Until the next height may be due: its moment came, a transaction came, or another validator has started.
pub(super) async fn due<S: Store>(hold: &mut Option<Hold>, chain: &Chain<S>, wake: &Wake) {
    let Some(hold) = hold else { return };
    let wait = chain.due().since(now());
    let moment = hold.latest.min(Instant::now() + wait.into());
    tokio::select! {
        () = sleep_until(moment) => {}
        () = wake.woken() => {}
        () = others_start(&mut hold.heard, chain.next_height()) => hold.started = true,
    }
}

/// Until a vote or a proposal for a height comes in.
async fn others_start(heard: &mut RxEvent<Context>, next: Height) {
    loop {
        match heard.recv().await {
            Ok(Event::Received(message)) => {
                let height = match &message {
                    SignedConsensusMsg::Vote(vote) => malachitebft_core_types::Vote::height(&vote.message),
                    SignedConsensusMsg::Proposal(proposal) => {
                        malachitebft_core_types::Proposal::height(&proposal.message)
                    }
                };
                if height.0 >= next {
                    return;
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            // The engine is going; its channel says so.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
