//! Where a node is reached: a host, by address or by name, and a port.
//!
//! A name is resolved at every attempt: behind the name of a pod there is another address after each restart, and while
//! a network starts there is none yet.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{net::lookup_host, time::timeout};

/// How long the resolution of a name may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Addresses taken of one name.
const MAX_ADDRESSES: usize = 4;

/// `host:port`, where the host is an address or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPort {
    /// An address.
    Address(SocketAddr),
    /// A name, and the port.
    Name(String, u16),
}

/// Why a text is not the place of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host and port: write them as in 203.0.113.4:7002 or node.example.org:7002")]
pub struct HostPortError(pub String);

impl HostPort {
    /// The addresses behind it now; none while a name has none.
    pub async fn resolve(&self) -> Vec<SocketAddr> {
        match self {
            Self::Address(address) => vec![*address],
            Self::Name(name, port) => match timeout(PATIENCE, lookup_host((name.as_str(), *port))).await {
                Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
                Ok(Err(_)) | Err(_) => Vec::new(),
            },
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let malformed = || HostPortError(text.to_owned());
        let (name, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) {
            return Err(malformed());
        }
        Ok(Self::Name(name.to_owned(), port.parse().map_err(|_| malformed())?))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name, port) => write!(formatter, "{name}:{port}"),
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(place: HostPort) -> Self {
        place.to_string()
    }
}

/// An address of a node as the registry has it: `tcp://host:port` is its consensus, `udp://host:port` or a bare
/// `host:port` everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Consensus, over TCP.
    Consensus(HostPort),
    /// Everything else, over UDP.
    Network(HostPort),
}

impl FromStr for Endpoint {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("tcp://") {
            Some(place) => place.parse().map(Self::Consensus),
            None => text.strip_prefix("udp://").unwrap_or(text).parse().map(Self::Network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_addresses_or_names_with_a_port() {
        for text in ["127.0.0.1:7002", "[::1]:1", "demo-validators-0.demo-validators.ns.svc:7002"] {
            let place: HostPort = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
            assert_eq!(serde_json::to_value(&place).unwrap(), text);
        }
        for text in ["", "host", "host:", ":1", "host:99999", "a/b:80", "::1:80x", "tcp://host:1"] {
            assert_eq!(text.parse::<HostPort>(), Err(HostPortError(text.to_owned())));
        }
    }

    #[test]
    fn endpoints_say_what_they_are_for() {
        let place = || HostPort::Name("host".to_owned(), 1);
        assert_eq!("tcp://host:1".parse(), Ok(Endpoint::Consensus(place())));
        assert_eq!("udp://host:1".parse(), Ok(Endpoint::Network(place())));
        assert_eq!("host:1".parse(), Ok(Endpoint::Network(place())));
        assert!("http://host:1".parse::<Endpoint>().is_err());
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_no_error() {
        assert_eq!(HostPort::Name("no-such-host.invalid".to_owned(), 1).resolve().await, []);
        let local = HostPort::Name("localhost".to_owned(), 7).resolve().await;
        assert!(local.iter().any(|address| address.ip().is_loopback() && address.port() == 7), "{local:?}");
    }
}
