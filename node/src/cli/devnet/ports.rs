//! Ports for nodes on one machine. They are chosen here, because every node must know those of the others before any
//! of them listens; they are held until the nodes start, and lie below the range from which the system takes ports of
//! its own accord. If somebody still takes one in between, the network is started anew on others.

use anyhow::{Context, bail};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
};

/// Below Linux's usual range for outgoing connections (32768 to 60999).
const RANGE: Range<u16> = 20_000..32_000;

/// Ports that nobody else can take until they are let go.
#[derive(Debug, Default)]
pub struct Reservation {
    held: Vec<(TcpListener, UdpSocket)>,
}

impl Reservation {
    /// A port of the loopback that is free for TCP and UDP: `wanted` if it is, else another.
    pub fn take(&mut self, wanted: Option<u16>) -> anyhow::Result<SocketAddr> {
        if let Some(address) = wanted.and_then(|port| self.hold(port)) {
            return Ok(address);
        }
        let mut random = [0u8; 2];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the system gave no random bytes: {error}"))?;
        let size = RANGE.end.saturating_sub(RANGE.start);
        let first = u16::from_le_bytes(random).checked_rem(size).unwrap_or(0);
        for step in 0..size {
            let offset = (u32::from(first).saturating_add(u32::from(step))).checked_rem(u32::from(size)).unwrap_or(0);
            let port = RANGE.start.saturating_add(u16::try_from(offset).context("a port does not fit")?);
            if let Some(address) = self.hold(port) {
                return Ok(address);
            }
        }
        bail!("there is no free port between {} and {}", RANGE.start, RANGE.end)
    }

    fn hold(&mut self, port: u16) -> Option<SocketAddr> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let held = (TcpListener::bind(address).ok()?, UdpSocket::bind(address).ok()?);
        self.held.push(held);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_held() {
        let mut ports = Reservation::default();
        let first = ports.take(None).unwrap();
        let second = ports.take(Some(first.port())).unwrap();
        assert_ne!(first, second, "the wanted one is held already");
        assert!(TcpListener::bind(first).is_err());
        assert!(UdpSocket::bind(second).is_err());
        drop(ports);
        let mut again = Reservation::default();
        assert_eq!(again.take(Some(first.port())).unwrap(), first);
    }
}
