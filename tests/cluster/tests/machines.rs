//! The cluster keeps its own promises: machines form etcd's cluster, break as machines break, come back, and leave
//! nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests; clippy exempts the tests only"
)]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use convoy_cluster::{Cluster, Lines, Machine, StateDir, UpOptions, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Whether the test has to be skipped; the reason is printed, and with `CI=true` it is a failure.
fn skipped(reason: Option<&String>) -> bool {
    if let Some(reason) = reason {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "with CI=true this has to run: {reason}");
        eprintln!("skipped: {reason}");
    }
    reason.is_some()
}

fn impossible() -> Option<String> {
    Cluster::possible().err().map(|reason| format!("machines can't be booted here: {reason}"))
}

fn options(name: &str, machines: u8) -> UpOptions {
    UpOptions { name: name.into(), machines, reporter: Arc::new(Lines), ..UpOptions::default() }
}

fn etcdctl(machine: &Machine, arguments: &[&str]) -> Result<String, String> {
    let all: Vec<&str> = ["etcdctl", "--command-timeout=2s"].iter().chain(arguments).copied().collect();
    machine.exec_ok(&all).map(|output| output.stdout.trim().to_owned()).map_err(|error| error.to_string())
}

#[test]
fn four_machines_form_a_cluster_and_survive_what_happens_to_machines() {
    let release = std::env::var_os("CONVOY_RELEASE").map(PathBuf::from);
    let no_release =
        release.is_none().then(|| "CONVOY_RELEASE names no tarball; make test builds one".to_owned());
    if skipped(impossible().or(no_release).as_ref()) {
        return;
    }
    let mut options = options("test-cluster", 4);
    options.release = release;
    options.without_nginx = [2].into();
    let cluster = Cluster::up(options).unwrap();
    let [m1, m2, m3, m4] = [1, 2, 3, 4].map(|index| cluster.machine(index));

    cloud_init_applied_the_file_without_complaint(&m1);
    only_the_release_that_is_named_is_installed(&m1);
    three_members_and_a_gateway(&m1, &m4);
    assert!(m1.exec(&["test", "-x", "/usr/sbin/nginx"]).unwrap().success());
    assert!(!m2.exec(&["test", "-e", "/usr/sbin/nginx"]).unwrap().success());
    containers_are_reached_over_machines(&cluster, &m1, &m4);
    a_cut_machine_hears_nothing(&cluster, &m1, &m3);
    a_crashed_member_comes_back_with_its_data(&m1, &m2);
    a_machine_boots_again_after_power_off(&m4);
    cluster.down().unwrap();
}

fn cloud_init_applied_the_file_without_complaint(machine: &Machine) {
    let user_data = "/var/lib/cloud/seed/nocloud/user-data";
    machine.exec_ok(&["cloud-init", "schema", "--config-file", user_data]).unwrap();
    let status = wait_until("cloud-init to be done", SOON, || {
        let text = machine.exec(&["cloud-init", "status"]).map_err(|error| error.to_string())?.stdout;
        if text.contains("status: running") { Err(text) } else { Ok(text) }
    });
    assert_eq!(status.unwrap().trim(), "status: done");
    let failed = machine.exec_ok(&["systemctl", "--failed", "--no-legend", "--plain"]).unwrap().stdout;
    assert_eq!(failed, "", "failed units");
    let waited_for =
        machine.exec_ok(&["systemctl", "show", "-p", "After", "multi-user.target"]).unwrap().stdout;
    let waits =
        ["etcd.service", "convoy-install.service", "convoy.target"].map(|unit| waited_for.contains(unit));
    assert_eq!(waits, [false; 3], "the boot waits: {waited_for}");
}

fn only_the_release_that_is_named_is_installed(machine: &Machine) {
    let install = |sha256: &str| {
        let script = format!(
            ". /etc/convoy/release.env; {sha256} export CONVOY_RELEASE_URL CONVOY_RELEASE_SHA256; \
                              exec /opt/convoy/install-release"
        );
        machine.exec(&["sh", "-c", &script]).unwrap()
    };
    let stamp = machine.read_file("/opt/convoy/installed").unwrap();
    assert!(install("").success(), "installed already");
    let refused = install("CONVOY_RELEASE_SHA256=$(printf '%064d' 0);");
    assert!(!refused.success() && refused.text().contains("checksum"), "{}", refused.text());
    assert_eq!(machine.read_file("/opt/convoy/installed").unwrap(), stamp);
    let left = machine.shell_ok("ls /opt/convoy").unwrap().stdout;
    assert!(!left.contains("release."), "{left}");
}

fn three_members_and_a_gateway(member: &Machine, client: &Machine) {
    let members = etcdctl(member, &["member", "list"]).unwrap();
    assert_eq!(members.lines().filter(|line| line.contains("started")).count(), 3, "{members}");
    etcdctl(client, &["put", "/test/from", "the-client"]).unwrap();
    assert_eq!(etcdctl(member, &["get", "--print-value-only", "/test/from"]).unwrap(), "the-client");
    let listening = client.exec_ok(&["systemctl", "is-active", "convoy-etcd-gateway.service"]).unwrap();
    assert_eq!(listening.stdout.trim(), "active");
    assert!(!client.exec(&["systemctl", "is-active", "etcd.service"]).unwrap().success());
}

