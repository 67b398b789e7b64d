//! Which address is announced for which container: engine answers as files, the choice as a table.

#![allow(clippy::unwrap_used)] // a helper that fails should fail the test

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use convoy_registrar::address::{Family, MachineAddress, Mode, Wish, choose};
use convoy_registrar::container::{Container, EngineHealth, NetworkMode};

fn container(fixture: &str) -> Container {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{fixture}.json"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<bollard::models::ContainerInspectResponse>(&text).unwrap().into()
}

const MACHINE: MachineAddress = MachineAddress {
    ipv4: Some(Ipv4Addr::new(10, 0, 0, 7)),
    ipv6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7)),
};
const UNKNOWN: MachineAddress = MachineAddress { ipv4: None, ipv6: None };

fn wish() -> Wish {
    Wish::default()
}

fn mode(mode: Mode) -> Wish {
    Wish { mode, ..wish() }
}

fn network(name: &str) -> Wish {
    Wish { network: Some(name.to_owned()), ..wish() }
}

fn port(port: u16) -> Wish {
    Wish { port: Some(port), ..wish() }
}

fn family(family: Family) -> Wish {
    Wish { family, ..wish() }
}

#[test]
fn the_address_of_each_kind_of_container() {
    for (fixture, wish, expected) in [
        ("docker-bridge", wish(), "172.17.0.2:3000"),
        ("docker-29-bridge", wish(), "172.17.0.2:3000"),
        ("docker-no-port", port(8080), "172.17.0.2:8080"),
        // Published: the machine's address for wildcards, the bound one otherwise.
        ("docker-published-wildcard", wish(), "10.0.0.7:49153"),
        ("docker-published-wildcard", mode(Mode::Published), "10.0.0.7:49153"),
        ("docker-published-wildcard", family(Family::Ipv6), "[fd00::7]:49153"),
        ("docker-published-wildcard", mode(Mode::Container), "172.17.0.2:3000"),
        ("docker-published-wildcard", network("bridge"), "172.17.0.2:3000"),
        ("docker-published-private", wish(), "10.0.0.7:49153"),
        ("docker-published-v6", wish(), "[fd00::7]:49153"),
        ("docker-published-private-and-public", wish(), "10.0.0.7:8080"),
        ("docker-published-loopback", mode(Mode::Container), "172.17.0.2:3000"),
        ("docker-two-ports", port(9000), "10.0.0.7:49154"),
        // A port that is not among the published ones: the container's own address is what is left.
        ("docker-two-ports", port(7000), "172.17.0.2:7000"),
        // The host's own network.
        ("docker-host", wish(), "10.0.0.7:3000"),
        ("docker-host", port(80), "10.0.0.7:80"),
        ("docker-host", family(Family::Ipv6), "[fd00::7]:3000"),
        // Several networks: the named one, the one it was started with, the default route.
        ("docker-two-networks", wish(), "172.18.0.5:3000"),
        ("docker-two-networks", network("back"), "172.19.0.5:3000"),
        ("docker-two-networks-priority", wish(), "172.19.0.5:3000"),
        ("docker-dual-stack", wish(), "172.18.0.5:3000"),
        ("docker-dual-stack", family(Family::Ipv6), "[fd00:18::5]:3000"),
        // Podman: empty host address, no networks, another default network.
        ("podman-null-networks", wish(), "10.0.0.7:43210"),
        ("podman-bridge", wish(), "10.88.0.5:3000"),
        ("real-podman-4.3-published", wish(), "10.77.0.11:45733"),
        ("real-docker-20.10-published", wish(), "10.77.0.11:32780"),
    ] {
        let container = container(fixture);
        let chosen = choose(&container, &container, &wish, MACHINE).map(|endpoint| endpoint.to_string());
        assert_eq!(chosen.as_deref(), Ok(expected), "{fixture} {wish:?}");
    }
}

#[test]
fn what_is_ambiguous_or_out_of_reach_is_refused_and_says_what_to_set() {
    for (fixture, wish, machine, said) in [
        ("docker-published-loopback", wish(), MACHINE, "set `mode` to container"),
        ("docker-published-twice", wish(), MACHINE, "published as 10.0.0.7:8080, 10.0.0.7:8081"),
        ("docker-two-ports", wish(), MACHINE, "has the TCP ports 3000, 9000: set `port`"),
        ("docker-no-port", wish(), MACHINE, "declares no TCP port: set `port`"),
        ("docker-bridge", mode(Mode::Published), MACHINE, "start the container with -p 3000"),
        ("docker-bridge", network("web"), MACHINE, "not on network \"web\", but on bridge"),
        ("docker-bridge", family(Family::Ipv6), MACHINE, "no IPv6 address on network \"bridge\""),
        ("docker-published-private", family(Family::Ipv6), MACHINE, "no IPv6 address among the published"),
        ("docker-two-networks-mode-gone", wish(), MACHINE, "on the networks back, web, and nothing says"),
        ("docker-none", port(80), MACHINE, "no IP address"),
        ("docker-exited", wish(), MACHINE, "no IP address"),
        ("docker-published-wildcard", wish(), UNKNOWN, "set CONVOY_PRIVATE_IPV4"),
        ("docker-host", wish(), UNKNOWN, "set CONVOY_PRIVATE_IPV4"),
        ("podman-null-networks", mode(Mode::Container), MACHINE, "no IP address"),
    ] {
        let container = container(fixture);
        match choose(&container, &container, &wish, machine) {
            Ok(endpoint) => panic!("{fixture} {wish:?}: {endpoint}"),
            Err(error) => assert!(error.to_string().contains(said), "{fixture} {wish:?}: {error}"),
        }
    }
}

#[test]
fn a_container_in_anothers_network_has_its_address() {
    let app = container("docker-shared");
    assert_eq!(app.network_mode, NetworkMode::Shared("0f1e2d3c".into()));
    for (owner, expected) in [
        ("docker-bridge", "172.17.0.2:3000"),
        ("docker-published-wildcard", "10.0.0.7:49153"),
        ("docker-host", "10.0.0.7:3000"),
    ] {
        let chosen = choose(&app, &container(owner), &wish(), MACHINE).unwrap();
        assert_eq!(chosen.to_string(), expected, "{owner}");
    }
}

#[test]
fn labels_health_and_state_are_read() {
    let labelled = container("docker-labels");
    let labels: Vec<_> =
        labelled.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("check", "http:/healthz"), ("port", "3000")]);
    assert_eq!(labelled.health, Some(EngineHealth::Healthy));
    assert_eq!(labelled.name, "someapp-1");
    assert!(labelled.running);
    let exited = container("docker-exited");
    assert!(!exited.running);
    assert_eq!(container("podman-null-networks").health, None);
}
