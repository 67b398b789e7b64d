//! Units over machines on a bad day, on four machines: many units at once, dead leaders, machines that are cut off, and
//! a store that is away, slow, or loses its memory.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_cluster::wait_until;
use convoy_scenarios::{CLOCK, SOON, Scenario, SlowWay, Stage, member, options, pass, run};

/// A template without a container: what it needs is there at once, so that only Convoy is measured.
const LIGHT: &str = "[Unit]\nDescription=Light %i\n\n[Service]\nExecStart=/bin/sleep infinity\n";

fn main() -> ExitCode {
    run(
        options("hardship", 4, &[]),
        |cluster| {
            let stage = Stage { cluster };
            whole(&stage)?;
            Ok(stage)
        },
        &[
            Scenario { name: "sixty_units_start_at_once", prove: sixty },
            Scenario { name: "leaders_killed_during_submits_lose_and_double_nothing", prove: leaders },
            Scenario { name: "without_a_quorum_no_workload_stops", prove: quorum },
            Scenario { name: "a_slow_store_stops_no_workload", prove: slow },
            Scenario { name: "a_wiped_and_restored_store_stops_no_workload", prove: wiped },
            Scenario { name: "many_machines_lost_at_once_move_nothing", prove: frozen },
            Scenario { name: "cut_off_a_unit_that_may_is_kept_and_started_elsewhere", prove: keep },
            Scenario { name: "cut_off_an_at_most_one_unit_never_runs_twice", prove: at_most_one },
            Scenario {
                name: "cut_off_an_at_most_one_unit_is_stopped_though_the_agent_is_killed",
                prove: agentless,
            },
            Scenario { name: "cut_off_a_stop_after_unit_ends_in_time", prove: stop_after },
        ],
    )
}

fn write(stage: &Stage, name: &str, text: &str) -> Result<String> {
    let path = format!("/root/{name}");
    stage.cluster.machine(1).write_file(&path, text.as_bytes(), "0644")?;
    Ok(path)
}

/// The runs of all units whose names begin like this: unit and machine to systemd's invocation.
fn invocations(stage: &Stage, beginning: &str) -> Result<BTreeMap<(String, u8), String>> {
    let mut runs = BTreeMap::new();
    for machine in stage.cluster.machines() {
        let script = format!(
            "systemctl show -p Id -p InvocationID -p ActiveState '{beginning}*' | grep -v '^$' || true"
        );
        let shown = machine.shell_ok(&script)?.stdout;
        let lines: Vec<&str> = shown.lines().collect();
        for unit in lines.chunks(3) {
            let value = |name: &str| unit.iter().find_map(|line| line.strip_prefix(name));
            let (Some(id), Some(invocation), Some(active)) =
                (value("Id="), value("InvocationID="), value("ActiveState="))
            else {
                continue;
            };
            if active == "active" {
                runs.insert((id.to_owned(), machine.index()), invocation.to_owned());
            }
        }
    }
    Ok(runs)
}

/// All machines are in the store. What a scenario before left broken is mended first.
fn whole(stage: &Stage) -> Result<()> {
    for machine in stage.cluster.machines() {
        machine.heal()?;
    }
    stage.wait_for_machines(1, 4)
}

fn sixty(stage: &Stage) -> Result<()> {
    let light = write(stage, "light@.service", LIGHT)?;
    stage.convoyctl(1, &["submit", &light])?;
    let began = Instant::now();
    stage.convoyctl(1, &["start", "light@{1..60}"])?;
    stage.wait_units_active(1, "light@", 60, SOON)?;
    let took = began.elapsed();
    let mut load: BTreeMap<u8, usize> = BTreeMap::new();
    for machine in stage.placed(1, "light@")?.into_values() {
        *load.entry(machine).or_default() += 1;
    }
    ensure!(load.values().all(|units| *units == 15), "fifteen units on each machine expected: {load:?}");
    ensure!(invocations(stage, "light@")?.len() == 60, "sixty units run");
    ensure!(took < Duration::from_secs(30), "sixty units took {took:?}");
    Ok(())
}

