//! From a finished pass to the placement.

use std::collections::HashMap;

use crate::{
    Placement, Reason, Why,
    chains::Kind,
    pass::Pass,
    table::{MachineAt, UnitAt},
};

pub(crate) fn of(pass: &Pass<'_>) -> Placement {
    let mut placement = Placement::default();
    // In the order of names, in which maps are built fastest.
    let mut known = Known::default();
    let told: Vec<(&String, Told)> = pass
        .catalog
        .by_name()
        .filter_map(|unit| Some((&pass.entry(unit)?.unit.name, tell(pass, unit, &mut known)?)))
        .collect();
    let assigned = told.iter().filter_map(|(name, told)| Some(((*name).clone(), told.machine(pass)?)));
    placement.assigned = assigned.collect();
    for (name, told) in told {
        match told {
            Told::Placed(_, None) => {}
            Told::Placed(_, Some(why)) => drop(placement.why.insert(name.clone(), why)),
            Told::Pending(reasons) => drop(placement.pending.insert(name.clone(), reasons)),
        }
    }
    tell_globals(pass, &mut placement);
    placement
}

/// Writes down anew where a unit is.
pub(crate) fn correct(pass: &Pass<'_>, unit: UnitAt, known: &mut Known, placement: &mut Placement) {
    let (Some(entry), Some(told)) = (pass.entry(unit), tell(pass, unit, known)) else { return };
    let name = &entry.unit.name;
    if let Some(machine) = told.machine(pass) {
        placement.assigned.insert(name.clone(), machine);
    }
    match told {
        Told::Placed(_, None) => {}
        Told::Placed(_, Some(why)) => drop(placement.why.insert(name.clone(), why)),
        Told::Pending(reasons) => drop(placement.pending.insert(name.clone(), reasons)),
    }
}

/// Reasons of units that wait, by units that behave alike: hundreds of instances may wait for the same.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Kind, (UnitAt, Vec<Reason>)>);

impl Known {
    fn reasons(&mut self, pass: &Pass<'_>, unit: UnitAt) -> Vec<Reason> {
        let Some(kind) = pass.kind_of(unit) else { return pass.pending_reasons(unit) };
        let rules = |unit: UnitAt| pass.entry(unit).map(|entry| &entry.unit.rules);
        match self.0.get(&kind) {
            Some((other, reasons)) if rules(*other) == rules(unit) => reasons.clone(),
            _ => {
                let reasons = pass.pending_reasons(unit);
                self.0.insert(kind, (unit, reasons.clone()));
                reasons
            }
        }
    }
}

/// Where an ordinary unit is, and why; the latter left out if it stays.
enum Told {
    Placed(MachineAt, Option<Why>),
    Pending(Vec<Reason>),
}

impl Told {
    fn machine(&self, pass: &Pass<'_>) -> Option<String> {
        match self {
            Self::Placed(machine, _) => Some(pass.catalog.sites.machine(*machine).id.clone()),
            Self::Pending(_) => None,
        }
    }
}

fn tell(pass: &Pass<'_>, unit: UnitAt, known: &mut Known) -> Option<Told> {
    let entry = pass.entry(unit).filter(|entry| entry.is_ordinary())?;
    Some(match pass.state.at[unit] {
        Some(machine) if entry.home == Some(machine) => Told::Placed(machine, None),
        Some(machine) => Told::Placed(machine, Some(pass.why(unit, machine))),
        None => Told::Pending(known.reasons(pass, unit)),
    })
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
