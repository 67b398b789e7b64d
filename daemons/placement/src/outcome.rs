//! From a finished pass to the placement.

use crate::{Choice, Placement, Reason, pass::Pass, table::UnitAt};

pub(crate) fn of(pass: &Pass<'_>) -> Placement {
    let mut placement = Placement::default();
    let id = |machine: usize| pass.catalog.sites.machine(machine).id.clone();
    for unit in pass.catalog.ranked() {
        let Some(entry) = pass.entry(*unit).filter(|entry| entry.is_ordinary()) else { continue };
        let name = &entry.unit.name;
        match pass.state.at[*unit] {
            Some(machine) => {
                placement.assigned.insert(name.clone(), id(machine));
                let why = pass.why(*unit, machine);
                if why.choice != Choice::Stays {
                    placement.why.insert(name.clone(), why);
                }
            }
            None => drop(placement.pending.insert(name.clone(), pass.pending_reasons(*unit))),
        }
    }
    for (unit, machines) in pass.state.globals.all() {
        if let Some(entry) = pass.entry(unit) {
            placement.globals.insert(entry.unit.name.clone(), machines.iter().map(id).collect());
            if machines.is_empty() {
                placement.warnings.insert(entry.unit.name.clone(), nowhere(pass, unit));
            }
        }
    }
    placement
}

fn nowhere(pass: &Pass<'_>, unit: UnitAt) -> Vec<Reason> {
    let mut reasons = vec![Reason("it is global and fits no machine".to_owned())];
    reasons.extend(pass.pending_reasons(unit));
    reasons
}
