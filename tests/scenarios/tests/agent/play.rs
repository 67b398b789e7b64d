//! The scheduler's part, played by the scenarios on the agent of `m4`, and what is seen of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Machine, wait_until};
use convoy_keys::{Record, StateRecord};
use convoy_scenarios::{SOON, Stage};

/// The machine that the units run on.
pub(crate) const M: u8 = 4;
pub(crate) const LIGHT: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

pub(crate) fn machine(stage: &Stage) -> Machine {
    stage.cluster.machine(M)
}

pub(crate) fn schedule_key(stage: &Stage, unit: &str) -> String {
    format!("/convoy/schedule/{}/{unit}", machine(stage).machine_id())
}

pub(crate) fn entry(text: &str, desired: &str, restarts: u32) -> String {
    serde_json::json!({ "hash": convoy_unit_files::hash(text), "desired": desired, "restarts": restarts })
        .to_string()
}

/// Units and their schedule in one transaction.
pub(crate) fn schedule(stage: &Stage, units: &[(&str, &str, &str, u32)]) -> Result<()> {
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

pub(crate) fn launch(stage: &Stage, unit: &str, text: &str) -> Result<()> {
    schedule(stage, &[(unit, text, "launched", 0)])
}

pub(crate) fn remove(stage: &Stage, units: &[&str]) -> Result<()> {
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
pub(crate) fn state(stage: &Stage, unit: &str) -> Result<StateRecord> {
    let key = format!("/convoy/states/{}/{unit}", machine(stage).machine_id());
    let value = stage.keys(1, &key)?.remove(&key).with_context(|| format!("no state of {unit}"))?;
    Ok(StateRecord::parse(value.as_bytes())?)
}

pub(crate) fn wait_state(
    stage: &Stage,
    unit: &str,
    what: &str,
    test: impl Fn(&StateRecord) -> bool,
) -> Result<()> {
    wait_until(&format!("{unit} {what}"), SOON, || match state(stage, unit) {
        Ok(seen) if test(&seen) => Ok(()),
        Ok(seen) => Err(format!("{seen:?}")),
        Err(error) => Err(format!("{error:#}")),
    })?;
    Ok(())
}

pub(crate) fn wait_active(stage: &Stage, unit: &str) -> Result<()> {
    wait_state(stage, unit, "active", |state| state.active == "active")
}

pub(crate) fn is_active(stage: &Stage, unit: &str) -> Result<bool> {
    stage.is_active(M, unit)
}

pub(crate) fn wait_down(stage: &Stage, unit: &str) -> Result<()> {
    wait_until(&format!("{unit} down"), SOON, || match is_active(stage, unit) {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    Ok(())
}

/// systemd's number of the present run.
pub(crate) fn runs(stage: &Stage, units: &[&str]) -> Result<BTreeMap<String, String>> {
    units.iter().map(|unit| Ok(((*unit).to_owned(), stage.property(M, unit, "InvocationID")?))).collect()
}

pub(crate) fn metric(stage: &Stage, name: &str) -> Result<u64> {
    let script = "curl -sf --unix-socket /run/convoy/agent/metrics.sock http://localhost/metrics";
    let text = machine(stage).shell_ok(script)?.stdout;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("convoy_agent_{name} ")));
    line.with_context(|| format!("no {name} in {text}"))?.trim().parse().context("a number")
}

pub(crate) fn beats(stage: &Stage, unit: &str) -> Result<Vec<f64>> {
    stage.beats(M, unit)
}

pub(crate) fn now(stage: &Stage) -> Result<f64> {
    Ok(machine(stage).exec_ok(&["date", "+%s.%N"])?.stdout.trim().parse()?)
}

// The promises.
