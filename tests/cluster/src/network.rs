//! The cluster's network: a bridge in a namespace of its own, a cable to a namespace per machine.
//!
//! The namespaces are kept by bind mounts, so they outlive the tool. `ip netns` is not used: its `exec` remounts
//! /sys, and nspawn then finds no cgroup hierarchy.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::addressing::{BRIDGE_ADDRESS, container_subnet, machine_address};
use crate::command::{self, SHORT};
use crate::error::ClusterError;

/// The program, to be run inside the network namespace kept at `namespace`.
pub(crate) fn inside(namespace: &Path, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).arg("--").arg(program);
    command
}

/// Creates the namespace of the cluster with its bridge. It has no way out: there is no other interface in it.
pub(crate) fn create_bridge(namespace: &Path) -> Result<(), ClusterError> {
    create_namespace(namespace)?;
    let batch = format!(
        "link set lo up\nlink add br0 type bridge forward_delay 0\naddr add {BRIDGE_ADDRESS}/24 dev br0\nlink set br0 up\n"
    );
    ip(namespace, &batch)?;
    // Routes the machines' container networks, and nothing else; the sender need not hear of shorter ways.
    sysctl(namespace, "net/ipv4/ip_forward", "1")?;
    sysctl(namespace, "net/ipv4/conf/all/send_redirects", "0")?;
    sysctl(namespace, "net/ipv4/conf/br0/send_redirects", "0")
}

/// Creates a machine's namespace, with its cable plugged in and its address set before its first process runs.
pub(crate) fn plug_in(cluster: &Path, machine: &Path, index: u8) -> Result<(), ClusterError> {
    create_namespace(machine)?;
    let port = port(index);
    let address = machine_address(index);
    let containers = container_network(index);
    ip(
        cluster,
        &format!(
            "link add {port} type veth peer name eth0 netns {}\nlink set {port} master br0 up\n\
             route replace {containers} via {address} dev br0\n",
            machine.display()
        ),
    )?;
    ip(
        machine,
        &format!(
            "link set lo up\naddr add {address}/24 dev eth0\nlink set eth0 up\nroute add default via {BRIDGE_ADDRESS}\n"
        ),
    )
}

/// The network that contains [`container_subnet`]'s address, in the form that `ip route` reads.
fn container_network(index: u8) -> String {
    let (address, prefix) = container_subnet(index);
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    format!("{}/{prefix}", Ipv4Addr::from(u32::from(address) & mask))
}

/// Removes a machine's cable and namespace; what is not there is fine.
pub(crate) fn unplug(cluster: &Path, machine: &Path, index: u8) -> Result<(), ClusterError> {
    let mut command = inside(cluster, "ip");
    command.args(["link", "delete", &port(index)]);
    command::run("remove a network cable", command, None, SHORT)?;
    remove_namespace(machine)
}

/// Lets nothing pass the machine's port, in both directions and without a word to either side, or everything again.
pub(crate) fn set_passing(cluster: &Path, index: u8, passing: bool) -> Result<(), ClusterError> {
    let mut command = inside(cluster, "bridge");
    command.args(["link", "set", "dev", &port(index), "state", if passing { "3" } else { "0" }]);
    command::run("switch a bridge port", command, None, SHORT)?.ok("switch a bridge port").map(drop)
}

/// Runs `work` on a thread inside the namespace: sockets that it opens are in the cluster's network.
pub(crate) fn run_inside<T: Send>(
    namespace: &Path,
    work: impl FnOnce() -> T + Send,
) -> Result<T, ClusterError> {
    let file = File::open(namespace).map_err(ClusterError::file("open", namespace))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(ClusterError::system("enter the cluster's network"))?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(crate) fn remove_namespace(namespace: &Path) -> Result<(), ClusterError> {
    // Not mounted: nothing to remove but the file.
    let _ = unmount(namespace, UnmountFlags::DETACH);
    match fs::remove_file(namespace) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ClusterError::file("remove", namespace)(error))
        }
        _ => Ok(()),
    }
}

fn port(index: u8) -> String {
    format!("port{index}")
}

fn create_namespace(namespace: &Path) -> Result<(), ClusterError> {
    remove_namespace(namespace)?;
    File::create(namespace).map_err(ClusterError::file("create", namespace))?;
    let mut command = Command::new("unshare");
    command.arg(format!("--net={}", namespace.display())).arg("true");
    command::run("create a network namespace", command, None, SHORT)?
        .ok("create a network namespace")
        .map(drop)
}

fn ip(namespace: &Path, batch: &str) -> Result<(), ClusterError> {
    let mut command = inside(namespace, "ip");
    command.args(["-batch", "-"]);
    let what = "set up the network";
    command::run(what, command, Some(batch.as_bytes()), SHORT)?.ok(what).map(drop)
}

fn sysctl(namespace: &Path, key: &str, value: &str) -> Result<(), ClusterError> {
    let mut command = inside(namespace, "sh");
    command.args(["-c", "echo \"$1\" > \"/proc/sys/$0\"", key, value]);
    let what = "set a network parameter";
    command::run(what, command, None, SHORT)?.ok(what).map(drop)
}
