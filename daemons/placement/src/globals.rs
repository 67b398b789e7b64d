//! Global units: on every machine that suits them, unless somebody who has the older right is in their way.
//!
//! Who was there first wins. A unit that was submitted before the global, or that is on the machine already,
//! keeps a conflicting global off that machine. Any other unit keeps off the machines where the global is.
//! Of two globals that conflict the one submitted first stays. Globals that conflict with nobody and that
//! nobody follows cost nothing: they are only counted.

use crate::{
    Accepts,
    bits::Bits,
    catalog::{Catalog, Entry},
    hash::FastMap,
    state::at_odds,
    table::{MachineAt, Table, UnitAt},
};

/// What a unit has to do with a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// They can't share a machine.
    Conflicts,
    /// It goes where the global is (MachineOf=).
    Follows,
}

#[derive(Debug, Clone)]
struct Global {
    unit: UnitAt,
    eligible: Bits,
    present: Bits,
    /// Units per machine that keep it off.
    in_the_way: FastMap<MachineAt, u32>,
    /// Conflicting globals that were submitted before.
    elders: Vec<usize>,
}

/// All wanted globals, in the order of their submission.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    globals: Table<Global>,
    related: FastMap<UnitAt, Vec<(usize, Relation)>>,
}

impl Globals {
    pub(crate) fn of(catalog: &Catalog<'_>) -> Self {
        let mut all = Self::default();
        let wanted = catalog.ranked().iter().copied().filter_map(|at| Some((at, catalog.entry(at)?)));
        let globals: Vec<(UnitAt, &Entry<'_>)> =
            wanted.clone().filter(|(_, entry)| entry.unit.rules.global && entry.unit.wanted).collect();
        let names: FastMap<&str, UnitAt> =
            globals.iter().map(|(at, entry)| (entry.unit.name.as_str(), *at)).collect();
        let mut followers: FastMap<UnitAt, Vec<UnitAt>> = FastMap::default();
        for (at, entry) in
            wanted.filter(|(_, entry)| !names.is_empty() && entry.is_ordinary() && entry.has_links())
        {
            for target in entry.unit.rules.machine_of.iter().filter_map(|name| names.get(name.as_str())) {
                followers.entry(*target).or_default().push(at);
            }
        }
        for (at, entry) in globals {
            all.take_in(catalog, at, entry, followers.remove(&at).unwrap_or_default());
        }
        for machine in 0..catalog.sites.len() {
            for (at, present) in all.who_is_present(catalog, machine, None).into_iter().enumerate() {
                if present {
                    all.globals[at].present.insert(machine);
                }
            }
        }
        all
    }

    fn take_in(&mut self, catalog: &Catalog<'_>, unit: UnitAt, entry: &Entry<'_>, followers: Vec<UnitAt>) {
        let mut eligible = catalog.sites.mask(entry.site).clone();
        for (machine, known) in catalog.sites.machines().iter().enumerate() {
            if known.accepts == Accepts::Nothing {
                eligible.remove(machine);
            }
        }
        let elder = |(at, other): (usize, &Global)| {
            catalog.entry(other.unit).filter(|other| at_odds(entry, other)).map(|_| at)
        };
        let elders = self.globals.iter().enumerate().filter_map(elder).collect();
        let present = Bits::none(catalog.sites.len());
        let in_the_way = FastMap::default();
        let at = self.globals.push(Global { unit, eligible, present, in_the_way, elders });
        for other in rivals(catalog, entry) {
            if other != unit && catalog.entry(other).is_some_and(Entry::is_ordinary) {
                self.relate(other, at, Relation::Conflicts);
            }
        }
        for follower in followers {
            self.relate(follower, at, Relation::Follows);
        }
    }

    fn relate(&mut self, unit: UnitAt, global: usize, relation: Relation) {
        let relations = self.related.entry(unit).or_default();
        if !relations.contains(&(global, relation)) {
            relations.push((global, relation));
        }
    }

    /// Every global with its machines.
    pub(crate) fn all(&self) -> impl Iterator<Item = (UnitAt, &Bits)> {
        self.globals.iter().map(|global| (global.unit, &global.present))
    }

    pub(crate) fn present_on(&self, machine: MachineAt) -> Vec<UnitAt> {
        self.globals.iter().filter(|global| global.present.has(machine)).map(|global| global.unit).collect()
    }

    pub(crate) fn eligible(&self, unit: UnitAt) -> Option<&Bits> {
        self.globals.iter().find(|global| global.unit == unit).map(|global| &global.eligible)
    }

    /// The unit's globals: position, the global itself, and how they relate.
    pub(crate) fn related(&self, unit: UnitAt) -> impl Iterator<Item = (usize, UnitAt, Relation)> + '_ {
        let relations = self.related.get(&unit).into_iter().flatten();
        relations.map(|(at, relation)| (*at, self.globals[*at].unit, *relation))
    }

    pub(crate) fn is_related(&self, unit: UnitAt) -> bool {
        self.related.contains_key(&unit)
    }

