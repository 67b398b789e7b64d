//! From a finished pass to the placement.

use crate::{Placement, pass::Pass};

pub(crate) fn of(pass: &Pass<'_>) -> Placement {
    let mut placement = Placement::default();
    let id = |machine: usize| pass.catalog.sites.machine(machine).id.clone();
    for unit in pass.catalog.ranked() {
        let Some(entry) = pass.entry(*unit).filter(|entry| entry.is_ordinary()) else { continue };
        match pass.state.at[*unit] {
            Some(machine) => drop(placement.assigned.insert(entry.unit.name.clone(), id(machine))),
            None => drop(placement.pending.insert(entry.unit.name.clone(), Vec::new())),
        }
    }
    for (unit, machines) in pass.state.globals.all() {
        if let Some(entry) = pass.entry(unit) {
            placement.globals.insert(entry.unit.name.clone(), machines.iter().map(id).collect());
        }
    }
    placement
}
