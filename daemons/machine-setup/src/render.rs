//! The environment files. Every value is of a type that has no space, quote or line break in its text.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::machine::Machine;
use crate::role::Role;

const HEADER: &str = "# Written at boot by machine-setup (convoy-setup.service); edits are lost.\n";

/// `/run/convoy/machine.env`: what every unit may need. `endpoints` is left out where the configuration has them,
/// because the environment would win.
pub fn machine_environment(machine: &Machine, endpoints: Option<&[String]>) -> String {
    let private = machine.addresses.private;
    let public = machine.addresses.public;
    let mut text = format!(
        "{HEADER}CONVOY_MACHINE_ID={}\nCONVOY_HOSTNAME={}\nCONVOY_PRIVATE_IPV4={private}\nCONVOY_PUBLIC_IPV4={public}\n\
         COREOS_PRIVATE_IPV4={private}\nCOREOS_PUBLIC_IPV4={public}\n",
        machine.id, machine.host_name
    );
    if let Some(endpoints) = endpoints {
        text.push_str("CONVOY_ETCD_ENDPOINTS=");
        text.push_str(&endpoints.join(","));
        text.push('\n');
    }
    text
}

/// `/run/convoy/etcd.env`: a member of a static cluster, or none for a machine that is no member.
///
/// `has_data` tells a member that was here before from a new one. etcd goes by its data and not by this; it is said
/// so that `systemctl show etcd` tells the truth. A member that was cut off asks before it calls an election (etcd 3.4
/// doesn't by itself), so that its return takes the leader from nobody.
pub fn etcd_environment(private: Ipv4Addr, role: &Role, data: &Path, has_data: bool) -> Option<String> {
    let Role::Member { seeds, token } = role else { return None };
    let members: Vec<String> =
        seeds.iter().map(|seed| format!("{}=http://{seed}:2380", member_name(*seed))).collect();
    let state = if has_data { "existing" } else { "new" };
    Some(format!(
        "{HEADER}ETCD_NAME={name}\nETCD_DATA_DIR={data}\nETCD_INITIAL_CLUSTER={members}\n\
         ETCD_INITIAL_CLUSTER_TOKEN={token}\nETCD_INITIAL_CLUSTER_STATE={state}\n\
         ETCD_LISTEN_PEER_URLS=http://{private}:2380\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://{private}:2380\n\
         ETCD_LISTEN_CLIENT_URLS=http://{private}:2379,http://127.0.0.1:2379\n\
         ETCD_ADVERTISE_CLIENT_URLS=http://{private}:2379\n\
         ETCD_AUTO_COMPACTION_MODE=periodic\nETCD_AUTO_COMPACTION_RETENTION=1h\nETCD_PRE_VOTE=true\n",
        name = member_name(private),
        data = data.display(),
        members = members.join(","),
    ))
}

/// `/run/convoy/etcd-gateway.env`: where the gateway forwards to, or none for a machine that needs no gateway.
pub fn gateway_environment(role: &Role) -> Option<String> {
    let Role::Client { seeds } = role else { return None };
    let endpoints: Vec<String> = seeds.iter().map(|seed| format!("{seed}:2379")).collect();
    Some(format!("{HEADER}CONVOY_ETCD_GATEWAY_ENDPOINTS={}\n", endpoints.join(",")))
}