fn leaders(stage: &Stage) -> Result<()> {
    let steady = invocations(stage, "light@")?;
    let mut killed = 0;
    for number in 1..=20 {
        let leader = stage.leader(1)?;
        stage.convoyctl(1, &["start", "--no-block", &format!("light@{}", 100 + number)])?;
        stage.cluster.machine(leader).systemctl(&["kill", "--signal=KILL", "scheduler.service"])?;
        killed += 1;
        wait_until("another leader, or the same one again", SOON, || {
            stage.leader(1).map(drop).map_err(|error| format!("{error:#}"))
        })?;
    }
    ensure!(killed == 20);
    stage.wait_units_active(1, "light@", 80, SOON)?;
    ensure!(stage.placed(1, "light@")?.len() == 80, "each unit is on one machine");
    let now = invocations(stage, "light@")?;
    ensure!(now.len() == 80, "eighty units run: {}", now.len());
    for (unit, run) in &steady {
        ensure!(now.get(unit) == Some(run), "{unit:?} was restarted");
    }
    let mut names: Vec<&String> = now.keys().map(|(unit, _)| unit).collect();
    names.dedup();
    ensure!(names.len() == 80, "a unit runs twice");
    Ok(())
}

/// Lets trouble pass and compares what ran before with what runs afterwards, while it lasts too.
fn untouched(stage: &Stage, trouble: impl FnOnce() -> Result<()>) -> Result<()> {
    whole(stage)?;
    let before = invocations(stage, "light@")?;
    let running = before.len();
    ensure!(running >= 60, "{running} units run");
    trouble().with_context(|| stories(stage))?;
    stage.wait_units_active(1, "light@", running, SOON).with_context(|| stories(stage))?;
    let after = invocations(stage, "light@")?;
    let changed: Vec<_> = before.iter().filter(|(unit, run)| after.get(*unit) != Some(*run)).collect();
    ensure!(
        changed.is_empty() && after.len() == running,
        "{} were stopped or restarted, the first is {:?}; {} run now\n{}",
        changed.len(),
        changed.first(),
        after.len(),
        stories(stage)
    );
    // Work goes on.
    stage.convoyctl(1, &["start", "light@999"])?;
    stage.convoyctl(1, &["destroy", "light@999"])?;
    stage.wait_units_active(1, "light@", running, SOON)
}

/// What agents and schedulers have said last.
fn stories(stage: &Stage) -> String {
    let told = stage.cluster.machines().flat_map(|machine| {
        ["agent.service", "scheduler.service"].map(|unit| {
            let journal = machine.journal(&["-u", unit, "-n", "12", "-o", "short-precise"]);
            format!("{} {unit}:\n{}", machine.name(), journal.unwrap_or_else(|error| error.to_string()))
        })
    });
    told.collect::<Vec<_>>().join("\n")
}

fn signal_etcd(stage: &Stage, machines: &[u8], signal: &str) -> Result<()> {
    for machine in machines {
        stage.cluster.machine(*machine).systemctl(&[
            "kill",
            &format!("--signal={signal}"),
            "etcd.service",
        ])?;
    }
    Ok(())
}

fn quorum(stage: &Stage) -> Result<()> {
    untouched(stage, || {
        signal_etcd(stage, &[1, 2], "STOP")?;
        pass("30 s without a quorum", Duration::from_secs(30))?;
        ensure!(invocations(stage, "light@")?.len() >= 60, "a unit stopped while the store was away");
        signal_etcd(stage, &[1, 2], "CONT")
    })
}

