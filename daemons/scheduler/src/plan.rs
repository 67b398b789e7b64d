//! Placement, told only of what is different from the last time.

use std::collections::BTreeSet;

use convoy_placement::{Placement, Planner};

use crate::input::Input;

/// The planner, and what it knows of.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    planner: Planner,
    machines: BTreeSet<String>,
    units: BTreeSet<String>,
}

impl Plan {
    /// Works out where everything goes.
    pub(crate) fn ask(&mut self, input: &Input) -> &Placement {
        let machines: BTreeSet<String> = input.machines.iter().map(|machine| machine.id.clone()).collect();
        let units: BTreeSet<String> = input.units.iter().map(|(_, unit)| unit.name.clone()).collect();
        for id in self.machines.difference(&machines) {
            self.planner.remove_machine(id);
        }
        for name in self.units.difference(&units) {
            self.planner.remove_unit(name);
        }
        for machine in &input.machines {
            self.planner.upsert_machine(machine.clone());
        }
        for (order, unit) in &input.units {
            self.planner.upsert_unit(*order, unit.clone());
        }
        self.machines = machines;
        self.units = units;
        self.planner.plan();
        self.planner.placement()
    }
}