    /// All units that have to do with the global at this position, in no order.
    pub(crate) fn relatives(&self, position: usize) -> impl Iterator<Item = UnitAt> + '_ {
        let of = move |(unit, relations): (&UnitAt, &Vec<(usize, Relation)>)| {
            relations.iter().any(|(at, _)| *at == position).then_some(*unit)
        };
        self.related.iter().filter_map(of)
    }

    pub(crate) fn conflicts(&self, unit: UnitAt, position: usize) -> bool {
        self.related.get(&unit).is_some_and(|relations| relations.contains(&(position, Relation::Conflicts)))
    }

    /// Whether the global is on the machine unless a unit gets in its way: no other global could.
    pub(crate) fn stays_if_let(&self, position: usize, machine: MachineAt) -> bool {
        let global = &self.globals[position];
        global.present.has(machine) && global.elders.is_empty()
    }

    /// Globals that come to the machine or leave it if the unit comes there.
    pub(crate) fn changes(
        &self,
        catalog: &Catalog<'_>,
        unit: UnitAt,
        machine: MachineAt,
    ) -> Vec<(UnitAt, bool)> {
        let after = self.who_is_present(catalog, machine, Some(unit));
        let changed =
            self.globals.iter().zip(after).filter(|(global, now)| global.present.has(machine) != *now);
        changed.map(|(global, now)| (global.unit, now)).collect()
    }

    /// Whether the unit may join these residents. Units without relations always may.
    pub(crate) fn admits(
        &self,
        catalog: &Catalog<'_>,
        unit: UnitAt,
        machine: MachineAt,
        residents: &[UnitAt],
    ) -> bool {
        if self.related.is_empty() || !self.related.contains_key(&unit) {
            return true;
        }
        let present = self.who_is_present(catalog, machine, Some(unit));
        residents.iter().chain([&unit]).all(|other| self.gets_along(catalog, *other, machine, &present))
    }

    pub(crate) fn is_sound(&self, catalog: &Catalog<'_>, machine: MachineAt, residents: &[UnitAt]) -> bool {
        if self.related.is_empty() {
            return true;
        }
        let present: Vec<bool> = self.globals.iter().map(|global| global.present.has(machine)).collect();
        residents.iter().all(|other| self.gets_along(catalog, *other, machine, &present))
    }

    /// Notes that a unit came or left; returns the globals that left or came for it.
    pub(crate) fn note(
        &mut self,
        catalog: &Catalog<'_>,
        unit: UnitAt,
        machine: MachineAt,
        came: bool,
    ) -> Vec<(UnitAt, bool)> {
        let Some(relations) = self.related.get(&unit) else { return Vec::new() };
        for (at, relation) in relations {
            if *relation == Relation::Conflicts && is_stronger(catalog, unit, self.globals[*at].unit, machine)
            {
                let count = self.globals[*at].in_the_way.entry(machine).or_default();
                *count = if came { *count + 1 } else { count.saturating_sub(1) };
            }
        }
        let now = self.who_is_present(catalog, machine, None);
        let mut changed = Vec::new();
        for (global, now) in self.globals.iter_mut().zip(now) {
            if global.present.has(machine) != now {
                if now {
                    global.present.insert(machine);
                } else {
                    global.present.remove(machine);
                }
                changed.push((global.unit, now));
            }
        }
        changed
    }

    fn who_is_present(&self, catalog: &Catalog<'_>, machine: MachineAt, guest: Option<UnitAt>) -> Vec<bool> {
        let mut present: Vec<bool> = Vec::with_capacity(self.globals.len());
        for (at, global) in self.globals.iter().enumerate() {
            let blocked = || {
                global.in_the_way.get(&machine).is_some_and(|count| *count > 0)
                    || guest.is_some_and(|guest| {
                        let rivals = self.related.get(&guest);
                        rivals.is_some_and(|list| list.contains(&(at, Relation::Conflicts)))
                            && is_stronger(catalog, guest, global.unit, machine)
                    })
                    || global.elders.iter().any(|elder| present.get(*elder) == Some(&true))
            };
            present.push(global.eligible.has(machine) && !blocked());
        }
        present
    }

    fn gets_along(&self, catalog: &Catalog<'_>, unit: UnitAt, machine: MachineAt, present: &[bool]) -> bool {
        let Some(relations) = self.related.get(&unit) else { return true };
        relations.iter().all(|(at, relation)| match relation {
            Relation::Follows => present.get(*at) == Some(&true),
            Relation::Conflicts => {
                present.get(*at) != Some(&true) || is_stronger(catalog, unit, self.globals[*at].unit, machine)
            }
        })
    }
}

/// The older right on this machine: there already, or submitted first.
pub(crate) fn is_stronger(catalog: &Catalog<'_>, unit: UnitAt, global: UnitAt, machine: MachineAt) -> bool {
    match (catalog.entry(unit), catalog.entry(global)) {
        (Some(unit), Some(global)) => {
            unit.home == Some(machine) || (unit.order, &unit.unit.name) < (global.order, &global.unit.name)
        }
        _ => false,
    }
}

/// All units, globals too, with which this one is at odds.
fn rivals(catalog: &Catalog<'_>, entry: &Entry<'_>) -> Vec<UnitAt> {
    let named = entry.declares.iter().filter_map(|at| catalog.patterns.get(*at));
    let naming = entry.hits.iter().filter_map(|at| catalog.patterns.get(*at));
    let named = named.flat_map(|pattern| pattern.members.iter());
    named.chain(naming.flat_map(|pattern| pattern.declarers.iter())).copied().collect()
}
