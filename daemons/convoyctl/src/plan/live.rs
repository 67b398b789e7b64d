//! The question that the store's present state asks.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::{MachineId, MachineRecord, MaintenanceMode};
use convoy_placement::{Accepts, Capacity, Machine};

use super::{Question, Submitted};
use crate::picture::Picture;

impl Question {
    /// Asks about the cluster as it is. `now` is in seconds since the epoch.
    pub fn of_picture(picture: &Picture, now: u64) -> Self {
        let machines = picture.machines.iter().map(|(id, record)| machine(picture, id, record)).collect();
        let units = picture
            .in_order()
            .into_iter()
            .map(|(name, unit)| {
                let current = picture.machine_of(name);
                Submitted {
                    name: name.to_string(),
                    file: None,
                    text: unit.record.text.clone(),
                    desired: unit.record.desired,
                    strictness: unit.strictness(),
                    held: current.is_some_and(|id| is_held(picture, id, now)),
                    machine: current.map(ToString::to_string),
                    wish: picture.moves.get(name).map(|wish| wish.machine.to_string()),
                    avoid: BTreeSet::new(),
                }
            })
            .collect();
        Self { machines, units }
    }
}

fn machine(picture: &Picture, id: &MachineId, record: &MachineRecord) -> Machine {
    let accepts = match picture.maintenance.get(id).map(|maintenance| maintenance.mode) {
        Some(MaintenanceMode::Drain) => Accepts::Nothing,
        Some(MaintenanceMode::Cordon | MaintenanceMode::Reboot) => Accepts::Present,
        None if record.agent_restarts => Accepts::Present,
        None => Accepts::All,
    };
    let metadata: BTreeMap<String, String> = record.metadata.clone();
    Machine {
        id: id.to_string(),
        metadata,
        capacity: Capacity { memory: record.memory, cpu_millis: record.cpu_millis },
        accepts,
    }
}

/// Whether the units of a machine that is away wait for it: moves are frozen, or its reboot was announced.
fn is_held(picture: &Picture, id: &MachineId, now: u64) -> bool {
    let expected = picture.maintenance.get(id).is_some_and(|record| {
        record.mode == MaintenanceMode::Reboot && record.until.is_none_or(|until| until > now)
    });
    !picture.machines.contains_key(id) && (picture.freeze.is_some() || expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::picture;

    #[test]
    fn operators_and_agents_decide_what_a_machine_takes() {
        use Accepts::{All, Nothing, Present};
        let picture = picture(&[
            ("/convoy/machines/m1", r#"{"name":"one"}"#),
            ("/convoy/machines/m2", r#"{"name":"two"}"#),
            ("/convoy/machines/m3", r#"{"name":"three","metadata":{"zone":"a"}}"#),
            ("/convoy/machines/m4", r#"{"name":"four","agent_restarts":true}"#),
            ("/convoy/machines/m5", r#"{"name":"five"}"#),
            ("/convoy/maintenance/m1", r#"{"mode":"drain","since":1}"#),
            ("/convoy/maintenance/m2", r#"{"mode":"cordon","since":1}"#),
            ("/convoy/maintenance/m5", r#"{"mode":"reboot","since":1}"#),
        ]);
        let accepts: Vec<_> =
            Question::of_picture(&picture, 0).machines.into_iter().map(|machine| machine.accepts).collect();
        assert_eq!(accepts, [Nothing, Present, All, Present, Present]);
    }

    #[test]
    fn units_of_machines_that_are_waited_for_stay() {
        let unit = r#"{"text":"","desired":"launched"}"#;
        let entry = r#"{"hash":"x","desired":"launched"}"#;
        let mut entries = vec![
            ("/convoy/machines/m1", r#"{"name":"one"}"#),
            ("/convoy/maintenance/m2", r#"{"mode":"reboot","since":1,"until":100}"#),
            ("/convoy/units/a.service", unit),
            ("/convoy/units/b.service", unit),
            ("/convoy/units/c.service", unit),
            ("/convoy/schedule/m1/a.service", entry),
            ("/convoy/schedule/m2/b.service", entry),
            ("/convoy/schedule/m3/c.service", entry),
        ];
        let held = |entries: &[(&str, &str)], now| -> Vec<bool> {
            Question::of_picture(&picture(entries), now).units.iter().map(|unit| unit.held).collect()
        };
        assert_eq!(held(&entries, 50), [false, true, false]);
        assert_eq!(held(&entries, 100), [false, false, false]);
        entries.push(("/convoy/freeze", r#"{"since":1,"absent":["m2","m3"],"until":9}"#));
        assert_eq!(held(&entries, 100), [false, true, true]);
    }
}
