//! Which of the addresses that were found are the machine's private and public one.

use std::fmt;
use std::net::Ipv4Addr;

use crate::address::{Interface, is_private};
use crate::error::SetupError;

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `[machine]` in the configuration.
    Configuration,
    /// `COREOS_…_IPV4` in /etc/environment.
    Environment,
    /// What Flatcar or Afterburn left about the provider.
    Provider,
    /// The interface of the default route.
    DefaultRoute,
    /// The only interface that fits.
    OnlyInterface,
    /// No public address: the private one stands in.
    Private,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Configuration => "configuration",
            Self::Environment => "/etc/environment",
            Self::Provider => "provider metadata",
            Self::DefaultRoute => "default route",
            Self::OnlyInterface => "only interface",
            Self::Private => "private address",
        })
    }
}

/// A private and a public address, as one source has them.
pub(crate) type Pair = (Option<Ipv4Addr>, Option<Ipv4Addr>);

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// `[machine]` in the configuration: private, public.
    pub configuration: Pair,
    /// /etc/environment.
    pub environment: Pair,
    /// Provider metadata.
    pub provider: Pair,
    /// The address that packets to the outside leave with.
    pub default_route: Option<Ipv4Addr>,
    /// All IPv4 addresses of interfaces.
    pub interfaces: Vec<Interface>,
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Other machines of the cluster reach this one here.
    pub private: Ipv4Addr,
    /// Where the private address comes from.
    pub private_origin: Origin,
    /// Clients reach this machine here; the private address when there is no other.
    pub public: Ipv4Addr,
    /// Where the public address comes from.
    pub public_origin: Origin,
}

/// Chooses by the order in which the sources are declared; guesses only when there is one answer.
pub fn choose(sources: &Sources) -> Result<Addresses, SetupError> {
    let (private, private_origin) = match stated(sources, |pair| pair.0) {
        Some(found) => found,
        None => guess_private(sources)?,
    };
    let (public, public_origin) = stated(sources, |pair| pair.1)
        .or_else(|| guess_public(sources))
        .unwrap_or((private, Origin::Private));
    Ok(Addresses { private, private_origin, public, public_origin })
}

fn stated(sources: &Sources, which: impl Fn(Pair) -> Option<Ipv4Addr>) -> Option<(Ipv4Addr, Origin)> {
    [
        (sources.configuration, Origin::Configuration),
        (sources.environment, Origin::Environment),
        (sources.provider, Origin::Provider),
    ]
    .into_iter()
    .find_map(|(pair, origin)| which(pair).map(|address| (address, origin)))
}

fn guess_private(sources: &Sources) -> Result<(Ipv4Addr, Origin), SetupError> {
    let route = sources.default_route.filter(|address| !address.is_loopback() && !address.is_unspecified());
    if let Some(address) = route.filter(|address| is_private(*address)) {
        return Ok((address, Origin::DefaultRoute));
    }
    let own = || sources.interfaces.iter().filter(|interface| interface.is_own());
    let private: Vec<&Interface> = own().filter(|interface| is_private(interface.address)).collect();
    match (private.as_slice(), route) {
        ([only], _) => Ok((only.address, Origin::OnlyInterface)),
        ([], Some(address)) => Ok((address, Origin::DefaultRoute)),
        ([], None) => {
            let all: Vec<&Interface> = own().collect();
            match all.as_slice() {
                [] => Err(SetupError::NoAddress),
                [only] => Ok((only.address, Origin::OnlyInterface)),
                several => Err(ambiguous(several)),
            }
        }
        (several, _) => Err(ambiguous(several)),
    }
}

fn guess_public(sources: &Sources) -> Option<(Ipv4Addr, Origin)> {
    if let Some(address) =
        sources.default_route.filter(|address| !is_private(*address) && !address.is_loopback())
    {
        return Some((address, Origin::DefaultRoute));
    }
    let public = |interface: &&Interface| interface.is_own() && !is_private(interface.address);
    let mut found = sources.interfaces.iter().filter(public);
    match (found.next(), found.next()) {
        (Some(only), None) => Some((only.address, Origin::OnlyInterface)),
        _ => None,
    }
}

