//! Bad days: how they are made, and how it is seen what they did.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use convoy_cluster::wait_until;

use crate::{SOON, Stage};

/// A unit that writes the time into the journal, ten times a second: see [`Stage::beats`].
pub const CLOCK: &str =
    "[Service]\nExecStart=/bin/sh -c 'while :; do date +%%s.%%N; sleep 0.1; done'\nKillMode=mixed\n";

/// Lets time pass in which something must not happen.
pub fn pass(what: &str, time: Duration) -> Result<()> {
    let began = Instant::now();
    wait_until(what, time * 2, || {
        if began.elapsed() >= time { Ok(()) } else { Err(format!("{:?}", began.elapsed())) }
    })?;
    Ok(())
}

impl Stage {
    /// The times that a [`CLOCK`] wrote on a machine, in seconds. The machines share one clock.
    pub fn beats(&self, on: u8, unit: &str) -> Result<Vec<f64>> {
        let journal = self.cluster.machine(on).journal(&["-u", unit, "-o", "cat"])?;
        Ok(journal.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// Waits until a [`CLOCK`] has written something on a machine.
    pub fn wait_for_a_beat(&self, on: u8, unit: &str) -> Result<()> {
        wait_until("its first beat", SOON, || match self.beats(on, unit) {
            Ok(beats) if !beats.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        Ok(())
    }

    /// Whether a unit is active, by its machine's systemd.
    pub fn is_active(&self, on: u8, unit: &str) -> Result<bool> {
        Ok(self.cluster.machine(on).exec(&["systemctl", "is-active", "--quiet", unit])?.success())
    }

    /// Waits until this many machines are in the store.
    pub fn wait_for_machines(&self, on: u8, count: usize) -> Result<()> {
        wait_until(&format!("{count} machines in the store"), SOON, || {
            let machines = self.keys(on, "/convoy/machines/").map_err(|error| format!("{error:#}"))?;
            if machines.len() == count { Ok(()) } else { Err(format!("{machines:?}")) }
        })?;
        Ok(())
    }

    /// Puts an empty store in the place of the one that all members have. That one is kept.
    pub fn empty_store(&self) -> Result<()> {
        let data = self.etcd_data()?;
        self.exchange_store(&format!("test -d {data} && mv {data} {data}.kept"))
    }

    /// Puts the store back that [`Stage::empty_store`] kept.
    pub fn restore_store(&self) -> Result<()> {
        let data = self.etcd_data()?;
        self.exchange_store(&format!("rm -r {data} && mv {data}.kept {data}"))
    }

    fn etcd_data(&self) -> Result<String> {
        let environment = self.cluster.machine(1).read_file("/run/convoy/etcd.env")?;
        let data = environment.lines().find_map(|line| line.strip_prefix("ETCD_DATA_DIR="));
        Ok(data.context("etcd has no data directory")?.to_owned())
    }

    /// Stops all members, runs the script on each, starts them, and waits until the machines are in the store again.
    fn exchange_store(&self, script: &str) -> Result<()> {
        let members = [1, 2, 3].map(|number| self.cluster.machine(number));
        for machine in &members {
            machine.systemctl(&["stop", "etcd.service"])?;
            machine.shell_ok(script)?;
        }
        for machine in &members {
            machine.systemctl(&["start", "--no-block", "etcd.service"])?;
        }
        self.wait_for_machines(1, self.cluster.machines().count())
    }
}
