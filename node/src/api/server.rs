//! The listener: takes connections within bounds, in number and in time, and hands them to the routes.

use super::{Api, Services, limits::Limits, problem::ApiError, routes, stall::Impatient};
use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::ServiceBuilder;
use tracing::{debug, warn};
use valo_client::types::PROBLEM_CONTENT_TYPE;

/// Turned away connections that still get a word why; further ones are just closed.
const TURNED_AWAY: usize = 64;

/// Serves the API until `stop` resolves, then ends connections within the grace of `limits`.
pub async fn serve(
    listener: TcpListener,
    services: Arc<Services>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let api = Api::new(services, limits);
    let router = routes::router(api.clone());
    let counted = Counted { open: api.metrics.connections.clone(), refused: api.metrics.refused_connections.clone() };
    let stop = async {
        stop.await;
        // Streams of events and long polls end by this; everything else by finishing its answer.
        api.stop.cancel();
    };
    listen(listener, router, &api.limits, counted, stop).await;
    Ok(())
}

/// Connections, as metrics have them.
#[derive(Debug, Default)]
pub(super) struct Counted {
    open: Gauge,
    refused: Counter,
}

/// Serves routes until `stop` resolves, then ends connections within the grace of `limits`.
pub(super) async fn listen(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    counted: Counted,
    stop: impl Future<Output = ()> + Send,
) {
    let connections = Arc::new(Connections::new(limits));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut turned_away = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
            Some(_) = tasks.join_next() => continue,
            Some(_) = turned_away.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer is gone already: neither ends the service.
                warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = Connections::enter(&connections, peer.ip()) else {
            counted.refused.inc();
            if turned_away.len() < TURNED_AWAY {
                turned_away.spawn(turn_away(stream));
            }
            continue;
        };
        counted.open.set(i64::try_from(connections.count()).unwrap_or(i64::MAX));
        let connection = connect(stream, peer, &router, limits);
        let watched = graceful.watch(connection);
        tasks.spawn(async move {
            let _place = place;
            if let Err(error) = watched.await {
                debug!(%peer, %error, "a connection ended");
            }
        });
    }
    let grace = limits.grace;
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        debug!("connections were cut after {} s", grace.as_secs());
    }
    tasks.shutdown().await;
}

type Connection = hyper::server::conn::http1::Connection<
    TokioIo<Impatient<TcpStream>>,
    TowerToHyperService<
        tower::util::BoxCloneService<
            hyper::Request<hyper::body::Incoming>,
            axum::response::Response,
            std::convert::Infallible,
        >,
    >,
>;

fn connect(stream: TcpStream, peer: SocketAddr, router: &Router, limits: &Limits) -> Connection {
    // Answers are written at once: they are small, and somebody waits for them.
    let _ = stream.set_nodelay(true);
    let service = ServiceBuilder::new()
        .map_request(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        })
        .service(router.clone());
    let service = tower::util::BoxCloneService::new(service);
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(Impatient::new(stream, limits.write_stall)), TowerToHyperService::new(service))
}

/// Says why before the connection is closed.
async fn turn_away(mut stream: TcpStream) {
    let problem = ApiError::busy("too many connections, from your address or in all; close some, or try again later");
    let body = serde_json::to_string(&problem.problem()).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_CONTENT_TYPE}\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A close with unread bytes would reset the connection and lose the answer.
        let mut buffer = [0u8; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether it is heard makes no difference here.
    let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
}

/// Who is connected.
#[derive(Debug)]
struct Connections {
    all: usize,
    per_client: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection, given up when dropped.
#[derive(Debug)]
struct Place {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Connections {
    fn new(limits: &Limits) -> Self {
        Self { all: limits.connections, per_client: limits.connections_per_client, open: Mutex::default() }
    }

    fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    fn enter(connections: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = client_of(client);
        let mut open = connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= connections.all {
            return None;
        }
        let count = open.entry(client).or_default();
        if *count >= connections.per_client {
            return None;
        }
        *count += 1;
        Some(Place { connections: connections.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// Whom an address stands for: of IPv6 the /64 that one subscriber has.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscriber_is_one_client() {
        let address = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8:0:1::1"), address("2001:db8:0:2::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("10.0.0.1"), address("10.0.0.2"));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let limits = Limits { connections: 3, connections_per_client: 2, ..Limits::default() };
        let connections = Arc::new(Connections::new(&limits));
        let enter = |last: u8| Connections::enter(&connections, [10, 0, 0, last].into());
        let first = enter(1).unwrap();
        let _second = enter(1).unwrap();
        assert!(enter(1).is_none(), "two of one client");
        let _third = enter(2).unwrap();
        assert!(enter(3).is_none(), "three in all");
        drop(first);
        assert!(enter(1).is_some());
        assert_eq!(connections.count(), 2);
    }
}
