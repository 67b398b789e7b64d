//! Fleet's rules written down once more, as plainly as possible, and all placements tried one by one.
//!
//! Shares no code with the crate: names are compared by a small matcher of its own.

use std::collections::{BTreeMap, BTreeSet};

use convoy_placement::{Accepts, Machine, Placement, Unit};

/// The machine of each unit, by position; `None` is nowhere.
pub type Whereabouts = Vec<Option<usize>>;

pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((prefix, rest)) => name.strip_prefix(prefix).is_some_and(|name| {
            (0..=name.len()).any(|skip| name.get(skip..).is_some_and(|name| matches(rest, name)))
        }),
    }
}

pub fn names(one: &Unit, other: &Unit) -> bool {
    let mut globs = one.rules.conflicts.iter().chain(&one.rules.replaces);
    one.name != other.name && globs.any(|glob| matches(glob.as_str(), &other.name))
}

pub fn at_odds(one: &Unit, other: &Unit) -> bool {
    names(one, other) || names(other, one)
}

pub struct Oracle<'a> {
    pub machines: &'a [Machine],
    pub units: &'a [Unit],
}

impl Oracle<'_> {
    fn site(unit: &Unit, machine: &Machine) -> bool {
        let id = unit.rules.machine_id.as_ref().is_none_or(|id| {
            *id == machine.id
                || (id.len() == 8 && machine.id.len() > 8 && machine.id.starts_with(id.as_str()))
        });
        let metadata = unit
            .rules
            .metadata
            .iter()
            .all(|(key, values)| machine.metadata.get(key).is_some_and(|value| values.contains(value)));
        id && metadata
    }

    /// What machine and unit alone say.
    pub fn suits(&self, unit: &Unit, machine: usize) -> bool {
        let machine = &self.machines[machine];
        Self::site(unit, machine)
            && match machine.accepts {
                Accepts::All => true,
                Accepts::Present => unit.current.as_ref() == Some(&machine.id),
                Accepts::Nothing => false,
            }
    }

    fn is_current(&self, unit: &Unit, machine: usize) -> bool {
        unit.current.as_ref() == Some(&self.machines[machine].id)
    }

    fn stronger(&self, unit: usize, global: usize, machine: usize) -> bool {
        unit < global || self.is_current(&self.units[unit], machine)
    }

    /// The globals on a machine.
    pub fn globals(&self, at: &Whereabouts, machine: usize) -> BTreeSet<usize> {
        let mut present = BTreeSet::new();
        for (global, unit) in self.units.iter().enumerate() {
            if !unit.wanted || !unit.rules.global {
                continue;
            }
            let site = Self::site(unit, &self.machines[machine])
                && self.machines[machine].accepts != Accepts::Nothing;
            let in_the_way = (0..self.units.len()).any(|other| {
                at[other] == Some(machine)
                    && at_odds(unit, &self.units[other])
                    && self.stronger(other, global, machine)
            });
            let elder = present.iter().any(|other: &usize| at_odds(unit, &self.units[*other]));
            if site && !in_the_way && !elder {
                present.insert(global);
            }
        }
        present
    }

    /// The first hard rule that is broken.
    pub fn broken(&self, at: &Whereabouts) -> Option<String> {
        let find = |name: &String| self.units.iter().position(|unit| unit.name == *name);
        for (one, unit) in self.units.iter().enumerate() {
            let Some(machine) = at[one] else { continue };
            let name = &unit.name;
            if !unit.wanted || unit.rules.global {
                return Some(format!("{name} must not be placed"));
            }
            if !self.suits(unit, machine) {
                return Some(format!("{name}: its machine does not suit it"));
            }
            let globals = self.globals(at, machine);
            for target in &unit.rules.machine_of {
                let target = find(target).filter(|target| *target != one);
                if !target.is_some_and(|target| at[target] == Some(machine) || globals.contains(&target)) {
                    return Some(format!("{name}: MachineOf"));
                }
            }
            for tie in unit.rules.ties.iter().filter_map(find) {
                if at[tie].is_some_and(|other| other != machine) {
                    return Some(format!("{name}: tie"));
                }
            }
            for (two, other) in self.units.iter().enumerate() {
                if at[two] == Some(machine) && at_odds(unit, other) {
                    return Some(format!("{name}: at odds with {}", other.name));
                }
                if globals.contains(&two) && at_odds(unit, other) && !self.stronger(one, two, machine) {
                    return Some(format!("{name}: at odds with global {}", other.name));
                }
            }
        }
        (0..self.machines.len()).find_map(|machine| self.overfull(at, machine))
    }

    fn overfull(&self, at: &Whereabouts, machine: usize) -> Option<String> {
        let here = |(one, unit): (usize, &Unit)| (at[one] == Some(machine)).then(|| unit.clone());
        let here: Vec<Unit> = self.units.iter().enumerate().filter_map(here).collect();
        let memory = |unit: &Unit| unit.rules.resources.memory;
        let fresh = |unit: &Unit| {
            unit.rules.require_capacity && memory(unit).is_some() && !self.is_current(unit, machine)
        };
        let counts = |unit: &&Unit| unit.rules.require_capacity || self.is_current(unit, machine);
        let mut sum: u64 = here.iter().filter(counts).filter_map(memory).sum();
        sum +=
            self.globals(at, machine).iter().filter_map(|global| memory(&self.units[*global])).sum::<u64>();
        let full = self.machines[machine].capacity.memory.is_some_and(|all| sum > all);
        (full && here.iter().any(fresh)).then(|| format!("{} is overfull", self.machines[machine].id))
    }

    /// Every placement that keeps the hard rules.
    pub fn all(&self, visit: &mut dyn FnMut(&Whereabouts)) {
        let mut at = vec![None; self.units.len()];
        self.try_from(0, &mut at, visit);
    }

    fn try_from(&self, unit: usize, at: &mut Whereabouts, visit: &mut dyn FnMut(&Whereabouts)) {
        let Some(known) = self.units.get(unit) else {
            if self.broken(at).is_none() {
                visit(at);
            }
            return;
        };
        at[unit] = None;
        self.try_from(unit + 1, at, visit);
        if known.wanted && !known.rules.global {
            for machine in 0..self.machines.len() {
                let odds = |other: usize| at[other] == Some(machine) && at_odds(known, &self.units[other]);
                if self.suits(known, machine) && !(0..unit).any(odds) {
                    at[unit] = Some(machine);
                    self.try_from(unit + 1, at, visit);
                }
            }
            at[unit] = None;
        }
    }

    /// The placement that the crate has found, by position.
    pub fn read(&self, placement: &Placement) -> Whereabouts {
        let machine = |id: &String| self.machines.iter().position(|machine| machine.id == *id).unwrap();
        self.units.iter().map(|unit| placement.assigned.get(&unit.name).map(machine)).collect()
    }

    /// Hard rules hold, globals are where they belong, and each unit is in the one list that it belongs to.
    pub fn check(&self, placement: &Placement) {
        let at = self.read(placement);
        assert_eq!(self.broken(&at), None, "{placement:#?}");
        for (one, unit) in self.units.iter().enumerate() {
            let pending = placement.pending.contains_key(&unit.name);
            let ordinary = unit.wanted && !unit.rules.global;
            assert_eq!(pending, ordinary && at[one].is_none(), "{}", unit.name);
            assert_eq!(placement.globals.contains_key(&unit.name), unit.wanted && unit.rules.global);
        }
        for machine in 0..self.machines.len() {
            let id = &self.machines[machine].id;
            let here = placement.globals.iter().filter(|(_, machines)| machines.contains(id));
            let here: BTreeSet<&String> = here.map(|(name, _)| name).collect();
            let wanted = self.globals(&at, machine);
            assert_eq!(here, wanted.iter().map(|unit| &self.units[*unit].name).collect(), "globals on {id}");
        }
    }

    /// 0: runs, and may go on there as far as it is concerned; 1: ran, or shares its machine with a unit that it
    /// replaces; 2: new.
    pub fn tier(&self, unit: &Unit) -> usize {
        let suits = |machine| self.is_current(unit, machine) && self.suits(unit, machine);
        if !(0..self.machines.len()).any(suits) {
            return 1 + usize::from(unit.current.is_none());
        }
        let replaces = |other: &Unit| {
            let mut globs = unit.rules.replaces.iter();
            other.name != unit.name
                && other.current == unit.current
                && other.wanted
                && !other.rules.global
                && globs.any(|glob| matches(glob.as_str(), &other.name))
        };
        usize::from(self.units.iter().any(replaces))
    }

    /// What makes a placement better than another: those that run, those that ran, new ones; then the order of
    /// submission.
    pub fn placed(&self, at: &Whereabouts) -> ([usize; 3], Vec<bool>) {
        let mut counts = [0; 3];
        for (one, unit) in self.units.iter().enumerate() {
            if at[one].is_some() {
                counts[self.tier(unit)] += 1;
            }
        }
        (counts, at.iter().map(Option::is_some).collect())
    }

    /// Units that run on a machine that suits them and are on another one now.
    pub fn moves(&self, at: &Whereabouts) -> usize {
        let moved = |(one, unit): (usize, &Unit)| {
            self.tier(unit) == 0 && at[one].is_some_and(|machine| !self.is_current(unit, machine))
        };
        self.units.iter().enumerate().filter(|unit| moved((unit.0, unit.1))).count()
    }
}

/// The same units with the placement as their present whereabouts.
pub fn after(units: &[Unit], placement: &Placement) -> Vec<Unit> {
    let assigned: &BTreeMap<String, String> = &placement.assigned;
    let settle = |unit: &Unit| Unit { current: assigned.get(&unit.name).cloned(), ..unit.clone() };
    units.iter().map(settle).collect()
}
