//! Which address to announce for a container. Pure; the rules are tried in the order of [`choose`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use convoy_keys::{Endpoint, EndpointError};
use thiserror::Error;

use crate::container::{Attachment, Binding, Container, NetworkMode};

/// Whose address is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The published port where there is one, else the container's own address.
    #[default]
    Auto,
    /// The machine's address and a port that it forwards to the container.
    Published,
    /// The container's own address on one of its networks.
    Container,
}

/// Which address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv4 where there is one, else IPv6.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// What the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Whose address.
    pub mode: Mode,
    /// The container's network whose address is wanted.
    pub network: Option<String>,
    /// The port inside the container.
    pub port: Option<u16>,
    /// Which family.
    pub family: Family,
}

/// The addresses under which other machines reach this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MachineAddress {
    /// IPv4, where known.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6, where known.
    pub ipv6: Option<Ipv6Addr>,
}

/// Why no address is announced; each says what to set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Nothing tells the port.
    #[error(
        "the container declares no TCP port: set `port` to the one it listens on (REGISTRAR_PORT, label convoy.port)"
    )]
    NoPort,
    /// More than one port could be meant.
    #[error("the container has the TCP ports {}: set `port` to the one to announce (REGISTRAR_PORT, label convoy.port)", list(.0))]
    ManyPorts(Vec<u16>),
    /// A published port is wanted, and that one is not.
    #[error(
        "port {0} is not published: start the container with -p {0}, or set `mode` to container (REGISTRAR_MODE, label convoy.mode)"
    )]
    NotPublished(u16),
    /// Published where only this machine reaches it.
    #[error(
        "port {0} is published on {1} only, where no other machine reaches it: publish it on the machine's address (-p <address>::{0}), or set `mode` to container (REGISTRAR_MODE, label convoy.mode)"
    )]
    Loopback(u16, IpAddr),
    /// Published more than once.
    #[error("port {0} is published as {list}: publish it once, or set `address` to the one to announce (REGISTRAR_ADDRESS)", list = list(.1))]
    ManyBindings(u16, Vec<String>),
    /// The machine's own address is needed.
    #[error(
        "the machine's own {0} address is not known: set CONVOY_PRIVATE_IPV4 (/run/convoy/machine.env has it) or `advertise` (REGISTRAR_ADVERTISE)"
    )]
    MachineAddress(&'static str),
    /// The network that was named is not one of the container's.
    #[error("the container is not on network {0:?}, but on {list}: set `network` to one of these (REGISTRAR_NETWORK, label convoy.network)", list = list(.1))]
    UnknownNetwork(String, Vec<String>),
    /// More than one network could be meant.
    #[error("the container is on the networks {}, and nothing says which one counts: set `network` (REGISTRAR_NETWORK, label convoy.network)", list(.0))]
    ManyNetworks(Vec<String>),
    /// On no network, or without an address there.
    #[error("the container has no {family} address{place}: start it on a network, or publish its port")]
    NoAddress {
        /// Family asked for.
        family: &'static str,
        /// Where it was looked for, as part of the sentence.
        place: String,
    },
    /// What came out can't be dialled.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "IP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The one of the two that the family asks for.
    fn pick(self, ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> Option<IpAddr> {
        let (four, six) = (ipv4.map(IpAddr::V4), ipv6.map(IpAddr::V6));
        match self {
            Self::Any => four.or(six),
            Self::Ipv4 => four,
            Self::Ipv6 => six,
        }
    }
}

/// Chooses the address of `app`. `owner` is the container whose network namespace it lives in: itself, or the
/// one at the end of a chain of `--network container:…`.
///
/// In this order: a network that was named; the host's network; a published port; the container's own address.
/// Anything that two readers could understand differently is refused.
pub fn choose(
    app: &Container,
    owner: &Container,
    wish: &Wish,
    machine: MachineAddress,
) -> Result<Endpoint, AddressError> {
    if let Some(name) = &wish.network {
        let attachment = owner.networks.get(name).ok_or_else(|| {
            AddressError::UnknownNetwork(name.clone(), owner.networks.keys().cloned().collect())
        })?;
        return own_address(name, attachment, port(app, owner, wish)?, wish.family);
    }
    if owner.network_mode == NetworkMode::Host {
        let port = port(app, owner, wish)?;
        let ip = wish
            .family
            .pick(machine.ipv4, machine.ipv6)
            .ok_or(AddressError::MachineAddress(wish.family.name()))?;
        return endpoint(ip, port);
    }
    let port = port(app, owner, wish)?;
    match (wish.mode, owner.published.get(&port)) {
        (Mode::Published | Mode::Auto, Some(bindings)) => published(port, bindings, wish.family, machine),
        (Mode::Published, None) => Err(AddressError::NotPublished(port)),
        (Mode::Container | Mode::Auto, _) => {
            let (name, attachment) = network(owner, wish.family)?;
            own_address(name, attachment, port, wish.family)
        }
    }
}

/// The port inside the container: named, or the only one that is published or declared.
fn port(app: &Container, owner: &Container, wish: &Wish) -> Result<u16, AddressError> {
    if let Some(port) = wish.port {
        return Ok(port);
    }
    let published: Vec<u16> = owner.published.keys().copied().collect();
    let declared: Vec<u16> = app.exposed.iter().copied().collect();
    let candidates = match wish.mode {
        Mode::Auto | Mode::Published if !published.is_empty() => published,
        _ => declared,
    };
    match candidates.as_slice() {
        [] => Err(AddressError::NoPort),
        [port] => Ok(*port),
        _ => Err(AddressError::ManyPorts(candidates)),
    }
}

fn published(
    port: u16,
    bindings: &[Binding],
    family: Family,
    machine: MachineAddress,
) -> Result<Endpoint, AddressError> {
    let mut reachable = Vec::new();
    let mut unknown = None;
    for binding in bindings {
        let machine_ip = match binding.ip {
            IpAddr::V4(_) => machine.ipv4.map(IpAddr::V4),
            IpAddr::V6(_) => machine.ipv6.map(IpAddr::V6),
        };
        match machine_ip {
            _ if is_reachable(binding.ip) => reachable.push(*binding),
            Some(ip) if binding.ip.is_unspecified() => reachable.push(Binding { ip, port: binding.port }),
            None if binding.ip.is_unspecified() => {
                unknown = Some(if binding.ip.is_ipv4() { "IPv4" } else { "IPv6" });
            }
            _ => {}
        }
    }
    let of = |ipv4: bool| -> Vec<Binding> {
        let mut found: Vec<_> =
            reachable.iter().copied().filter(|binding| binding.ip.is_ipv4() == ipv4).collect();
        found.dedup();
        found
    };
    let candidates = match family {
        Family::Ipv6 => of(false),
        Family::Any if of(true).is_empty() => of(false),
        Family::Ipv4 | Family::Any => of(true),
    };
    match candidates.as_slice() {
        [one] => endpoint(one.ip, one.port),
        [] => Err(match (unknown, bindings.iter().find(|binding| binding.ip.is_loopback())) {
            (Some(family), _) => AddressError::MachineAddress(family),
            (None, Some(binding)) => AddressError::Loopback(port, binding.ip),
            (None, None) => AddressError::NoAddress {
                family: family.name(),
                place: format!(" among the published ones of port {port}"),
            },
        }),
        many => {
            // Published on several addresses: the machine's own private one is the one that peers use.
            let own: Vec<_> = many
                .iter()
                .filter(|binding| {
                    Some(binding.ip) == machine.ipv4.map(IpAddr::V4)
                        || Some(binding.ip) == machine.ipv6.map(IpAddr::V6)
                })
                .collect();
            match own.as_slice() {
                [one] => endpoint(one.ip, one.port),
                _ => Err(AddressError::ManyBindings(
                    port,
                    many.iter().map(|binding| format!("{}:{}", binding.ip, binding.port)).collect(),
                )),
            }
        }
    }
}

/// Whether other machines reach the address as it stands. Loopback is this machine's alone, a wildcard stands
/// for any of its addresses, and link-local IPv6 needs a scope that no `ip:port` carries.
fn is_reachable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_loopback() && !matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local())
}

