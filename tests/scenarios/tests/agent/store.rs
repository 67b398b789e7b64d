//! A store that is emptied, exchanged or restored.

use std::time::Duration;

use anyhow::{Result, ensure};
use convoy_cluster::wait_until;
use convoy_scenarios::{SOON, Stage, pass};

use crate::play::{LIGHT, M, machine, remove, runs, schedule, wait_active, wait_state};

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
    let after = runs(stage, &units)?;
    ensure!(after == before, "stopped or restarted: {before:?} became {after:?}");
    remove(stage, &units)
}

fn wait_unclaimed(stage: &Stage) -> Result<()> {
    for unit in ["one.service", "two.service"] {
        wait_state(stage, unit, "unclaimed", |state| state.active == "active" && state.unclaimed)?;
    }
    Ok(())
}

pub(crate) fn emptied(stage: &Stage) -> Result<()> {
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

pub(crate) fn replaced(stage: &Stage) -> Result<()> {
    untouched(stage, || {
        stage.empty_store()?;
        ensure!(stage.keys(1, "/convoy/units/")?.is_empty(), "the store was to be empty");
        wait_unclaimed(stage)?;
        stage.etcdctl(1, &["put", "/convoy/cluster", r#"{"id":"third"}"#])?;
        pass("a while with another store", Duration::from_secs(5))?;
        wait_unclaimed(stage)?;
        stage.restore_store()?;
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
