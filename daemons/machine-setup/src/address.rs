//! Addresses of interfaces: which ones are private, and which interfaces are the machine's own.

use std::net::Ipv4Addr;

/// An IPv4 address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, for example eth0.
    pub name: String,
    /// The address.
    pub address: Ipv4Addr,
}

/// How bridges, tunnels and container cables are called by the programs that make them. Their addresses are the
/// same on every machine, or not reachable from other machines.
const VIRTUAL: [&str; 14] = [
    "br-", "cali", "cilium", "cni", "docker", "flannel", "kube-", "lxc", "lxd", "podman", "tap", "veth",
    "vb-", "virbr",
];

impl Interface {
    /// Whether other machines may reach this one by the address.
    pub fn is_own(&self) -> bool {
        let usable =
            !self.address.is_loopback() && !self.address.is_link_local() && !self.address.is_unspecified();
        usable && !VIRTUAL.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

/// Not routed on the Internet: RFC 1918, and the shared space of RFC 6598 that overlay networks use.
pub fn is_private(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || (first == 100 && (64..128).contains(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_bridges_are_not_the_machines_own() {
        for (name, address, own) in [
            ("eth0", "10.0.0.5", true),
            ("wg0", "100.64.1.1", true),
            ("enp3s0", "203.0.113.7", true),
            ("docker0", "172.17.0.1", false),
            ("br-2f1c8", "172.18.0.1", false),
            ("podman0", "10.88.0.1", false),
            ("lo", "127.0.0.1", false),
            ("eth0", "169.254.7.1", false),
        ] {
            let interface = Interface { name: name.into(), address: address.parse().unwrap() };
            assert_eq!(interface.is_own(), own, "{name} {address}");
        }
    }

    #[test]
    fn private_ranges_end_where_they_should() {
        for (address, private) in [
            ("10.255.255.255", true),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.32.0.0", false),
            ("192.168.0.1", true),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("203.0.113.1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
