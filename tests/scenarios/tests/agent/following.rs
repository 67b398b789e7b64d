//! Following a schedule: files, starts, restarts, adoption, and what is not the agent's.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use convoy_cluster::wait_until;
use convoy_scenarios::{SOON, Stage, pass};

use crate::play::{
    LIGHT, M, entry, is_active, launch, machine, metric, remove, runs, schedule, schedule_key, state,
    wait_active, wait_state,
};

pub(crate) fn group(stage: &Stage) -> Result<()> {
    let main = "[Unit]\nWants=extra.service\n[Service]\nType=notify\nNotifyAccess=all\n\
                ExecStart=/bin/sh -c 'sleep 1; systemd-notify --ready; exec sleep infinity'\n";
    let side = "[Unit]\nBindsTo=main.service\nAfter=main.service\n\
                [Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=main.service\n";
    let before = metric(stage, "reloads_total")?;
    let units = ["a-side.service", "extra.service", "main.service"];
    schedule(
        stage,
        &[(units[0], side, "launched", 0), (units[1], LIGHT, "launched", 0), (units[2], main, "launched", 0)],
    )?;
    for unit in units {
        wait_active(stage, unit)?;
    }
    ensure!(metric(stage, "reloads_total")? == before + 1, "one reload for the whole group");
    for unit in units {
        ensure!(state(stage, unit)?.failures == 0, "{unit} failed on the way: {:?}", state(stage, unit)?);
    }
    let entered = |unit: &str| -> Result<u64> {
        Ok(stage.property(M, unit, "ActiveEnterTimestampMonotonic")?.parse()?)
    };
    ensure!(entered(units[0])? >= entered(units[2])?, "the sidekick came before its unit");
    // [Install] is obeyed: the sidekick comes back with its unit.
    machine(stage).systemctl(&["restart", "main.service"])?;
    wait_active(stage, units[0])?;
    remove(stage, &units)
}

pub(crate) fn changes(stage: &Stage) -> Result<()> {
    launch(stage, "light.service", LIGHT)?;
    wait_active(stage, "light.service")?;
    let first = runs(stage, &["light.service"])?;
    launch(stage, "light.service", LIGHT)?;
    // An entry that says nothing new is followed by one that does: both were taken up when the second is.
    launch(stage, "marker.service", LIGHT)?;
    wait_active(stage, "marker.service")?;
    ensure!(runs(stage, &["light.service"])? == first, "the same entry again restarted the unit");

    schedule(stage, &[("light.service", LIGHT, "launched", 1)])?;
    wait_state(stage, "light.service", "restarted", |state| state.restarts == 1 && state.active == "active")?;
    let second = runs(stage, &["light.service"])?;
    ensure!(second != first, "a restart that was asked for");

    let changed = format!("{LIGHT}\n# Another text.\n");
    schedule(stage, &[("light.service", &changed, "launched", 1)])?;
    let hash = convoy_unit_files::hash(&changed);
    wait_state(stage, "light.service", "by its new text", |state| {
        state.hash == hash && state.active == "active"
    })?;
    ensure!(runs(stage, &["light.service"])? != second, "another text restarts");

    schedule(stage, &[("light.service", &changed, "loaded", 1)])?;
    wait_state(stage, "light.service", "stopped", |state| {
        state.active == "inactive" && state.load == "loaded"
    })?;
    // A text that the store doesn't have yet changes nothing.
    stage.etcdctl(1, &["put", &schedule_key(stage, "marker.service"), &entry("another", "launched", 0)])?;
    wait_state(stage, "marker.service", "waits for its text", |state| {
        state.active == "active" && state.error.as_deref().is_some_and(|error| error.contains("another text"))
    })?;
    remove(stage, &["light.service", "marker.service"])
}