/// All machines must write the same list of members, and know nothing but each other's addresses.
fn member_name(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("convoy-{a}-{b}-{c}-{d}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::{Addresses, Origin};
    use crate::machine::{HostName, MachineId};

    fn machine() -> Machine {
        Machine {
            id: MachineId::parse("0123456789abcdef0123456789abcdef").unwrap(),
            host_name: HostName::parse("core-1").unwrap(),
            addresses: Addresses {
                private: Ipv4Addr::new(10, 0, 0, 1),
                private_origin: Origin::DefaultRoute,
                public: Ipv4Addr::new(203, 0, 113, 1),
                public_origin: Origin::Provider,
            },
        }
    }

    fn seeds() -> Vec<Ipv4Addr> {
        vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)]
    }

    #[test]
    fn machine_environment_has_our_names_and_the_old_ones() {
        let endpoints = ["http://127.0.0.1:2379".to_owned(), "http://10.0.0.2:2379".to_owned()];
        assert_eq!(
            machine_environment(&machine(), Some(&endpoints)),
            "# Written at boot by machine-setup (convoy-setup.service); edits are lost.\n\
             CONVOY_MACHINE_ID=0123456789abcdef0123456789abcdef\n\
             CONVOY_HOSTNAME=core-1\n\
             CONVOY_PRIVATE_IPV4=10.0.0.1\n\
             CONVOY_PUBLIC_IPV4=203.0.113.1\n\
             COREOS_PRIVATE_IPV4=10.0.0.1\n\
             COREOS_PUBLIC_IPV4=203.0.113.1\n\
             CONVOY_ETCD_ENDPOINTS=http://127.0.0.1:2379,http://10.0.0.2:2379\n"
        );
        assert!(!machine_environment(&machine(), None).contains("ENDPOINTS"));
    }

    #[test]
    fn a_member_listens_on_its_own_address_and_the_local_one() {
        let role = Role::Member { seeds: seeds(), token: "t-1".into() };
        let text = etcd_environment(seeds()[0], &role, Path::new("/var/lib/etcd/convoy"), false).unwrap();
        assert_eq!(
            text,
            "# Written at boot by machine-setup (convoy-setup.service); edits are lost.\n\
             ETCD_NAME=convoy-10-0-0-1\n\
             ETCD_DATA_DIR=/var/lib/etcd/convoy\n\
             ETCD_INITIAL_CLUSTER=convoy-10-0-0-1=http://10.0.0.1:2380,convoy-10-0-0-2=http://10.0.0.2:2380,\
             convoy-10-0-0-3=http://10.0.0.3:2380\n\
             ETCD_INITIAL_CLUSTER_TOKEN=t-1\n\
             ETCD_INITIAL_CLUSTER_STATE=new\n\
             ETCD_LISTEN_PEER_URLS=http://10.0.0.1:2380\n\
             ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.1:2380\n\
             ETCD_LISTEN_CLIENT_URLS=http://10.0.0.1:2379,http://127.0.0.1:2379\n\
             ETCD_ADVERTISE_CLIENT_URLS=http://10.0.0.1:2379\n\
             ETCD_AUTO_COMPACTION_MODE=periodic\n\
             ETCD_AUTO_COMPACTION_RETENTION=1h\n\
             ETCD_PRE_VOTE=true\n"
        );
        let again = etcd_environment(seeds()[0], &role, Path::new("/var/lib/etcd/convoy"), true).unwrap();
        assert!(again.contains("ETCD_INITIAL_CLUSTER_STATE=existing\n"));
        assert_eq!(gateway_environment(&role), None);
    }

    #[test]
    fn every_member_writes_the_same_list() {
        let line = |address: Ipv4Addr| {
            let role = Role::Member { seeds: seeds(), token: "t".into() };
            let text = etcd_environment(address, &role, Path::new("/d"), false).unwrap();
            text.lines().find(|line| line.starts_with("ETCD_INITIAL_CLUSTER=")).unwrap().to_owned()
        };
        assert!(seeds().iter().all(|seed| line(*seed) == line(seeds()[0])));
    }

    #[test]
    fn a_client_gets_a_gateway_and_no_member() {
        let role = Role::Client { seeds: seeds() };
        assert_eq!(etcd_environment(Ipv4Addr::new(10, 0, 0, 4), &role, Path::new("/d"), false), None);
        assert!(
            gateway_environment(&role)
                .unwrap()
                .ends_with("CONVOY_ETCD_GATEWAY_ENDPOINTS=10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n")
        );
        assert_eq!(gateway_environment(&Role::None), None);
    }
}
