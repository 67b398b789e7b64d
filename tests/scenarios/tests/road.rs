//! The tutorial on four machines, in the order of its four parts, and then everything that goes wrong on a bad day.
//!
//! `m1` to `m3` are the etcd members, `m4` is a client. Each machine runs one instance of the app; `m1` has a load
//! balancer in its own nginx, `m2` has none of its own and runs one in a container; `m3` is the edge.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_cluster::wait_until;
use convoy_scenarios::{DOMAIN, SOON, Scenario, Stage, options, run};

const EDGE: u8 = 3;
const INSTANCES: [&str; 4] = ["someapp-1", "someapp-2", "someapp-3", "someapp-4"];
const UPSTREAMS: &str = "/services/someapp/upstream/";
/// The lease of an announcement in its default length, and what etcd and the watchers may add to it.
const LEASE: Duration = Duration::from_secs(45);

fn main() -> ExitCode {
    run(
        options("road", 4, &[2]),
        |cluster| Ok(Stage { cluster }),
        &[
            Scenario { name: "part_1_one_file_boots_machines_into_a_cluster", prove: cluster },
            Scenario { name: "part_2_instances_announce_themselves_and_withdraw", prove: registration },
            Scenario { name: "part_3_load_balancers_follow_the_instances", prove: load_balancing },
            Scenario { name: "part_4_the_edge_turns_services_into_subdomains", prove: edge },
            Scenario { name: "the_apache_guide_works_with_its_own_key_and_check", prove: apache },
            Scenario { name: "daemons_tell_their_story", prove: story },
            Scenario { name: "units_are_valid_and_daemons_are_confined", prove: units },
            Scenario {
                name: "a_rolling_restart_of_all_instances_fails_no_request",
                prove: rolling_instances,
            },
            Scenario {
                name: "a_rolling_restart_of_both_load_balancers_fails_no_request",
                prove: rolling_balancers,
            },
            Scenario { name: "a_restart_of_the_edge_router_fails_no_request", prove: restart_edge },
            Scenario { name: "a_killed_container_fails_no_request_and_comes_back", prove: killed_container },
            Scenario { name: "an_invalid_value_is_skipped_and_said", prove: invalid_value },
            Scenario { name: "one_etcd_member_down_changes_nothing", prove: member_down },
            Scenario { name: "without_a_quorum_everything_goes_on_and_catches_up", prove: quorum_lost },
            Scenario { name: "a_machine_that_is_cut_off_leaves_and_returns", prove: cut_off },
            Scenario {
                name: "a_crashed_machine_leaves_with_its_lease_and_returns_at_boot",
                prove: crashed_machine,
            },
        ],
    )
}

fn target(stage: &Stage) -> convoy_road::traffic::Target {
    stage.target(EDGE, 80, &format!("someapp.{DOMAIN}"))
}

fn cluster(stage: &Stage) -> Result<()> {
    let members = stage.etcdctl(1, &["member", "list"])?;
    ensure!(members.lines().count() == 3, "three members expected:\n{members}");
    for machine in stage.cluster.machines() {
        let health = stage.etcdctl(machine.index(), &["endpoint", "health"])?;
        let environment = machine.read_file("/run/convoy/machine.env")?;
        let address = format!("CONVOY_PRIVATE_IPV4={}", machine.address());
        ensure!(
            environment.lines().any(|line| line == address),
            "{address} expected in:\n{environment}{health}"
        );
    }
    Ok(())
}

