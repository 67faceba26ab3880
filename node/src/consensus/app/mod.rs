//! The application's side of consensus: answers the engine from the chain, one message at a time.
//!
//! It runs on a thread of its own. While the engine has nothing to ask, it executes proposed blocks ahead of
//! their decision, and holds the next height back until a block is due ([`hold`](pacing)).

mod decisions;
mod pacing;
mod proposals;
mod requests;
mod sync;

pub use proposals::proposed_value;

use super::{
    context::{Context, Height},
    signed::Standing,
    voting::Voting,
};
use crate::chain::{Chain, ChainError, FinalizedBlock, Tip, Wake, handle::Request};
use malachitebft_app_channel::{AppMsg, Channels, Reply};
use malachitebft_core_types::HeightParams;
use pacing::Hold;
use requests::Waiting;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use valo_ledger::Store;

/// Why the application stops.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppError {
    /// The chain cannot go on.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The engine is gone.
    #[error("the consensus engine stopped; its log says why")]
    EngineStopped,
    /// The engine says what it cannot mean.
    #[error("the consensus engine handed over a malformed certificate: {0}")]
    Certificate(std::io::Error),
}

/// Where finalized blocks are published.
#[derive(Debug)]
pub(super) struct Followers {
    pub tip: watch::Sender<Tip>,
    pub finalized: broadcast::Sender<Arc<FinalizedBlock>>,
}

/// The application.
pub(super) struct App<S> {
    chain: Chain<S>,
    channels: Channels<Context>,
    followers: Followers,
    wake: Wake,
    requests: mpsc::Receiver<Request>,
    waiting: Vec<Waiting>,
    hold: Option<Hold>,
    /// The engine, before its first height.
    first: Option<Reply<(Height, HeightParams<Context>)>>,
    voting: Voting,
    standing: watch::Receiver<Standing>,
}

/// What the wait for something to do ended with.
enum Event {
    Engine(Option<Box<AppMsg<Context>>>),
    Request(Option<Request>),
    Due,
    Stop,
}

impl<S: Store> App<S> {
    pub fn new(
        chain: Chain<S>,
        channels: Channels<Context>,
        followers: Followers,
        wake: Wake,
        requests: mpsc::Receiver<Request>,
        voting: Voting,
    ) -> Self {
        let standing = voting.standing();
        let (waiting, hold, first) = (Vec::new(), None, None);
        Self { chain, channels, followers, wake, requests, waiting, hold, first, voting, standing }
    }

    /// Answers until told to stop, or until the chain or the engine cannot go on.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<(), AppError> {
        let mut requests_open = true;
        loop {
            if let Ok(message) = self.channels.consensus.try_recv() {
                self.answer(message).await?;
                continue;
            }
            let open = self.voting.opens(self.chain.next_height(), &self.chain.head().validators);
            if open {
                self.release_first();
                self.release_if_due();
            }
            if self.hold.is_none() && self.chain.work_ahead()? {
                continue;
            }
            let event = {
                let Self { channels, requests, wake, hold, chain, standing, .. } = &mut self;
                tokio::select! {
                    biased;
                    _ = &mut stop => Event::Stop,
                    message = channels.consensus.recv() => Event::Engine(message.map(Box::new)),
                    () = pacing::due(hold, chain, wake), if open && hold.is_some() => Event::Due,
                    Ok(()) = standing.changed(), if !open => Event::Due,
                    request = requests.recv(), if requests_open => Event::Request(request),
                }
            };
            match event {
                Event::Stop => return Ok(()),
                Event::Engine(Some(message)) => self.answer(*message).await?,
                Event::Engine(None) => {
                    // The engine also goes when it is told to stop.
                    return if stop.try_recv().is_ok() { Ok(()) } else { Err(AppError::EngineStopped) };
                }
                Event::Request(Some(request)) => self.request(request)?,
                Event::Request(None) => requests_open = false,
                Event::Due => {}
            }
        }
    }

    async fn answer(&mut self, message: AppMsg<Context>) -> Result<(), AppError> {
        // The engine drops the other end of a reply only when it stops.
        match message {
            AppMsg::ConsensusReady { reply } => self.first = Some(reply),
            AppMsg::StartedRound { height, round, reply_value, .. } => {
                let _ = reply_value.send(self.started_round(height, round)?);
            }
            AppMsg::GetValue { height, round, reply, .. } => self.get_value(height, round, reply).await?,
            AppMsg::ReceivedProposalPart { from, published_by, part, reply } => {
                let _ = reply.send(self.received_part(published_by.unwrap_or(from), part)?);
            }
            AppMsg::RestreamProposal { height, round, valid_round, address, value_id } => {
                self.restream(height, round, valid_round, address, value_id).await;
            }
            AppMsg::Decided { certificate, reply, .. } => {
                self.decided(&certificate)?;
                let _ = reply.send(());
            }
            AppMsg::Finalized { certificate, evidence, reply, .. } => {
                self.finalized(&certificate, &evidence, reply)?;
            }
            AppMsg::GetHistoryMinHeight { reply } => {
                let _ = reply.send(self.earliest()?);
            }
            AppMsg::GetDecidedValues { range, reply } => {
                let _ = reply.send(self.decided_values(range)?);
            }
            AppMsg::ProcessSyncedValue { height, round, value_bytes, reply, .. } => {
                let _ = reply.send(self.synced(height, round, &value_bytes)?);
            }
            // Votes carry no extensions.
            AppMsg::ExtendVote { reply, .. } => {
                let _ = reply.send(None);
            }
            AppMsg::VerifyVoteExtensions { extensions, reply, .. } => {
                let refused = malachitebft_core_consensus::VoteExtensionError::InvalidVoteExtension;
                let _ =
                    reply.send(extensions.into_iter().map(|(address, _)| (address, Err(refused.clone()))).collect());
            }
        }
        Ok(())
    }
}
