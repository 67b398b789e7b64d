//! A placement in the making: who is where, and what that leaves to the others.

use crate::{
    catalog::{Catalog, Entry},
    globals::Globals,
    hash::FastMap,
    presence::Presence,
    room::Room,
    table::{MachineAt, Table, UnitAt},
};

/// Who is where. Units that are nowhere block nothing.
#[derive(Debug, Clone)]
pub(crate) struct State<'c> {
    pub(crate) catalog: &'c Catalog<'c>,
    pub(crate) at: Table<Option<MachineAt>>,
    /// How many units are somewhere.
    pub(crate) placed: usize,
    residents: Table<Vec<UnitAt>>,
    pub(crate) load: Table<i64>,
    pub(crate) globals: Globals,
    rooms: Table<Room>,
    /// For each pattern the machines with a unit that it matches, and with a unit that names it.
    matched: Table<Presence>,
    named: Table<Presence>,
    /// Instances per template and value of a spread key.
    spread: FastMap<(usize, usize), i64>,
    /// Machines whose load changed since it was last asked for.
    pub(crate) touched: Vec<MachineAt>,
}

impl<'c> State<'c> {
    pub(crate) fn new(catalog: &'c Catalog<'c>) -> Self {
        let machines = catalog.sites.len();
        let rooms = catalog.sites.machines().iter().map(|machine| Room::of(machine.capacity)).collect();
        let mut state = Self {
            catalog,
            at: Table::filled(None, catalog.positions()),
            placed: 0,
            residents: Table::filled(Vec::new(), machines),
            load: Table::filled(0, machines),
            globals: Globals::of(catalog),
            rooms,
            matched: Table::filled(Presence::default(), catalog.patterns.len()),
            named: Table::filled(Presence::default(), catalog.patterns.len()),
            spread: FastMap::default(),
            touched: (0..machines).collect(),
        };
        for machine in 0..machines {
            for global in state.globals.present_on(machine) {
                state.count_global(global, machine, true);
            }
        }
        state
    }

    pub(crate) fn residents(&self, machine: MachineAt) -> &[UnitAt] {
        &self.residents[machine]
    }

    pub(crate) fn room(&self, machine: MachineAt) -> &Room {
        &self.rooms[machine]
    }

    /// Whether every hard rule holds with this unit on this machine, MachineOf= and ties excepted: those are
    /// matters of the group. The unit must be nowhere.
    pub(crate) fn admits(&self, unit: UnitAt, machine: MachineAt) -> bool {
        let Some(entry) = self.catalog.entry(unit) else { return false };
        self.catalog.suits(entry, machine) && self.admits_beside(unit, entry, machine)
    }

    /// The same for a machine that is known to suit the unit.
    pub(crate) fn admits_beside(&self, unit: UnitAt, entry: &Entry<'_>, machine: MachineAt) -> bool {
        !entry.declares.iter().any(|pattern| self.matched[*pattern].on(machine))
            && !entry.hits.iter().any(|pattern| self.named[*pattern].on(machine))
            && self.room_beside(unit, machine).admits(entry, machine)
            && self.globals.admits(self.catalog, unit, machine, &self.residents[machine])
    }

    /// The room there after the globals have left or come that the unit's coming concerns.
    fn room_beside(&self, unit: UnitAt, machine: MachineAt) -> Room {
        let mut room = self.rooms[machine];
        if self.globals.is_related(unit) {
            for (global, comes) in self.globals.changes(self.catalog, unit, machine) {
                match self.catalog.entry(global) {
                    Some(global) if comes => room.add_global(global),
                    Some(global) => room.remove_global(global),
                    None => {}
                }
            }
        }
        room
    }

    /// Whether nothing on the machine is overcommitted with these units; a soft rule.
    pub(crate) fn has_room(&self, entries: &[&Entry<'_>], machine: MachineAt) -> bool {
        self.rooms[machine].holds(entries)
    }

    pub(crate) fn add(&mut self, unit: UnitAt, machine: MachineAt) {
        let Some(entry) = self.catalog.entry(unit) else { return };
        self.at[unit] = Some(machine);
        self.placed += 1;
        self.residents[machine].push(unit);
        self.load[machine] += entry.weight;
        self.touched.push(machine);
        let machines = self.catalog.sites.len();
        entry.declares.iter().for_each(|pattern| self.named[*pattern].add(machine, machines));
        entry.hits.iter().for_each(|pattern| self.matched[*pattern].add(machine, machines));
        if entry.needs_room() {
            self.rooms[machine].add(entry, machine);
        }
        self.count_instance(entry, machine, 1);
        self.refresh(unit, machine, true);
    }

    pub(crate) fn remove(&mut self, unit: UnitAt) -> Option<MachineAt> {
        let entry = self.catalog.entry(unit)?;
        let machine = self.at[unit].take()?;
        self.placed -= 1;
        self.residents[machine].retain(|other| *other != unit);
        self.load[machine] -= entry.weight;
        self.touched.push(machine);
        entry.declares.iter().for_each(|pattern| self.named[*pattern].remove(machine));
        entry.hits.iter().for_each(|pattern| self.matched[*pattern].remove(machine));
        if entry.needs_room() {
            self.rooms[machine].remove(entry, machine);
        }
        self.count_instance(entry, machine, -1);
        self.refresh(unit, machine, false);
        Some(machine)
    }

    /// Whether everything on the machine gets along with the globals there: a unit that leaves may let one back in.
    pub(crate) fn is_sound(&self, machine: MachineAt) -> bool {
        self.rooms[machine].is_sound()
            && self.globals.is_sound(self.catalog, machine, &self.residents[machine])
    }

    /// The units there with which this one can't share a machine.
    pub(crate) fn blockers(&self, unit: UnitAt, machine: MachineAt) -> Vec<UnitAt> {
        let Some(entry) = self.catalog.entry(unit) else { return Vec::new() };
        let clash = |other: &&UnitAt| {
            **other != unit && self.catalog.entry(**other).is_some_and(|other| at_odds(entry, other))
        };
        self.residents[machine].iter().filter(clash).copied().collect()
    }

    pub(crate) fn instances(&self, family: usize, value: usize) -> i64 {
        self.spread.get(&(family, value)).copied().unwrap_or(0)
    }

    fn count_instance(&mut self, entry: &Entry<'_>, machine: MachineAt, by: i64) {
        let Some(family) = entry.family else { return };
        for value in self.catalog.sites.spread_values(machine) {
            *self.spread.entry((family, *value)).or_default() += by;
        }
    }

    fn refresh(&mut self, unit: UnitAt, machine: MachineAt, came: bool) {
        for (global, present) in self.globals.note(self.catalog, unit, machine, came) {
            self.count_global(global, machine, present);
        }
    }

    fn count_global(&mut self, global: UnitAt, machine: MachineAt, present: bool) {
        let Some(entry) = self.catalog.entry(global) else { return };
        self.touched.push(machine);
        if present {
            self.load[machine] += entry.weight;
            self.rooms[machine].add_global(entry);
        } else {
            self.load[machine] -= entry.weight;
            self.rooms[machine].remove_global(entry);
        }
    }
}

/// Whether one of the two names the other in Conflicts= or Replaces=.
pub(crate) fn at_odds(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    share(&one.declares, &other.hits) || share(&one.hits, &other.declares)
}

fn share(one: &[usize], other: &[usize]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short.iter().any(|item| long.binary_search(item).is_ok())
}
