//! From a finished pass to the placement.

use crate::{Choice, Placement, Reason, pass::Pass, table::UnitAt};

pub(crate) fn of(pass: &Pass<'_>) -> Placement {
    let mut placement = Placement::default();
    for unit in pass.catalog.ranked() {
        tell(pass, *unit, &mut placement);
    }
    tell_globals(pass, &mut placement);
    placement
}

/// Writes down where an ordinary unit is.
pub(crate) fn tell(pass: &Pass<'_>, unit: UnitAt, placement: &mut Placement) {
    let Some(entry) = pass.entry(unit).filter(|entry| entry.is_ordinary()) else { return };
    let name = &entry.unit.name;
    let Some(machine) = pass.state.at[unit] else {
        placement.pending.insert(name.clone(), pass.pending_reasons(unit));
        return;
    };
    placement.assigned.insert(name.clone(), pass.catalog.sites.machine(machine).id.clone());
    let why = pass.why(unit, machine);
    if why.choice != Choice::Stays {
        placement.why.insert(name.clone(), why);
    }
}

/// Writes down where the globals are.
pub(crate) fn tell_globals(pass: &Pass<'_>, placement: &mut Placement) {
    let id = |machine: usize| pass.catalog.sites.machine(machine).id.clone();
    for (unit, machines) in pass.state.globals.all() {
        if let Some(entry) = pass.entry(unit) {
            placement.globals.insert(entry.unit.name.clone(), machines.iter().map(id).collect());
            if machines.is_empty() {
                placement.warnings.insert(entry.unit.name.clone(), nowhere(pass, unit));
            }
        }
    }
}

fn nowhere(pass: &Pass<'_>, unit: UnitAt) -> Vec<Reason> {
    let mut reasons = vec![Reason("it is global and fits no machine".to_owned())];
    reasons.extend(pass.pending_reasons(unit));
    reasons
}
