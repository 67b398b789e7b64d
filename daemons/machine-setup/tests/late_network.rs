//! A machine whose network comes up late. Needs a network namespace of its own, so it is skipped where the system
//! gives none.
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn it_waits_for_the_address_and_goes_on_at_once() {
    let namespace = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !namespace.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespace of its own here: {namespace:?}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // Two seconds in, the cable is plugged in and the address comes.
    let script = "(sleep 2; ip link add eth0 type veth peer name peer; ip link set peer up; ip link set eth0 up; \
                  ip addr add 10.3.3.3/24 dev eth0) & exec \"$0\" check";
    let started = Instant::now();
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", script, env!("CARGO_BIN_EXE_machine-setup")])
        .env("CONVOY_CONFIG_PATH", folder.path())
        .output()
        .expect("unshare runs");
    let took = started.elapsed();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("10.3.3.3"), "{text}");
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&took), "{took:?}");
}
