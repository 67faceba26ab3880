//! What every request passes before its route: counted, held to its client's rate, and bounded in time.

use super::{Api, limits::LONGEST_WAIT, problem::ApiError, server::client_of};
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

/// Requests after which clients that have been quiet are forgotten.
const SWEEP: u32 = 4096;

/// Holds each client to its rate.
#[derive(Debug)]
pub struct Rates {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    seen: AtomicU32,
}

impl Rates {
    /// `per_second` on average, `burst` at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)), seen: AtomicU32::new(0) }
    }

    /// Counts a request of a client; an error says after how many seconds the next may come.
    fn count(&self, client: IpAddr) -> Result<(), u32> {
        // What is kept for a client that is quiet says nothing any more.
        if self.seen.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&client_of(client)).map_err(|wait| {
            let wait = wait.wait_time_from(governor::clock::Clock::now(&governor::clock::DefaultClock::default()));
            u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
        })
    }
}

/// Whose request it is. Without a connection, as in tests of routes alone, the machine's own.
pub fn client_of_request(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(peer)| peer.ip())
}

/// Counts requests, holds them to the rate, bounds their time.
pub async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    // Probes cost nothing, and come from an address that whole clusters may share.
    let probe = matches!(route.as_deref(), Some("/healthz" | "/readyz"));
    let rate = if probe { Ok(()) } else { api.rates.count(client_of_request(&request)) };
    let response = match rate {
        Ok(()) => answer(&api, route.as_deref(), request, next).await,
        Err(seconds) => {
            api.metrics.limited_requests.inc();
            ApiError::rate_limited(seconds).into_response()
        }
    };
    // Methods are few; whatever else was sent counts as one, so that nobody can make up labels.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    };
    api.metrics.answered(route.as_deref().unwrap_or("none"), method, response.status().as_u16(), start.elapsed());
    response
}

async fn answer(api: &Api, route: Option<&str>, request: Request, next: Next) -> Response {
    // Blobs take as long as their bytes do: their pauses are bounded instead. A transaction may be waited for.
    let bound = match route {
        Some("/v1/blobs" | "/v1/blobs/{hash}") => return next.run(request).await,
        Some("/v1/transactions/{id}") => api.limits.request.saturating_add(LONGEST_WAIT),
        _ => api.limits.request,
    };
    match tokio::time::timeout(bound, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timeout("the node could not answer in time; try again").into_response(),
    }
}
