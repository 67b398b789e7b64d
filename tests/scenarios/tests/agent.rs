//! What an agent does with its schedule, on a good day and on bad ones. The schedulers are switched off; the scenarios
//! write the schedule themselves, so that nothing moves but what they move.
//!
//! `m1` to `m3` are the etcd members, the units run on `m4`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Cluster, Machine, wait_until};
use convoy_keys::{Record, StateRecord};
use convoy_scenarios::{SOON, Scenario, Stage, options, run};
use sha2::{Digest, Sha256};

const M: u8 = 4;
const LIGHT: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
/// Writes the time into the journal, ten times a second.
const CLOCK: &str =
    "[Service]\nExecStart=/bin/sh -c 'while :; do date +%%s.%%N; sleep 0.1; done'\nKillMode=mixed\n";
/// `[agent] ttl` in its default.
const TTL: f64 = 5.0;
/// How long a scheduler waits at least after it saw a machine vanish, besides TTL and `StopWithin=`.
const SPARE: f64 = 2.0;

fn main() -> ExitCode {
    run(
        options("agent", 4, &[]),
        stage,
        &[
            Scenario { name: "a_group_is_written_whole_before_its_first_start", prove: group },
            Scenario { name: "a_changed_text_or_a_wish_restarts_and_nothing_else_does", prove: changes },
            Scenario { name: "a_restarted_or_killed_agent_touches_no_workload", prove: adoption },
            Scenario { name: "an_agent_killed_at_any_moment_ends_up_where_it_should", prove: interrupted },
            Scenario { name: "one_slow_stop_holds_up_nothing", prove: slow_stop },
            Scenario { name: "sixty_units_start_at_once_with_one_reload", prove: sixty },
            Scenario { name: "a_failing_unit_is_tried_again_and_counted", prove: failing },
            Scenario { name: "what_is_stopped_by_hand_stays_stopped", prove: by_hand },
            Scenario { name: "nothing_of_the_machines_own_is_touched", prove: foreign },
            Scenario { name: "a_lost_bus_is_found_again", prove: bus },
            Scenario { name: "cut_off_an_at_most_one_unit_ends_in_time_and_returns", prove: fenced_by_cut },
            Scenario {
                name: "cut_off_without_an_agent_an_at_most_one_unit_ends_in_time",
                prove: fenced_by_kill,
            },
            Scenario { name: "a_frozen_agent_keeps_no_at_most_one_unit_alive", prove: fenced_by_freeze },
            Scenario { name: "a_unit_that_moved_away_meanwhile_does_not_return", prove: moved_away },
            Scenario { name: "cut_off_a_stop_after_unit_ends_later_and_others_run_on", prove: stop_after },
            Scenario { name: "an_emptied_store_stops_nothing_and_an_entry_claims_what_runs", prove: emptied },
            Scenario { name: "a_replaced_and_restored_store_stops_nothing", prove: replaced },
            Scenario { name: "a_shutdown_stops_the_units_and_signs_off_at_once", prove: shut_down },
        ],
    )
}

