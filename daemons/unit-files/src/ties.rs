//! Units that depend on each other have to share a machine: `BindsTo=` and `Requires=` reach no further than one systemd.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    Definition, Problem, Strictness, UnitName,
    dependencies::{Names, entries},
    specifier::Specifiers,
    syntax::UnitFile,
};

/// Finds `BindsTo=` and `Requires=` on another unit of the set though nothing keeps the two on one machine. Strict mode
/// rejects such a unit; in compatible mode the problem is a warning.
///
/// Two units share a machine if a chain of MachineOf, in whatever direction, leads from one to the other, if both are
/// pinned to the same machine, or if both are global. A global unit is on many machines: a chain ends there. Templates in
/// the set are passed over. Takes time in proportion to the number of units and dependencies.
pub fn check(units: &[&Definition], strictness: Strictness) -> Vec<(UnitName, Problem)> {
    let set = Set::new(units);
    let mut problems = Vec::new();
    for (index, unit) in set.units.iter().enumerate() {
        for tie in &unit.rules.ties {
            let Some(other) = set.number(tie) else { continue };
            if !set.share_a_machine(index, other) {
                problems.push((unit.name.clone(), set.problem(unit, other, strictness)));
            }
        }
    }
    problems
}

/// The units without templates, and which of them share a machine.
struct Set<'a> {
    units: Vec<&'a Definition>,
    by_name: HashMap<&'a str, usize>,
    /// For each unit, a number that the units of one machine have in common.
    group: Vec<usize>,
    /// Groups and the global units of which they follow one.
    follows: HashSet<(usize, usize)>,
    /// Groups and the machines to which they are pinned.
    pinned: HashMap<usize, BTreeSet<&'a str>>,
}

impl<'a> Set<'a> {
    fn new(units: &[&'a Definition]) -> Self {
        let units: Vec<&Definition> = units.iter().copied().filter(|unit| !unit.name.is_template()).collect();
        let mut by_name: HashMap<&str, usize> =
            units.iter().enumerate().map(|(index, unit)| (unit.name.as_str(), index)).collect();
        // Who follows a unit that isn't there yet will be on its machine; such units get numbers of their own.
        let mut edges = Vec::new();
        let mut numbers = units.len();
        for (index, unit) in units.iter().enumerate() {
            for target in &unit.rules.machine_of {
                let number = *by_name.entry(target.as_str()).or_insert(numbers);
                numbers = numbers.max(number + 1);
                edges.push((index, number));
            }
        }
        let is_global = |index: usize| units.get(index).is_some_and(|unit| unit.rules.global);
        let mut groups = Groups((0..numbers).collect());
        for (index, target) in edges.iter().copied() {
            if !is_global(index) && !is_global(target) {
                groups.join(index, target);
            }
        }
        let group: Vec<usize> = (0..units.len()).map(|index| groups.of(index)).collect();
        let group_of = |index: usize| group.get(index).copied().unwrap_or(index);
        let follows = edges
            .into_iter()
            .filter(|(index, target)| !is_global(*index) && is_global(*target))
            .map(|(index, target)| (group_of(index), target))
            .collect();
        let mut pinned: HashMap<usize, BTreeSet<&str>> = HashMap::new();
        for (index, unit) in units.iter().enumerate() {
            if let Some(machine) = &unit.rules.machine_id {
                pinned.entry(group_of(index)).or_default().insert(machine);
            }
        }
        Self { units, by_name, group, follows, pinned }
    }

    /// The number of a unit that is in the set.
    fn number(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied().filter(|number| *number < self.units.len())
    }

    /// Whether wherever the unit is the other one is too.
    fn share_a_machine(&self, unit: usize, other: usize) -> bool {
        let is_global = |index: usize| self.units.get(index).is_some_and(|unit| unit.rules.global);
        let group = |index: usize| self.group.get(index).copied().unwrap_or(index);
        match (is_global(unit), is_global(other)) {
            (true, true) => true,
            // It is also on machines where the other one isn't.
            (true, false) => unit == other,
            (false, true) => self.follows.contains(&(group(unit), other)),
            (false, false) => {
                let pins = |index| self.pinned.get(&group(index)).into_iter().flatten();
                group(unit) == group(other)
                    || pins(unit).any(|left| pins(other).any(|right| same_machine(left, right)))
            }
        }
    }

    fn problem(&self, unit: &Definition, other: usize, strictness: Strictness) -> Problem {
        let (name, other_is_global) =
            self.units.get(other).map_or(("", false), |other| (other.name.as_str(), other.rules.global));
        let option =
            if unit.dependencies.binds_to.iter().any(|bound| bound == name) { "BindsTo" } else { "Requires" };
        let effect = match strictness {
            Strictness::Strict => "",
            Strictness::Compatible => ": if they are on two, it doesn't start or it stops",
        };
        let remedy = match (unit.rules.global, other_is_global) {
            (true, _) => format!("make {name} global too, or take {option} out"),
            (false, _) => format!("add [X-Fleet] MachineOf={name}"),
        };
        Problem {
            file: unit.name.to_string(),
            line: line(unit, option, name),
            option: Some(option.to_owned()),
            message: format!("nothing keeps the unit on the machine of {name}{effect}"),
            remedy,
        }
    }
}

/// MachineID takes the whole id, or its first eight characters.
fn same_machine(left: &str, right: &str) -> bool {
    left == right || left.get(..8) == Some(right) || right.get(..8) == Some(left)
}

/// The line on which the unit names the other one.
fn line(unit: &Definition, option: &str, other: &str) -> Option<u32> {
    let file = UnitFile::parse(&unit.text);
    let names = Names { own: &unit.name, specifiers: &Specifiers::of(&unit.name) };
    entries(&file, option)
        .find(|entry| names.of(entry).any(|name| name.is_ok_and(|name| name == other)))
        .map(|entry| entry.line)
}

/// Disjoint sets.
struct Groups(Vec<usize>);

impl Groups {
    /// The representative of the set; paths are halved on the way.
    fn of(&mut self, mut index: usize) -> usize {
        while let Some(parent) = self.0.get(index).copied().filter(|parent| *parent != index) {
            let grandparent = self.0.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.0.get_mut(index) {
                *slot = grandparent;
            }
            index = grandparent;
        }
        index
    }

    fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.of(left), self.of(right));
        // The smaller number stays, so that the result doesn't depend on the order of the edges.
        if let Some(slot) = self.0.get_mut(left.max(right)) {
            *slot = left.min(right);
        }
    }
}
