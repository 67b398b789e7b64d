//! Placement that follows edits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    Machine, Placement, Unit,
    bits::Bits,
    catalog::{Catalog, Held},
    outcome,
    pass::Pass,
    place::BUDGET,
    table::{MachineAt, Table, UnitAt},
    teams::Teams,
};

/// Keeps machines and units looked up, so that a pass after an edit costs a fraction of [`crate::place`], and one
/// without an edit nothing. The outcome is always that of `place` with the same machines and units.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    catalog: Catalog<'static>,
    machines: BTreeMap<String, Machine>,
    machines_changed: bool,
    edited: BTreeSet<String>,
    /// Who belongs together; nothing if that may be different now.
    teams: Option<Arc<Teams>>,
    /// Where everything was after the last pass.
    at: Table<Option<MachineAt>>,
    globals: Vec<(UnitAt, Bits)>,
    placement: Placement,
    changed: BTreeSet<String>,
}

impl Planner {
    /// A planner that knows of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a machine, or changes it.
    pub fn upsert_machine(&mut self, machine: Machine) {
        if self.machines.get(&machine.id) != Some(&machine) {
            self.machines_changed = true;
            self.machines.insert(machine.id.clone(), machine);
        }
    }

    /// Forgets a machine.
    pub fn remove_machine(&mut self, id: &str) {
        self.machines_changed |= self.machines.remove(id).is_some();
    }

    /// Adds a unit, or changes it. `order` tells which was submitted first (the create revision of its record);
    /// units with the same order are taken by name.
    pub fn upsert_unit(&mut self, order: u64, unit: Unit) {
        let known = self.catalog.find(&unit.name).and_then(|at| self.catalog.entry(at));
        if known.is_none_or(|known| known.order != order || *known.unit != unit) {
            let same = known.is_some_and(|known| {
                known.order == order && known.unit.wanted == unit.wanted && known.unit.rules == unit.rules
            });
            if !same {
                self.teams = None;
            }
            self.edited.insert(unit.name.clone());
            self.catalog.upsert(order, Held::Owned(Box::new(unit)));
        }
    }

    /// Forgets a unit.
    pub fn remove_unit(&mut self, name: &str) {
        if self.catalog.find(name).is_some() {
            self.teams = None;
            self.edited.insert(name.to_owned());
            self.catalog.remove(name);
        }
    }

    /// Notes where a unit is now.
    pub fn set_current(&mut self, name: &str, current: Option<&str>) {
        let known = self.catalog.find(name).and_then(|at| self.catalog.entry(at));
        if known.is_some_and(|known| known.unit.current.as_deref() != current) {
            self.edited.insert(name.to_owned());
            self.catalog.set_current(name, current);
        }
    }

    /// Works out where everything goes now. Returns the units of which something is different from the last time,
    /// be it only the reason.
    pub fn plan(&mut self) -> &BTreeSet<String> {
        self.changed.clear();
        if self.machines_changed {
            self.catalog.set_machines(self.machines.values().cloned().collect());
        } else if self.edited.is_empty() {
            return &self.changed;
        }
        let teams = self.teams.take().unwrap_or_else(|| Arc::new(Teams::of(&self.catalog)));
        let mut pass = Pass::with_teams(&self.catalog, Arc::clone(&teams), BUDGET);
        self.teams = Some(teams);
        pass.run();
        if self.machines_changed {
            let placement = outcome::of(&pass);
            self.changed = differences(&self.placement, &placement);
            self.placement = placement;
        } else {
            update(&pass, &self.at, &self.edited, &mut self.placement, &mut self.changed);
            let globals: Vec<(UnitAt, Bits)> =
                pass.state.globals.all().map(|(at, on)| (at, on.clone())).collect();
            let quiet = self.edited.iter().all(|name| !self.placement.globals.contains_key(name));
            if globals != self.globals || !quiet || !self.placement.warnings.is_empty() {
                update_globals(&pass, &mut self.placement, &mut self.changed);
            }
        }
        self.globals = pass.state.globals.all().map(|(at, on)| (at, on.clone())).collect();
        self.at = pass.state.at;
        self.machines_changed = false;
        self.edited.clear();
        &self.changed
    }

    /// The placement of the last [`Self::plan`].
    pub const fn placement(&self) -> &Placement {
        &self.placement
    }
}

/// Writes down anew what may be different: what was edited, what is elsewhere than before, and everything that has a
/// reason other than that it stays.
fn update(
    pass: &Pass<'_>,
    before: &Table<Option<MachineAt>>,
    edited: &BTreeSet<String>,
    placement: &mut Placement,
    changed: &mut BTreeSet<String>,
) {
    let mut doubtful: BTreeSet<String> = edited.clone();
    doubtful.extend(placement.why.keys().chain(placement.pending.keys()).cloned());
    for unit in pass.catalog.ranked() {
        if before.0.get(*unit) != Some(&pass.state.at[*unit])
            && let Some(entry) = pass.entry(*unit)
        {
            doubtful.insert(entry.unit.name.clone());
        }
    }
    let mut known = outcome::Known::default();
    for name in doubtful {
        let old =
            (placement.assigned.remove(&name), placement.pending.remove(&name), placement.why.remove(&name));
        if let Some(unit) = pass.catalog.find(&name) {
            outcome::correct(pass, unit, &mut known, placement);
        }
        let new = (placement.assigned.get(&name), placement.pending.get(&name), placement.why.get(&name));
        if (old.0.as_ref(), old.1.as_ref(), old.2.as_ref()) != new {
            changed.insert(name);
        }
    }
}

fn update_globals(pass: &Pass<'_>, placement: &mut Placement, changed: &mut BTreeSet<String>) {
    let globals = std::mem::take(&mut placement.globals);
    let warnings = std::mem::take(&mut placement.warnings);
    outcome::tell_globals(pass, placement);
    changed.extend(different(&globals, &placement.globals));
    changed.extend(different(&warnings, &placement.warnings));
}

fn differences(before: &Placement, after: &Placement) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = different(&before.assigned, &after.assigned).collect();
    names.extend(different(&before.globals, &after.globals));
    names.extend(different(&before.pending, &after.pending));
    names.extend(different(&before.why, &after.why));
    names.extend(different(&before.warnings, &after.warnings));
    names
}

fn different<'a, V: PartialEq>(
    before: &'a BTreeMap<String, V>,
    after: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = String> + 'a {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let new = after.iter().filter(|(name, value)| before.get(*name) != Some(*value)).map(|(name, _)| name);
    gone.chain(new).cloned()
}