fn stage(cluster: Cluster) -> Result<Stage> {
    for machine in cluster.machines() {
        machine.shell_ok(
            "mkdir -p /etc/systemd/system/scheduler.service.d \
             && printf '[Unit]\\nConditionPathExists=/nonexistent\\n' \
                > /etc/systemd/system/scheduler.service.d/none.conf \
             && systemctl daemon-reload && systemctl stop scheduler.service || true",
        )?;
    }
    let stage = Stage { cluster };
    wait_until("an agent on each machine", SOON, || {
        let machines = stage.keys(1, "/convoy/machines/").map_err(|error| format!("{error:#}"))?;
        if machines.len() == 4 { Ok(()) } else { Err(format!("{machines:?}")) }
    })?;
    stage.etcdctl(1, &["put", "/convoy/cluster", r#"{"id":"scenario"}"#])?;
    Ok(stage)
}

// What a scheduler does.

fn machine(stage: &Stage) -> Machine {
    stage.cluster.machine(M)
}

fn schedule_key(stage: &Stage, unit: &str) -> String {
    format!("/convoy/schedule/{}/{unit}", machine(stage).machine_id())
}

fn sha256(text: &str) -> String {
    let mut hash = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String never fails.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

fn entry(text: &str, desired: &str, restarts: u32) -> String {
    serde_json::json!({ "hash": sha256(text), "desired": desired, "restarts": restarts }).to_string()
}

/// Units and their schedule in one transaction.
fn schedule(stage: &Stage, units: &[(&str, &str, &str, u32)]) -> Result<()> {
    let mut transaction = String::from("\n");
    for (unit, text, desired, restarts) in units {
        let record = serde_json::json!({ "text": text, "desired": desired }).to_string();
        let quoted = |value: &str| format!("{value:?}");
        let entry = entry(text, desired, *restarts);
        let _ = writeln!(transaction, "put /convoy/units/{unit} {}", quoted(&record));
        let _ = writeln!(transaction, "put {} {}", schedule_key(stage, unit), quoted(&entry));
    }
    transaction.push_str("\n\n");
    stage.cluster.machine(1).write_file("/run/transaction", transaction.as_bytes(), "0644")?;
    let output = stage.cluster.machine(1).shell_ok("ETCDCTL_API=3 etcdctl txn < /run/transaction")?;
    ensure!(output.stdout.contains("SUCCESS"), "{}", output.text());
    Ok(())
}

fn launch(stage: &Stage, unit: &str, text: &str) -> Result<()> {
    schedule(stage, &[(unit, text, "launched", 0)])
}

fn remove(stage: &Stage, units: &[&str]) -> Result<()> {
    for unit in units {
        stage.etcdctl(1, &["del", &schedule_key(stage, unit)])?;
    }
    wait_until("the units to be gone", SOON, || {
        let left: Vec<_> = units.iter().filter(|unit| state(stage, unit).is_ok()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    for unit in units {
        ensure!(!is_active(stage, unit)?, "{unit} still runs");
    }
    let left = machine(stage).shell_ok("ls /run/convoy/units /run/systemd/system")?.stdout;
    for unit in units {
        ensure!(!left.contains(unit), "files of {unit} are left: {left}");
    }
    Ok(())
}

// What is seen.

/// What the machine reports of a unit.
fn state(stage: &Stage, unit: &str) -> Result<StateRecord> {
    let key = format!("/convoy/states/{}/{unit}", machine(stage).machine_id());
    let value = stage.keys(1, &key)?.remove(&key).with_context(|| format!("no state of {unit}"))?;
    Ok(StateRecord::parse(value.as_bytes())?)
}

fn wait_state(stage: &Stage, unit: &str, what: &str, test: impl Fn(&StateRecord) -> bool) -> Result<()> {
    wait_until(&format!("{unit} {what}"), SOON, || match state(stage, unit) {
        Ok(seen) if test(&seen) => Ok(()),
        Ok(seen) => Err(format!("{seen:?}")),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}

fn wait_active(stage: &Stage, unit: &str) -> Result<()> {
    wait_state(stage, unit, "active", |state| state.active == "active")
}

fn is_active(stage: &Stage, unit: &str) -> Result<bool> {
    Ok(machine(stage).exec(&["systemctl", "is-active", "--quiet", unit])?.success())
}

fn wait_down(stage: &Stage, unit: &str) -> Result<()> {
    wait_until(&format!("{unit} down"), SOON, || match is_active(stage, unit) {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    Ok(())
}

/// systemd's number of the present run.
fn runs(stage: &Stage, units: &[&str]) -> Result<BTreeMap<String, String>> {
    units.iter().map(|unit| Ok(((*unit).to_owned(), stage.property(M, unit, "InvocationID")?))).collect()
}

fn metric(stage: &Stage, name: &str) -> Result<u64> {
    let script = "curl -sf --unix-socket /run/convoy/agent/metrics.sock http://localhost/metrics";
    let text = machine(stage).shell_ok(script)?.stdout;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("convoy_agent_{name} ")));
    line.with_context(|| format!("no {name} in {text}"))?.trim().parse().context("a number")
}

/// The times that a clock wrote, in seconds.
fn beats(stage: &Stage, unit: &str) -> Result<Vec<f64>> {
    let journal = machine(stage).journal(&["-u", unit, "-o", "cat"])?;
    Ok(journal.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

fn now(stage: &Stage) -> Result<f64> {
    Ok(machine(stage).exec_ok(&["date", "+%s.%N"])?.stdout.trim().parse()?)
}

fn pass(what: &str, time: Duration) -> Result<()> {
    let began = Instant::now();
    wait_until(what, time * 2, || {
        if began.elapsed() >= time { Ok(()) } else { Err(format!("{:?}", began.elapsed())) }
    })?;
    Ok(())
}

// The promises.

fn group(stage: &Stage) -> Result<()> {
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

fn changes(stage: &Stage) -> Result<()> {
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
    let hash = sha256(&changed);
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

fn adoption(stage: &Stage) -> Result<()> {
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
                "{{.Id}} {{.State.StartedAt}}",
                "held",
            ]);
            let output = output.map_err(|error| error.to_string())?;
            if output.success() { Ok(output.stdout) } else { Err(output.text()) }
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

fn interrupted(stage: &Stage) -> Result<()> {
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
    let hash = sha256(&text);
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

fn slow_stop(stage: &Stage) -> Result<()> {
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

fn sixty(stage: &Stage) -> Result<()> {
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

fn failing(stage: &Stage) -> Result<()> {
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

fn by_hand(stage: &Stage) -> Result<()> {
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

fn foreign(stage: &Stage) -> Result<()> {
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

fn bus(stage: &Stage) -> Result<()> {
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

/// Starts a clock with this policy.
fn clock(stage: &Stage, unit: &str, policy: &str) -> Result<()> {
    launch(stage, unit, &format!("{CLOCK}\n[X-Convoy]\n{policy}\n"))?;
    wait_active(stage, unit)?;
    wait_until("its first beat", SOON, || match beats(stage, unit) {
        Ok(beats) if !beats.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    Ok(())
}

/// When the store let go of the machine, by the machines' common clock; a scheduler counts from there.
fn vanished(stage: &Stage) -> Result<f64> {
    wait_until("the machine's record to vanish", SOON, || {
        let machines = stage.keys(1, "/convoy/machines/").map_err(|error| format!("{error:#}"))?;
        if machines.len() == 3 { Ok(()) } else { Err(format!("{machines:?}")) }
    })?;
    now(stage)
}

/// The unit's last beat came before anybody may start it elsewhere. Tells how much earlier.
fn ended_in_time(stage: &Stage, unit: &str, vanished: f64, stop_within: f64) -> Result<f64> {
    wait_down(stage, unit)?;
    let last = beats(stage, unit)?.into_iter().fold(f64::MIN, f64::max);
    let allowed = vanished + TTL + stop_within + SPARE;
    ensure!(last < allowed, "{unit} ran until {last}, it may start elsewhere at {allowed}");
    Ok(allowed - last)
}

fn returned(stage: &Stage, unit: &str) -> Result<()> {
    wait_active(stage, unit)?;
    remove(stage, &[unit])
}

fn fenced_by_cut(stage: &Stage) -> Result<()> {
    clock(stage, "single.service", "WhenCutOff=at-most-one\nStopWithin=5s")?;
    machine(stage).cut()?;
    let vanished = vanished(stage)?;
    let spare = ended_in_time(stage, "single.service", vanished, 5.0)?;
    machine(stage).heal()?;
    ensure!(spare > TTL, "it is stopped when the lease ends, not just before the scheduler acts: {spare}");
    returned(stage, "single.service")
}

fn fenced_by_kill(stage: &Stage) -> Result<()> {
    // It does not listen to SIGTERM either.
    let text = format!(
        "{}\n[X-Convoy]\nWhenCutOff=at-most-one\nStopWithin=4s\n",
        CLOCK.replace("while :", "trap : TERM; while :")
    );
    launch(stage, "single.service", &text)?;
    wait_active(stage, "single.service")?;
    // Gone for good: systemd has to do it by itself.
    machine(stage).shell_ok(
        "mkdir -p /run/systemd/system/agent.service.d \
         && printf '[Service]\\nRestart=no\\n' > /run/systemd/system/agent.service.d/99-once.conf \
         && systemctl daemon-reload && systemctl kill --signal=KILL agent.service",
    )?;
    let vanished = vanished(stage)?;
    ended_in_time(stage, "single.service", vanished, 4.0)?;
    machine(stage).shell_ok(
        "rm -r /run/systemd/system/agent.service.d && systemctl daemon-reload && systemctl start agent.service",
    )?;
    returned(stage, "single.service")
}

fn fenced_by_freeze(stage: &Stage) -> Result<()> {
    clock(stage, "single.service", "WhenCutOff=at-most-one\nStopWithin=5s")?;
    let agent = stage.property(M, "agent.service", "InvocationID")?;
    machine(stage).systemctl(&["kill", "--signal=STOP", "agent.service"])?;
    let vanished = vanished(stage)?;
    ended_in_time(stage, "single.service", vanished, 5.0)?;
    // Its own watchdog replaces it.
    wait_until("another agent", SOON, || match stage.property(M, "agent.service", "InvocationID") {
        Ok(now) if now != agent && !now.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    returned(stage, "single.service")
}

fn moved_away(stage: &Stage) -> Result<()> {
    clock(stage, "single.service", "WhenCutOff=at-most-one\nStopWithin=5s")?;
    launch(stage, "stays.service", LIGHT)?;
    wait_active(stage, "stays.service")?;
    let run = stage.property(M, "single.service", "InvocationID")?;
    machine(stage).cut()?;
    let vanished = vanished(stage)?;
    ended_in_time(stage, "single.service", vanished, 5.0)?;
    let ended = beats(stage, "single.service")?.len();
    stage.etcdctl(1, &["del", &schedule_key(stage, "single.service")])?;
    machine(stage).heal()?;
    wait_until("its file to be gone", SOON, || {
        let left = machine(stage).shell_ok("ls /run/convoy/units").map_err(|error| error.to_string())?.stdout;
        if left.contains("single") { Err(left) } else { Ok(()) }
    })?;
    ensure!(beats(stage, "single.service")?.len() == ended, "it ran again: {run}");
    wait_active(stage, "stays.service")?;
    remove(stage, &["stays.service"])
}

fn stop_after(stage: &Stage) -> Result<()> {
    clock(stage, "later.service", "WhenCutOff=stop-after:8s\nStopWithin=5s")?;
    launch(stage, "keep.service", &format!("{LIGHT}\n[X-Convoy]\nWhenCutOff=keep\n"))?;
    wait_active(stage, "keep.service")?;
    let kept = runs(stage, &["keep.service"])?;
    machine(stage).cut()?;
    let began = now(stage)?;
    wait_down(stage, "later.service")?;
    let last = beats(stage, "later.service")?.into_iter().fold(f64::MIN, f64::max);
    machine(stage).heal()?;
    let ran = last - began;
    ensure!((8.0..TTL + 8.0 + 5.0).contains(&ran), "it ran on for {ran} s");
    wait_active(stage, "later.service")?;
    wait_active(stage, "keep.service")?;
    ensure!(runs(stage, &["keep.service"])? == kept, "keep.service was restarted");
    remove(stage, &["later.service", "keep.service"])
}

/// Two units through trouble, untouched.
fn untouched(stage: &Stage, trouble: impl FnOnce() -> Result<()>) -> Result<()> {
    let units = ["one.service", "two.service"];
    schedule(stage, &[(units[0], LIGHT, "launched", 3), (units[1], LIGHT, "launched", 0)])?;
    for unit in units {
        wait_active(stage, unit)?;
    }
    let before = runs(stage, &units)?;
    trouble()?;
    for unit in units {
        wait_state(stage, unit, "claimed", |state| state.active == "active" && !state.unclaimed)?;
    }
    ensure!(runs(stage, &units)? == before, "stopped or restarted");
    remove(stage, &units)
}

fn wait_unclaimed(stage: &Stage) -> Result<()> {
    for unit in ["one.service", "two.service"] {
        wait_state(stage, unit, "unclaimed", |state| state.active == "active" && state.unclaimed)?;
    }
    Ok(())
}

fn emptied(stage: &Stage) -> Result<()> {
    untouched(stage, || {
        stage.etcdctl(1, &["del", "--prefix", "/convoy/"])?;
        wait_unclaimed(stage)?;
        // A new agent knows it too, and so it stays when the store has another name.
        machine(stage).systemctl(&["restart", "agent.service"])?;
        stage.etcdctl(1, &["put", "/convoy/cluster", r#"{"id":"another"}"#])?;
        wait_unclaimed(stage)?;
        machine(stage).systemctl(&["restart", "agent.service"])?;
        pass("a listing of the new store", Duration::from_secs(3))?;
        wait_unclaimed(stage)?;
        // Somebody submits them again; counters begin anew.
        schedule(stage, &[("one.service", LIGHT, "launched", 0), ("two.service", LIGHT, "launched", 0)])
    })
}

fn replaced(stage: &Stage) -> Result<()> {
    let members = [1, 2, 3].map(|number| stage.cluster.machine(number));
    let environment =
        stage.cluster.machine(1).shell_ok("tr '\\0' '\\n' < /proc/$(pidof etcd)/environ")?.stdout;
    let directory = environment.lines().find_map(|line| line.strip_prefix("ETCD_DATA_DIR="));
    let directory = directory.context("etcd has no data directory")?.to_owned();
    let exchange = |script: &str| -> Result<()> {
        for machine in &members {
            machine.systemctl(&["stop", "etcd.service"])?;
            machine.shell_ok(script)?;
        }
        for machine in &members {
            machine.systemctl(&["start", "--no-block", "etcd.service"])?;
        }
        wait_until("all machines in the store", SOON, || {
            let machines = stage.keys(1, "/convoy/machines/").map_err(|error| format!("{error:#}"))?;
            if machines.len() == 4 { Ok(()) } else { Err(format!("{machines:?}")) }
        })?;
        Ok(())
    };
    untouched(stage, || {
        exchange(&format!("test -d {directory} && mv {directory} {directory}.kept"))?;
        ensure!(stage.keys(1, "/convoy/units/")?.is_empty(), "the store was to be empty");
        wait_unclaimed(stage)?;
        stage.etcdctl(1, &["put", "/convoy/cluster", r#"{"id":"third"}"#])?;
        pass("a while with another store", Duration::from_secs(5))?;
        wait_unclaimed(stage)?;
        exchange(&format!("rm -r {directory} && mv {directory}.kept {directory}"))?;
        // The old store has old states in it, so the agent itself is asked.
        wait_until("the agent to follow the old store again", SOON, || {
            match stage.property(M, "agent.service", "StatusText") {
                Ok(status)
                    if status.starts_with("follows its schedule,") && !status.contains("unclaimed") =>
                {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        })?;
        Ok(())
    })
}

fn shut_down(stage: &Stage) -> Result<()> {
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
