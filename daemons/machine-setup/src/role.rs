//! A machine's part in the etcd cluster.

use std::net::Ipv4Addr;

use crate::cluster::ClusterSettings;

/// What a machine is for etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// One of the seeds: it runs a member.
    Member {
        /// All members with this one.
        seeds: Vec<Ipv4Addr>,
        /// Tells this cluster from any other.
        token: String,
    },
    /// Any other machine: a gateway on the local port forwards to the members.
    Client {
        /// All members.
        seeds: Vec<Ipv4Addr>,
    },
    /// No seeds are configured: somebody else looks after etcd.
    None,
}

/// Where etcd answers its clients.
const CLIENT_PORT: u16 = 2379;
/// A member, or the gateway.
const LOCAL: &str = "http://127.0.0.1:2379";

impl Role {
    /// The part of the machine with this private address.
    pub fn of(private: Ipv4Addr, settings: ClusterSettings) -> Role {
        let ClusterSettings { seeds, token } = settings;
        if seeds.is_empty() {
            Role::None
        } else if seeds.contains(&private) {
            Role::Member { seeds, token }
        } else {
            Role::Client { seeds }
        }
    }

    /// Where this machine's daemons find etcd, the best first.
    ///
    /// A member asks its own etcd and falls back to the others, so that its daemons go on when that one is down. A
    /// client asks the members themselves: a gateway accepts a connection before it knows whether it can pass it
    /// on, and would hide from the daemons which member is down. Machines begin with different members.
    pub fn endpoints(&self, private: Ipv4Addr) -> Vec<String> {
        let url = |seed: &Ipv4Addr| format!("http://{seed}:{CLIENT_PORT}");
        match self {
            Role::None => vec![LOCAL.to_owned()],
            Role::Member { seeds, .. } => {
                let others = seeds.iter().filter(|seed| **seed != private).map(url);
                std::iter::once(LOCAL.to_owned()).chain(others).collect()
            }
            Role::Client { seeds } => {
                let first = usize::from(private.octets()[3]) % seeds.len().max(1);
                seeds.iter().cycle().skip(first).take(seeds.len()).map(url).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(private: &str, seeds: &[&str]) -> (Role, Vec<String>) {
        let private = private.parse().unwrap();
        let seeds = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
        let role = Role::of(private, ClusterSettings { seeds, token: "t".into() });
        let endpoints = role.endpoints(private);
        (role, endpoints)
    }

    const SEEDS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

    #[test]
    fn a_seed_is_a_member_and_asks_itself_first() {
        let (role, endpoints) = role_of("10.0.0.2", &SEEDS);
        assert!(matches!(role, Role::Member { .. }));
        assert_eq!(endpoints, ["http://127.0.0.1:2379", "http://10.0.0.1:2379", "http://10.0.0.3:2379"]);
    }

    #[test]
    fn the_others_ask_the_members_each_beginning_with_another() {
        let (role, endpoints) = role_of("10.0.0.4", &SEEDS);
        assert!(matches!(role, Role::Client { .. }));
        assert_eq!(endpoints, ["http://10.0.0.2:2379", "http://10.0.0.3:2379", "http://10.0.0.1:2379"]);
        assert_eq!(role_of("10.0.0.5", &SEEDS).1[0], "http://10.0.0.3:2379");
    }

    #[test]
    fn without_seeds_the_local_port_is_somebody_elses() {
        assert_eq!(role_of("10.0.0.4", &[]), (Role::None, vec!["http://127.0.0.1:2379".to_owned()]));
    }
}