fn registration(stage: &Stage) -> Result<()> {
    for number in 1..=4 {
        stage.start(number, &format!("someapp@{number}.service"))?;
        stage.wait_active(number, &format!("registrar@someapp-{number}.service"))?;
    }
    stage.wait_for_keys(4, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    for (key, value) in stage.keys(4, UPSTREAMS)? {
        let endpoint: std::net::SocketAddr = value.parse().with_context(|| format!("{key} = {value}"))?;
        ensure!(
            stage.cluster.machines().any(|machine| machine.address() == endpoint.ip()),
            "{key} = {value}"
        );
    }
    let leases = stage.etcdctl(1, &["lease", "list"])?;
    ensure!(leases.lines().count() >= 5, "a lease for each instance expected:\n{leases}");

    stage.cluster.machine(2).systemctl(&["stop", "someapp@2.service"])?;
    // Withdrawn before the app was told to stop, so it is gone when the stop has ended.
    stage.wait_for_keys(4, UPSTREAMS, &["1", "3", "4"], Duration::ZERO)?;
    stage.start(2, "someapp@2.service")?;
    stage.wait_for_keys(4, UPSTREAMS, &["1", "2", "3", "4"], SOON)
}

fn load_balancing(stage: &Stage) -> Result<()> {
    for number in [1, 2] {
        stage.start(number, &format!("nginx-lb@someapp-{number}.service"))?;
        stage.wait_active(number, &format!("lb-watcher@someapp-{number}.service"))?;
    }
    for (number, kind) in [(1, "nginx of the host"), (2, "nginx in a container")] {
        let unit = format!("nginx-lb@someapp-{number}.service");
        let description = stage.property(number, &unit, "Description")?;
        ensure!(description.contains(kind), "{kind} was to be used by {unit}: {description}");
    }

    stage.wait_for_keys(4, "/services/someapp/lb/", &["1", "2"], SOON)?;
    for (key, value) in stage.keys(4, "/services/someapp/lb/")? {
        let address: std::net::SocketAddr = value.parse().with_context(|| format!("{key} = {value}"))?;
        let balancer =
            convoy_road::traffic::Target { address, host: "someapp".to_owned(), path: "/".to_owned() };
        stage.wait_for_instances(&balancer, &INSTANCES, SOON)?;
        stage.cluster.machine(3).systemctl(&["stop", "someapp@3.service"])?;
        stage.wait_for_instances(&balancer, &["someapp-1", "someapp-2", "someapp-4"], SOON)?;
        stage.start(3, "someapp@3.service")?;
        stage.wait_for_instances(&balancer, &INSTANCES, SOON)?;
    }
    Ok(())
}

fn edge(stage: &Stage) -> Result<()> {
    stage.start(EDGE, "edge-router.socket")?;
    stage.start(EDGE, "edge-router.service")?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    let unknown = stage.get(&stage.target(EDGE, 80, &format!("nothing.{DOMAIN}")))?;
    ensure!(unknown.status == 404, "404 expected for a host that nobody serves: {unknown:?}");
    let elsewhere = stage.get(&stage.target(EDGE, 80, "someapp.example.org"))?;
    ensure!(elsewhere.status == 404, "404 expected for a domain that isn't ours: {elsewhere:?}");
    Ok(())
}

fn apache(stage: &Stage) -> Result<()> {
    let machine = stage.cluster.machine(4);
    machine.shell_ok(
        "cp /opt/convoy/examples/apache@.service /etc/systemd/system/ && systemctl daemon-reload",
    )?;
    stage.start(4, "apache@1.service")?;
    stage.wait_active(4, "registrar@apache-1.service")?;
    wait_until("the guide's key", SOON, || {
        let keys = stage.keys(1, "/services/apache/").map_err(|error| format!("{error:#}"))?;
        let named_by_address = keys.keys().any(|key| key.contains(&machine.address().to_string()));
        if named_by_address { Ok(()) } else { Err(format!("{keys:?}")) }
    })?;
    let answer = stage.get(&stage.target(EDGE, 80, &format!("apache.{DOMAIN}")))?;
    machine.systemctl(&["stop", "apache@1.service"])?;
    let left = stage.keys(1, "/services/apache/")?;
    ensure!(left.is_empty(), "the key outlived the stop: {left:?}");
    ensure!(answer.status == 200 || answer.status == 404, "{answer:?}");
    Ok(())
}

fn story(stage: &Stage) -> Result<()> {
    for (on, unit, expected) in [
        (1, "registrar@someapp-1.service", "listed"),
        (1, "lb-watcher@someapp-1.service", "serving 4 upstreams"),
        (EDGE, "edge-router.service", "serving"),
    ] {
        let status = stage.property(on, unit, "StatusText")?;
        ensure!(status.contains(expected), "{unit} says {status:?}, {expected:?} was expected");
        let journal = stage.cluster.machine(on).journal(&["-o", "cat", "-u", unit])?;
        ensure!(!journal.trim().is_empty(), "{unit} has nothing in the journal");
    }
    let explained = stage.cluster.machine(1).journal(&["-x", "-u", "registrar@someapp-1.service"])?;
    ensure!(explained.contains("Subject: Announced"), "journalctl -x explains nothing:\n{explained}");
    Ok(())
}

fn units(stage: &Stage) -> Result<()> {
    let machine = stage.cluster.machine(EDGE);
    machine.shell_ok(
        "cd /etc/systemd/system && export SYSTEMD_UNIT_PATH=/run/systemd/generator: && systemd-analyze verify --man=no registrar@.service registrar-bind@.service \
         lb-watcher@.service nginx-lb-host@.service nginx-lb-container@.service nginx-lb-check@.service \
         edge-router.socket edge-router.service convoy-setup.service convoy-etcd-gateway.service someapp@.service",
    )?;
    // An exposure of 2.0 or better; all daemons and what takes requests, the oneshots apart.
    for (on, unit) in [
        (1, "registrar@someapp-1.service"),
        (1, "lb-watcher@someapp-1.service"),
        (1, "nginx-lb@someapp-1.service"),
        (EDGE, "edge-router.service"),
    ] {
        let words = ["systemd-analyze", "security", "--no-pager", "--threshold=20", unit];
        stage.cluster.machine(on).exec_ok(&words).with_context(|| format!("{unit} is exposed"))?;
    }
    Ok(())
}

/// How often everything is restarted in turn: `CONVOY_ROUNDS`, for who wants to see more than one round.
fn rounds() -> usize {
    std::env::var("CONVOY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn rolling_instances(stage: &Stage) -> Result<()> {
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(2))?;
    for number in (0..rounds()).flat_map(|_| 1..=4) {
        stage.cluster.machine(number).systemctl(&["restart", &format!("someapp@{number}.service")])?;
        stage.wait_for_keys(4, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    }
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    Stage::expect_no_failure(&traffic.stop())
}

fn rolling_balancers(stage: &Stage) -> Result<()> {
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(2))?;
    for number in (0..rounds()).flat_map(|_| [1, 2]) {
        stage
            .cluster
            .machine(number)
            .systemctl(&["restart", &format!("nginx-lb@someapp-{number}.service")])?;
        stage.wait_active(number, &format!("lb-watcher@someapp-{number}.service"))?;
        stage.wait_for_keys(4, "/services/someapp/lb/", &["1", "2"], SOON)?;
    }
    Stage::expect_no_failure(&traffic.stop())
}

fn restart_edge(stage: &Stage) -> Result<()> {
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(2))?;
    for _ in 0..3 * rounds() {
        let before = traffic.sent();
        stage.cluster.machine(EDGE).systemctl(&["restart", "edge-router.service"])?;
        wait_until("requests after the restart", SOON, || {
            if traffic.sent() > before + 50 { Ok(()) } else { Err(format!("{}", traffic.sent())) }
        })?;
    }
    Stage::expect_no_failure(&traffic.stop())
}