fn ambiguous(interfaces: &[&Interface]) -> SetupError {
    let candidates: Vec<String> =
        interfaces.iter().map(|interface| format!("{} {}", interface.name, interface.address)).collect();
    SetupError::Ambiguous { candidates: candidates.join(", ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn interfaces(list: &[(&str, &str)]) -> Vec<Interface> {
        list.iter().map(|(name, address)| Interface { name: (*name).into(), address: ip(address) }).collect()
    }

    fn chosen(sources: &Sources) -> (String, Origin, String, Origin) {
        let found = choose(sources).unwrap();
        (found.private.to_string(), found.private_origin, found.public.to_string(), found.public_origin)
    }

    #[test]
    fn a_stated_address_wins_in_the_order_of_the_sources() {
        let mut sources = Sources {
            configuration: (Some(ip("10.0.0.1")), None),
            environment: (Some(ip("10.0.0.2")), Some(ip("203.0.113.2"))),
            provider: (Some(ip("10.0.0.3")), Some(ip("203.0.113.3"))),
            default_route: Some(ip("10.0.0.4")),
            interfaces: vec![],
        };
        let expected = |private: &str, origin, public: &str, public_origin| {
            (private.to_owned(), origin, public.to_owned(), public_origin)
        };
        assert_eq!(
            chosen(&sources),
            expected("10.0.0.1", Origin::Configuration, "203.0.113.2", Origin::Environment)
        );
        sources.configuration = (None, None);
        assert_eq!(
            chosen(&sources),
            expected("10.0.0.2", Origin::Environment, "203.0.113.2", Origin::Environment)
        );
        sources.environment = (None, None);
        assert_eq!(chosen(&sources), expected("10.0.0.3", Origin::Provider, "203.0.113.3", Origin::Provider));
        sources.provider = (None, None);
        assert_eq!(chosen(&sources), expected("10.0.0.4", Origin::DefaultRoute, "10.0.0.4", Origin::Private));
    }

    #[test]
    fn a_rented_server_has_its_public_address_on_the_default_route() {
        let sources = Sources {
            default_route: Some(ip("203.0.113.9")),
            interfaces: interfaces(&[
                ("lo", "127.0.0.1"),
                ("eth0", "203.0.113.9"),
                ("eth1", "10.2.0.9"),
                ("docker0", "172.17.0.1"),
            ]),
            ..Sources::default()
        };
        assert_eq!(
            chosen(&sources),
            ("10.2.0.9".into(), Origin::OnlyInterface, "203.0.113.9".into(), Origin::DefaultRoute)
        );
    }

    #[test]
    fn without_a_default_route_the_only_interface_counts() {
        let sources = Sources {
            interfaces: interfaces(&[("eth0", "192.168.1.4"), ("docker0", "172.17.0.1")]),
            ..Sources::default()
        };
        assert_eq!(
            chosen(&sources),
            ("192.168.1.4".into(), Origin::OnlyInterface, "192.168.1.4".into(), Origin::Private)
        );
    }

    #[test]
    fn a_machine_with_public_addresses_only_uses_the_default_routes() {
        let sources = Sources {
            default_route: Some(ip("203.0.113.9")),
            interfaces: interfaces(&[("eth0", "203.0.113.9"), ("docker0", "172.17.0.1")]),
            ..Sources::default()
        };
        assert_eq!(
            chosen(&sources),
            ("203.0.113.9".into(), Origin::DefaultRoute, "203.0.113.9".into(), Origin::DefaultRoute)
        );
    }

    #[test]
    fn it_does_not_guess_between_two() {
        let sources = Sources {
            interfaces: interfaces(&[("eth0", "10.0.0.4"), ("eth1", "10.1.0.4")]),
            ..Sources::default()
        };
        assert_eq!(
            choose(&sources).unwrap_err().to_string(),
            "several private addresses (eth0 10.0.0.4, eth1 10.1.0.4): write the one to use as [machine] private_ipv4"
        );
    }

    #[test]
    fn no_address_is_an_error_that_says_what_to_do() {
        let sources = Sources { interfaces: interfaces(&[("lo", "127.0.0.1")]), ..Sources::default() };
        assert!(matches!(choose(&sources), Err(SetupError::NoAddress)));
    }

    proptest! {
        #[test]
        fn what_is_chosen_was_found(
            route in proptest::option::of(any::<u32>()),
            list in proptest::collection::vec(("(eth|docker|lo|veth)[0-9]", any::<u32>()), 0..5),
        ) {
            let interfaces: Vec<Interface> =
                list.into_iter().map(|(name, address)| Interface { name, address: address.into() }).collect();
            let sources = Sources { default_route: route.map(Into::into), interfaces, ..Sources::default() };
            if let Ok(found) = choose(&sources) {
                for address in [found.private, found.public] {
                    let on_interface = sources.interfaces.iter().any(|i| i.is_own() && i.address == address);
                    prop_assert!(on_interface || sources.default_route == Some(address));
                }
            }
        }
    }
}
