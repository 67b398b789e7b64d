//! Machines that are cut off, and agents that are dead or frozen: `WhenCutOff=`.

use anyhow::{Result, ensure};
use convoy_cluster::wait_until;
use convoy_scenarios::{CLOCK, SOON, Stage};

use crate::play::{
    LIGHT, M, beats, launch, machine, now, remove, runs, schedule_key, wait_active, wait_down,
};

/// `[agent] ttl` in its default.
const TTL: f64 = 5.0;
/// How long a scheduler waits at least after it saw a machine vanish, besides TTL and `StopWithin=`.
const SPARE: f64 = 2.0;

/// Starts a clock with this policy.
fn clock(stage: &Stage, unit: &str, policy: &str) -> Result<()> {
    launch(stage, unit, &format!("{CLOCK}\n[X-Convoy]\n{policy}\n"))?;
    wait_active(stage, unit)?;
    stage.wait_for_a_beat(M, unit)
}

/// When the store let go of the machine, by the machines' common clock; a scheduler counts from there.
fn vanished(stage: &Stage) -> Result<f64> {
    stage.wait_for_machines(1, 3)?;
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

pub(crate) fn fenced_by_cut(stage: &Stage) -> Result<()> {
    clock(stage, "single.service", "WhenCutOff=at-most-one\nStopWithin=5s")?;
    machine(stage).cut()?;
    let vanished = vanished(stage)?;
    let spare = ended_in_time(stage, "single.service", vanished, 5.0)?;
    machine(stage).heal()?;
    ensure!(spare > TTL, "it is stopped when the lease ends, not just before the scheduler acts: {spare}");
    returned(stage, "single.service")
}

pub(crate) fn fenced_by_kill(stage: &Stage) -> Result<()> {
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

pub(crate) fn fenced_by_freeze(stage: &Stage) -> Result<()> {
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

pub(crate) fn moved_away(stage: &Stage) -> Result<()> {
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

pub(crate) fn stop_after(stage: &Stage) -> Result<()> {
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