fn killed_container(stage: &Stage) -> Result<()> {
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(2))?;
    let machine = stage.cluster.machine(4);
    let killed = Instant::now();
    machine.exec_ok(&["docker", "kill", "-s", "KILL", "someapp-4"])?;
    stage.wait_for_keys(1, UPSTREAMS, &["1", "2", "3"], SOON)?;
    let gone = killed.elapsed();
    // systemd restarts the app (Restart= of its unit), and the sidekick announces it again.
    stage.wait_for_keys(1, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    ensure!(gone < Duration::from_secs(3), "the key was there for {gone:?} after the kill");
    Stage::expect_no_failure(&traffic.stop())
}

fn invalid_value(stage: &Stage) -> Result<()> {
    let key = format!("{UPSTREAMS}evil");
    stage.etcdctl(1, &["put", &key, "10.0.0.1:80; } server { listen 1;"])?;
    for (on, unit) in [(1, "lb-watcher@someapp-1.service"), (2, "lb-watcher@someapp-2.service")] {
        let machine = stage.cluster.machine(on);
        wait_until("the key in the journal", SOON, || {
            let journal = machine.journal(&["-u", unit, "-o", "cat"]).map_err(|error| error.to_string())?;
            if journal.contains(&key) { Ok(()) } else { Err(journal) }
        })?;
    }
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    // The rest goes on, changes included.
    stage.cluster.machine(3).systemctl(&["stop", "someapp@3.service"])?;
    stage.wait_for_instances(&target(stage), &["someapp-1", "someapp-2", "someapp-4"], SOON)?;
    stage.start(3, "someapp@3.service")?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    stage.etcdctl(1, &["del", &key]).map(drop)
}

