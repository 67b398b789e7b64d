//! Who has which address. Every cluster has a network of its own, so all of them use the same numbers.

use std::net::Ipv4Addr;

/// The bridge's own address: the way into the cluster from its network namespace, and the router between the
/// machines' container networks.
pub const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The most machines of one cluster.
pub(crate) const MAXIMUM: u8 = 200;

/// The private address of machine `index`, counted from 1.
pub fn machine_address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + index.min(MAXIMUM))
}

/// The network of Docker's bridge on machine `index`, routed between the machines as a cloud's route table would:
/// Docker's own address in it, and the prefix length.
pub fn container_subnet(index: u8) -> (Ipv4Addr, u8) {
    (Ipv4Addr::new(10, 78, index.min(MAXIMUM), 1), 24)
}

/// How many of `machines` form the etcd cluster: three, or one where there are not three (two members would be
/// less available than one).
pub fn seed_count(machines: u8) -> u8 {
    if machines >= 3 { 3 } else { machines.min(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_stay_in_their_networks() {
        let all: std::collections::BTreeSet<_> = (1..=MAXIMUM).map(machine_address).collect();
        assert_eq!(all.len(), usize::from(MAXIMUM));
        assert!(all.iter().all(|address| address.octets()[..3] == [10, 77, 0] && *address != BRIDGE_ADDRESS));
        assert_eq!(container_subnet(4), (Ipv4Addr::new(10, 78, 4, 1), 24));
    }

    #[test]
    fn etcd_never_gets_two_members() {
        assert_eq!([0, 1, 2, 3, 4, 9].map(seed_count), [0, 1, 1, 3, 3, 3]);
    }
}