fn containers_are_reached_over_machines(cluster: &Cluster, on: &Machine, from: &Machine) {
    on.exec_ok(&[
        "docker",
        "run",
        "-d",
        "--name",
        "probe",
        "-e",
        "INSTANCE=probe",
        "-p",
        "4000:3000",
        "someapp",
    ])
    .unwrap();
    let format = "{{.NetworkSettings.IPAddress}}";
    let address = on.exec_ok(&["docker", "inspect", "--format", format, "probe"]).unwrap();
    for url in [format!("http://{}:3000/x", address.stdout.trim()), format!("http://{}:4000/x", on.address())]
    {
        wait_until(&format!("an answer from {url}"), SOON, || {
            let output = from.exec(&["curl", "-sS", "-m", "2", &url]).map_err(|error| error.to_string())?;
            if output.stdout.contains("\"instance\":\"probe\"") { Ok(()) } else { Err(output.text()) }
        })
        .unwrap();
    }
    let reached = cluster.with_network(|| TcpStream::connect((on.address(), 4000)).map(drop)).unwrap();
    reached.unwrap();
    on.exec_ok(&["docker", "rm", "--force", "probe"]).unwrap();
}

fn a_cut_machine_hears_nothing(cluster: &Cluster, other: &Machine, cut: &Machine) {
    cut.cut().unwrap();
    let refused = cluster.with_network(|| {
        let address = std::net::SocketAddr::from((cut.address(), 2379));
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).map(drop).map_err(|error| error.kind())
    });
    assert_eq!(refused.unwrap(), Err(std::io::ErrorKind::TimedOut), "a cut is silent");
    wait_until("the others to go on", SOON, || etcdctl(other, &["put", "/test/cut", "written"])).unwrap();
    assert!(etcdctl(cut, &["get", "/test/cut"]).is_err(), "the cut member has no majority");
    cut.heal().unwrap();
    let value = wait_until("the healed member to answer", SOON, || {
        let value = etcdctl(cut, &["get", "--print-value-only", "/test/cut"])?;
        if value == "written" { Ok(value) } else { Err(value) }
    });
    value.unwrap();
}

fn a_crashed_member_comes_back_with_its_data(other: &Machine, crashed: &Machine) {
    crashed.write_file("/etc/left-behind", b"still here", "0640").unwrap();
    crashed.crash().unwrap();
    assert!(!crashed.is_on());
    assert!(crashed.exec(&["true"]).is_err());
    wait_until("the others to go on", SOON, || etcdctl(other, &["put", "/test/crash", "written"])).unwrap();
    crashed.start().unwrap();
    assert_eq!(crashed.read_file("/etc/left-behind").unwrap(), "still here");
    wait_until("the member to catch up", SOON, || {
        let value = etcdctl(crashed, &["get", "--print-value-only", "/test/crash"])?;
        if value == "written" { Ok(()) } else { Err(value) }
    })
    .unwrap();
    let environment = crashed.read_file("/run/convoy/etcd.env").unwrap();
    assert!(environment.contains("ETCD_INITIAL_CLUSTER_STATE=existing\n"), "{environment}");
}

fn a_machine_boots_again_after_power_off(machine: &Machine) {
    machine.power_off().unwrap();
    assert!(!machine.is_on());
    machine.start().unwrap();
    let boots = machine.journal(&["--list-boots"]).unwrap();
    assert_eq!(boots.lines().count(), 2, "{boots}");
    machine.freeze().unwrap();
    machine.thaw().unwrap();
    machine.exec_ok(&["true"]).unwrap();
}

#[test]
fn what_a_killed_tool_left_is_replaced_and_nothing_stays() {
    if skipped(impossible().as_ref()) {
        return;
    }
    let name = "test-leftover";
    let first = Cluster::up(options(name, 1)).unwrap().leave_running();
    let old_id = first.machine(1).machine_id().to_owned();
    drop(first);

    let cluster = Cluster::up(options(name, 1)).unwrap();
    let machine = cluster.machine(1);
    assert_ne!(machine.machine_id(), old_id);
    let seen = machine.read_file("/etc/machine-id").unwrap();
    assert_eq!(seen.trim(), machine.machine_id());
    no_way_out(&cluster);
    cluster.down().unwrap();

    let state = StateDir::from_environment();
    assert!(!Cluster::list(&state).contains(&name.to_owned()));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(name), "mounts are left");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        assert!(!command.contains(&format!("/{name}/")), "a process is left: {command}");
    }
}

/// The cluster's network knows its own addresses only.
fn no_way_out(cluster: &Cluster) {
    let routes = cluster.exec_in_network(&["ip", "-4", "route", "show"], SOON).unwrap().stdout;
    assert!(
        routes.lines().all(|route| route.starts_with("10.77.0.0/24 ") || route.starts_with("10.78.")),
        "{routes}"
    );
    let links = cluster.exec_in_network(&["ip", "-o", "link", "show"], SOON).unwrap().stdout;
    let names: Vec<&str> = links.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert!(names.iter().all(|name| ["lo", "br0"].contains(name) || name.starts_with("port")), "{links}");
}
