//! Keeps this node connected: dials members and seeds that are known and not connected, and asks
//! peers for more of them.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinSet;
use tracing::debug;
use valo_protocol::PublicKey;

use super::{ALPN, Shared, session};
use crate::network::{Refusal, dial::jitter, guests::STRANGER_DIALS};

/// Dials under way at once.
const MAX_DIALS: usize = 8;

/// Runs until the network stops.
pub(super) async fn keep_connected(shared: Arc<Shared>) {
    let network = shared.network.clone();
    let mut news = network.news();
    let mut peers = network.peers();
    let mut members = network.members().watch();
    let mut exchange = tokio::time::interval(network.config().exchange_interval);
    exchange.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut dialing: JoinSet<PublicKey> = JoinSet::new();
    let mut under_way: Vec<PublicKey> = Vec::new();
    loop {
        peers.mark_unchanged();
        let connected = peers.borrow().clone();
        let now = Instant::now();
        let (due, next) = network.book(|book| {
            book.due(now, |key| !connected.contains(key) && !under_way.contains(key) && network.knows(key))
        });
        let is_member = |key: &PublicKey| network.members().contains(key);
        let wanted = shared.config.dial_peers;
        // Seeds that are no members are dialed beside them: to a stranger they may be strangers too, and no way in.
        let of_members = if network.is_stranger() { wanted.min(STRANGER_DIALS) } else { wanted };
        let taken = |members: bool| connected.iter().chain(&under_way).filter(|key| is_member(key) == members).count();
        let mut for_members = of_members.saturating_sub(taken(true));
        let mut for_seeds = wanted.saturating_sub(taken(false));
        let full = dialing.len() >= MAX_DIALS || (for_members == 0 && for_seeds == 0);
        for key in due {
            let room = if is_member(&key) { &mut for_members } else { &mut for_seeds };
            if *room == 0 || dialing.len() >= MAX_DIALS {
                continue;
            }
            *room = room.saturating_sub(1);
            under_way.push(key);
            let shared = shared.clone();
            dialing.spawn(async move {
                connect(shared, key).await;
                key
            });
        }
        // With no room, the next event is the end of a dial or of a session, not a moment in time.
        let next = next.filter(|_| !full);
        let wait = async {
            match next {
                Some(moment) => tokio::time::sleep_until(moment.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(done) = dialing.join_next() => match done {
                Ok(done) => under_way.retain(|key| *key != done),
                // A dial that panicked does not say which it was.
                Err(_) => under_way.clear(),
            },
            _ = news.changed() => {}
            _ = peers.changed() => {}
            _ = members.changed() => {}
            () = wait => {}
            _ = exchange.tick() => {
                let index = usize::from(jitter()).checked_rem(connected.len());
                if let Some(peer) = index.and_then(|index| connected.iter().nth(index)) {
                    let (network, peer) = (network.clone(), *peer);
                    shared.network.spawn(async move { network.exchange_peers(peer).await });
                }
            }
        }
    }
}

/// Dials a member, starts its session, and asks it for others.
async fn connect(shared: Arc<Shared>, key: PublicKey) {
    let network = shared.network.clone();
    if let Some(Refusal::Banned { remaining } | Refusal::Slow { remaining }) = network.refusal(&key) {
        network.book(|book| book.postpone(&key, Instant::now().checked_add(remaining)));
        return;
    }
    match network.dial(key, ALPN).await {
        Ok(connection) => {
            // Until the session has ended one way or the other, no second dial.
            network.book(|book| book.failed(&key, jitter(), Instant::now()));
            let session = session::run(shared, connection, true);
            network.spawn_orderly(session);
            network.exchange_peers(key).await;
        }
        Err(error) => debug!(peer = %key, %error, "could not dial a peer"),
    }
}
