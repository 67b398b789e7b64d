//! The value of an upstream or load balancer key: `ip:port`.

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;

/// Longest text looked at: a bracketed IPv6 address with a port has 47 bytes.
const LONGEST: usize = 64;

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Not `ip:port`.
    #[error("{0:?} is no ip:port, such as 10.0.0.7:8080 or [fd00::7]:8080")]
    Syntax(String),
    /// Nothing can be reached there.
    #[error("{0} can't be a target: {1}")]
    Unusable(SocketAddr, &'static str),
}

/// An address that requests can be sent to.
///
/// Host names are refused on purpose: what stands in etcd is what is dialled, without a resolver in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(SocketAddr);

impl Endpoint {
    /// Parses `ip:port`; white space around it is forgiven, since shells of old sidekicks left it there.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let trimmed = text.trim();
        if trimmed.len() > LONGEST {
            return Err(EndpointError::Syntax(trimmed.chars().take(LONGEST).collect()));
        }
        let address = trimmed.parse().map_err(|_| EndpointError::Syntax(trimmed.to_owned()))?;
        Self::from_address(address)
    }

    /// The same rules for an address that is already parsed.
    pub fn from_address(address: SocketAddr) -> Result<Self, EndpointError> {
        let ip = address.ip();
        if address.port() == 0 {
            return Err(EndpointError::Unusable(address, "port 0 means no port"));
        }
        if ip.is_unspecified() {
            return Err(EndpointError::Unusable(address, "the wildcard address is no destination"));
        }
        if ip.is_multicast() {
            return Err(EndpointError::Unusable(address, "a multicast address takes no connections"));
        }
        Ok(Self(address))
    }

    /// The socket address.
    pub fn addr(&self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_endpoint_is_an_address_and_a_port() {
        for (text, printed) in [
            ("10.0.0.7:8080", "10.0.0.7:8080"),
            ("  10.0.0.7:8080\n", "10.0.0.7:8080"),
            ("[fd00::7]:80", "[fd00::7]:80"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "10.0.0.7",
            "10.0.0.7:",
            "10.0.0.7:0",
            "10.0.0.7:65536",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "host:80",
            "10.0.0.7:80; server evil:1",
            "10.0.0.7:80 down",
            "http://10.0.0.7:80",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_is_stable(text in "\\PC{0,80}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}
