//! The iroh endpoint of a node: one UDP socket, no contact with anybody who was not configured.

use std::{net::SocketAddr, time::Duration};

use iroh::{
    Endpoint, NetReportConfig, RelayMode, SecretKey,
    endpoint::{PortmapperConfig, QuicTransportConfig, VarInt, presets},
};

use super::{NetworkError, connections::Connections};

/// Streams the other side may have open at once on one connection.
const MAX_STREAMS: u32 = 16;
/// Unread bytes held for one stream, and for one connection. They bound what a node that stops
/// reading, or sends without end, can make us hold; at 100 ms of distance they still carry 20 MiB/s.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Unacknowledged bytes held for one connection, whatever the other side would take.
const SEND_WINDOW: u64 = 2 << 20;
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// Binds the endpoint. It answers no protocol until a router is spawned on it.
pub(crate) async fn bind(
    secret_key: &valo_protocol::SecretKey,
    address: SocketAddr,
    hook: Connections,
) -> Result<Endpoint, NetworkError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| NetworkError::Bind { address, source };
    let idle = IDLE_TIMEOUT.try_into().map_err(|error| failed(Box::new(error)))?;
    let transport = QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(KEEP_ALIVE)
        .build();
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(secret_key.seed()))
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .transport_config(transport)
        .hooks(hook)
        .clear_ip_transports()
        .bind_addr(address)
        .map_err(|error| failed(error.into()))?
        .bind()
        .await
        .map_err(|error| failed(error.into()))
}
