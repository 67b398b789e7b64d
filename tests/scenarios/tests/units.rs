//! Units over machines, by `convoyctl`, on five machines: the tutorial as fleet's users know it, and what may happen to
//! it afterwards.
//!
//! `m1` to `m3` are the etcd members, `m3` is the edge. Where the app, its sidekicks and its load balancers run is up
//! to the scheduler.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_cluster::wait_until;
use convoy_road::traffic::Target;
use convoy_scenarios::{DOMAIN, PLACED, SOON, Scenario, Stage, options, run};

const EDGE: u8 = 3;
const INSTANCES: [&str; 4] = ["someapp-1", "someapp-2", "someapp-3", "someapp-4"];
const UPSTREAMS: &str = "/services/someapp/upstream/";
const BALANCERS: &str = "/services/someapp/lb/";
const ALL: [&str; 4] = ["1", "2", "3", "4"];

fn main() -> ExitCode {
    run(
        options("units", 5, &[2]),
        |cluster| Ok(Stage { cluster }),
        &[
            Scenario { name: "every_machine_is_listed_and_one_scheduler_leads", prove: machines },
            Scenario { name: "instances_are_spread_and_sidekicks_follow", prove: spread },
            Scenario { name: "the_edge_serves_what_was_placed", prove: edge },
            Scenario { name: "the_tables_of_fleet_are_there", prove: tables },
            Scenario { name: "what_can_not_be_placed_waits_and_is_explained", prove: explained },
            Scenario { name: "a_broken_unit_is_rejected_and_nothing_else_stops", prove: rejected },
            Scenario { name: "a_restarted_daemon_restarts_no_workload", prove: daemons_restart },
            Scenario { name: "an_upgrade_restarts_no_workload", prove: upgrade },
            Scenario { name: "a_rolling_restart_by_convoyctl_fails_no_request", prove: rolling },
            Scenario { name: "a_drained_machine_is_left_and_no_request_fails", prove: drained },
            Scenario { name: "a_crashed_machines_units_come_back_elsewhere", prove: crashed },
            Scenario { name: "a_machine_powered_off_hands_over_at_once", prove: powered_off },
            Scenario { name: "a_destroyed_unit_leaves_nothing_behind", prove: destroyed },
        ],
    )
}

fn target(stage: &Stage) -> Target {
    stage.target(EDGE, 80, &format!("someapp.{DOMAIN}"))
}

fn machines(stage: &Stage) -> Result<()> {
    wait_until("five machines in convoyctl list-machines", SOON, || {
        let listed = stage.convoyctl(4, &["list-machines", "--full", "--no-legend"]);
        let listed = listed.map_err(|error| format!("{error:#}"))?;
        let all = stage.cluster.machines().all(|machine| {
            listed.contains(machine.machine_id()) && listed.contains(&machine.address().to_string())
        });
        if all && listed.lines().count() == 5 { Ok(()) } else { Err(listed) }
    })?;
    let leader = stage.leader(1)?;
    for machine in stage.cluster.machines() {
        stage.wait_active(machine.index(), "agent.service")?;
        stage.wait_active(machine.index(), "scheduler.service")?;
        let story = stage.property(machine.index(), "scheduler.service", "StatusText")?;
        let leads = machine.index() == leader;
        ensure!(story.contains("leads"), "{}: {story}", machine.name());
        ensure!(
            leads != story.contains(&format!("m{leader}")),
            "m{leader} leads, {}: {story}",
            machine.name()
        );
    }
    Ok(())
}