pub(crate) fn adoption(stage: &Stage) -> Result<()> {
    let container = "[Service]\nExecStartPre=-/usr/bin/docker rm --force held\n\
                     ExecStart=/usr/bin/docker run --rm --name held someapp\n\
                     ExecStop=-/usr/bin/docker stop --time 2 held\nSuccessExitStatus=143\n";
    schedule(stage, &[("held.service", container, "launched", 0), ("light.service", LIGHT, "launched", 0)])?;
    wait_active(stage, "held.service")?;
    wait_active(stage, "light.service")?;
    let id = || -> Result<String> {
        wait_until("the container", SOON, || {
            let output = machine(stage).exec(&[
                "docker",
                "inspect",
                "--format",
                "{{.State.Running}} {{.Id}} {{.State.StartedAt}}",
                "held",
            ]);
            let output = output.map_err(|error| error.to_string())?;
            // A container is there before it runs, and says then that it was started in the year 1.
            if output.stdout.starts_with("true ") { Ok(output.stdout) } else { Err(output.text()) }
        })
        .map_err(Into::into)
    };
    let before = (id()?, runs(stage, &["held.service", "light.service"])?);
    for act in [
        "systemctl restart agent.service",
        "systemctl kill --signal=KILL agent.service",
        "systemctl stop agent.service; sleep 7; systemctl start agent.service",
        "systemctl kill --signal=KILL agent.service; rm /run/convoy/agent/state.json",
    ] {
        let agent = stage.property(M, "agent.service", "InvocationID")?;
        machine(stage).shell_ok(act)?;
        wait_until("another agent", SOON, || match stage.property(M, "agent.service", "InvocationID") {
            Ok(now) if now != agent && !now.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        stage.wait_active(M, "agent.service")?;
        wait_active(stage, "held.service")?;
        ensure!(
            (id()?, runs(stage, &["held.service", "light.service"])?) == before,
            "{act} touched a workload"
        );
    }
    // While the agent was away on purpose, the machine was not taken for gone.
    let machines = stage.keys(1, "/convoy/machines/")?;
    ensure!(
        machines.len() == 4 && !machines.values().any(|record| record.contains("agent_restarts")),
        "{machines:?}"
    );
    remove(stage, &["held.service", "light.service"])
}

pub(crate) fn interrupted(stage: &Stage) -> Result<()> {
    let mut text = LIGHT.to_owned();
    for round in 0..12_u32 {
        text = format!("{LIGHT}\n# Round {round}.\n");
        schedule(
            stage,
            &[("light.service", &text, "launched", round), ("other.service", LIGHT, "launched", round)],
        )?;
        // Somewhere between the first file and the last start.
        machine(stage).shell_ok(&format!(
            "sleep 0.{:03}; systemctl kill --signal=KILL agent.service",
            round * 13 % 200
        ))?;
    }
    let hash = convoy_unit_files::hash(&text);
    wait_state(stage, "light.service", "up to date", |state| {
        state.active == "active" && state.hash == hash && state.restarts == 11
    })?;
    wait_state(stage, "other.service", "up to date", |state| {
        state.active == "active" && state.restarts == 11
    })?;
    let file = machine(stage).read_file("/run/convoy/units/light.service")?;
    ensure!(file == text, "{file}");
    ensure!(stage.property(M, "light.service", "NeedDaemonReload")? == "no", "systemd has an old text");
    // Killed once more with nothing to do, nothing is done.
    let before = runs(stage, &["light.service", "other.service"])?;
    machine(stage).systemctl(&["kill", "--signal=KILL", "agent.service"])?;
    pass("the next agent", Duration::from_secs(2))?;
    stage.wait_active(M, "agent.service")?;
    ensure!(runs(stage, &["light.service", "other.service"])? == before, "restarted without a reason");
    remove(stage, &["light.service", "other.service"])
}

pub(crate) fn slow_stop(stage: &Stage) -> Result<()> {
    let slow = "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 12\n";
    launch(stage, "slow.service", slow)?;
    wait_active(stage, "slow.service")?;
    stage.etcdctl(1, &["del", &schedule_key(stage, "slow.service")])?;
    wait_state(stage, "slow.service", "stopping", |state| state.active == "deactivating")?;
    let began = Instant::now();
    launch(stage, "light.service", LIGHT)?;
    wait_active(stage, "light.service")?;
    let took = began.elapsed();
    ensure!(state(stage, "slow.service")?.active == "deactivating", "the slow stop has ended before");
    ensure!(took < Duration::from_secs(5), "the start took {took:?}");
    remove(stage, &["slow.service", "light.service"])
}

pub(crate) fn sixty(stage: &Stage) -> Result<()> {
    let names: Vec<String> = (1..=60).map(|number| format!("many@{number}.service")).collect();
    let units: Vec<_> = names.iter().map(|name| (name.as_str(), LIGHT, "launched", 0)).collect();
    let before = metric(stage, "reloads_total")?;
    let began = Instant::now();
    schedule(stage, &units)?;
    stage.wait_units_active(1, "many@", 60, SOON)?;
    let took = began.elapsed();
    ensure!(metric(stage, "reloads_total")? == before + 1, "one reload for all");
    ensure!(took < Duration::from_secs(20), "sixty units took {took:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    remove(stage, &names)
}

pub(crate) fn failing(stage: &Stage) -> Result<()> {
    let failing = "[Service]\nExecStart=/bin/sh -c 'test -e /run/well && exec sleep infinity; exit 3'\nRestart=on-failure\n\
                   RestartSec=50ms\n[Unit]\nStartLimitIntervalSec=10\nStartLimitBurst=2\n";
    let once = "[Service]\nExecStart=/bin/false\n";
    machine(stage).shell_ok("rm -f /run/well")?;
    schedule(stage, &[("failing.service", failing, "launched", 0), ("once.service", once, "launched", 0)])?;
    wait_state(stage, "failing.service", "failed five times", |state| state.failures >= 5)?;
    let once_failed = state(stage, "once.service")?;
    ensure!(once_failed.failures == 1 && once_failed.active == "failed", "Restart=no: {once_failed:?}");
    machine(stage).shell_ok("touch /run/well")?;
    wait_active(stage, "failing.service")?;
    ensure!(state(stage, "failing.service")?.failures >= 5, "a minute has not passed");
    remove(stage, &["failing.service", "once.service"])
}

pub(crate) fn by_hand(stage: &Stage) -> Result<()> {
    launch(stage, "light.service", LIGHT)?;
    wait_active(stage, "light.service")?;
    machine(stage).systemctl(&["stop", "light.service"])?;
    wait_state(stage, "light.service", "inactive", |state| state.active == "inactive")?;
    machine(stage).systemctl(&["restart", "agent.service"])?;
    launch(stage, "marker.service", LIGHT)?;
    wait_active(stage, "marker.service")?;
    ensure!(!is_active(stage, "light.service")?, "started behind the operator's back");
    schedule(stage, &[("light.service", LIGHT, "launched", 1)])?;
    wait_active(stage, "light.service")?;
    remove(stage, &["light.service", "marker.service"])
}

pub(crate) fn foreign(stage: &Stage) -> Result<()> {
    let machine = machine(stage);
    machine.write_file("/etc/systemd/system/mine.service", LIGHT.as_bytes(), "0644")?;
    machine.write_file("/etc/systemd/system/local@.service", LIGHT.as_bytes(), "0644")?;
    machine.shell_ok("systemctl daemon-reload && systemctl start local@1.service")?;
    let run = stage.property(M, "local@1.service", "InvocationID")?;
    let units =
        ["agent.service", "docker.service", "local@1.service", "mine.service", "systemd-journald.service"];
    let before = runs(stage, &units)?;
    let entries: Vec<_> = units.iter().map(|unit| (*unit, LIGHT, "launched", 0)).collect();
    schedule(stage, &entries)?;
    // Names that lead elsewhere, and values that are none.
    let id = machine.machine_id();
    for key in ["../../etc/passwd", "a/../b.service", "x.service/y", "%n", ".service"] {
        stage.etcdctl(1, &["put", &format!("/convoy/schedule/{id}/{key}"), &entry(LIGHT, "launched", 0)])?;
    }
    stage.etcdctl(1, &["put", &format!("/convoy/schedule/{id}/bad.service"), "{"])?;
    for unit in units {
        wait_state(stage, unit, "refused", |state| state.error.is_some())?;
    }
    ensure!(runs(stage, &units)? == before, "a unit of the machine was touched");
    let left = machine.shell_ok("ls /run/convoy/units")?.stdout;
    ensure!(left.trim().is_empty(), "{left}");
    stage.etcdctl(1, &["del", "--prefix", &format!("/convoy/schedule/{id}/")])?;
    ensure!(stage.property(M, "local@1.service", "InvocationID")? == run);

    // Once the obstacles are gone, the schedule has its way.
    launch(stage, "local@1.service", LIGHT)?;
    wait_state(stage, "local@1.service", "refused", |state| state.error.is_some())?;
    machine.systemctl(&["stop", "local@1.service"])?;
    launch(stage, "local@1.service", LIGHT)?;
    wait_active(stage, "local@1.service")?;
    machine.shell_ok("rm /etc/systemd/system/mine.service /etc/systemd/system/local@.service")?;
    remove(stage, &["local@1.service"])
}

pub(crate) fn bus(stage: &Stage) -> Result<()> {
    launch(stage, "light.service", LIGHT)?;
    wait_active(stage, "light.service")?;
    let before = (runs(stage, &["light.service"])?, stage.property(M, "agent.service", "InvocationID")?);
    machine(stage)
        .shell_ok("systemctl kill --signal=KILL dbus.service; systemctl start dbus.socket dbus.service")?;
    launch(stage, "after.service", LIGHT)?;
    wait_active(stage, "after.service")?;
    let after = (runs(stage, &["light.service"])?, stage.property(M, "agent.service", "InvocationID")?);
    ensure!(before == after, "agent or unit was restarted: {before:?}, {after:?}");
    machine(stage).systemctl(&["stop", "light.service"])?;
    wait_state(stage, "light.service", "seen to stop", |state| state.active == "inactive")?;
    remove(stage, &["light.service", "after.service"])
}

pub(crate) fn shut_down(stage: &Stage) -> Result<()> {
    let slow = "[Service]\nExecStart=/bin/sleep infinity\n\
                ExecStop=/bin/sh -c 'ETCDCTL_API=3 etcdctl get --prefix --keys-only /convoy/machines/ > /root/seen; sleep 2'\n";
    launch(stage, "slow.service", slow)?;
    wait_active(stage, "slow.service")?;
    let id = machine(stage).machine_id().to_owned();
    let began = Instant::now();
    machine(stage).power_off()?;
    // It was signed off by itself, not by the end of its lease.
    let machines = stage.keys(1, "/convoy/machines/")?;
    ensure!(
        !machines.keys().any(|key| key.contains(&id)),
        "still there {:?} later: {machines:?}",
        began.elapsed()
    );
    ensure!(stage.keys(1, &format!("/convoy/states/{id}/"))?.is_empty(), "states are left");
    machine(stage).boot()?;
    let seen = machine(stage).read_file("/root/seen")?;
    ensure!(seen.contains(&id), "the machine signed off before its unit was stopped: {seen}");
    // After a boot nothing runs but what is scheduled.
    wait_active(stage, "slow.service")?;
    remove(stage, &["slow.service"])
}
