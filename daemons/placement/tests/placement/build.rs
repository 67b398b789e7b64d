//! Machines and units in few words.

use convoy_placement::{Machine, Unit};
use convoy_unit_files::Glob;

pub fn machine(id: &str, metadata: &[(&str, &str)]) -> Machine {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Machine { id: id.to_owned(), metadata, ..Machine::default() }
}

pub fn machines(ids: &[&str]) -> Vec<Machine> {
    ids.iter().map(|id| machine(id, &[])).collect()
}

/// A wanted unit without rules.
pub fn unit(name: &str) -> Unit {
    Unit { name: name.to_owned(), wanted: true, ..Unit::default() }
}

pub trait With: Sized {
    fn at(self, machine: &str) -> Self;
    fn conflicts(self, globs: &[&str]) -> Self;
    fn replaces(self, glob: &str) -> Self;
    fn of(self, target: &str) -> Self;
    fn tied(self, target: &str) -> Self;
    fn metadata(self, key: &str, values: &[&str]) -> Self;
    fn pinned(self, id: &str) -> Self;
    fn global(self) -> Self;
    fn wish(self, machine: &str) -> Self;
    fn avoid(self, machines: &[&str]) -> Self;
    fn memory(self, bytes: u64, required: bool) -> Self;
    fn unwanted(self) -> Self;
}

impl With for Unit {
    fn at(mut self, machine: &str) -> Self {
        self.current = Some(machine.to_owned());
        self
    }

    fn conflicts(mut self, globs: &[&str]) -> Self {
        self.rules.conflicts.extend(globs.iter().map(|glob| Glob::parse(glob).unwrap()));
        self
    }

    fn replaces(mut self, glob: &str) -> Self {
        self.rules.replaces.push(Glob::parse(glob).unwrap());
        self
    }

    fn of(mut self, target: &str) -> Self {
        self.rules.machine_of.push(target.to_owned());
        self
    }

    fn tied(mut self, target: &str) -> Self {
        self.rules.ties.push(target.to_owned());
        self
    }

    fn metadata(mut self, key: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.rules.metadata.insert(key.to_owned(), values);
        self
    }

    fn pinned(mut self, id: &str) -> Self {
        self.rules.machine_id = Some(id.to_owned());
        self
    }

    fn global(mut self) -> Self {
        self.rules.global = true;
        self
    }

    fn wish(mut self, machine: &str) -> Self {
        self.wish = Some(machine.to_owned());
        self
    }

    fn avoid(mut self, machines: &[&str]) -> Self {
        self.avoid.extend(machines.iter().map(|id| (*id).to_owned()));
        self
    }

    fn memory(mut self, bytes: u64, required: bool) -> Self {
        self.rules.resources.memory = Some(bytes);
        self.rules.require_capacity = required;
        self
    }

    fn unwanted(mut self) -> Self {
        self.wanted = false;
        self
    }
}