/// The network whose address counts: the only one, else the one it was started with, else the one with the
/// default route. Never just any of them.
fn network(owner: &Container, family: Family) -> Result<(&str, &Attachment), AddressError> {
    let mut networks = owner.networks.iter();
    match (networks.next(), networks.next()) {
        (None, _) => return Err(AddressError::NoAddress { family: family.name(), place: String::new() }),
        (Some((name, only)), None) => return Ok((name, only)),
        _ => {}
    }
    if let NetworkMode::Own(started_with) = &owner.network_mode
        && let Some((name, attachment)) = owner.networks.get_key_value(started_with)
    {
        return Ok((name, attachment));
    }
    let highest = owner.networks.values().map(|attachment| attachment.gateway_priority).max();
    let mut leading =
        owner.networks.iter().filter(|(_, attachment)| Some(attachment.gateway_priority) == highest);
    match (leading.next(), leading.next()) {
        (Some((name, attachment)), None) => Ok((name, attachment)),
        _ => Err(AddressError::ManyNetworks(owner.networks.keys().cloned().collect())),
    }
}

fn own_address(
    name: &str,
    attachment: &Attachment,
    port: u16,
    family: Family,
) -> Result<Endpoint, AddressError> {
    let ip = family.pick(attachment.ipv4, attachment.ipv6).ok_or_else(|| AddressError::NoAddress {
        family: family.name(),
        place: format!(" on network {name:?}"),
    })?;
    endpoint(ip, port)
}

fn endpoint(ip: IpAddr, port: u16) -> Result<Endpoint, AddressError> {
    Ok(Endpoint::from_address((ip, port).into())?)
}