fn spread(stage: &Stage) -> Result<()> {
    let file = |name: &str| format!("{PLACED}/{name}");
    stage.convoyctl(
        4,
        &[
            "submit",
            &file("someapp@.service"),
            &file("someapp-sidekick@.service"),
            &file("someapp-lb@.service"),
        ],
    )?;
    let started = stage.convoyctl(4, &["start", "someapp@{1..4}", "someapp-sidekick@{1..4}"])?;
    ensure!(started.lines().filter(|line| line.contains("launched on")).count() == 8, "{started}");
    stage.convoyctl(4, &["start", "someapp-lb@{1,2}"])?;

    let apps = stage.placed(1, "someapp@")?;
    let machines: BTreeSet<u8> = apps.values().copied().collect();
    ensure!(apps.len() == 4 && machines.len() == 4, "Conflicts= spreads four instances: {apps:?}");
    for (unit, machine) in stage.placed(1, "someapp-sidekick@")? {
        let app = unit.replace("-sidekick", "");
        ensure!(apps.get(&app) == Some(&machine), "{unit} is on m{machine}, the instances are {apps:?}");
    }
    let balancers = stage.placed(1, "someapp-lb@")?;
    let machines: BTreeSet<u8> = balancers.values().copied().collect();
    ensure!(machines.len() == 2, "Conflicts= spreads two load balancers: {balancers:?}");
    stage.wait_for_keys(1, UPSTREAMS, &ALL, SOON)?;
    stage.wait_for_keys(1, BALANCERS, &["1", "2"], SOON)
}

fn edge(stage: &Stage) -> Result<()> {
    stage.start(EDGE, "edge-router.service")?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)
}

fn tables(stage: &Stage) -> Result<()> {
    let units = stage.convoyctl(1, &["list-units"])?;
    let header: Vec<&str> = units.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(header == ["UNIT", "MACHINE", "ACTIVE", "SUB"], "{units}");
    ensure!(units.lines().filter(|line| line.contains("\tactive")).count() == 10, "{units}");
    let files = stage.convoyctl(1, &["list-unit-files", "--no-legend", "--fields=unit,dstate,state"])?;
    ensure!(files.contains("someapp@1.service\tlaunched\tlaunched"), "{files}");
    ensure!(files.contains("someapp@.service\tinactive\tinactive"), "{files}");
    let text = stage.convoyctl(1, &["cat", "someapp@1.service"])?;
    ensure!(text == stage.cluster.machine(1).read_file(&format!("{PLACED}/someapp@.service"))?, "{text}");
    Ok(())
}

fn explained(stage: &Stage) -> Result<()> {
    // Five machines, so a fifth instance fits and a sixth doesn't.
    stage.convoyctl(1, &["start", "someapp@5"])?;
    let sixth = stage.try_convoyctl(1, &["start", "--block-attempts=1", "someapp@6"])?;
    ensure!(sixth.status.code() == Some(3), "exit code 3 was expected: {}", sixth.text());
    let why = stage.try_convoyctl(1, &["explain", "someapp@6"])?.stdout;
    ensure!(why.contains("Conflicts") && why.contains("someapp@*.service"), "{why}");
    stage.convoyctl(1, &["destroy", "someapp@5", "someapp@6"])?;
    wait_until("the fifth instance to be gone", SOON, || {
        let placed = stage.placed(1, "someapp@").map_err(|error| format!("{error:#}"))?;
        if placed.len() == 4 { Ok(()) } else { Err(format!("{placed:?}")) }
    })?;
    Ok(())
}

fn rejected(stage: &Stage) -> Result<()> {
    let machine = stage.cluster.machine(1);
    let text = "[Service]\nExecStart=/bin/sleep infinity\n\n[X-Fleet]\nConflict=broken@*.service\n";
    machine.write_file("/root/broken.service", text.as_bytes(), "0644")?;
    let output = stage.try_convoyctl(1, &["start", "/root/broken.service"])?;
    ensure!(output.status.code() == Some(2), "exit code 2 was expected: {}", output.text());
    let said = output.text();
    ensure!(said.contains("broken.service:5") && said.contains("Conflicts"), "{said}");
    ensure!(stage.placed(1, "broken")?.is_empty(), "a rejected unit was placed");

    // What somebody puts into the store by hand is not believed either.
    stage.etcdctl(1, &["put", "/convoy/units/evil.service", "{\"text\":42}"])?;
    stage.convoyctl(1, &["start", "someapp@5"])?;
    stage.convoyctl(1, &["destroy", "someapp@5"])?;
    let leader = stage.cluster.machine(stage.leader(1)?);
    wait_until("the key in the leader's journal", SOON, || {
        let journal = leader.journal(&["-u", "scheduler.service", "-o", "cat"]);
        let journal = journal.map_err(|error| error.to_string())?;
        if journal.contains("/convoy/units/evil.service") { Ok(()) } else { Err(journal) }
    })?;
    stage.etcdctl(1, &["del", "/convoy/units/evil.service"]).map(drop)
}

