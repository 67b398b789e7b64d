//! What an operator does with units over machines, and how it is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_cluster::{Output, wait_until};

use crate::Stage;

/// Where the examples of a release are on a machine.
pub const PLACED: &str = "/opt/convoy/examples/placed";

impl Stage {
    /// `convoyctl` on a machine; it has to end well.
    pub fn convoyctl(&self, on: u8, arguments: &[&str]) -> Result<String> {
        let output = self.try_convoyctl(on, arguments)?;
        ensure!(output.success(), "convoyctl {}: {}", arguments.join(" "), output.text());
        Ok(output.stdout)
    }

    /// `convoyctl` on a machine, however it ends.
    pub fn try_convoyctl(&self, on: u8, arguments: &[&str]) -> Result<Output> {
        let words: Vec<&str> = std::iter::once("convoyctl").chain(arguments.iter().copied()).collect();
        Ok(self.cluster.machine(on).exec(&words)?)
    }

    /// The machine's index by its id.
    pub fn index_of(&self, machine_id: &str) -> Result<u8> {
        let machine = self.cluster.machines().find(|machine| machine.machine_id() == machine_id);
        Ok(machine.with_context(|| format!("no machine has the id {machine_id}"))?.index())
    }

    /// Where the scheduler has put the units whose names begin like this: unit to machine.
    pub fn placed(&self, on: u8, beginning: &str) -> Result<BTreeMap<String, u8>> {
        let mut placed = BTreeMap::new();
        for key in self.keys(on, "/convoy/schedule/")?.into_keys() {
            let rest = key.trim_start_matches("/convoy/schedule/");
            let (machine, unit) = rest.split_once('/').with_context(|| format!("{key} has no unit"))?;
            if unit.starts_with(beginning) {
                let former = placed.insert(unit.to_owned(), self.index_of(machine)?);
                ensure!(former.is_none(), "{unit} is on two machines");
            }
        }
        Ok(placed)
    }

    /// The machine of one unit.
    pub fn machine_of(&self, on: u8, unit: &str) -> Result<u8> {
        self.placed(on, unit)?.remove(unit).with_context(|| format!("{unit} is on no machine"))
    }

    /// The containers of all machines that are on: name to id.
    pub fn containers(&self) -> Result<BTreeMap<String, String>> {
        let mut containers = BTreeMap::new();
        for machine in self.cluster.machines().filter(convoy_cluster::Machine::is_on) {
            let listed =
                machine.exec_ok(&["docker", "ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}"])?.stdout;
            for line in listed.lines() {
                let (name, id) = line.split_once(' ').context("docker ps")?;
                let former = containers.insert(name.to_owned(), id.to_owned());
                ensure!(former.is_none(), "{name} runs on two machines");
            }
        }
        Ok(containers)
    }

    /// Waits until this many units whose names begin like this are active, by what the machines report.
    pub fn wait_units_active(&self, on: u8, beginning: &str, count: usize, within: Duration) -> Result<()> {
        wait_until(&format!("{count} active units {beginning}*"), within, || {
            let keys = self.keys(on, "/convoy/states/").map_err(|error| format!("{error:#}"))?;
            let units = keys
                .iter()
                .filter(|(key, _)| key.rsplit('/').next().is_some_and(|unit| unit.starts_with(beginning)));
            let (active, others): (Vec<_>, Vec<_>) =
                units.partition(|(_, state)| state.contains("\"active\":\"active\""));
            if active.len() == count && others.is_empty() {
                Ok(())
            } else {
                Err(format!("{} are active; not active: {others:?}", active.len()))
            }
        })?;
        Ok(())
    }

    /// The machine whose scheduler leads.
    pub fn leader(&self, on: u8) -> Result<u8> {
        let value = self.etcdctl(on, &["get", "--print-value-only", "/convoy/leader"])?;
        let machine = self.cluster.machines().find(|machine| value.contains(machine.machine_id()));
        Ok(machine.with_context(|| format!("no machine leads: {value}"))?.index())
    }
}