fn slow(stage: &Stage) -> Result<()> {
    let delay = Duration::from_millis(700);
    let target = member(stage.cluster.machine(1).address());
    let way = SlowWay::open(&stage.cluster, target, delay)?;
    let dropin = "[Service]\nEnvironmentFile=/run/slow.env\n";
    let units = ["agent.service", "scheduler.service"];
    untouched(stage, || {
        for machine in stage.cluster.machines() {
            let environment = format!("CONVOY_ETCD_ENDPOINTS={}\n", way.endpoint());
            machine.write_file("/run/slow.env", environment.as_bytes(), "0644")?;
            for unit in units {
                let path = format!("/run/systemd/system/{unit}.d/slow.conf");
                machine.write_file(&path, dropin.as_bytes(), "0644")?;
            }
            machine.systemctl(&["daemon-reload"])?;
            machine.systemctl(&["restart", "agent.service", "scheduler.service"])?;
        }
        pass("40 s with a slow store", Duration::from_secs(40))?;
        ensure!(invocations(stage, "light@")?.len() >= 60, "a unit stopped while the store was slow");
        for machine in stage.cluster.machines() {
            for unit in units {
                machine.exec_ok(&["rm", "-r", &format!("/run/systemd/system/{unit}.d/slow.conf")])?;
            }
            machine.systemctl(&["daemon-reload"])?;
            machine.systemctl(&["restart", "agent.service", "scheduler.service"])?;
        }
        Ok(())
    })
}

fn wiped(stage: &Stage) -> Result<()> {
    untouched(stage, || {
        stage.empty_store()?;
        ensure!(stage.keys(1, "/convoy/units/")?.is_empty(), "the store was to be empty");
        pass("20 s with an empty store", Duration::from_secs(20))?;
        ensure!(invocations(stage, "light@")?.len() >= 60, "a unit stopped while the store was empty");
        stage.restore_store()
    })
}

fn frozen(stage: &Stage) -> Result<()> {
    untouched(stage, || {
        // Two of four at once, and a quorum that notices: a member and a client.
        let lost = [3, 4].map(|number| stage.cluster.machine(number));
        let before = stage.placed(1, "light@")?;
        for machine in &lost {
            machine.cut()?;
        }
        wait_until("the freeze", SOON, || {
            let keys = stage.keys(1, "/convoy/freeze").map_err(|error| format!("{error:#}"))?;
            if keys.is_empty() { Err("moves are not frozen".to_owned()) } else { Ok(()) }
        })?;
        pass("10 s in the freeze", Duration::from_secs(10))?;
        ensure!(stage.placed(1, "light@")? == before, "units were moved");
        let listed = stage.try_convoyctl(1, &["list-units"])?;
        ensure!(listed.text().contains("frozen"), "convoyctl says nothing of it: {}", listed.text());
        for machine in &lost {
            machine.heal()?;
        }
        wait_until("the end of the freeze", SOON, || {
            let keys = stage.keys(1, "/convoy/freeze").map_err(|error| format!("{error:#}"))?;
            if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
        })?;
        Ok(())
    })
}