/// Containers that Convoy placed, by name and id.
fn workload(stage: &Stage) -> Result<std::collections::BTreeMap<String, String>> {
    let mut containers = stage.containers()?;
    containers.retain(|name, _| name.starts_with("someapp-"));
    Ok(containers)
}

fn daemons_restart(stage: &Stage) -> Result<()> {
    let before = workload(stage)?;
    ensure!(before.len() >= 4, "{before:?}");
    for machine in stage.cluster.machines() {
        machine.systemctl(&["restart", "agent.service", "scheduler.service"])?;
    }
    for machine in stage.cluster.machines() {
        machine.systemctl(&["kill", "--signal=KILL", "agent.service"])?;
    }
    settled(stage)?;
    let after = workload(stage)?;
    ensure!(before == after, "containers were {before:?}, now they are {after:?}");
    Ok(())
}

/// All agents are back, and what they report is what was asked for.
fn settled(stage: &Stage) -> Result<()> {
    for machine in stage.cluster.machines() {
        stage.wait_active(machine.index(), "agent.service")?;
        stage.wait_active(machine.index(), "scheduler.service")?;
    }
    stage.wait_units_active(1, "someapp", 10, SOON)?;
    stage.wait_for_keys(1, UPSTREAMS, &ALL, SOON)?;
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)
}

fn upgrade(stage: &Stage) -> Result<()> {
    let before = workload(stage)?;
    let traffic = stage.traffic(&target(stage), 2, Duration::from_millis(5))?;
    for machine in stage.cluster.machines() {
        // Another name for the same release: the installer takes it for a new one.
        machine.shell_ok("echo another > /opt/convoy/installed")?;
        machine.systemctl(&["restart", "convoy-install.service"])?;
    }
    settled(stage)?;
    let report = traffic.stop();
    let after = workload(stage)?;
    ensure!(before == after, "containers were {before:?}, now they are {after:?}");
    Stage::expect_no_failure(&report)
}

fn rolling(stage: &Stage) -> Result<()> {
    let before = workload(stage)?;
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(2))?;
    stage.convoyctl(1, &["restart", "--max-unavailable=1", "someapp@{1..4}"])?;
    settled(stage)?;
    let report = traffic.stop();
    let after = workload(stage)?;
    let same = before.iter().filter(|(name, id)| after.get(*name) == Some(id)).count();
    ensure!(same == before.len() - 4, "four containers were to be new: {before:?}, {after:?}");
    Stage::expect_no_failure(&report)
}

fn drained(stage: &Stage) -> Result<()> {
    // A machine with an instance that is not the edge.
    let apps = stage.placed(1, "someapp@")?;
    let (unit, from) =
        apps.iter().find(|(_, machine)| **machine != EDGE).context("an instance away from the edge")?;
    let id = stage.cluster.machine(*from).machine_id().to_owned();
    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(2))?;
    stage.convoyctl(1, &["drain", &id])?;
    wait_until("the drained machine to be empty", SOON, || {
        let placed = stage.placed(1, "someapp").map_err(|error| format!("{error:#}"))?;
        let left: Vec<_> = placed.iter().filter(|(_, machine)| *machine == from).collect();
        if left.is_empty() && placed.len() == 10 { Ok(()) } else { Err(format!("{placed:?}")) }
    })?;
    settled(stage)?;
    let report = traffic.stop();
    stage.convoyctl(1, &["undrain", &id])?;
    ensure!(stage.machine_of(1, unit)? != *from, "{unit} is still on m{from}");
    Stage::expect_no_failure(&report)
}

