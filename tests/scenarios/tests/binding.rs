//! App unit and sidekick on one machine with a real systemd: who starts, stops and survives whom.
//!
//! Most of it uses `plain@.service`, a shell script for an app, which writes down what it sees when it gets its
//! SIGTERM. The last scenarios use real containers.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Cluster, Machine, wait_until};
use convoy_scenarios::{SOON, Scenario, Stage, options, run};

const M: u8 = 1;
const APP_UNIT: &str = r"[Unit]
Description=A shell script for an app, instance %i
Wants=registrar@%p-%i.service

[Service]
ExecStart=/usr/local/bin/plain-app %p %i
# The script looks around when it gets its SIGTERM; what it runs for that should not get one too.
KillMode=mixed

[Install]
WantedBy=multi-user.target
";
/// At SIGTERM: which sidekicks are still there in whatever state, and which keys.
const APP: &str = r#"#!/bin/sh
log="/run/plain/$1-$2"
mkdir -p /run/plain
seen() {
    sidekicks=$(systemctl list-units --plain --no-legend --state=active,activating,deactivating \
        "registrar@$1-$2.service" "registrar@$1@$2.service" | wc -l)
    keys=$(ETCDCTL_API=3 etcdctl get --prefix --keys-only "/services/$1/upstream/$2" | wc -w)
    echo "TERM sidekicks=$sidekicks keys=$keys" >> "$log"
    exit 0
}
trap 'seen "$1" "$2"' TERM
echo START >> "$log"
while :; do sleep 3600 & wait $!; done
"#;
/// The app listens nowhere, so nothing is checked.
const OPTIONS: &str = "REGISTRAR_ENGINE=none\nREGISTRAR_PORT=9\nREGISTRAR_CHECK=none\n";

fn main() -> ExitCode {
    run(
        options("binding", 1, &[]),
        stage,
        &[
            Scenario { name: "starting_the_sidekick_is_all_it_takes", prove: start_sidekick },
            Scenario {
                name: "starting_the_app_starts_its_sidekick_without_a_reload_by_hand",
                prove: start_app,
            },
            Scenario { name: "the_name_is_split_at_the_last_dash_and_an_at_sign_is_taken_too", prove: names },
            Scenario { name: "a_stop_of_the_app_first_stops_the_sidekick_fully", prove: stop_app },
            Scenario { name: "a_restart_of_the_app_restarts_the_sidekick_around_it", prove: restart_app },
            Scenario { name: "a_crash_of_the_app_stops_the_sidekick", prove: app_crash },
            Scenario { name: "an_app_that_systemd_restarts_gets_its_sidekick_back", prove: app_restarted },
            Scenario { name: "a_crash_of_the_sidekick_touches_neither_app_nor_key", prove: sidekick_crash },
            Scenario { name: "a_hung_sidekick_is_replaced_and_keeps_its_key", prove: sidekick_hung },
            Scenario { name: "a_stop_of_the_sidekick_leaves_the_app", prove: stop_sidekick },
            Scenario { name: "an_app_that_fails_to_start_is_tried_once", prove: failing_app },
            Scenario { name: "an_app_that_was_stopped_at_once_stays_stopped", prove: stopped_at_once },
            Scenario { name: "many_instances_at_once_are_all_bound", prove: many },
            Scenario { name: "a_wrong_name_or_option_is_said_and_not_tried_for_ever", prove: mistakes },
            Scenario {
                name: "a_container_is_announced_by_its_published_port_or_its_own_address",
                prove: containers,
            },
            Scenario { name: "a_killed_container_is_gone_from_the_store_at_once", prove: killed_container },
            Scenario { name: "a_failing_instance_leaves_the_list_and_returns", prove: failing_instance },
            Scenario { name: "enabled_instances_are_bound_at_boot_without_a_reload", prove: boot },
        ],
    )
}

