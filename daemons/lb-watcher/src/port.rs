//! Which port nginx gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::str::FromStr;

use convoy_config::ConfigError;

use crate::reservation::Reservations;

/// Tried in this order when the port is left to us.
const AUTOMATIC: std::ops::RangeInclusive<u16> = 8080..=8179;

/// The operator's word on the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortChoice {
    /// The first free one, kept as long as it stays free.
    #[default]
    Automatic,
    /// This one.
    Fixed(u16),
}

impl FromStr for PortChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Automatic),
            number => match number.parse() {
                Ok(port) if port != 0 => Ok(Self::Fixed(port)),
                _ => Err(format!("{number:?} is neither auto nor a port from 1 to 65535")),
            },
        }
    }
}

/// All addresses nginx listens on with this announced one: itself, and loopback for whoever is on the machine.
pub(crate) fn listen_addresses(announce: SocketAddr) -> Vec<SocketAddr> {
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), announce.port());
    if announce.ip().is_loopback() { vec![announce] } else { vec![announce, loopback] }
}

/// Chooses the port for the load balancer `name`; `kept` is the one of the last time. `shared` is where the load
/// balancers of a machine tell each other what they have chosen.
pub(crate) fn choose(
    name: &str,
    ip: IpAddr,
    choice: PortChoice,
    kept: Option<u16>,
    shared: Option<&Path>,
) -> Result<u16, ConfigError> {
    let unreserved = |error: std::io::Error| {
        tracing::warn!(%error, "ports can't be reserved; two load balancers may choose the same one");
    };
    let reservations = shared.and_then(|directory| Reservations::lock(directory).map_err(unreserved).ok());
    let reserved = |port| reservations.as_ref().is_some_and(|all| all.is_reserved(port, name));
    let port = choose_with(choice, kept, |port| !reserved(port) && is_free(SocketAddr::new(ip, port)))?;
    if let Some(Err(error)) = reservations.as_ref().map(|all| all.reserve(port, name)) {
        unreserved(error);
    }
    Ok(port)
}

fn is_free(announce: SocketAddr) -> bool {
    listen_addresses(announce).into_iter().all(|address| TcpListener::bind(address).is_ok())
}

fn choose_with(
    choice: PortChoice,
    kept: Option<u16>,
    is_free: impl Fn(u16) -> bool,
) -> Result<u16, ConfigError> {
    match choice {
        // Taken or not: nginx will say so, and keep trying, which beats announcing a port nobody asked for.
        PortChoice::Fixed(port) => Ok(port),
        PortChoice::Automatic => {
            kept.filter(|port| AUTOMATIC.contains(port)).into_iter().chain(AUTOMATIC).find(|&port| is_free(port)).ok_or_else(
                || {
                    ConfigError::value(
                        "LB_PORT",
                        format!(
                            "no port from {} to {} is free on this machine's address; free one, or set LB_PORT to another",
                            AUTOMATIC.start(),
                            AUTOMATIC.end()
                        ),
                    )
                },
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_port_stays_while_it_is_free() {
        for (choice, kept, busy, chosen) in [
            (PortChoice::Automatic, None, vec![], 8080),
            (PortChoice::Automatic, None, vec![8080, 8081], 8082),
            (PortChoice::Automatic, Some(8090), vec![8080], 8090),
            (PortChoice::Automatic, Some(8090), vec![8080, 8090], 8081),
            (PortChoice::Automatic, Some(9999), vec![], 8080),
            (PortChoice::Fixed(9000), Some(8090), vec![9000], 9000),
        ] {
            let found = choose_with(choice, kept, |port| !busy.contains(&port)).unwrap();
            assert_eq!(found, chosen, "{choice:?} {kept:?} {busy:?}");
        }
        assert!(choose_with(PortChoice::Automatic, None, |_| false).is_err());
    }

    #[test]
    fn a_choice_is_auto_or_a_port() {
        assert_eq!("auto".parse(), Ok(PortChoice::Automatic));
        assert_eq!("81".parse(), Ok(PortChoice::Fixed(81)));
        for text in ["", "0", "65536", "-1", "any"] {
            assert!(text.parse::<PortChoice>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_taken_port_is_seen() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(!is_free(address));
        drop(taken);
        assert!(is_free(address));
    }
}