/// Starts a clock with this policy, away from `m1`, and gives its unit and its machine.
fn clock(stage: &Stage, name: &str, policy: &str) -> Result<(String, u8)> {
    whole(stage)?;
    // Pinned away from the machine that the operator sits at; m4 and one more may have it.
    let text = format!("{CLOCK}\n[X-Convoy]\n{policy}\n");
    let path = write(stage, &format!("{name}.service"), &text)?;
    let unit = format!("{name}.service");
    stage.convoyctl(1, &["start", &path])?;
    if stage.machine_of(1, &unit)? == 1 {
        let machine = stage.cluster.machine(4).machine_id().to_owned();
        stage.convoyctl(1, &["move", &unit, &machine])?;
        wait_until("the move", SOON, || match stage.machine_of(1, &unit) {
            Ok(4) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
    }
    stage.wait_units_active(1, &unit, 1, SOON)?;
    let from = stage.machine_of(1, &unit)?;
    ensure!(from != 1, "{unit} is on m1");
    Ok((unit, from))
}

fn wait_elsewhere(stage: &Stage, unit: &str, from: u8) -> Result<u8> {
    let to = wait_until(&format!("{unit} away from m{from}"), SOON, || match stage.machine_of(1, unit) {
        Ok(now) if now != from => Ok(now),
        other => Err(format!("{other:?}")),
    })?;
    stage.wait_active(to, unit)?;
    stage.wait_for_a_beat(to, unit)?;
    Ok(to)
}

/// Heals and waits until the unit runs in one place.
fn reunite(stage: &Stage, unit: &str, from: u8, to: u8) -> Result<()> {
    stage.cluster.machine(from).heal()?;
    wait_until(&format!("{unit} to be on m{to} alone"), SOON, || {
        let there = stage.is_active(from, unit).map_err(|error| format!("{error:#}"))?;
        let here = stage.is_active(to, unit).map_err(|error| format!("{error:#}"))?;
        if here && !there { Ok(()) } else { Err(format!("m{from}: {there}, m{to}: {here}")) }
    })?;
    stage.convoyctl(1, &["destroy", unit])?;
    Ok(())
}

fn keep(stage: &Stage) -> Result<()> {
    let (unit, from) = clock(stage, "keep", "WhenCutOff=keep")?;
    stage.cluster.machine(from).cut()?;
    let to = wait_elsewhere(stage, &unit, from)?;
    ensure!(stage.is_active(from, &unit)?, "{unit} was stopped on the machine that was cut off");
    reunite(stage, &unit, from, to)
}

fn at_most_one(stage: &Stage) -> Result<()> {
    let (unit, from) = clock(stage, "single", "WhenCutOff=at-most-one\nStopWithin=5s")?;
    stage.cluster.machine(from).cut()?;
    let to = wait_elsewhere(stage, &unit, from)?;
    never_twice(stage, &unit, from, to)?;
    reunite(stage, &unit, from, to)
}

fn agentless(stage: &Stage) -> Result<()> {
    let (unit, from) = clock(stage, "single-agentless", "WhenCutOff=at-most-one\nStopWithin=5s")?;
    let machine = stage.cluster.machine(from);
    // Gone for good: systemd has to do it by itself. A file in /etc, where the release has its units, can't be masked
    // in /run.
    machine.shell_ok(
        "mkdir -p /run/systemd/system/agent.service.d \
         && printf '[Service]\\nRestart=no\\n' > /run/systemd/system/agent.service.d/99-once.conf \
         && systemctl daemon-reload && systemctl kill --signal=KILL agent.service",
    )?;
    let to = wait_elsewhere(stage, &unit, from)?;
    never_twice(stage, &unit, from, to)?;
    machine.shell_ok(
        "rm -r /run/systemd/system/agent.service.d && systemctl daemon-reload && systemctl start agent.service",
    )?;
    reunite(stage, &unit, from, to)
}

fn never_twice(stage: &Stage, unit: &str, from: u8, to: u8) -> Result<()> {
    let last = stage.beats(from, unit)?.into_iter().fold(f64::MIN, f64::max);
    let first = stage.beats(to, unit)?.into_iter().fold(f64::MAX, f64::min);
    ensure!(!stage.is_active(from, unit)?, "{unit} still runs on m{from}");
    // Machines of one computer share its clock.
    ensure!(last < first, "{unit} ran on m{from} until {last} and on m{to} since {first}");
    Ok(())
}

fn stop_after(stage: &Stage) -> Result<()> {
    let (unit, from) = clock(stage, "later", "WhenCutOff=stop-after:15s\nStopWithin=5s")?;
    let cut = Instant::now();
    stage.cluster.machine(from).cut()?;
    let to = wait_elsewhere(stage, &unit, from)?;
    ensure!(stage.is_active(from, &unit)?, "{unit} was stopped at once, {:?} after the cut", cut.elapsed());
    wait_until("the end of the unit that was cut off", SOON, || match stage.is_active(from, &unit) {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let took = cut.elapsed();
    ensure!(took < Duration::from_secs(15 + 5 + 10), "it ended after {took:?}");
    let since = stage.beats(to, &unit)?.first().copied().context("no beat")?;
    let until = stage.beats(from, &unit)?.last().copied().context("no beat")?;
    ensure!(until > since, "both were to run for a while: {until}, {since}");
    reunite(stage, &unit, from, to)
}