fn stage(cluster: Cluster) -> Result<Stage> {
    let machine = cluster.machine(M);
    machine.write_file("/etc/systemd/system/plain@.service", APP_UNIT.as_bytes(), "0644")?;
    machine.write_file("/etc/systemd/system/my-app@.service", APP_UNIT.as_bytes(), "0644")?;
    machine.write_file("/usr/local/bin/plain-app", APP.as_bytes(), "0755")?;
    for app in ["plain", "my-app"] {
        machine.write_file(&format!("/etc/convoy/registrar/{app}.env"), OPTIONS.as_bytes(), "0644")?;
    }
    machine.systemctl(&["daemon-reload"])?;
    let stage = Stage { cluster };
    wait_until("etcd answers", SOON, || {
        stage.etcdctl(M, &["endpoint", "health"]).map_err(|error| format!("{error:#}"))
    })?;
    Ok(stage)
}

fn machine(stage: &Stage) -> Machine {
    stage.cluster.machine(M)
}

fn active(stage: &Stage, unit: &str) -> Result<String> {
    stage.property(M, unit, "ActiveState")
}

fn wait_state(stage: &Stage, unit: &str, wanted: &str) -> Result<()> {
    wait_until(&format!("{unit} is {wanted}"), SOON, || match active(stage, unit) {
        Ok(found) if found == wanted => Ok(()),
        Ok(found) => Err(found),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}

fn listed(stage: &Stage, app: &str, instance: &str) -> Result<bool> {
    Ok(!stage.keys(M, &format!("/services/{app}/upstream/{instance}"))?.is_empty())
}

fn wait_listed(stage: &Stage, app: &str, instance: &str, wanted: bool) -> Result<()> {
    wait_until(&format!("{app}@{instance} listed: {wanted}"), SOON, || match listed(stage, app, instance) {
        Ok(found) if found == wanted => Ok(()),
        Ok(found) => Err(format!("listed: {found}")),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}

fn systemctl(stage: &Stage, arguments: &[&str]) -> Result<()> {
    machine(stage).systemctl(arguments)?;
    Ok(())
}

fn kill_main(stage: &Stage, unit: &str) -> Result<()> {
    systemctl(stage, &["kill", "--signal=KILL", "--kill-whom=main", unit])
}

/// What the app wrote down since it was last asked.
fn story(stage: &Stage, instance: &str) -> Result<Vec<String>> {
    let path = format!("/run/plain/{instance}");
    let text = machine(stage).read_file(&path)?;
    machine(stage).shell_ok(&format!(": > {path}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn start_sidekick(stage: &Stage) -> Result<()> {
    systemctl(stage, &["start", "registrar@plain-1"])?;
    ensure!(active(stage, "registrar@plain-1")? == "active" && active(stage, "plain@1")? == "active");
    let keys = stage.keys(M, "/services/plain/upstream/")?;
    let address = format!("{}:9", machine(stage).address());
    ensure!(keys.get("/services/plain/upstream/1") == Some(&address), "active means listed: {keys:?}");
    let told = stage.property(M, "registrar@plain-1", "StatusText")?;
    ensure!(told.starts_with(&format!("listed {address} as /services/plain/upstream/1")), "{told}");
    let record = stage.keys(M, "/convoy/instances/plain/")?;
    let record = record.get("/convoy/instances/plain/1").context("no record beside the key")?;
    ensure!(record.contains(r#""state":"passing""#) && record.contains("plain@1.service"), "{record}");
    story(stage, "plain-1").map(drop)
}

fn start_app(stage: &Stage) -> Result<()> {
    systemctl(stage, &["start", "plain@7"])?;
    stage.wait_active(M, "registrar@plain-7")?;
    ensure!(listed(stage, "plain", "7")?);
    for unit in ["plain@7", "registrar@plain-7"] {
        ensure!(stage.property(M, unit, "NeedDaemonReload")? == "no", "{unit} needs a reload by hand");
    }
    let bound = stage.property(M, "registrar@plain-7", "BindsTo")?;
    ensure!(bound == "plain@7.service", "bound to {bound:?}");
    let after = stage.property(M, "registrar@plain-7", "After")?;
    ensure!(after.split_whitespace().any(|unit| unit == "plain@7.service"), "after {after:?}");
    story(stage, "plain-7").map(drop)
}

fn names(stage: &Stage) -> Result<()> {
    for (sidekick, app_unit, app, instance) in
        [("registrar@my-app-12", "my-app@12", "my-app", "12"), ("registrar@plain@3", "plain@3", "plain", "3")]
    {
        systemctl(stage, &["start", sidekick])?;
        ensure!(active(stage, app_unit)? == "active" && listed(stage, app, instance)?, "{sidekick}");
        systemctl(stage, &["stop", app_unit])?;
        ensure!(active(stage, sidekick)? == "inactive", "{sidekick} outlived {app_unit}");
        let seen = story(stage, &format!("{app}-{instance}"))?;
        ensure!(seen == ["START", "TERM sidekicks=0 keys=0"], "{sidekick}: {seen:?}");
    }
    Ok(())
}

fn stop_app(stage: &Stage) -> Result<()> {
    systemctl(stage, &["stop", "plain@7"])?;
    let seen = story(stage, "plain-7")?;
    ensure!(seen == ["TERM sidekicks=0 keys=0"], "{seen:?}");
    ensure!(active(stage, "registrar@plain-7")? == "inactive");
    ensure!(stage.keys(M, "/convoy/instances/plain/7")?.is_empty(), "the record stayed");
    Ok(())
}

fn restart_app(stage: &Stage) -> Result<()> {
    let before = stage.property(M, "registrar@plain-1", "InvocationID")?;
    systemctl(stage, &["restart", "plain@1"])?;
    stage.wait_active(M, "registrar@plain-1")?;
    let seen = story(stage, "plain-1")?;
    ensure!(seen == ["TERM sidekicks=0 keys=0", "START"], "{seen:?}");
    ensure!(stage.property(M, "registrar@plain-1", "InvocationID")? != before, "it was not restarted");
    ensure!(listed(stage, "plain", "1")?);
    Ok(())
}

fn app_crash(stage: &Stage) -> Result<()> {
    systemctl(stage, &["start", "plain@8"])?;
    stage.wait_active(M, "registrar@plain-8")?;
    kill_main(stage, "plain@8")?;
    wait_state(stage, "plain@8", "failed")?;
    wait_state(stage, "registrar@plain-8", "inactive")?;
    wait_listed(stage, "plain", "8", false)
}

fn app_restarted(stage: &Stage) -> Result<()> {
    let drop_in = b"[Service]\nRestart=on-failure\nRestartSec=300ms\n";
    machine(stage).write_file("/run/systemd/system/plain@2.service.d/restart.conf", drop_in, "0644")?;
    systemctl(stage, &["daemon-reload"])?;
    systemctl(stage, &["start", "registrar@plain-2"])?;
    let before = stage.property(M, "registrar@plain-2", "InvocationID")?;
    kill_main(stage, "plain@2")?;
    wait_until("a new sidekick is active", SOON, || {
        let now =
            stage.property(M, "registrar@plain-2", "InvocationID").map_err(|error| format!("{error:#}"))?;
        let found = active(stage, "registrar@plain-2").map_err(|error| format!("{error:#}"))?;
        if now != before && found == "active" { Ok(()) } else { Err(found) }
    })?;
    ensure!(stage.property(M, "plain@2", "NRestarts")? == "1", "the app was restarted more than once");
    ensure!(listed(stage, "plain", "2")?);
    systemctl(stage, &["stop", "plain@2"])
}

fn sidekick_crash(stage: &Stage) -> Result<()> {
    let app = stage.property(M, "plain@1", "MainPID")?;
    let before = stage.property(M, "registrar@plain-1", "MainPID")?;
    let version = key_version(stage, "/services/plain/upstream/1")?;
    kill_main(stage, "registrar@plain-1")?;
    wait_until("another sidekick is active", SOON, || {
        ensure_listed(stage)?;
        let now = stage.property(M, "registrar@plain-1", "MainPID").map_err(|error| format!("{error:#}"))?;
        let found = active(stage, "registrar@plain-1").map_err(|error| format!("{error:#}"))?;
        if now != before && found == "active" { Ok(()) } else { Err(found) }
    })?;
    // A key that had been away would begin again at version 1.
    let after = key_version(stage, "/services/plain/upstream/1")?;
    ensure!(after > version, "the key was gone in between: version {version}, then {after}");
    ensure!(stage.property(M, "plain@1", "MainPID")? == app, "the app was touched");
    let seen = story(stage, "plain-1")?;
    ensure!(seen.is_empty(), "the app noticed: {seen:?}");
    Ok(())
}

fn ensure_listed(stage: &Stage) -> Result<(), String> {
    match listed(stage, "plain", "1") {
        Ok(true) => Ok(()),
        Ok(false) => Err("the key is gone".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn key_version(stage: &Stage, key: &str) -> Result<u64> {
    let answer = stage.etcdctl(M, &["get", key, "--write-out=json"])?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    answer.pointer("/kvs/0/version").and_then(serde_json::Value::as_u64).context("no such key")
}

fn sidekick_hung(stage: &Stage) -> Result<()> {
    let app = stage.property(M, "plain@1", "MainPID")?;
    let before = stage.property(M, "registrar@plain-1", "MainPID")?;
    let version = key_version(stage, "/services/plain/upstream/1")?;
    systemctl(stage, &["kill", "--signal=STOP", "--kill-whom=main", "registrar@plain-1"])?;
    // The watchdog's 15 s, and systemd's time to kill it.
    wait_until("the watchdog replaced it", SOON, || {
        let now = stage.property(M, "registrar@plain-1", "MainPID").map_err(|error| format!("{error:#}"))?;
        let found = active(stage, "registrar@plain-1").map_err(|error| format!("{error:#}"))?;
        if now != before && found == "active" { Ok(()) } else { Err(format!("{found}, process {now}")) }
    })?;
    ensure!(key_version(stage, "/services/plain/upstream/1")? > version, "the key was gone in between");
    ensure!(stage.property(M, "plain@1", "MainPID")? == app, "the app was touched");
    Ok(())
}

fn stop_sidekick(stage: &Stage) -> Result<()> {
    systemctl(stage, &["stop", "registrar@plain-1"])?;
    ensure!(active(stage, "plain@1")? == "active" && !listed(stage, "plain", "1")?);
    systemctl(stage, &["start", "registrar@plain-1"])?;
    ensure!(listed(stage, "plain", "1")?);
    Ok(())
}

fn failing_app(stage: &Stage) -> Result<()> {
    let unit = b"[Unit]\nWants=registrar@%p-%i.service\n[Service]\nType=oneshot\nExecStart=/bin/false\n";
    machine(stage).write_file("/etc/systemd/system/broken@.service", unit, "0644")?;
    systemctl(stage, &["daemon-reload"])?;
    for unit in ["broken@1", "registrar@broken-2"] {
        ensure!(machine(stage).systemctl(&["start", unit]).is_err(), "{unit} can't have started");
    }
    for number in [1, 2] {
        let sidekick = format!("registrar@broken-{number}");
        wait_until("no job is left", SOON, || {
            let job = stage.property(M, &sidekick, "Job").map_err(|error| format!("{error:#}"))?;
            if job.is_empty() || job == "0" { Ok(()) } else { Err(job) }
        })?;
        ensure!(active(stage, &sidekick)? == "inactive");
        let journal = machine(stage).journal(&["-o", "cat", "-u", &format!("broken@{number}")])?;
        let tries = journal.lines().filter(|line| line.starts_with("Starting ")).count();
        ensure!(tries == 1, "tried {tries} times:\n{journal}");
    }
    Ok(())
}

fn stopped_at_once(stage: &Stage) -> Result<()> {
    for number in 30..34 {
        let app_unit = format!("plain@{number}");
        systemctl(stage, &["start", &app_unit])?;
        systemctl(stage, &["stop", &app_unit])?;
        // Whatever was still under way has had its end: the sidekick's job is over, its binder too.
        wait_until("nothing is under way", SOON, || {
            let listed = machine(stage).exec(&["systemctl", "list-jobs", "--no-legend", "--plain"]);
            let jobs = listed.map_err(|error| error.to_string())?.stdout;
            if jobs.contains("plain") { Err(jobs) } else { Ok(()) }
        })?;
        ensure!(active(stage, &app_unit)? == "inactive", "{app_unit} came back");
        ensure!(active(stage, &format!("registrar@plain-{number}"))? == "inactive");
        ensure!(!listed(stage, "plain", &number.to_string())?);
    }
    Ok(())
}

fn many(stage: &Stage) -> Result<()> {
    let apps: Vec<String> = (20..28).map(|number| format!("plain@{number}")).collect();
    let start: Vec<&str> = ["start"].into_iter().chain(apps.iter().map(String::as_str)).collect();
    systemctl(stage, &start)?;
    for number in 20..28 {
        stage.wait_active(M, &format!("registrar@plain-{number}"))?;
    }
    systemctl(stage, &["stop", "plain@2*"])?;
    for number in 20..28 {
        let seen = story(stage, &format!("plain-{number}"))?;
        ensure!(seen == ["START", "TERM sidekicks=0 keys=0"], "plain@{number}: {seen:?}");
    }
    Ok(())
}

fn mistakes(stage: &Stage) -> Result<()> {
    for (instance, told) in [
        ("plain", "has no instance: write it as app-instance"),
        ("nosuchapp-1", "nosuchapp@1.service: no such unit; is its file installed?"),
    ] {
        let unit = format!("registrar@{instance}");
        ensure!(machine(stage).systemctl(&["start", &unit]).is_err(), "{unit} can't have started");
        wait_story(stage, &format!("registrar-bind@{instance}"), told)?;
    }
    machine(stage).write_file("/etc/convoy/registrar/plain-40.env", b"REGISTRAR_TTL=soon\n", "0644")?;
    ensure!(machine(stage).systemctl(&["start", "registrar@plain-40"]).is_err());
    wait_state(stage, "registrar@plain-40", "failed")?;
    wait_story(stage, "registrar@plain-40", "REGISTRAR_TTL: \"soon\" is no time")?;
    ensure!(stage.property(M, "registrar@plain-40", "NRestarts")? == "0", "it was tried again");
    ensure!(active(stage, "plain@40")? == "active", "the app suffered for it");
    systemctl(stage, &["stop", "plain@40"])
}

/// The journal has it soon: a message may be on its way there when systemd says how its sender ended.
fn wait_story(stage: &Stage, unit: &str, told: &str) -> Result<()> {
    wait_until(&format!("{told:?} of {unit}"), SOON, || {
        let journal =
            machine(stage).journal(&["-o", "cat", "-u", unit]).map_err(|error| error.to_string())?;
        if journal.contains(told) { Ok(()) } else { Err(journal) }
    })?;
    Ok(())
}

fn containers(stage: &Stage) -> Result<()> {
    let address = machine(stage).address();
    systemctl(stage, &["start", "registrar@someapp-1"])?;
    let published = machine(stage).exec_ok(&["docker", "port", "someapp-1", "3000/tcp"])?.stdout;
    let published = published.lines().next().unwrap_or_default().to_owned();
    ensure!(published.starts_with(&format!("{address}:")), "published at {published}");
    let keys = stage.keys(M, "/services/someapp/upstream/")?;
    ensure!(keys.get("/services/someapp/upstream/1") == Some(&published), "{published}: {keys:?}");

    let options = b"REGISTRAR_MODE=container\n";
    machine(stage).write_file("/etc/convoy/registrar/someapp-2.env", options, "0644")?;
    systemctl(stage, &["start", "registrar@someapp-2"])?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let own = machine(stage).exec_ok(&["docker", "inspect", "--format", format, "someapp-2"])?.stdout;
    let own = format!("{}:3000", own.trim());
    let keys = stage.keys(M, "/services/someapp/upstream/")?;
    ensure!(keys.get("/services/someapp/upstream/2") == Some(&own), "{own}: {keys:?}");
    systemctl(stage, &["stop", "someapp@2"])
}

/// From the KILL of the container's process to the watch's event, on one clock.
const KILL: &str = r#"
export ETCDCTL_API=3
key=/services/someapp/upstream/1
pid=$(docker inspect --format '{{.State.Pid}}' someapp-1)
revision=$(etcdctl get "$key" --write-out=fields | sed -n 's/^"ModRevision" : //p')
pipe=$(mktemp --dry-run /run/gone.XXXXXX)
mkfifo "$pipe"
etcdctl watch "$key" --rev="$revision" > "$pipe" &
exec 3< "$pipe"
rm "$pipe"
# The watch begins with the key as it is: three lines, and it stands.
read -r word <&3; read -r word <&3; read -r word <&3
began=$(date +%s%N)
kill -KILL "$pid"
read -r word <&3
ended=$(date +%s%N)
kill $!
echo "$word $(( (ended - began) / 1000 ))"
"#;

fn killed_container(stage: &Stage) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..7 {
        stage.wait_active(M, "registrar@someapp-1")?;
        wait_listed(stage, "someapp", "1", true)?;
        let before = stage.property(M, "someapp@1", "InvocationID")?;
        let output = machine(stage).shell_ok(KILL)?.stdout;
        let (word, micros) = output.trim().split_once(' ').context("no measurement")?;
        ensure!(word == "DELETE", "{output}");
        took.push(Duration::from_micros(micros.parse()?));
        wait_until("systemd restarted the app", SOON, || {
            match stage.property(M, "someapp@1", "InvocationID") {
                Ok(now) if now != before && !now.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
    }
    took.sort();
    let median = took.get(took.len() / 2).copied().context("nothing was measured")?;
    // `make bench` measures this beside its peer; here it only has to be told from a health check or a lease.
    ensure!(median < Duration::from_secs(1), "median {median:?} of {took:?}");
    Ok(())
}

fn failing_instance(stage: &Stage) -> Result<()> {
    stage.wait_active(M, "registrar@someapp-1")?;
    let app = stage.property(M, "someapp@1", "MainPID")?;
    let address = stage.keys(M, "/services/someapp/upstream/1")?;
    let address = address.values().next().context("not listed")?.clone();
    let tell = |what: &str| {
        machine(stage).exec_ok(&[
            "curl",
            "--silent",
            "--fail",
            "--request",
            "POST",
            &format!("http://{address}/{what}"),
        ])
    };
    tell("fail")?;
    wait_listed(stage, "someapp", "1", false)?;
    let record = stage.keys(M, "/convoy/instances/someapp/1")?;
    ensure!(record.values().any(|record| record.contains(r#""state":"failing""#)), "{record:?}");
    let told = stage.property(M, "registrar@someapp-1", "StatusText")?;
    ensure!(told.contains("fails its check http:/healthz") && told.contains("status 503"), "{told}");
    tell("recover")?;
    wait_listed(stage, "someapp", "1", true)?;
    ensure!(stage.property(M, "someapp@1", "MainPID")? == app, "the app was touched");
    systemctl(stage, &["stop", "someapp@1"])
}

fn boot(stage: &Stage) -> Result<()> {
    systemctl(stage, &["enable", "plain@5"])?;
    machine(stage).power_off()?;
    machine(stage).start()?;
    stage.wait_active(M, "registrar@plain-5")?;
    let drop_ins = stage.property(M, "registrar@plain-5", "DropInPaths")?;
    ensure!(
        drop_ins.contains("/run/systemd/generator/registrar@plain-5.service.d/50-bind.conf"),
        "{drop_ins}"
    );
    let journal = machine(stage).journal(&["-b", "-o", "cat", "-u", "registrar-bind@plain-5"])?;
    ensure!(!journal.contains("is bound to"), "the binder had to reload:\n{journal}");
    wait_listed(stage, "plain", "5", true)
}