fn crashed(stage: &Stage) -> Result<()> {
    let apps = stage.placed(1, "someapp@")?;
    let (unit, from) =
        apps.iter().find(|(_, machine)| **machine != EDGE).context("an instance away from the edge")?;
    let number = unit.trim_start_matches("someapp@").trim_end_matches(".service");
    let key = format!("{UPSTREAMS}{number}");
    let on = if *from == 1 { 2 } else { 1 };
    let former = stage.keys(on, &key)?.remove(&key).context("the instance is not announced")?;
    let others: Vec<String> = workload(stage)?.into_values().collect();

    let traffic = stage.traffic(&target(stage), 4, Duration::from_millis(5))?;
    wait_until("the first requests", SOON, || {
        if traffic.sent() > 100 { Ok(()) } else { Err(format!("{}", traffic.sent())) }
    })?;
    let crashed = Instant::now();
    stage.cluster.machine(*from).crash()?;
    wait_until(&format!("{unit} to be announced elsewhere"), SOON, || {
        let keys = stage.keys(on, &key).map_err(|error| format!("{error:#}"))?;
        match keys.get(&key) {
            Some(now) if *now != former => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let took = crashed.elapsed();
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    let report = traffic.stop();
    ensure!(stage.machine_of(on, unit)? != *from, "{unit} is still on m{from}");
    ensure!(took < Duration::from_secs(30), "{unit} came back after {took:?}");
    let now: BTreeSet<String> = workload(stage)?.into_values().collect();
    let kept = others.iter().filter(|id| now.contains(*id)).count();
    ensure!(kept + 2 >= others.len(), "containers of other machines were touched: {others:?}, {now:?}");
    // Requests that were on their way to the machine when it vanished have an answer from another one.
    Stage::expect_no_failure(&report)?;

    // The machine comes back and takes nothing away.
    let placed = stage.placed(on, "someapp")?;
    stage.cluster.machine(*from).boot()?;
    wait_until("the machine's record", SOON, || {
        let listed = stage.convoyctl(on, &["list-machines", "--no-legend"]);
        let listed = listed.map_err(|error| format!("{error:#}"))?;
        if listed.lines().count() == 5 { Ok(()) } else { Err(listed) }
    })?;
    settled(stage)?;
    ensure!(stage.placed(on, "someapp")? == placed, "units moved when the machine came back");
    Ok(())
}

fn powered_off(stage: &Stage) -> Result<()> {
    let apps = stage.placed(1, "someapp@")?;
    let (unit, from) =
        apps.iter().find(|(_, machine)| **machine > EDGE).context("an instance on m4 or m5")?;
    let machine = stage.cluster.machine(*from);
    machine.power_off()?;
    let off = Instant::now();
    wait_until(&format!("{unit} on another machine"), SOON, || match stage.machine_of(1, unit) {
        Ok(now) if now != *from => Ok(()),
        Ok(now) => Err(format!("it is on m{now}")),
        Err(error) => Err(format!("{error:#}")),
    })?;
    // It said goodbye: nobody has to wait for its lease.
    ensure!(
        off.elapsed() < Duration::from_secs(3),
        "handed over {:?} after the power was off",
        off.elapsed()
    );
    stage.wait_for_instances(&target(stage), &INSTANCES, SOON)?;
    machine.boot()?;
    settled(stage)
}

fn destroyed(stage: &Stage) -> Result<()> {
    stage.convoyctl(1, &["destroy", "someapp@{1..4}", "someapp-sidekick@{1..4}", "someapp-lb@{1,2}"])?;
    wait_until("states and schedules to be gone", SOON, || {
        let mut keys = stage.keys(1, "/convoy/states/").map_err(|error| format!("{error:#}"))?;
        keys.extend(stage.keys(1, "/convoy/schedule/").map_err(|error| format!("{error:#}"))?);
        keys.retain(|key, _| key.contains("someapp"));
        if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
    })?;
    stage.wait_for_keys(1, UPSTREAMS, &[], SOON)?;
    ensure!(workload(stage)?.is_empty(), "containers were left behind: {:?}", workload(stage)?);
    for machine in stage.cluster.machines() {
        let left = machine.shell_ok("find /run/convoy/units /run/systemd/system -name 'someapp*'")?.stdout;
        ensure!(left.is_empty(), "files on {}: {left}", machine.name());
    }
    Ok(())
}