fn member_down(stage: &Stage) -> Result<()> {
    let traffic = stage.traffic(&target(stage), 2, Duration::from_millis(5))?;
    // The machine whose registrar and load balancer use the member beside them.
    stage.cluster.machine(1).systemctl(&["stop", "etcd.service"])?;
    stage.cluster.machine(2).systemctl(&["stop", "someapp@2.service"])?;
    stage.wait_for_keys(4, UPSTREAMS, &["1", "3", "4"], SOON)?;
    stage.start(2, "someapp@2.service")?;
    stage.wait_for_keys(4, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    stage.cluster.machine(1).systemctl(&["start", "etcd.service"])?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    stage.wait_for_keys(4, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    Stage::expect_no_failure(&traffic.stop())
}

fn quorum_lost(stage: &Stage) -> Result<()> {
    let before: Vec<String> = (1..=4)
        .map(|number| stage.property(number, &format!("someapp@{number}.service"), "InvocationID"))
        .collect::<Result<_>>()?;
    let traffic = stage.traffic(&target(stage), 2, Duration::from_millis(5))?;
    for number in [1, 2] {
        stage.cluster.machine(number).systemctl(&["kill", "--signal=STOP", "etcd.service"])?;
    }
    let lost = Instant::now();
    // A container dies meanwhile: its registrar can't tell anybody, the load balancers find out by themselves.
    stage.cluster.machine(4).exec_ok(&["docker", "kill", "-s", "KILL", "someapp-4"])?;
    wait_until(
        "30 s without a quorum, with requests answered all the time",
        Duration::from_secs(40),
        || {
            if lost.elapsed() >= Duration::from_secs(30) {
                Ok(())
            } else {
                Err(format!("{:?}", lost.elapsed()))
            }
        },
    )?;
    for number in [1, 2] {
        stage.cluster.machine(number).systemctl(&["kill", "--signal=CONT", "etcd.service"])?;
    }
    stage.wait_for_keys(4, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    let report = traffic.stop();
    for (number, before) in (1..=3).zip(&before) {
        let now = stage.property(number, &format!("someapp@{number}.service"), "InvocationID")?;
        ensure!(now == *before, "someapp@{number} was restarted while etcd was away");
    }
    // Changes flow again.
    stage.cluster.machine(3).systemctl(&["stop", "someapp@3.service"])?;
    stage.wait_for_instances(&target(stage), &["someapp-1", "someapp-2", "someapp-4"], SOON)?;
    stage.start(3, "someapp@3.service")?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    Stage::expect_no_failure(&report)
}

fn cut_off(stage: &Stage) -> Result<()> {
    let machine = stage.cluster.machine(4);
    let before = stage.property(4, "someapp@4.service", "InvocationID")?;
    machine.cut()?;
    stage.wait_for_keys(1, UPSTREAMS, &["1", "2", "3"], LEASE + SOON)?;
    stage.wait_for_instances(&target(stage), &["someapp-1", "someapp-2", "someapp-3"], SOON)?;
    machine.heal()?;
    stage.wait_for_keys(1, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    let after = stage.property(4, "someapp@4.service", "InvocationID")?;
    ensure!(before == after, "the app on the machine that was cut off was restarted");
    Ok(())
}

fn crashed_machine(stage: &Stage) -> Result<()> {
    // A machine with an etcd member, an instance and a load balancer.
    let machine = stage.cluster.machine(2);
    machine.systemctl(&["enable", "someapp@2.service", "lb-watcher@someapp-2.service"])?;
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(5))?;
    let crashed = Instant::now();
    machine.crash()?;
    stage.wait_for_keys(1, UPSTREAMS, &["1", "3", "4"], LEASE + SOON)?;
    stage.wait_for_keys(1, "/services/someapp/lb/", &["1"], LEASE + SOON)?;
    let gone = crashed.elapsed();
    stage.wait_for_instances(&target(stage), &["someapp-1", "someapp-3", "someapp-4"], SOON)?;
    let report = traffic.stop();
    let answered = report.requests - report.failed;
    ensure!(answered > 200, "traffic did not go on: {report:?}");
    ensure!(gone < LEASE, "the keys of the crashed machine were there for {gone:?}");

    // What is enabled comes back with the machine, sidekicks included.
    machine.start()?;
    stage.wait_for_keys(1, UPSTREAMS, &["1", "2", "3", "4"], SOON)?;
    stage.wait_for_keys(1, "/services/someapp/lb/", &["1", "2"], SOON)?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)
}
